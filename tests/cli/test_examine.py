"""What `check` finds in a bucket, and what it says to grant."""

from __future__ import annotations

import json

import pytest

from parparchik.cli.examine import Examination, Finding
from parparchik.cli.grants import Grant, policies
from parparchik.errors import Denied, NoBucket, NoCredentials, Unavailable, UpstreamError
from parparchik.model import Bucket
from tests.cli.fake_store import FakeCredentials, FakeStore

BUCKET = Bucket("files")
MANIFEST = BUCKET.manifest_key
LISTING = Grant("s3:ListBucket", "arn:aws:s3:::files")
READING = Grant("s3:GetObject", "arn:aws:s3:::files/*")
WRITING = Grant("s3:PutObject", "arn:aws:s3:::files/.parparchik/*")
OBJECTS = {"a.txt": b"a", MANIFEST: b'{"version":1,"bucket":"files","files":[{"key":"a.txt"}]}'}


async def examine(
    store: FakeStore,
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
    findings = await examine(FakeStore(BUCKET, OBJECTS))
    assert list(findings) == ["credentials", "list", "head", "manifest read", "manifest write"]
    assert all(one.passed for one in findings.values())
    assert findings["credentials"].detail == "from a fake, key id ...WXYZ"
    assert findings["list"].detail == "files: 1"
    assert findings["manifest read"].detail.startswith("1 entries, ")


async def test_an_empty_bucket_is_well() -> None:
    findings = await examine(FakeStore(BUCKET))
    assert failed(findings) == {}
    assert "the first start lists" in findings["manifest read"].detail


async def test_the_manifest_is_not_touched_and_nothing_else_but_one_object_is() -> None:
    store = FakeStore(BUCKET, OBJECTS)
    await examine(store)
    (added,) = store.objects.keys() - OBJECTS.keys()
    assert BUCKET.reserves(added)
    assert {key: store.objects[key] for key in OBJECTS} == OBJECTS


async def test_without_leave_nothing_is_written() -> None:
    store = FakeStore(BUCKET, OBJECTS)
    findings = await examine(store, may_write=False)
    assert "put" not in store.asked
    assert "manifest write" not in findings


@pytest.mark.parametrize("key", ["manifest.json", "deep/down/manifest.json"])
async def test_the_object_beside_is_reserved_wherever_the_manifest_is(key: str) -> None:
    bucket = Bucket("files", key)
    store = FakeStore(bucket)
    await examine(store)
    assert all(map(bucket.reserves, store.objects))
    # A second look does not take it for a file.
    assert (await examine(store))["list"].detail == "files: 0"


@pytest.mark.parametrize(
    ("conditional", "told"),
    [
        ("honoured", "conditional ("),
        ("refused", "no conditional writes"),
        ("ignored", "no conditional writes"),
    ],
)
async def test_conditional_writes_are_told_of(conditional: str, told: str) -> None:
    finding = (await examine(FakeStore(BUCKET, conditional=conditional)))["manifest write"]
    assert finding.passed
    assert finding.detail.startswith(told)


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
    failures: dict[str, UpstreamError] = dict.fromkeys(operations, Denied("403"))
    assert failed(await examine(FakeStore(BUCKET, OBJECTS, failures))) == grants


async def test_listing_is_not_needed_where_denied_means_missing() -> None:
    store = FakeStore(BUCKET, OBJECTS, {"list": Denied("403")})
    findings = await examine(store, denied_is_missing=True)
    assert failed(findings) == {}
    assert findings["list"].passed is None


async def test_without_credentials_s3_is_not_asked() -> None:
    store = FakeStore(BUCKET, OBJECTS)
    findings = await examine(store, credentials=FakeCredentials(NoCredentials("none anywhere")))
    assert list(findings) == ["credentials"]
    assert findings["credentials"].detail == "none anywhere"
    assert store.asked == []


async def test_the_end_of_credentials_is_told() -> None:
    findings = await examine(FakeStore(BUCKET), credentials=FakeCredentials(expires_at_s=0.0))
    assert findings["credentials"].detail.endswith("until 1970-01-01T00:00:00Z")


async def test_an_s3_that_does_not_answer_is_asked_once() -> None:
    store = FakeStore(BUCKET, OBJECTS, dict.fromkeys(("list", "head", "get"), Unavailable("away")))
    assert failed(await examine(store)) == {"list": None}
    assert store.asked == ["list"]


async def test_a_missing_bucket_is_no_question_of_grants() -> None:
    store = FakeStore(BUCKET, {}, dict.fromkeys(("list", "head", "get"), NoBucket("no bucket")))
    assert failed(await examine(store)) == {"list": None, "head": None, "manifest read": None}


async def test_a_manifest_that_is_garbage() -> None:
    findings = await examine(FakeStore(BUCKET, {MANIFEST: b"garbage"}))
    assert list(failed(findings)) == ["manifest read"]


async def test_a_listed_key_that_head_denies_to_be_there() -> None:
    class Forgetful(FakeStore):
        async def head(self, key: str) -> None:
            self._ask("head")

    assert list(failed(await examine(Forgetful(BUCKET, OBJECTS)))) == ["head"]


async def test_a_public_bucket_out_of_reach_is_no_failure() -> None:
    findings = await examine(FakeStore(Bucket("files", public=True), OBJECTS))
    assert findings["anyone reads"].passed is None
    findings = await examine(FakeStore(Bucket("files", public=True)))
    assert findings["anyone reads"].detail == "not tried: no file to ask for"


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
