"""What `check` finds in a bucket, and what it says to grant."""

from __future__ import annotations

import json

import pytest

from parparchik.cli.examine import Examination, Purpose
from parparchik.cli.findings import Finding
from parparchik.cli.grants import Grant, policies
from parparchik.errors import CredentialsRefused, NoBucket, NoCredentials, UpstreamError
from parparchik.model import Bucket, ObjectHead
from parparchik.s3.credentials import CredentialStatus
from tests.fakes import Conditions, FakeBucket, denied, unavailable

BUCKET = Bucket("files")
MANIFEST = BUCKET.manifest_key
LISTING = Grant("s3:ListBucket", "arn:aws:s3:::files")
READING = Grant("s3:GetObject", "arn:aws:s3:::files/*")
WRITING = Grant("s3:PutObject", "arn:aws:s3:::files/.parparchik/*")


class FakeCredentials:
    """Credentials that are there; or `failure`."""

    def __init__(
        self, failure: UpstreamError | None = None, expires_at_s: float | None = None
    ) -> None:
        self._failure = failure
        self._expires_at_s = expires_at_s

    async def load(self) -> None:
        if self._failure is not None:
            raise self._failure

    def describe(self) -> CredentialStatus:
        return CredentialStatus("a fake", "WXYZ", self._expires_at_s, None)


def filled() -> FakeBucket:
    bucket = FakeBucket(BUCKET, "a.txt")
    bucket.add_manifest("a.txt")
    return bucket


async def examine(
    store: FakeBucket,
    *,
    credentials: FakeCredentials | None = None,
    may_write: bool = True,
    denied_is_missing: bool = False,
) -> dict[str, Finding]:
    examination = Examination(
        store,
        credentials=credentials or FakeCredentials(),
        may_write=may_write,
        denied_is_missing=denied_is_missing,
    )
    await examination.run()
    return {finding.step: finding for finding in examination.findings}


def failed(findings: dict[str, Finding]) -> dict[str, Grant | None]:
    return {step: one.grant for step, one in findings.items() if one.passed is False}


async def test_all_well() -> None:
    findings = await examine(filled())
    assert list(findings) == ["credentials", "list", "head", "manifest read", "manifest write"]
    assert all(one.passed for one in findings.values())
    assert findings["credentials"].detail == "from a fake, key id ...WXYZ"
    assert findings["list"].detail == "files: 1"
    assert findings["manifest read"].detail.startswith("1 entries, ")


async def test_an_empty_bucket_is_well() -> None:
    findings = await examine(FakeBucket(BUCKET))
    assert failed(findings) == {}
    assert "the first start lists" in findings["manifest read"].detail


async def test_the_manifest_is_not_touched_and_nothing_else_but_one_object_is() -> None:
    store = filled()
    await examine(store)
    (added,) = store.objects.keys() - filled().objects.keys()
    assert BUCKET.reserves(added)
    assert {key: store.objects[key] for key in filled().objects} == filled().objects


async def test_without_leave_nothing_is_written() -> None:
    store = filled()
    findings = await examine(store, may_write=False)
    assert store.requests["put"] == 0
    assert "manifest write" not in findings


@pytest.mark.parametrize("key", ["manifest.json", "deep/down/manifest.json"])
async def test_the_object_beside_is_reserved_wherever_the_manifest_is(key: str) -> None:
    bucket = Bucket("files", key)
    store = FakeBucket(bucket)
    await examine(store)
    assert all(map(bucket.reserves, store.objects))
    # A second look does not take it for a file.
    assert (await examine(store))["list"].detail == "files: 0"


@pytest.mark.parametrize("conditions", list(Conditions))
async def test_whether_two_servers_may_write_is_told(conditions: Conditions) -> None:
    store = FakeBucket(BUCKET, conditions=conditions)
    safe = conditions in (Conditions.QUOTED, Conditions.UNQUOTED)
    for _ in ("the first time", "again"):
        finding = (await examine(store))["manifest write"]
        assert finding.passed
        assert finding.detail.startswith("two servers" if safe else "one server only")


@pytest.mark.parametrize(
    ("operations", "grants"),
    [
        ({"list"}, {"list": LISTING}),
        # Who may not list is told 403 for missing keys: that is the permission to ask for first.
        ({"list", "head"}, {"list": LISTING, "head": LISTING}),
        ({"head"}, {"head": READING}),
        ({"get"}, {"manifest read": READING}),
        ({"put"}, {"manifest write": WRITING}),
        ({"list", "put"}, {"list": LISTING, "manifest write": WRITING}),
    ],
)
async def test_what_to_grant(operations: set[str], grants: dict[str, Grant]) -> None:
    store = filled()
    store.fail(denied, *operations)
    assert failed(await examine(store)) == grants


async def test_listing_is_not_needed_where_denied_means_missing() -> None:
    store = filled()
    store.fail(denied, "list")
    findings = await examine(store, denied_is_missing=True)
    assert failed(findings) == {}
    assert findings["list"].passed is None


async def test_without_credentials_s3_is_not_asked() -> None:
    store = filled()
    findings = await examine(store, credentials=FakeCredentials(NoCredentials("none anywhere")))
    assert list(findings) == ["credentials"]
    assert findings["credentials"].detail == "none anywhere"
    assert store.asked == []


async def test_the_end_of_credentials_is_told() -> None:
    findings = await examine(FakeBucket(BUCKET), credentials=FakeCredentials(expires_at_s=0.0))
    assert findings["credentials"].detail.endswith("until 1970-01-01T00:00:00Z")


async def test_an_s3_that_does_not_answer_is_asked_once() -> None:
    store = filled()
    store.fail(unavailable)
    assert failed(await examine(store)) == {"list": None}
    assert store.requests == {"list": 1}


async def test_a_missing_bucket_is_no_question_of_grants() -> None:
    store = FakeBucket(BUCKET)
    store.fail(lambda: NoBucket("no bucket"))
    every = ("list", "head", "manifest read", "manifest write")
    assert failed(await examine(store)) == dict.fromkeys(every)


async def test_a_wrong_secret_is_no_question_of_grants() -> None:
    store = FakeBucket(BUCKET)
    store.fail(lambda: CredentialsRefused("the secret does not fit"))
    assert failed(await examine(store)) == {"list": None}


async def test_a_manifest_that_is_garbage() -> None:
    store = FakeBucket(BUCKET)
    store.add(MANIFEST, b"garbage")
    assert list(failed(await examine(store))) == ["manifest read"]


async def test_a_head_that_contradicts_the_listing() -> None:
    class Forgetful(FakeBucket):
        async def head(self, key: str) -> None:
            pass

    class Credulous(FakeBucket):
        async def head(self, key: str) -> ObjectHead:
            return ObjectHead(0, 0)

    assert list(failed(await examine(Forgetful(BUCKET, "a.txt"), may_write=False))) == ["head"]
    assert list(failed(await examine(Credulous(BUCKET, "a.txt"), may_write=False))) == ["head"]


async def test_a_public_bucket_without_files_cannot_be_tried() -> None:
    findings = await examine(FakeBucket(Bucket("files", public=True)))
    assert findings["anyone reads"] == Finding(
        "anyone reads", None, "not tried: no file to ask for"
    )


async def test_a_public_endpoint_out_of_reach_is_no_failure() -> None:
    class Elsewhere(FakeBucket):
        def public_url(self, key: str) -> str:
            return f"http://127.0.0.1:1/{key}"

    finding = (await examine(Elsewhere(Bucket("files", public=True), "a")))["anyone reads"]
    assert finding.passed is None
    assert "no answer from here" in finding.detail


def test_grants_become_policies() -> None:
    anyone = Grant("s3:GetObject", "arn:aws:s3:::files/*", anyone=True)
    (ours, to_us), (theirs, to_them) = policies([WRITING, LISTING, LISTING, anyone])
    assert "IAM" in ours
    assert theirs == "everyone, as the policy of bucket files"
    assert json.loads(to_us)["Statement"] == [
        {"Effect": "Allow", "Action": one.action, "Resource": one.resource}
        for one in (LISTING, WRITING)
    ]
    (statement,) = json.loads(to_them)["Statement"]
    assert (statement["Principal"], statement["Action"]) == ("*", "s3:GetObject")
    assert policies([]) == []


async def examine_for(
    store: FakeBucket, purpose: Purpose, *, may_write: bool = True
) -> Examination:
    examination = Examination(
        store,
        credentials=FakeCredentials(),
        may_write=may_write,
        denied_is_missing=False,
        purpose=purpose,
    )
    await examination.run()
    return examination


@pytest.mark.parametrize(
    ("purpose", "may_write", "steps"),
    [
        (Purpose(routes=False), True, []),
        (Purpose(routes=False, uploads=True), True, ["write"]),
        (Purpose(routes=False, uploads=True), False, []),
        (Purpose(routes=False, pages=("a.txt",)), True, ["page"]),
        (Purpose(uploads=True), True, ["manifest read", "manifest write", "write"]),
        (Purpose(uploads=True), False, ["manifest read"]),
    ],
)
async def test_a_bucket_is_tried_for_what_it_is_for(
    purpose: Purpose, may_write: bool, steps: list[str]
) -> None:
    examination = await examine_for(filled(), purpose, may_write=may_write)
    found = [finding.step for finding in examination.findings]
    assert found == ["credentials", "list", "head", *steps]
    assert all(finding.passed for finding in examination.findings)


async def test_a_gateway_that_may_not_write_is_told_what_to_grant() -> None:
    store = filled()
    store.fail(denied, "put")
    examination = await examine_for(store, Purpose(routes=False, uploads=True))
    finding = examination.findings[-1]
    assert (finding.step, finding.passed) == ("write", False)
    assert finding.grant == Grant("s3:PutObject", "arn:aws:s3:::files/*")


async def test_pages_that_are_missing_are_no_failure() -> None:
    examination = await examine_for(filled(), Purpose(routes=False, pages=("index.html", "a.txt")))
    missing, there = examination.findings[-2:]
    assert (missing.passed, missing.detail) == (None, "index.html: missing")
    assert (there.passed, there.detail) == (True, "a.txt: there")
