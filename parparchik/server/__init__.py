"""The process: everything put together, listening, supervised, and ended in order.

`wire` is the only place that builds the concrete rooms, `hypercorn` the only one that knows which
HTTP server there is.
"""

from parparchik.server.log import configure_logging, configured_secrets
from parparchik.server.serve import serve
from parparchik.server.signals import StoppedAtOnce
from parparchik.server.wire import open_stores

__all__ = ["StoppedAtOnce", "configure_logging", "configured_secrets", "open_stores", "serve"]
