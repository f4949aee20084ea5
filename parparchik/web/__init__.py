"""The web plane: an ASGI front that asks whoever has the path, streams bodies both ways, and hands
the management API's exact paths to a small Quart app. It knows no S3 and no server.
"""

from parparchik.web.caching import CacheControl, Caching, Purge, Purged, Warm, Warmed
from parparchik.web.endpoints import BY_PATH
from parparchik.web.front import UPLOAD_TIMEOUT_S, Front
from parparchik.web.management import Management, create_management
from parparchik.web.mounts import Mounts, Place
from parparchik.web.peering import Peering
from parparchik.web.protocols import (
    ASGIApp,
    Exposition,
    FileRoutes,
    Files,
    Readiness,
    RegistryService,
    Relocated,
)
from parparchik.web.upload import CONTINUE, GoAhead

__all__ = [
    "BY_PATH",
    "CONTINUE",
    "UPLOAD_TIMEOUT_S",
    "ASGIApp",
    "CacheControl",
    "Caching",
    "Exposition",
    "FileRoutes",
    "Files",
    "Front",
    "GoAhead",
    "Management",
    "Mounts",
    "Peering",
    "Place",
    "Purge",
    "Purged",
    "Readiness",
    "RegistryService",
    "Relocated",
    "Warm",
    "Warmed",
    "create_management",
]
