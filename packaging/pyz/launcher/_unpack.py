"""Unpacks the archive where that is possible and safe, then lets shiv's bootstrap go on.

shiv's own: an archive unpacks once into <root>/<file name>_<build id>, under a lock, first beside
that directory and then by renaming it. Added here: a root that need not be configured, one line
instead of a traceback where none can be written, a look whether all files are still there, the
removal of earlier versions, and deafness to whatever packages the host has installed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from _bootstrap import bootstrap, cache_path, extract_site_packages  # type: ignore[import-not-found]
from _bootstrap.environment import Environment  # type: ignore[import-not-found]

# Other versions that stay unpacked although nothing runs from them: an upgrade can be taken back.
KEPT = 2
_IN_USE = ".in-use-by-parparchik"


def start() -> None:
    """Never returns: the entry point's exit is the process's."""
    forget_host_packages()
    # One after the other in this process: the workers that shiv would compile with need semaphores
    # and a temporary directory, which a hardened service may not have.
    os.environ.setdefault("SHIV_COMPILE_WORKERS", "1")
    refused = []
    for root in roots():
        os.environ["SHIV_ROOT"] = root
        try:
            prepare()
        except (OSError, RuntimeError, zipfile.BadZipFile) as error:
            refused.append(f"{root}: {getattr(error, 'strerror', None) or error}")
        else:
            bootstrap()
    sys.stderr.write(
        f"parparchik: nowhere to unpack {sys.argv[0]} ({'; '.join(refused)}):"
        " set SHIV_ROOT to a writable directory with room for 60 MB\n"
    )
    sys.exit(2)


def forget_host_packages() -> None:
    """Leaves the archive and the standard library on the path: neither PYTHONPATH nor the host's
    site-packages may replace what the archive holds, or add what it was not tested with."""
    library = os.path.dirname(os.__file__)
    own = {library, os.path.join(library, "lib-dynload"), sys.argv[0]}
    frozen = "python{}{}.zip".format(*sys.version_info[:2])
    sys.path[:] = [p for p in sys.path if p in own or os.path.basename(p) == frozen]


def roots() -> Iterator[str]:
    """Where to unpack, best first. What the operator names is the only one."""
    named = os.environ.get("SHIV_ROOT")
    if named:
        yield named
        return
    yield "~/.shiv"
    yield os.path.join(os.environ.get("TMPDIR") or "/tmp", f"parparchik-{os.geteuid()}")


def prepare() -> None:
    """Makes sure that the archive is unpacked below SHIV_ROOT, whole, and stays for as long as
    this process runs. Raises OSError where that is impossible."""
    with zipfile.ZipFile(sys.argv[0]) as archive:
        environment = Environment.from_json(archive.read("environment.json").decode())
        target = cache_path(archive, environment.root, environment.build_id)
        root = target.parent
        if root.name == f"parparchik-{os.geteuid()}":
            make_private(root)
        root.mkdir(parents=True, exist_ok=True)
        if os.statvfs(root).f_flag & os.ST_NOEXEC:
            raise PermissionError("mounted noexec, extension modules cannot be loaded from it")
        try:
            with locked(root / ".parparchik.lock"):
                hold(root / f".{target.name}{_IN_USE}")
                if not is_whole(archive, target):
                    remove(root, target.name)
                    try:
                        extract_site_packages(
                            archive, target, environment.compile_pyc, environment.compile_workers
                        )
                    except BaseException:
                        remove(root, target.name)  # a full disk is not to stay full
                        raise
                    remove_earlier(root)
        except OSError:
            # Unpacked beforehand by another user, as in a container image, is as good.
            if not is_whole(archive, target):
                raise


def make_private(path: Path) -> None:
    """A directory where everyone may create some: only if it is ours alone, not one that another
    user put there to have their code run."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError("not a directory of this user alone")


def is_whole(archive: zipfile.ZipFile, target: Path) -> bool:
    """Whether every file is there in its full length: a power failure or a cleaner of temporary
    files may have taken some."""
    try:
        return all(
            os.stat(target / member.filename).st_size == member.file_size
            for member in archive.infolist()
            if member.filename.startswith("site-packages/")
        )
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the kernel releases the lock of one that was killed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> None:
    """Marks an unpacked version as used, until this process and what it forks have ended."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.utime(descriptor)


def remove_earlier(root: Path) -> None:
    """Removes the versions of parparchik that no process uses, but the KEPT last used."""
    unused = []
    for mark in root.glob(f".*{_IN_USE}"):
        descriptor = os.open(mark, os.O_RDONLY)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unused.append((mark.stat().st_mtime, mark))
        os.close(descriptor)
    for _, mark in sorted(unused, reverse=True)[KEPT:]:
        name = mark.name[1 : -len(_IN_USE)]
        remove(root, name)
        (root / f".{name}_lock").unlink(missing_ok=True)
        mark.unlink()


def remove(root: Path, name: str) -> None:
    """Removes an unpacked version, and what a killed process had unpacked of it."""
    for directory in (root / name, root / f"{name}.tmp"):
        shutil.rmtree(directory, ignore_errors=True)
