"""filetracker's own server, where this machine has it: an environment apart, never one of ours.

It needs Berkeley DB, whose licence is for whoever installs it to judge: `make filetracker` builds
the environment when it is asked to, and `make bench` looks whether it is there.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.compare.programs import Program
from bench.compare.stage import Stage

BUILT = Path(__file__).parents[2] / "build" / "filetracker" / "bin" / "python"
"""What `make filetracker` makes."""

_PACKAGES = ("filetracker", "bsddb3", "gunicorn", "gevent")
_LOOK = (
    "import json, filetracker.servers.run; from importlib.metadata import version; "
    f"print(json.dumps({{name: version(name) for name in {_PACKAGES!r}}}))"
)
_LOOK_S = 30.0


class NoPeer(Exception):
    """There is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A Python that has filetracker's server. `versions` are those of what takes part."""

    python: Path
    versions: dict[str, str]

    def program(self, stage: Stage) -> Program:
        """With its defaults (gunicorn, gevent), but for one worker for one processor, and no access
        log. Its files are below `links` of `directory_of(stage)`."""
        port = stage.port("filetracker")
        argv = (
            *(str(self.python), "-m", "filetracker.servers.run", "--no-daemon"),
            *("--listen-on", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--dir", str(directory_of(stage)), "--log-level", "WARNING"),
        )
        path = f"{self.python.parent}:{os.environ.get('PATH', os.defpath)}"  # it calls gunicorn
        return Program("filetracker", argv, {"PATH": path}, port, "/version/")


def directory_of(stage: Stage) -> Path:
    return stage.directory / "filetracker"


def find_peer(python: Path = BUILT) -> Peer:
    """Raises NoPeer."""
    if not python.exists():
        raise NoPeer(f"there is no {python.name} with it, `make filetracker` makes one")
    try:
        done = subprocess.run(
            [str(python), "-c", _LOOK], capture_output=True, text=True, check=True, timeout=_LOOK_S
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["it said nothing"]
        raise NoPeer(f"its Python does not have it: {said[-1]}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPeer(f"its Python does not run: {error}") from None
    return Peer(python, json.loads(done.stdout))
