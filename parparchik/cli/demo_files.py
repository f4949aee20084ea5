"""What the demo's buckets hold: a dozen files, and a small website, made in code."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from dataclasses import dataclass

PUBLIC_BUCKET = "media"
PRIVATE_BUCKET = "archive"
SITE_BUCKET = "website"
UPLOAD_BUCKET = "uploads"


@dataclass(frozen=True, slots=True)
class DemoFile:
    bucket: str
    key: str
    data: bytes
    content_type: str = "text/plain; charset=utf-8"


def demo_files() -> tuple[DemoFile, ...]:
    """The same bytes at each call. `shared/notice.txt` is in both buckets."""
    public, private = PUBLIC_BUCKET, PRIVATE_BUCKET
    return (
        DemoFile(public, "docs/readme.txt", b"Hello from the public bucket.\n"),
        DemoFile(public, "docs/guide/install/linux.txt", b"make run\n"),
        DemoFile(public, "docs/caffè & more.txt", "Un caffè, per favore.\n".encode()),
        DemoFile(public, "images/sunset.png", _png(96, 64), "image/png"),
        *(
            DemoFile(
                public, f"releases/tool-{version}.tar.gz", _tar_gz(version), "application/gzip"
            )
            for version in ("1.0.0", "1.1.0", "2.0.0")
        ),
        DemoFile(public, "shared/notice.txt", b"In both buckets; the first one answers.\n"),
        DemoFile(private, "shared/notice.txt", b"The copy that nobody is sent to.\n"),
        DemoFile(private, "reports/2025/q4.csv", b"month,total\n10,7\n11,9\n12,14\n", "text/csv"),
        DemoFile(private, "reports/2026/q1.csv", b"month,total\n1,11\n2,8\n3,13\n", "text/csv"),
        DemoFile(
            private,
            "contracts/Договор 7.txt",
            "Приватно.\n".encode(),
        ),
        DemoFile(private, "backups/2026/01/31/state.json", b'{"ok":true}\n', "application/json"),
    )


def demo_site() -> tuple[DemoFile, ...]:
    """The pages of the website, the same bytes at each call."""
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<link rel="stylesheet" href="{up}style.css">\n<h1>{title}</h1>\n{body}\n</html>\n'
    )
    pages = (
        (
            "index.html",
            "A bucket as a website",
            '<p><a href="guide/">The guide</a>, <a href="nowhere">a page that is not there</a></p>',
        ),
        (
            "guide/index.html",
            "The guide",
            "<p>Folders have an index.</p>\n<img src='../sunset.png' alt='sunset'>",
        ),
        ("404.html", "Nothing here", "<p>This page is in the bucket, too.</p>"),
    )
    return (
        *(
            DemoFile(
                SITE_BUCKET,
                key,
                page.format(title=title, body=body, up="../" * key.count("/")).encode(),
                "text/html; charset=utf-8",
            )
            for key, title, body in pages
        ),
        DemoFile(SITE_BUCKET, "style.css", b"body { font: 1em sans-serif }\n", "text/css"),
        DemoFile(SITE_BUCKET, "sunset.png", _png(96, 64), "image/png"),
    )


def _tar_gz(version: str) -> bytes:
    """A release: one text file, without the time of its making."""
    content = f"tool {version}\n".encode()
    member = tarfile.TarInfo(f"tool-{version}/VERSION")
    member.size = len(content)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def _png(width: int, height: int) -> bytes:
    """A sky from orange to violet, 8 bits a channel (PNG specification, sections 5 and 11)."""
    rows = bytearray()
    for y in range(height):
        red, green, blue = 255 - y * 2, 150 - y * 2, 60 + y * 2
        rows += b"\0" + bytes((red, green, blue)) * width  # filter type 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
