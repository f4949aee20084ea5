"""An S3 that costs next to nothing, so that it is not what is measured.

Idea: objects are numbers. A bucket of a million is a range, no object of it has bytes of its own,
and a HEAD is answered with bytes prepared when the program began. It knows what parparchik asks
(HEAD, GET, PUT, ListObjectsV2 and the error codes) and looks at no signature: it shows how much a
server of ours can do, never that S3 would have agreed.
"""

from bench.stand_in.buckets import MANIFEST_KEY, BucketSpec, key_of
from bench.stand_in.program import stand_in_argv
from bench.stand_in.server import StandIn

__all__ = ["MANIFEST_KEY", "BucketSpec", "StandIn", "key_of", "stand_in_argv"]
