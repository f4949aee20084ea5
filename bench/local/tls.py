"""A certificate for 127.0.0.1, by the openssl program: good for two days and for tests only."""

from __future__ import annotations

import shutil
from pathlib import Path

import trio

from bench.local.process import StartFailed


async def make_certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) as PEM files in `folder`; the certificate is its own authority."""
    if shutil.which("openssl") is None:
        raise StartFailed("openssl is not installed: it makes the certificate for 127.0.0.1")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    done = await trio.run_process(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    if done.returncode:
        raise StartFailed(f"openssl made no certificate: {done.stderr.decode()[-500:]}")
    return certificate, key
