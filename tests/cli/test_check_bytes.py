"""check and explain where there are sites and the object gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.moto_buckets import Buckets, Command


@pytest.fixture
def environ(buckets: Buckets) -> dict[str, str]:
    """Without routes."""
    return {name: value for name, value in buckets.environ.items() if name != "PARPARCHIK_BUCKETS"}


@pytest.fixture
def site(buckets: Buckets, tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(
        f"[[site]]\nbucket = '{buckets.private}'\nprefix = 'built/'\nerror = '404.html'\n"
        f"mount = '/docs/'\n[[site]]\nbucket = '{buckets.private}'\nhost = 'www.example.org'\n"
    )
    return file


def test_check_of_a_site(
    command: Command, buckets: Buckets, environ: dict[str, str], site: Path
) -> None:
    buckets.put(buckets.private, "built/index.html")
    result = command(["check", "--config", str(site)], environ)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()[1:]
    assert f"site /docs/: {buckets.private}/built/" in lines[0]
    assert f"site www.example.org/: {buckets.private}/" in lines[1]
    steps = [line.split(maxsplit=3) for line in lines[2:]]
    assert [step[0] for step in steps] == [buckets.private] * 6
    assert [step[1:3] for step in steps] == [
        ["credentials", "ok"], ["list", "ok"], ["head", "ok"],
        ["page", "ok"], ["page", "note"], ["page", "note"],
    ]  # fmt: skip
    assert [step[3] for step in steps[3:]] == [
        "built/index.html: there", "built/404.html: missing", "index.html: missing"
    ]  # fmt: skip
    # Nothing was written where nothing ever will be.
    assert buckets.get(buckets.private, ".parparchik/files.json.check") is None


def test_check_of_the_object_gateway(
    command: Command, buckets: Buckets, environ: dict[str, str]
) -> None:
    environ["ALLOWED_BUCKETS"] = f"{buckets.public}:read,{buckets.private}:all"
    result = command("check", environ)
    assert result.exit_code == 0, result.output
    assert f"object gateway /objects/: {buckets.public} (read), {buckets.private} (all)" in (
        result.stdout
    )
    written = [line for line in result.stdout.splitlines() if " write " in line]
    assert len(written) == 1
    assert written[0].startswith(buckets.private)
    key = ".parparchik/files.json.check"
    assert buckets.get(buckets.private, key) is not None
    assert buckets.get(buckets.public, key) is None


def test_check_of_cache_peers(command: Command, buckets: Buckets, environ: dict[str, str]) -> None:
    environ["ALLOWED_BUCKETS"] = f"{buckets.private}:read"
    environ["PARPARCHIK_CACHE_PEERS"] = f"http://127.0.0.1:9,{buckets.environ['S3_ENDPOINT']}"
    environ["PARPARCHIK_CACHE_PEER_KEY"] = key = "a-key-that-nobody-should-read"
    result = command("check", environ)
    assert result.exit_code == 0, result.output
    told = [line for line in result.stdout.splitlines() if "cache peer" in line]
    assert ["note" in line for line in told] == [True, True]
    assert "http://127.0.0.1:9: " in told[0]
    assert "failed" in told[0]
    assert key not in result.output


def test_check_without_writing(command: Command, buckets: Buckets, environ: dict[str, str]) -> None:
    environ["ALLOWED_BUCKETS"] = f"{buckets.private}:all"
    result = command("check --no-write", environ)
    assert result.exit_code == 0
    assert " write " not in result.stdout
    assert buckets.get(buckets.private, ".parparchik/files.json.check") is None


def test_check_of_buckets_that_are_not_there(command: Command, environ: dict[str, str]) -> None:
    result = command("check", {**environ, "ALLOWED_BUCKETS": "no-such-bucket:all"})
    assert result.exit_code == 1
    failed = [line.split()[:3] for line in result.stdout.splitlines() if "FAILED" in line]
    assert ["no-such-bucket", "write", "FAILED"] in failed


def test_check_warns_of_buckets_that_anybody_may_write_to(
    command: Command, buckets: Buckets, environ: dict[str, str]
) -> None:
    environ |= {"ALLOWED_BUCKETS": f"{buckets.private}:all", "PARPARCHIK_HOST": "0.0.0.0"}
    told = f"everybody who reaches 0.0.0.0:8080 can write to {buckets.private}"
    assert told in command("check --no-write", environ).stdout
    environ["PARPARCHIK_API_KEYS"] = "a-key-that-is-long-enough"
    assert told not in command("check --no-write", environ).stdout


@pytest.mark.parametrize(("name", "passes"), [("", True), ("a/b/c", True), ("file", False)])
def test_check_of_the_cache_directory(
    command: Command, buckets: Buckets, tmp_path: Path, name: str, passes: bool
) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / name
    environ = {**buckets.environ, "PARPARCHIK_CACHE_DIR": str(directory)}
    result = command("check --no-write", environ)
    (line,) = [one for one in result.stdout.splitlines() if "cache directory" in one]
    assert (" ok " in line) is passes
    assert result.exit_code == (0 if passes else 1)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("asked", "told", "key"),
    [
        ("/docs/a%20b.html", "the site of bucket {private}, at /docs/", "built/a b.html"),
        ("/docs", "the site of bucket {private}, at /docs/", "built/"),
        ("https://WWW.example.org:8443/a?b=c", "the site of bucket {private}, at /", "a"),
        ("https://www.example.org/objects/a", "the site of bucket {private}, at /", "objects/a"),
        ("https://www.example.org/status", "the site of bucket {private}, at /", "status"),
        ("/objects/some/key", "the object gateway, at /objects/", "some/key"),
    ],
)
def test_explain_what_is_no_route(
    command: Command,
    buckets: Buckets,
    environ: dict[str, str],
    site: Path,
    asked: str,
    told: str,
    key: str,
) -> None:
    environ["PARPARCHIK_OBJECTS"] = "true"
    result = command(["explain", asked, "--config", str(site)], environ)
    assert result.exit_code == 0, result.output
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    found = {name: text.strip() for name, text in lines.items()}
    assert found["answered by"] == told.format(private=buckets.private)
    assert found["key"] == key


def test_explain_goes_on_explaining_routes(command: Command, buckets: Buckets, site: Path) -> None:
    buckets.put(buckets.public, "a.txt")
    for asked in ("a.txt", f"/{buckets.public}/a.txt", "/public/a.txt"):
        result = command(["explain", asked, "--config", str(site)], buckets.environ)
        assert "answered by" not in result.stdout
        assert f"302 http://{buckets.endpoint}/{buckets.public}/a.txt" in result.stdout


def test_explain_of_a_key_alone_needs_routes(
    command: Command, environ: dict[str, str], site: Path
) -> None:
    result = command(["explain", "a.txt", "--config", str(site)], environ)
    assert result.exit_code == 2
    assert "no bucket has routes: give a path or a URL" in result.stderr
