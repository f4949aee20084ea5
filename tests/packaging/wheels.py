"""Wheels made by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyz.targets import Target


def write_wheel(directory: Path, tag: str, files: Mapping[str, str], name: str = "speedy") -> Path:
    """A wheel of version 1.0 with the files of every wheel and those given."""
    info = f"{name}-1.0.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Tag: {tag}\n",
        f"{info}/RECORD": tag,
        f"{name}/__init__.py": "",
        **files,
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(member, text)
    return path


def native_wheels(
    directory: Path, targets: Iterable[Target], modules: Iterable[str] = ("speedy/_core",)
) -> list[Path]:
    return [
        write_wheel(directory, str(t), {f"{m}{t.suffix}": str(t) for m in modules}) for t in targets
    ]
