"""S3 as the rest of parparchik uses it: buckets that answer or raise, and credentials.

The one idea: an answer of S3 is either what was asked for, or the certain absence of it, or an
error that says what to mend. `S3Client` owns the connections and opens one `S3Bucket` (a
`model.ObjectStore`) per configured bucket, and `S3Objects` (a `content.ObjectBytes`) where bytes
are wanted, too. Inside, from the bottom: connection and pool; request,
response and exchange (one HTTP/1.1 round trip, no framework); from there on three ways, `transport`
under httpx for what is streamed, the same without httpx for what is `small`, and `probe` for
existence, asked per redirect, on the `reactor` without so much as a task; then signing, retries and
what errors mean.
"""

from parparchik.s3.addressing import internal_address
from parparchik.s3.bucket import S3Bucket
from parparchik.s3.client import S3Client
from parparchik.s3.objects import S3Objects
from parparchik.s3.sigv4 import Credentials
from parparchik.s3.statistics import LATENCY_BOUNDS_S, OperationStatistics, S3Statistics
from parparchik.s3.trace import pass_on_traceparent

__all__ = [
    "LATENCY_BOUNDS_S",
    "Credentials",
    "OperationStatistics",
    "S3Bucket",
    "S3Client",
    "S3Objects",
    "S3Statistics",
    "internal_address",
    "pass_on_traceparent",
]
