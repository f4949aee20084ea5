"""The table of settings drives environment, TOML, messages and README alike."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from parparchik.config import Config, SiteConfig, load, settings_markdown
from parparchik.config.model import SinkConfig
from parparchik.config.setting import Setting
from parparchik.config.settings import SETTINGS
from parparchik.config.table_settings import BUCKET_SETTINGS, SINK_SETTINGS, SITE_SETTINGS
from parparchik.errors import ConfigError

ROOT = Path(__file__).parents[2]

# Setting, a text that is not its default, what Config then holds and where.
CASES: list[tuple[str, str, str, object]] = [
    ("PARPARCHIK_HOST", "::1", "server.host", "::1"),
    ("PARPARCHIK_PORT", "81", "server.port", 81),
    ("PARPARCHIK_SHUTDOWN_DELAY", "5s", "server.shutdown_delay_s", 5.0),
    ("PARPARCHIK_WORKERS", "4", "server.workers", 4),
    ("PARPARCHIK_WORKERS", "auto", "server.workers", 0),
    ("PARPARCHIK_MAX_CONNECTIONS", "100", "server.max_connections", 100),
    ("PARPARCHIK_HEADER_TIMEOUT", "5s", "server.header_timeout_s", 5.0),
    ("PARPARCHIK_IDLE_TIMEOUT", "5s", "server.idle_timeout_s", 5.0),
    ("PARPARCHIK_WRITE_TIMEOUT", "5s", "server.write_timeout_s", 5.0),
    ("PARPARCHIK_TLS_CERTIFICATE", __file__, "server.tls_certificate", Path(__file__)),
    ("PARPARCHIK_H2C", "yes", "server.h2c", True),
    ("PARPARCHIK_SHUTDOWN_GRACE", "5s", "server.shutdown_grace_s", 5.0),
    ("S3_ENDPOINT", "minio:9000", "endpoint.url", "http://minio:9000"),
    ("S3_EXTERNAL_ENDPOINT", "https://s3.x", "endpoint.external_url", "https://s3.x"),
    ("AWS_REGION", "eu-west-1", "endpoint.region", "eu-west-1"),
    ("AWS_DEFAULT_REGION", "eu-west-2", "endpoint.region", "eu-west-2"),
    ("PARPARCHIK_ADDRESSING", "path", "endpoint.addressing", "path"),
    ("AWS_CA_BUNDLE", __file__, "s3.ca_bundle", Path(__file__)),
    ("PARPARCHIK_S3_CONNECTIONS", "7", "s3.max_connections", 7),
    ("PARPARCHIK_S3_CONNECT_TIMEOUT", "1", "s3.connect_timeout_s", 1.0),
    ("PARPARCHIK_S3_READ_TIMEOUT", "1", "s3.read_timeout_s", 1.0),
    ("PARPARCHIK_S3_TOTAL_TIMEOUT", "1", "s3.total_timeout_s", 1.0),
    ("PARPARCHIK_PROBE_TIMEOUT", "1", "s3.probe_timeout_s", 1.0),
    ("PARPARCHIK_S3_IDLE_TIMEOUT", "1", "s3.idle_timeout_s", 1.0),
    ("PARPARCHIK_S3_RETRIES", "0", "s3.retries", 0),
    ("PARPARCHIK_DENIED_IS_MISSING", "true", "s3.denied_is_missing", True),
    ("PARPARCHIK_REGISTRY_MANIFEST_KEY", "m/f.json", "bucket.manifest_key", "m/f.json"),
    ("PARPARCHIK_VERIFY", "always", "routes.verify", "always"),
    ("PARPARCHIK_VERIFY_TTL", "0", "routes.verify_ttl_s", 0.0),
    ("PARPARCHIK_NEGATIVE_TTL", "1m", "routes.negative_ttl_s", 60.0),
    ("PARPARCHIK_NEGATIVE_MAX", "10", "routes.negative_max", 10),
    ("PARPARCHIK_STALE_IF_ERROR", "7d", "routes.stale_if_error_s", 604800.0),
    ("PARPARCHIK_PRESIGN_EXPIRES", "15m", "routes.presign_expires_s", 900),
    ("PARPARCHIK_PREPARED_MAX", "0", "routes.prepared_max", 0),
    ("PARPARCHIK_STRICT_ROUTES", "yes", "routes.strict", True),
    ("PARPARCHIK_LIST_SYNC", "1", "routes.list_sync", True),
    ("PARPARCHIK_VERIFIED_HEADER", "no", "routes.verified_header", False),
    ("PARPARCHIK_MANIFEST_WINDOW", "250ms", "routes.manifest_window_s", 0.25),
    ("PARPARCHIK_MAX_PROBES", "8", "routes.max_probes", 8),
    ("PARPARCHIK_MAX_WAITING", "8", "routes.max_waiting", 8),
    ("PARPARCHIK_CACHE_MEMORY", "512MiB", "cache.memory_bytes", 512 << 20),
    ("PARPARCHIK_CACHE_MEMORY_OBJECT", "64KiB", "cache.memory_object_bytes", 64 << 10),
    ("PARPARCHIK_CACHE_DIR", "/var/cache/p", "cache.directory", Path("/var/cache/p")),
    ("PARPARCHIK_CACHE_DISK", "20GB", "cache.disk_bytes", 20 * 10**9),
    ("PARPARCHIK_CACHE_SLICE", "1MiB", "cache.slice_bytes", 1 << 20),
    ("PARPARCHIK_CACHE_MAX_OBJECT", "2GiB", "cache.max_object_bytes", 2 << 30),
    ("PARPARCHIK_CACHE_MAX_FILLS", "9", "cache.max_fills", 9),
    ("PARPARCHIK_CACHE_TTL", "1h", "cache.ttl_s", 3600.0),
    ("PARPARCHIK_CACHE_RESPECT_CACHE_CONTROL", "no", "cache.respect_cache_control", False),
    ("PARPARCHIK_CACHE_STALE_WHILE_REVALIDATE", "0", "cache.stale_while_revalidate_s", 0.0),
    ("PARPARCHIK_CACHE_STALE_IF_ERROR", "7d", "cache.stale_if_error_s", 604800.0),
    ("PARPARCHIK_CACHE_NEGATIVE_TTL", "1m", "cache.negative_ttl_s", 60.0),
    ("PARPARCHIK_CACHE_NEGATIVE_MAX", "7", "cache.negative_max", 7),
    ("PARPARCHIK_CACHE_COMPRESS", "off", "cache.compress", False),
    ("PARPARCHIK_CACHE_COMPRESS_MIN", "2KiB", "cache.compress_min_bytes", 2048),
    ("PARPARCHIK_CACHE_COMPRESS_MAX", "1MiB", "cache.compress_max_bytes", 1 << 20),
    ("PARPARCHIK_CACHE_PEERS", "127.0.0.1:1", "cache.peers", ("http://127.0.0.1:1",)),
    ("PARPARCHIK_CACHE_PEER_KEY", "k-e-y", "cache.peer_key", "k-e-y"),
    ("PARPARCHIK_CACHE_PEER_WAIT", "200ms", "cache.peer_wait_s", 0.2),
    ("PARPARCHIK_CACHE_PEER_TIMEOUT", "2s", "cache.peer_timeout_s", 2.0),
    ("PARPARCHIK_CACHE_PEER_QUEUE", "7", "cache.peer_queue", 7),
    ("PARPARCHIK_OBJECTS_MOUNT", "store", "objects.mount", "/store/"),
    ("PARPARCHIK_OBJECTS_ALLOWED_BUCKETS", "a-b:all", "objects.allowed_buckets", (("a-b", "all"),)),
    ("ALLOWED_BUCKETS", "a-b:write", "objects.allowed_buckets", (("a-b", "write"),)),
    ("PARPARCHIK_OBJECTS_MAX_UPLOADS", "9", "objects.max_uploads", 9),
    ("PARPARCHIK_OBJECTS_MAX_UPLOAD", "1GiB", "objects.max_upload_bytes", 1 << 30),
    ("PARPARCHIK_OBJECTS_UPLOAD_TIMEOUT", "5s", "objects.upload_timeout_s", 5.0),
    ("PARPARCHIK_OBJECTS_COMPRESS_MIN", "2MiB", "objects.compress_min_bytes", 2 << 20),
    ("PARPARCHIK_DEDUP_MOUNT", "tracker", "dedup.mount", "/tracker/"),
    ("PARPARCHIK_DEDUP_PREFIX", "blobs", "dedup.prefix", "blobs/"),
    ("PARPARCHIK_DEDUP_KEY_DEPTH", "3", "dedup.key_depth", 3),
    ("PARPARCHIK_DEDUP_COMPRESSION_LEVEL", "9", "dedup.compression_level", 9),
    ("PARPARCHIK_DEDUP_MEMORY", "1MiB", "dedup.memory_bytes", 1 << 20),
    ("PARPARCHIK_DEDUP_SPOOL_DIR", "/var/spool/p", "dedup.spool_directory", Path("/var/spool/p")),
    ("PARPARCHIK_DEDUP_SPOOL", "1GiB", "dedup.spool_bytes", 1 << 30),
    ("PARPARCHIK_DEDUP_MAX_UPLOAD", "1GiB", "dedup.max_upload_bytes", 1 << 30),
    ("PARPARCHIK_DEDUP_MAX_UPLOADS", "9", "dedup.max_uploads", 9),
    ("PARPARCHIK_DEDUP_GRACE", "5m", "dedup.grace_s", 300.0),
    ("PARPARCHIK_DEDUP_CLEAN_EVERY", "0", "dedup.clean_every_s", 0.0),
    ("PARPARCHIK_DEDUP_UPSTREAM", "http://h:9999", "dedup.upstream", "http://h:9999"),
    ("PARPARCHIK_DEDUP_READ_NEEDS_KEY", "no", "dedup.read_needs_key", False),
    ("PARPARCHIK_DEDUP_WRITE_NEEDS_KEY", "no", "dedup.write_needs_key", False),
    ("PARPARCHIK_API_KEYS", "one,two", "auth.api_keys", ("one", "two")),
    ("PARPARCHIK_REQUESTS_PER_SECOND", "50", "limits.requests_per_second", 50),
    ("PARPARCHIK_BURST", "200", "limits.burst", 200),
    ("PARPARCHIK_LOG_FORMAT", "json", "log.format", "json"),
    ("PARPARCHIK_LOG_LEVEL", "debug", "log.level", "debug"),
    ("PARPARCHIK_ACCESS_LOG", "off", "log.access", False),
    ("PARPARCHIK_LOG_DIR", "/var/log/p", "log.directory", Path("/var/log/p")),
    ("PARPARCHIK_LOG_CONSOLE", "true", "log.console", True),
    ("PARPARCHIK_LOG_KEEP_DAYS", "7", "log.keep_days", 7),
    ("PARPARCHIK_LOG_KEEP", "2GiB", "log.keep_bytes", 2 << 30),
    ("PARPARCHIK_TRACE", "true", "log.trace", True),
    ("PARPARCHIK_LOCATION_DATABASE", __file__, "sinks.location_database", Path(__file__)),
    ("PARPARCHIK_TRUSTED_PROXIES", "10.0.0.0/8", "sinks.trusted_proxies", ("10.0.0.0/8",)),
]
BASE = {
    "PARPARCHIK_BUCKETS": "files",
    "PARPARCHIK_OBJECTS": "true",
    "PARPARCHIK_DEDUP_BUCKET": "dedup",
    "PARPARCHIK_DEDUP_METADATA": "sqlite:///dedup.db",
}
TOML_NAMES = {
    name: setting.toml for setting in SETTINGS for name in (setting.environ, setting.also)
}


def look(config: Config, where: str) -> object:
    section, _, attribute = where.partition(".")
    sections = {"endpoint": config.buckets[0].endpoint, "bucket": config.buckets[0].bucket}
    return getattr(sections.get(section) or getattr(config, section), attribute)


def as_toml(name: str, written: str) -> bytes:
    table, _, key = name.partition(".")
    return f"[{table}]\n{key} = {written}\n".encode()


@pytest.mark.parametrize(("name", "text", "where", "value"), CASES)
def test_environment_file_and_default(name: str, text: str, where: str, value: object) -> None:
    toml = as_toml(TOML_NAMES[name], f'"{text}"')
    assert look(load(BASE).config, where) != value
    assert look(load({**BASE, name: text}).config, where) == value
    assert look(load(BASE, toml).config, where) == value
    # An empty variable counts as not set, also where the file sets it.
    assert look(load({**BASE, name: " "}).config, where) == look(load(BASE).config, where)
    assert look(load({**BASE, name: ""}, toml).config, where) == value


@pytest.mark.parametrize(("name", "text", "where", "value"), CASES)
def test_the_environment_wins(name: str, text: str, where: str, value: object) -> None:
    default = look(load(BASE).config, where)
    others = {case[2]: case for case in CASES if case[2] != where}
    others.pop("bucket.manifest_key", None)
    table = TOML_NAMES[name].partition(".")[0]
    toml = b"".join(
        as_toml(TOML_NAMES[other], f'"{text}"').partition(b"\n")[2]
        for other, text, *_ in others.values()
        if TOML_NAMES[other].startswith(f"{table}.")
    )
    config = load({**BASE, name: text}, f"[{table}]\n".encode() + toml).config
    assert look(config, where) == value != default
    for other_where, (other, _, _, other_value) in others.items():
        if TOML_NAMES[other].startswith(f"{table}."):
            assert look(config, other_where) == other_value


def test_the_value_of_the_environment_hides_the_files() -> None:
    toml = b"[server]\nport = 1\n[routes]\nverify = 'never'\n"
    config = load({**BASE, "PARPARCHIK_PORT": "2", "PARPARCHIK_VERIFY": "always"}, toml).config
    assert (config.server.port, config.routes.verify) == (2, "always")


def test_every_setting_has_a_case() -> None:
    elsewhere = {  # held by test_config_buckets and test_config_load
        "PARPARCHIK_BUCKETS", "PARPARCHIK_PUBLIC_BUCKET", "PARPARCHIK_PRIVATE_BUCKET",
        "PARPARCHIK_CONFIG", "PARPARCHIK_API_KEYS_FILE", "PARPARCHIK_METRICS_NEED_KEY",
            "PARPARCHIK_TLS_KEY", "PARPARCHIK_TLS_MIN_VERSION", "PARPARCHIK_TLS_PORT",
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
        # and these by test_config_estrois
        "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_USE_SSL", "MAX_CACHE_SIZE", "PARPARCHIK_OBJECTS",
        # and these by test_config_dedup
        "PARPARCHIK_DEDUP_BUCKET", "PARPARCHIK_DEDUP_METADATA",
    }  # fmt: skip
    named = {name for s in SETTINGS for name in (s.environ, s.also) if name}
    assert named == elsewhere | {name for name, *_ in CASES}


def test_every_field_of_the_model_can_be_set() -> None:
    settable = {(s.toml.partition(".")[0], s.attribute) for s in SETTINGS}
    config = load(BASE).config
    for section in ("server", "s3", "routes", "auth", "log", "cache", "objects", "dedup", "sinks"):
        for field in dataclasses.fields(getattr(config, section)):
            if (section, field.name) != ("sinks", "sinks"):  # these are tables of their own
                assert (section, field.name) in settable


@pytest.mark.parametrize(
    ("section", "rows"), [(SiteConfig, SITE_SETTINGS), (SinkConfig, SINK_SETTINGS)]
)
def test_every_field_of_a_table_can_be_set(section: type, rows: tuple[Setting, ...]) -> None:
    settable = [setting.attribute for setting in rows]
    assert sorted(settable) == sorted(field.name for field in dataclasses.fields(section))


def _refused(setting: Setting) -> bool:
    try:
        setting.parse("\udcff\n")
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_an_error_names_the_setting_as_it_was_written(setting: Setting) -> None:
    assert _refused(setting)
    with pytest.raises(ConfigError) as environ_error:
        load({**BASE, setting.environ: "\udcff\n\x00"})
    assert setting.environ in str(environ_error.value)
    assert str(environ_error.value).isprintable()
    if setting.toml:
        base = {name: value for name, value in BASE.items() if name != setting.environ}
        with pytest.raises(ConfigError) as file_error:
            load(base, as_toml(setting.toml, '"\\n\\u0000"'))
        table, _, key = setting.toml.partition(".")
        assert f"[{table}] {key}: " in str(file_error.value)
        assert str(file_error.value).isprintable()


@pytest.mark.parametrize("setting", BUCKET_SETTINGS, ids=lambda setting: setting.name)
def test_an_error_names_the_key_of_a_bucket_table(setting: Setting) -> None:
    key = setting.toml.partition(".")[2]
    name = "" if key == "name" else 'name = "files"\n'
    with pytest.raises(ConfigError, match=rf"\[\[bucket\]\] {key}: "):
        load({}, f'[[bucket]]\n{name}{key} = "\\n\\u0000"\n'.encode())


@pytest.mark.parametrize("setting", SITE_SETTINGS, ids=lambda setting: setting.name)
def test_an_error_names_the_key_of_a_site_table(setting: Setting) -> None:
    key = setting.toml.partition(".")[2]
    bucket = "" if key == "bucket" else 'bucket = "files"\n'
    with pytest.raises(ConfigError, match=rf"\[\[site\]\] {key}: "):
        load({}, f'[[site]]\n{bucket}{key} = "\\n\\u0000"\n'.encode())


@pytest.mark.parametrize("setting", SINK_SETTINGS, ids=lambda setting: setting.name)
def test_an_error_names_the_key_of_a_sink_table(setting: Setting) -> None:
    key = setting.toml.partition(".")[2]
    rest = "".join(
        f"{name} = '{value}'\n"
        for name, value in (("kind", "influx"), ("url", "http://h"))
        if name != key
    )
    with pytest.raises(ConfigError, match=rf"\[\[sink\]\] {key}: "):
        load(BASE, f'[[sink]]\n{rest}{key} = "\\n\\u0000"\n'.encode())


def test_the_readme_has_the_table() -> None:
    assert settings_markdown() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_s_example_files_work() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert examples
    for example in examples:
        whole = "[[bucket]]" in example or "[[site]]" in example
        assert load({} if whole else BASE, example.encode()).warnings == ()


def test_what_is_deployed_sets_no_unknown_names() -> None:
    known = {setting.environ for setting in SETTINGS}
    files = [ROOT / "README.md", *(ROOT / "packaging").rglob("*.y*ml")]
    files += [path for name in ("*.service", "*.env") for path in (ROOT / "packaging").rglob(name)]
    assert len(files) > 1
    for path in files:
        # PARPARCHIK_REQUIRE_... are for these tests, not for the program.
        name = r"PARPARCHIK_(?!REQUIRE_)[A-Z0-9_]*[A-Z0-9]"
        named = set(re.findall(name, path.read_text(encoding="utf-8")))
        assert named <= known, path


def test_the_table_shows_names_defaults_and_meaning() -> None:
    table = settings_markdown()
    assert "| `PARPARCHIK_PORT` | `[server] port` | `8080` | Port to listen on" in table
    assert "| `AWS_REGION` or `AWS_DEFAULT_REGION` | `[s3] region` | `us-east-1` |" in table
    assert "| `PARPARCHIK_STALE_IF_ERROR` | `[routes] stale_if_error` | `24h` |" in table
    assert "| `PARPARCHIK_VERIFY_TTL` | `[routes] verify_ttl` | `2s` |" in table
    assert "| `PARPARCHIK_LIST_SYNC` | `[routes] list_sync` | `false` |" in table
    assert "| `external_endpoint` |" in table
    assert "`PARPARCHIK_CACHE_MEMORY` or `MAX_CACHE_SIZE` | `[cache] memory` | `300MiB`" in table
    assert "| `index` | `index.html` |" in table
