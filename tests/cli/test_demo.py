"""`parparchik demo`, tried as a visitor would: by what it prints."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from parparchik.cli.demo_files import PRIVATE_BUCKET, PUBLIC_BUCKET, demo_files, demo_site
from tests.cli.processes import Program, program

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def curl(command: str) -> str:
    arguments = shlex.split(command)
    assert arguments[0] == "curl"
    done = subprocess.run(
        [*arguments, "--max-time", "20"], capture_output=True, text=True, check=True
    )
    return done.stdout


def lines_to_try(running: Program, count: int = 5) -> list[str]:
    return [running.wait_for("curl ").strip() for _ in range(count)]


@needs_curl
def test_what_it_tells_to_try_works(monkeypatch: pytest.MonkeyPatch) -> None:
    # An operator's own settings must neither count nor hurt.
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("PARPARCHIK_BUCKETS", "somebody-elses")
    monkeypatch.setenv("PARPARCHIK_PORT", "tcp://10.0.0.1:8080")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with program("demo", "--port", "0") as running:
        commands = lines_to_try(running)
        running.wait_for("reconciled")
        monkeypatch.delenv("http_proxy")
        public, private, head, both, listed = map(curl, commands)
        contents = {(file.bucket, file.key): file.data.decode("latin-1") for file in demo_files()}
        assert public == contents[PUBLIC_BUCKET, "docs/readme.txt"]
        assert private == "Приватно.\n"
        assert head.count("HTTP/1.1 302") == 1
        assert head.count("HTTP/1.1 200") == 1
        assert "content-type: image/png" in head.lower()
        assert both == contents[PUBLIC_BUCKET, "shared/notice.txt"]
        listing = json.loads(listed)
        assert {file["key"] for file in listing["files"]} == {file.key for file in demo_files()}
        assert listing["count"] == len(demo_files()) - 1
        assert all("127.0.0.1:" in command for command in commands)
        assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output
    assert '"error"' not in running.output


@needs_curl
def test_what_it_tells_to_try_of_bytes_works() -> None:
    with program("demo", "--port", "0") as running:
        page, video, put, get = lines_to_try(running, 9)[5:]
        running.wait_for("reconciled")
        pages = {file.key: file.data.decode("latin-1") for file in demo_site()}
        assert curl(page) == pages["guide/index.html"]
        head = curl(video).lower()
        size = len(pages["sunset.png"])
        assert "http/1.1 206" in head
        assert f"content-range: bytes 0-{size - 1}/{size}" in head
        assert "x-cache: hit" in curl(video).lower()
        curl(put)
        stored = curl(get)
        assert stored.startswith("HTTP/1.1 200")
        assert "x-cache: miss" in stored.lower()
        assert stored.endswith("Hello, bucket.")
        assert "x-cache: hit" in curl(get).lower()
        assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output
    assert '"error"' not in running.output


@needs_curl
def test_the_private_bucket_is_private_and_the_public_one_is_not(tmp_path: Path) -> None:
    with program("demo", "--port", "0") as running:
        public, private, *_ = lines_to_try(running)
        found = [
            subprocess.run(
                [*shlex.split(command), "-o", os.devnull, "-w", "%{url_effective}"],
                capture_output=True, text=True, check=True,
            ).stdout
            for command in (public, private)
        ]  # fmt: skip
        assert "?" not in found[0]
        assert "X-Amz-Signature=" in found[1]
        status = ("-s", "-o", os.devnull, "-w", "%{http_code}")
        unsigned = subprocess.run(
            ["curl", *status, found[1].partition("?")[0]],
            capture_output=True,
            text=True,
            check=True,
        )
        assert unsigned.stdout == "403"
        assert running.end(signal.SIGTERM) == 0


def test_interrupted_before_anything_was_tried() -> None:
    with program("demo", "--port", "0") as running:
        running.wait_for("Try:")
        assert running.end(signal.SIGINT) == 0
    assert "Traceback" not in running.output


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with program("demo", "--port", port) as running:
            assert running.wait() != 0
    assert running.output.splitlines()[-1].startswith("parparchik: ")
    assert port in running.output.splitlines()[-1]
    assert "Traceback" not in running.output


def test_without_its_extra_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['moto.server'] = None\n"
        "from parparchik.cli import main; main(['demo'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("parparchik: the demo brings its own S3")
    assert "parparchik[demo]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_sample_files_are_what_they_seem() -> None:
    files = {(file.bucket, file.key): file.data for file in demo_files()}
    assert len(files) == len(demo_files()) >= 12
    assert (PUBLIC_BUCKET, "shared/notice.txt") in files
    assert (PRIVATE_BUCKET, "shared/notice.txt") in files
    for (_, key), data in files.items():
        if key.endswith(".tar.gz"):
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                (member,) = archive.getmembers()
                content = archive.extractfile(member)
                assert content is not None
                assert content.read().decode().split()[1] in key
    picture = files[PUBLIC_BUCKET, "images/sunset.png"]
    assert picture.startswith(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x60\0\0\0\x40")
    packed = picture.partition(b"IDAT")[2].partition(b"IEND")[0][:-8]
    assert len(zlib.decompress(packed)) == 64 * (1 + 3 * 96)
    assert demo_files() == demo_files()
    pages = {file.key: file.data.decode("latin-1") for file in demo_site()}
    assert {"index.html", "404.html", "guide/index.html"} < pages.keys()
    assert 'href="../style.css"' in pages["guide/index.html"]
    assert 'href="style.css"' in pages["index.html"]
