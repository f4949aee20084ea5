"""[[site]] tables: what each says, which buckets they bring, and what lies below which path."""

from __future__ import annotations

import pytest

from parparchik.config import Endpoint, Loaded, SiteConfig, load
from parparchik.config.sites import MANAGEMENT_PATHS
from parparchik.errors import ConfigError
from parparchik.web.endpoints import ENDPOINTS

FILES = {"PARPARCHIK_BUCKETS": "files"}


def sites(toml: str, environ: dict[str, str] | None = None) -> Loaded:
    return load(environ or {}, toml.encode())


def site(bucket: str, mount: str = "/", host: str = "") -> str:
    return f"[[site]]\nbucket = '{bucket}'\nmount = '{mount}'\nhost = '{host}'\n"


def refusal(toml: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        sites(toml, environ)
    return str(caught.value)


def test_a_site_needs_nothing_but_a_bucket() -> None:
    config = sites("[[site]]\nbucket = 'www'\n").config
    assert config.sites == (SiteConfig("www"),)
    assert config.buckets == ()
    (other,) = config.other_buckets
    assert (other.bucket.name, other.mode, other.endpoint) == ("www", "off", Endpoint())
    assert config.region == "us-east-1"
    with pytest.raises(ConfigError, match=r"^TOML: \[\[site\]\] number 1 has no bucket$"):
        sites("[[site]]\nmount = '/a/'\n")


def test_all_that_a_site_may_say() -> None:
    toml = """
        [auth]
        api_keys = ["long-enough-to-be-a-key"]
        [[site]]
        bucket = "www"
        mount = "docs"
        host = "Docs.Example.org"
        prefix = "/built/html"
        index = "default.htm"
        error = "/404.html"
        spa = "app.html"
        clean_urls = true
        listing = true
        precompressed = true
        reject_query_strings = true
        needs_key = true
        cors = ["https://app.example.org"]
        auth_key = "the-key-that-clears-it"
        ttl = "10m"
        negative_ttl = 0
        respect_cache_control = false
        compress = false
        listings_per_second = 7
    """
    loaded = sites(toml)
    assert loaded.warnings == ()
    assert loaded.config.sites == (
        SiteConfig(
            bucket="www",
            mount="/docs/",
            host="docs.example.org",
            prefix="built/html/",
            index="default.htm",
            error="404.html",
            spa="app.html",
            clean_urls=True,
            listing=True,
            precompressed=True,
            reject_query_strings=True,
            needs_key=True,
            cors=("https://app.example.org",),
            auth_key="the-key-that-clears-it",
            ttl_s=600.0,
            negative_ttl_s=0.0,
            respect_cache_control=False,
            compress=False,
            listings_per_second=7,
        ),
    )


def test_the_buckets_of_sites_may_have_tables_of_their_own() -> None:
    own = "[[bucket]]\nname = 'www'\nregion = 'eu-west-1'\nmode = 'off'\n"
    for environ in ({}, FILES):
        loaded = sites(own + site("www", "/www/") + site("blog", "/blog/"), environ)
        found = {one.bucket.name: one.endpoint.region for one in loaded.config.other_buckets}
        assert found == {"www": "eu-west-1", "blog": "us-east-1"}
        assert [one.bucket.name for one in loaded.config.buckets] == list(environ and ["files"])
        assert loaded.warnings == ()
    # Where the environment names the routes, a table without a mode is the site's all the same.
    loaded = sites(own.replace("mode = 'off'\n", "") + site("www", "/www/"), FILES)
    assert [(one.bucket.name, one.mode) for one in loaded.config.other_buckets] == [("www", "off")]
    assert loaded.warnings == ()


@pytest.mark.parametrize("mode", ["redirect", "proxy"])
def test_a_bucket_may_have_routes_and_a_site(mode: str) -> None:
    table = f"[[bucket]]\nname = 'www'\nmode = '{mode}'\n"
    config = sites(table + site("www", "/docs/")).config
    assert [(one.bucket.name, one.mode) for one in config.buckets] == [("www", mode)]
    assert config.other_buckets == ()


def test_a_bucket_that_is_off_has_no_routes() -> None:
    off = "[[bucket]]\nname = 'www'\nmode = 'off'\n"
    assert refusal(off).startswith("no bucket is configured: ")
    told = "TOML: [[bucket]] name: www is not served: its mode is off, and no site and no gateway"
    loaded = sites(f"{off}[[bucket]]\nname = 'files'\n")
    assert [one.bucket.name for one in loaded.config.buckets] == ["files"]
    assert loaded.warnings == (f"{told} names it",)
    loaded = sites(off + site("www", "/www/"), {"PARPARCHIK_BUCKETS": "files,www"})
    assert [one.bucket.name for one in loaded.config.buckets] == ["files"]
    assert loaded.warnings == (
        "PARPARCHIK_BUCKETS: bucket www has no routes: its [[bucket]] table says mode = off",
    )


def test_nothing_set_names_sites_too() -> None:
    assert "[[site]]" in refusal("")


def test_a_bucket_name_that_s3_has_not() -> None:
    assert refusal(site("W W")).startswith("TOML: [[site]] bucket: 'W W' is no bucket name: AWS")


def test_two_sites_for_one_place() -> None:
    assert refusal(site("www", "/a") + site("blog", "/a/")) == (
        "TOML: [[site]] number 2: mount /a/ is that of TOML: [[site]] number 1, too:"
        " give it another mount or host"
    )
    assert "mount / of host a.example is that of" in refusal(
        site("www", host="a.example") + site("blog", host="A.example.")
    )
    loaded = sites(site("www") + site("www", host="a.example") + site("www", "/a/"))
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (site("www", "/files/"), "number 1: /files/ belongs to the routes of bucket files: choose"
         ' another mount, or mode = "off" for that bucket'),
        (site("www", "/public/"), "/public/ belongs to the routes of all public buckets: choose"),
        (site("www", "/objects/") + "[objects]\n", "/objects/ belongs to the object gateway"),
        ("[objects]\nmount = '/files/'\n", "[objects] mount: /files/ belongs to the routes of"),
        ("[objects]\nmount = '/'\n", "[objects] mount: expected a path of its own"),
    ],
)  # fmt: skip
def test_places_that_are_taken(toml: str, told: str) -> None:
    assert told in refusal(toml, FILES)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (site("www", "/files/docs/"), "it hides what the routes of bucket files would answer below"
         " /files/docs/"),
        (site("www", "/objects/docs/") + "[objects]\n",
         "it hides what the object gateway would answer below /objects/docs/"),
        (site("www", "/app/") + "[objects]\nmount = '/app/files'\n",
         "below /app/files/ answers TOML: [objects] mount, not it"),
        (site("www", "/a/b/") + site("www", "/a/"),
         "below /a/b/ answers TOML: [[site]] number 1, not it"),
        (site("www", "/cache/"), "/cache/purge is answered by the management API, not by /cache/"),
        (site("www", "/list/"), "/list is answered by the management API, not by /list/"),
        (site("www"), "it hides all routes of buckets: give it a mount or a host"),
    ],
)  # fmt: skip
def test_places_that_hide_others_are_warned_of(toml: str, told: str) -> None:
    warnings = sites(toml, FILES).warnings
    assert any(told in warning for warning in warnings), warnings


@pytest.mark.parametrize(
    "toml",
    [
        site("www", "/docs/"),
        site("www", "/docs/") + "[objects]\n",
        site("www", "/list/", "www.example.org"),
        site("www", "/files/", "www.example.org"),
        site("www", "/public/", "www.example.org"),
        site("www", host="www.example.org") + "[objects]\n",
        site("www", "/lists/"),
    ],
)
def test_places_beside_each_other(toml: str) -> None:
    assert sites(toml, FILES).warnings == ()


def test_names_of_routes_are_free_where_there_are_none() -> None:
    assert sites(site("www", "/public/")).warnings == ()


def test_the_management_s_paths_are_known_here() -> None:
    served = {path for endpoint in ENDPOINTS for path in endpoint.paths}
    assert served <= set(MANAGEMENT_PATHS)


def test_a_site_that_needs_a_key_needs_keys() -> None:
    toml = "[[site]]\nbucket = 'www'\nneeds_key = true\n"
    assert refusal(toml) == "TOML: [[site]] needs_key needs PARPARCHIK_API_KEYS"
    assert sites(toml, {"PARPARCHIK_API_KEYS": "long-enough-to-be-a-key"}).config.sites


def test_a_short_auth_key_is_warned_of_without_showing_it() -> None:
    loaded = sites("[[site]]\nbucket = 'www'\nauth_key = 'hunter2'\n")
    (warning,) = loaded.warnings
    assert warning.startswith("TOML: [[site]] number 1: its auth_key is shorter than 16")
    assert "hunter2" not in warning
    assert "hunter2" not in repr(loaded)


def test_a_site_of_the_command_line() -> None:
    loaded = load({}, site={"bucket": "www", "ttl": "60", "reject_query_strings": "true"})
    assert loaded.config.sites == (SiteConfig("www", ttl_s=60.0, reject_query_strings=True),)
    with pytest.raises(ConfigError, match=r"^--reject-query-strings: expected true or false"):
        load({}, site={"bucket": "www", "reject_query_strings": "maybe"})
    with pytest.raises(ConfigError, match=r"^--bucket: '-' is no bucket name"):
        load({}, site={"bucket": "-"})
    with pytest.raises(ConfigError, match=r"^the site: mount / is that of TOML: \[\[site\]\]"):
        load({}, site("blog").encode(), site={"bucket": "www"})
