"""Several processes on one port that behave as one.

The parent keeps the registry and the manifests, and accepts nothing. Its workers accept on sockets
that they share, ask S3 themselves, and hold of the registry what they were asked for. What one of
them learns it reports; the parent tells all. Whatever speaks for the server as a whole (the
management API, readiness, metrics) a worker asks the parent for, behind the same Protocols that
one process has its own registry behind.

    request -> Plane -> WorkerLookup -> Mirror ...... RemoteOwner ~~ socket ~~ Port - Hub -> Service
"""

from parparchik.server.workers.group import NoWorkers, WorkerGroup, worker_count
from parparchik.server.workers.hub import Hub
from parparchik.server.workers.owner import Audience, Owner
from parparchik.server.workers.program import BuildProgram, WorkerProgram, build_worker
from parparchik.server.workers.run import run_worker

__all__ = [
    "Audience",
    "BuildProgram",
    "Hub",
    "NoWorkers",
    "Owner",
    "WorkerGroup",
    "WorkerProgram",
    "build_worker",
    "run_worker",
    "worker_count",
]
