"""check, explain, manifest and presign on real buckets (moto): what they print and change."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.moto_buckets import Buckets, Command

MANIFEST = ".parparchik/files.json"
ANYONE = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}]}'


def keys_in_manifest(buckets: Buckets, bucket: str) -> list[str]:
    data = buckets.get(bucket, MANIFEST)
    assert data is not None
    return [file["key"] for file in json.loads(data)["files"]]


# -- check ------------------------------------------------------------------------------------


def test_check_passes(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt")
    buckets.allow_anyone(ANYONE)
    result = command("check", buckets.environ)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["BUCKET", "CHECK", "RESULT", "DETAIL"]
    assert f"buckets in priority order: {buckets.public}, {buckets.private}" in lines[1]
    assert len(lines) == 2 + 6 + 5
    assert all(" ok " in line for line in lines[1:])
    assert "test-secret-access-key" not in result.output
    # Only the object that is told of was added.
    assert buckets.get(buckets.public, MANIFEST) is None
    assert buckets.get(buckets.public, f"{MANIFEST}.check") is not None


def test_check_without_writing(command: Command, buckets: Buckets) -> None:
    result = command("check --no-write", buckets.environ)
    assert result.exit_code == 0
    assert "manifest write" not in result.stdout
    assert buckets.get(buckets.public, f"{MANIFEST}.check") is None


def test_check_says_what_to_grant(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt")  # and no policy that would let anyone read it
    result = command("check", buckets.environ)
    assert result.exit_code == 1
    (failed,) = [line for line in result.stdout.splitlines() if "FAILED" in line]
    assert "403 for a client without credentials" in failed
    told, _, document = result.stdout.partition("To grant to everyone, as the policy of bucket ")
    assert "To grant" not in told
    name, _, policy = document.partition(":\n")
    assert name == buckets.public
    # And with that policy it passes, but for moto, which wants more for a HEAD.
    buckets.allow_anyone(policy.replace("s3:GetObject", "s3:*"))
    assert command("check", buckets.environ).exit_code == 0


def test_check_of_a_missing_bucket_and_a_bad_manifest(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.private, MANIFEST, b"garbage")
    environ = {**buckets.environ, "PARPARCHIK_BUCKETS": f"missing-bucket,{buckets.private}"}
    result = command("check --no-write", environ)
    assert result.exit_code == 1
    failed = [line for line in result.stdout.splitlines() if "FAILED" in line]
    assert [line.split()[:3] for line in failed] == [
        ["missing-bucket", "list", "FAILED"],
        ["missing-bucket", "head", "FAILED"],
        ["missing-bucket", "manifest", "read"],
        [buckets.private, "manifest", "read"],
    ]
    assert buckets.get(buckets.private, MANIFEST) == b"garbage"


def test_check_of_an_s3_that_is_not_there(command: Command, buckets: Buckets) -> None:
    environ = {
        **buckets.environ,
        "S3_ENDPOINT": "127.0.0.1:1",
        "PARPARCHIK_S3_RETRIES": "0",
        "PARPARCHIK_VERIFY_TLL": "1",
    }
    result = command("check", environ)
    assert result.exit_code == 1
    assert result.stdout.count("FAILED") == 2
    assert "did you mean PARPARCHIK_VERIFY_TTL?" in result.stdout
    assert result.stderr == ""


def test_check_without_credentials(command: Command, buckets: Buckets) -> None:
    environ = {**buckets.environ, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    result = command("check", environ)
    assert result.exit_code == 1
    failed = [line.split()[1:3] for line in result.stdout.splitlines() if "FAILED" in line]
    assert failed == [["credentials", "FAILED"]] * 2


def test_check_tells_of_private_files_for_everyone(command: Command, buckets: Buckets) -> None:
    environ = {**buckets.environ, "PARPARCHIK_HOST": "0.0.0.0", "PARPARCHIK_PORT": "81"}
    told = f"everybody who reaches 0.0.0.0:81 can read {buckets.private}"
    assert told in command("check", environ).stdout
    environ["PARPARCHIK_API_KEYS"] = "a-key-of-some-length"
    assert told not in command("check", environ).stdout


# -- explain ----------------------------------------------------------------------------------


def explain(command: Command, buckets: Buckets, asked: str, **more: str) -> dict[str, list[str]]:
    result = command(["explain", asked], {**buckets.environ, **more})
    assert (result.exit_code, result.stderr) == (0, "")
    told: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        label, _, text = line.partition("  ")
        told.setdefault(label, []).append(text.strip())
    return told


def test_explain_a_public_file(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a b.txt", b"four")
    for asked in (
        f"http://any.host:8080/{buckets.public}/a%20b.txt?x=1",
        f"/{buckets.public}/a b.txt",
        "/public/a%20b.txt",
        "a b.txt",
    ):
        told = explain(command, buckets, asked)
        assert told["key"] == ["a b.txt"]
        assert told["S3 now"][0].startswith(f"{buckets.public}: there, 4 bytes of 20")
        assert told["S3 now"][1] == f"{buckets.private}: not there"
        assert told["chosen"] == [f"{buckets.public}: the first in priority order that has it"]
        assert told["API key"] == ["not needed"]
        location = f"http://{buckets.endpoint}/{buckets.public}/a%20b.txt"
        assert told["answer"] == [f"302 {location}"]


def test_explain_a_private_file(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.private, "деньги.csv")
    asked = f"/{buckets.public}/деньги.csv"
    told = explain(command, buckets, asked, PARPARCHIK_API_KEYS="a-key-of-some-length")
    assert told["chosen"] == [f"{buckets.private}: the first in priority order that has it"]
    assert told["API key"] == ["needed"]
    (answer,) = told["answer"]
    assert answer.startswith(f"302 http://{buckets.endpoint}/{buckets.private}/%D0%B4")
    assert "X-Amz-Signature=[redacted]" in answer


def test_explain_a_file_in_both_buckets(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "both.txt")
    buckets.put(buckets.private, "both.txt")
    known = {"version": 1, "bucket": buckets.private, "files": [{"key": "both.txt"}]}
    buckets.put(buckets.private, MANIFEST, json.dumps(known).encode())
    told = explain(command, buckets, "both.txt")
    assert told["manifest"] == [f"{buckets.public}: none yet", f"{buckets.private}: has the key"]
    (chosen,) = told["chosen"]
    assert chosen.startswith(f"{buckets.private}: its manifest has it; {buckets.public} has it too")
    assert "POST /relocate" in chosen
    # Nothing was written, though the registry now knows better.
    assert buckets.get(buckets.public, MANIFEST) is None


def test_explain_what_is_nowhere(command: Command, buckets: Buckets) -> None:
    told = explain(command, buckets, f"/{buckets.private}/none")
    assert told["chosen"] == ["no bucket"]
    assert told["answer"][0].startswith("404 ")
    assert explain(command, buckets, "/nowhere/a")["answer"] == ["404, no file route"]
    assert explain(command, buckets, "/public/%2e%2e/a")["answer"][0].startswith("400, ")
    assert "management endpoint" in command("explain /list?sync=true", buckets.environ).stdout


def test_explain_while_s3_is_away(command: Command, buckets: Buckets) -> None:
    away = {"S3_ENDPOINT": "127.0.0.1:1", "PARPARCHIK_S3_RETRIES": "0"}
    told = explain(command, buckets, "/public/a", **away)
    assert all("could not tell" in line for line in told["S3 now"])
    assert told["chosen"] == ["not known: S3 could not tell"]
    assert told["answer"][0].startswith("503 ")


def test_explain_cannot_be_made_to_command_the_terminal(command: Command, buckets: Buckets) -> None:
    result = command(["explain", f"/{buckets.public}/\x1b[31mred\x07"], buckets.environ)
    assert result.exit_code == 0
    assert result.stdout.replace("\n", "").isprintable()


# -- manifest ---------------------------------------------------------------------------------


def test_manifest_rebuild_and_show(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt", b"12")
    buckets.put(buckets.public, "both.txt")
    buckets.put(buckets.private, "both.txt")
    buckets.put(buckets.private, "ж/б.txt", b"123")
    dry = command("manifest rebuild --dry-run", buckets.environ)
    assert "to write, there was none; 2 entries" in dry.stdout
    assert buckets.get(buckets.public, MANIFEST) is None

    result = command("manifest rebuild", buckets.environ)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{buckets.public}: written, there was none; 2 entries\n"
        f"{buckets.private}: written, there was none; 1 entries\n"
    )
    assert keys_in_manifest(buckets, buckets.private) == ["ж/б.txt"]

    again = command("manifest rebuild", buckets.environ)
    assert again.stdout.count("already so") == 2

    shown = command("manifest show", buckets.environ)
    assert shown.exit_code == 0
    assert f"{buckets.public}: {MANIFEST}, 2 entries" in shown.stdout
    assert "ж/б.txt" in shown.stdout
    lines = command("manifest show --json", buckets.environ).stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(e["key"], e["size"]) for e in entries] == [
        ("a.txt", 2),
        ("both.txt", 1),
        ("ж/б.txt", 3),
    ]
    assert entries[2].keys() == {"key", "bucket", "bucket_type", "route", "size", "last_modified"}
    assert entries[2]["route"] == f"/{buckets.private}/ж/б.txt"
    assert entries[2]["bucket_type"] == "private"


def test_manifest_rebuild_drops_what_is_gone(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt")
    stale = {"version": 1, "bucket": buckets.public, "files": [{"key": "gone"}, {"key": "a.txt"}]}
    buckets.put(buckets.public, MANIFEST, json.dumps(stale).encode())
    result = command("manifest rebuild", buckets.environ)
    assert "written, there were 2 entries; 1 entries" in result.stdout
    assert keys_in_manifest(buckets, buckets.public) == ["a.txt"]


def test_manifest_rebuild_keeps_garbage_aside(command: Command, buckets: Buckets) -> None:
    buckets.put(buckets.public, "a.txt")
    for bucket in (buckets.public, buckets.private):
        buckets.put(bucket, MANIFEST, b"garbage")
    shown = command("manifest show", buckets.environ)
    assert shown.exit_code == 1
    assert shown.stderr.count("not a manifest") == 2
    result = command("manifest rebuild", buckets.environ)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{buckets.public}: written, the manifest was unreadable")
    # An empty bucket is no reason to replace what may be somebody's.
    assert lines[1].startswith(f"{buckets.private}: left alone")
    assert keys_in_manifest(buckets, buckets.public) == ["a.txt"]
    assert buckets.get(buckets.private, MANIFEST) == b"garbage"
    listing = buckets.request("GET", f"/{buckets.public}?prefix={MANIFEST}.unreadable-")[1]
    assert listing.count(b"<Key>") == 1


def test_manifests_of_an_s3_that_is_not_there(command: Command, buckets: Buckets) -> None:
    environ = {**buckets.environ, "S3_ENDPOINT": "127.0.0.1:1", "PARPARCHIK_S3_RETRIES": "0"}
    for line in ("manifest rebuild", "manifest rebuild --dry-run"):
        result = command(line, environ)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("parparchik: ")
        assert result.stderr.count("\n") == 1
    shown = command("manifest show", environ)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.count("\n") == 2


# -- presign ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_presign(command: Command, buckets: Buckets, method: str) -> None:
    arguments = ["presign", buckets.private, "a б.txt", "--method", method.lower()]
    result = command([*arguments, "--expires", "60"], buckets.environ)
    assert (result.exit_code, result.stderr) == (0, "")
    url = urlsplit(result.stdout.strip())
    assert url.netloc == buckets.endpoint
    assert url.path == f"/{buckets.private}/a%20%D0%B1.txt"
    query = parse_qs(url.query)
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-Credential"][0].startswith("test-key-id/")
    by_default = command(arguments, {**buckets.environ, "PARPARCHIK_PRESIGN_EXPIRES": "2h"})
    assert "X-Amz-Expires=7200" in by_default.stdout


def test_presign_uses_the_endpoint_that_clients_see(command: Command, buckets: Buckets) -> None:
    environ = {**buckets.environ, "S3_EXTERNAL_ENDPOINT": "https://files.example"}
    result = command(f"presign {buckets.private} a", environ)
    assert result.stdout.startswith(f"https://files.example/{buckets.private}/a?")


def test_presign_refuses(command: Command, buckets: Buckets) -> None:
    result = command("presign other a", buckets.environ)
    assert result.exit_code == 2
    known = f"known: {buckets.public}, {buckets.private}"
    assert result.stderr == f"parparchik: bucket 'other' is not configured; {known}\n"
    result = command(["presign", buckets.private, "x" * 1025], buckets.environ)
    assert result.exit_code == 2
    result = command(["presign", buckets.private, "a/../b"], buckets.environ)
    assert result.exit_code == 2
    environ = {**buckets.environ, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    result = command(f"presign {buckets.private} a", environ)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1


def test_settings_from_a_file(command: Command, buckets: Buckets, tmp_path: Path) -> None:
    file = tmp_path / "parparchik.toml"
    secret = "a-secret-of-the-file"
    file.write_text(
        f'[s3]\nendpoint = "{buckets.endpoint}"\naccess_key_id = "file-key"\n'
        f'secret_access_key = "{secret}"\n[[bucket]]\nname = "{buckets.private}"\n'
    )
    by_option = command(["presign", buckets.private, "a", "--config", str(file)])
    by_variable = command(f"presign {buckets.private} a", {"PARPARCHIK_CONFIG": str(file)})
    for result in (by_option, by_variable):
        assert result.exit_code == 0
        assert "X-Amz-Credential=file-key" in result.stdout
        assert secret not in result.output
