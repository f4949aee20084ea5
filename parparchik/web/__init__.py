"""The web plane: an ASGI front that answers file routes itself and hands the management API's
exact paths to a small Quart app. It knows no S3 and no server.
"""

from parparchik.web.endpoints import BY_PATH
from parparchik.web.front import Front
from parparchik.web.management import Management, create_management
from parparchik.web.protocols import (
    ASGIApp,
    Exposition,
    FileRoutes,
    Files,
    Readiness,
    RegistryService,
    Relocated,
)

__all__ = [
    "BY_PATH",
    "ASGIApp",
    "Exposition",
    "FileRoutes",
    "Files",
    "Front",
    "Management",
    "Readiness",
    "RegistryService",
    "Relocated",
    "create_management",
]
