"""What every plane reports of a request that it has answered: counted, timed, and one log line.

What is the same whenever a request is answered alike is put together once (`AccessLog.prepare`);
the rest costs a plane about a microsecond. Lines are written together, when the plane says so.
"""

from parparchik.access.limiter import RateLimiter
from parparchik.access.lines import ConsoleLines, JSONLines, Lines
from parparchik.access.log import CLIENT_GONE, AccessLog, Record
from parparchik.access.observation import Observation, Observe
from parparchik.access.proxies import TrustedProxies
from parparchik.access.redact import redact_url
from parparchik.access.request_id import RequestIds, is_sane_request_id

__all__ = [
    "CLIENT_GONE",
    "AccessLog",
    "ConsoleLines",
    "JSONLines",
    "Lines",
    "Observation",
    "Observe",
    "RateLimiter",
    "Record",
    "RequestIds",
    "TrustedProxies",
    "is_sane_request_id",
    "redact_url",
]
