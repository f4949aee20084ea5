"""The rows of what the TOML file may have several of: [[bucket]], [[site]], [[sink]] tables."""

from __future__ import annotations

from parparchik.config import places, values
from parparchik.config.setting import Setting
from parparchik.config.values import choice, integer, seconds

# fmt: off
# What a [[bucket]] table does not say it takes from the settings of all buckets.
BUCKET_SETTINGS: tuple[Setting, ...] = (
    Setting("bucket.name", "", values.text, "Name of the bucket, and the first part of its routes"),
    Setting("bucket.public", "", values.boolean, "Whether redirects are plain URLs"),
    Setting("bucket.manifest_key", "", values.manifest_key, "Key of its manifest"),
    Setting("bucket.endpoint", "", values.endpoint, "Its endpoint; `\"\"` means AWS"),
    Setting("bucket.external_endpoint", "", values.endpoint, "Endpoint that clients are sent to"),
    Setting("bucket.region", "", values.region, "Its region"),
    Setting("bucket.addressing", "", choice("auto", "path", "virtual"), "How it is addressed"),
    Setting("bucket.access_key_id", "", values.visible, "Its credentials"),
    Setting("bucket.secret_access_key", "", values.visible, "Goes with the key id", secret=True),
    Setting("bucket.session_token", "", values.visible, "Goes with temporary keys", secret=True),
    Setting("bucket.profile", "", values.text, "Its profile of the shared AWS files"),
    Setting("bucket.mode", "", choice("redirect", "proxy", "off"),
            "What its routes answer: `redirect` (the default), `proxy` for the file itself, or"
            " `off`: it has none, and is there for a site or the object gateway"),
)

# What a [[site]] table does not say it takes from the model, or from [cache].
SITE_SETTINGS: tuple[Setting, ...] = (
    Setting("site.bucket", "", values.text, "The bucket that holds it"),
    Setting("site.mount", "", places.mount, "The path below which it is"),
    Setting("site.host", "", places.site_host, "The host name it is for; not set: any"),
    Setting("site.prefix", "", places.key_prefix, "The folder of the bucket that it is; not set:"
            " all of it"),
    Setting("site.index", "", places.file_name, "The page of a folder"),
    Setting("site.error", "", places.optional_key, "The page for what is missing, such as"
            " `404.html`"),
    Setting("site.spa", "", places.optional_key, "The page that navigations get where there is no"
            " file: the application's"),
    Setting("site.clean_urls", "", values.boolean, "`/about` is `about.html`"),
    Setting("site.listing", "", values.boolean, "Folders without an index are listed"),
    Setting("site.listings_per_second", "", integer(0, 10_000),
            "Listings asked of S3 at most; who comes too early waits, up to 5 s, beyond it 503. 0:"
            " any number. Each worker has its share"),
    Setting("site.precompressed", "", values.boolean, "Siblings `.br`, `.zst` and `.gz` go to those"
            " who accept them"),
    Setting("site.reject_query_strings", "", values.boolean, "400 for requests with a query"),
    Setting("site.needs_key", "", values.boolean, "It wants one of the API keys"),
    Setting("site.cors", "", places.origins, "Origins whose pages may read it, or `*`"),
    Setting("site.auth_key", "", values.visible, secret=True,
            doc="Key for `/_proxy/_private/_cache/clear`; not set: nobody clears it that way"),
    Setting("site.ttl", "", seconds(), unit="s", doc="As in `[cache]`, for this site"),
    Setting("site.negative_ttl", "", seconds(), unit="s", doc="Likewise"),
    Setting("site.respect_cache_control", "", values.boolean, "Likewise"),
    Setting("site.compress", "", values.boolean, "`false`: texts go as they are"),
)

SINK_SETTINGS: tuple[Setting, ...] = (
    Setting("sink.kind", "", choice("influx", "akumuli", "mongodb"),
            "Where the figures of every request go: `influx` (line protocol), `akumuli`, or"
            " `mongodb`"),
    Setting("sink.url", "", places.sink_url, secret=True,
            doc="`tcp://host:port`; for line protocol also `http(s)://...` with path and query; a"
            " MongoDB connection string"),
    Setting("sink.name", "", values.text, "What they are called there: the measurement, the prefix"
            " of the series, the collection"),
    Setting("sink.database", "", values.text, "MongoDB's database"),
    Setting("sink.token", "", values.visible, secret=True,
            doc="Sent with HTTP as `Authorization: Token`"),
    Setting("sink.queue_max", "", integer(1, 10_000_000), "Requests that wait at most; more are"
            " dropped and counted"),
    Setting("sink.batch_max", "", integer(1, 100_000), "Requests in one message at most"),
    Setting("sink.flush", "", seconds(above=0), "Sent at least as often", unit="s"),
    Setting("sink.timeout", "", seconds(above=0), "Time for one message", unit="s"),
)
# fmt: on
