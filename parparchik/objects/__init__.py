"""The object gateway: objects of the allowed buckets, read through the cache and written to S3.

    GET, HEAD, PUT, DELETE  /objects/<bucket>/<key>
    POST /objects/<bucket>?delete   {"keys": [...]} -> {"deleted": [...], "errors": [...]}
    POST /objects/<bucket>?stat     {"keys": [...]} -> {"objects": [...]}

What anybody may do is settled by the bucket and the method, before a byte of a body is read; with
API keys configured a write needs one besides. A write is answered when S3 has it and the cache has
forgotten what was there before, in this order: a GET that raced it leaves nothing old behind. What
is wrong is told as JSON: `{"error": ..., "code": ..., "message": ...}`.
"""

from parparchik.objects.gateway import Gateway
from parparchik.objects.statistics import GatewayStatistics

__all__ = ["Gateway", "GatewayStatistics"]
