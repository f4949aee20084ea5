"""The file's shape, names nobody knows, secrets, warnings, and whatever else may come in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parparchik.config import Loaded, load
from parparchik.config.settings import SETTINGS
from parparchik.config.table_settings import BUCKET_SETTINGS, SITE_SETTINGS
from parparchik.errors import ConfigError

BASE = {"PARPARCHIK_BUCKETS": "files::public"}
SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[sever]", r"unknown table \[sever\]; did you mean \[server\]\?"),
        ("[[buckets]]", r"unknown table \[buckets\]; did you mean \[\[bucket\]\]\?"),
        ("[chache]", r"unknown table \[chache\]; did you mean \[cache\]\?"),
        ("[cdn]", r"unknown table \[cdn\]; known: \[server\], \[s3\]"),
        ("[sites]", r"unknown table \[sites\]; did you mean \[\[site\]\]\?"),
        ("port = 1", r"unknown key port; it belongs in \[server\]"),
        ("foo = 1", r"unknown key foo$"),
        ("[server]\nprot = 1", r"unknown key prot in \[server\]; did you mean port\?"),
        ("[server]\nregion = 1", r"unknown key region in \[server\]; it belongs in \[s3\] or \[\["),
        ("[[bucket]]\nname = 'a'\npubilc = 1", r"unknown key pubilc in \[\[bucket\]\]; did you"),
        ("[server]\n'a\\nb' = 1", r"unknown key 'a\\\\nb' in \[server\]"),
        ('[server]\n"a\\nb" = 1', r"unknown key 'a\\nb' in \[server\]"),
        ("[bucket]\nname = 'a'", r"bucket is a table: write \[\[bucket\]\], once for each"),
        ("bucket = [1]", r"bucket is a table"),
        ("[site]\nbucket = 'a'", r"site is a table: write \[\[site\]\], once for each site"),
        ("[[site]]\nmuont = '/a/'", r"unknown key muont in \[\[site\]\]; did you mean mount\?"),
        ("server = 1", r"server is a table: write \[server\]"),
        ("[[server]]", r"server is a table"),
        ("[server", r"not TOML: Expected"),
        ("x = " + "9" * 5000, "a number too long"),
    ],
)
def test_refused_file(toml: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(BASE, toml.encode())
    assert str(caught.value).startswith("TOML: ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"\xff", b"x = " + b"[" * 100_000, b"\x00"])
def test_bytes_that_are_no_toml(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^TOML: "):
        load(BASE, data)


def test_the_file_is_named_by_argument_or_environment(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text("[server]\nport = 1\n")
    two.write_text("[server]\nport = 2\n")
    environ = {**BASE, "PARPARCHIK_CONFIG": str(one)}
    assert load(environ).config.server.port == 1
    assert load(environ, two).config.server.port == 2
    two.write_text("[server]\nport = 70000\n")
    with pytest.raises(ConfigError, match=r"two\.toml: \[server\] port: expected .*; got 70000$"):
        load(BASE, two)


@pytest.mark.parametrize("name", ["missing.toml", ".", "a\x00b"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^--config: ") as by_argument:
        load(BASE, tmp_path / name)
    with pytest.raises(ConfigError, match=r"^PARPARCHIK_CONFIG: ") as by_environment:
        load({**BASE, "PARPARCHIK_CONFIG": str(tmp_path / name)})
    assert str(by_argument.value).isprintable()
    assert str(by_environment.value).isprintable()


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load(BASE, Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PARPARCHIK_BUCKET", "; did you mean PARPARCHIK_BUCKETS?"),
        ("PARPARCHIK_VERIFY_TLL", "; did you mean PARPARCHIK_VERIFY_TTL?"),
        ("PARPARCHIK_COLOUR", ""),
    ],
)
def test_an_unknown_variable_is_a_warning(name: str, hint: str) -> None:
    assert load({**BASE, name: "x"}).warnings == (f"{name} is no setting and is ignored{hint}",)


@pytest.mark.parametrize(
    "name",
    [
        *("PARPARCHIK_API_KEY", "PARPARCHIK_APIKEYS", "PARPARCHIK_API_KEYS_FIL"),
        "PARPARCHIK_OBJECTS_ALLOWED_BUCKET",
    ],
)
def test_a_misspelt_lock_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is no setting; did you mean ") as caught:
        load({**BASE, name: SECRET})
    assert SECRET not in str(caught.value)


def test_kubernetes_service_links_are_no_strangers() -> None:
    links = {
        "PARPARCHIK_SERVICE_HOST": "10.0.0.1",
        "PARPARCHIK_SERVICE_PORT": "8080",
        "PARPARCHIK_SERVICE_PORT_HTTP": "8080",
        "PARPARCHIK_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "PARPARCHIK_PORT_8080_TCP_PROTO": "tcp",
        "PARPARCHIK_PORT_8080_TCP_PORT": "8080",
        "PARPARCHIK_PORT_8080_TCP_ADDR": "10.0.0.1",
        "PARPARCHIK_WEB_PORT": "tcp://10.0.0.2:80",
        "PARPARCHIK_WEB_SERVICE_HOST": "10.0.0.2",
    }
    assert load({**BASE, **links}).warnings == ()
    with pytest.raises(ConfigError, match=r"^PARPARCHIK_PORT: .*enableServiceLinks: false"):
        load({**BASE, **links, "PARPARCHIK_PORT": "tcp://10.0.0.1:8080"})


def test_api_keys_of_a_file_are_added(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# for the robots\n{SECRET}\n\n  second-key-second-key \r\n")
    environ = {**BASE, "PARPARCHIK_API_KEYS_FILE": str(file)}
    assert load(environ).config.auth.api_keys == (SECRET, "second-key-second-key")
    environ["PARPARCHIK_API_KEYS"] = f"third-key-third-key,{SECRET}"
    assert load(environ).config.auth.api_keys == (
        "third-key-third-key",
        SECRET,
        "second-key-second-key",
    )
    toml = f"[auth]\napi_keys = ['{SECRET}']\n".encode()
    assert load(BASE, toml).config.auth.api_keys == (SECRET,)


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"two words\n", b"\xff\n"])
def test_a_file_of_api_keys_without_any_opens_no_door(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^PARPARCHIK_API_KEYS_FILE: "):
        load({**BASE, "PARPARCHIK_API_KEYS_FILE": str(file)})


@pytest.mark.parametrize(
    "name", ["PARPARCHIK_API_KEYS_FILE", "AWS_CA_BUNDLE", "PARPARCHIK_LOCATION_DATABASE"]
)
def test_a_named_file_that_is_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: .*No such file"):
        load({**BASE, name: str(tmp_path / "missing")})


def test_metrics_that_need_a_key_need_keys() -> None:
    toml = b"[auth]\nmetrics_need_key = true\n"
    with pytest.raises(ConfigError, match=r"\[auth\] metrics_need_key needs PARPARCHIK_API_KEYS"):
        load(BASE, toml)
    environ = {**BASE, "PARPARCHIK_METRICS_NEED_KEY": "1", "PARPARCHIK_API_KEYS": SECRET}
    assert load(environ).config.auth.metrics_need_key


def test_short_api_keys_are_warned_of_without_showing_them() -> None:
    loaded = load({**BASE, "PARPARCHIK_API_KEYS": f"abc,{SECRET}"})
    assert loaded.warnings == ("1 of 2 API keys are shorter than 16 characters and can be guessed",)


def test_secrets_are_in_no_repr_and_no_error() -> None:
    toml = (
        f'[s3]\naccess_key_id = "id"\nsecret_access_key = "{SECRET}"\nsession_token = "{SECRET}"\n'
        f'[auth]\napi_keys = ["{SECRET}"]\n[[bucket]]\nname = "files"\naccess_key_id = "id"\n'
        f'secret_access_key = "{SECRET}"\nsession_token = "{SECRET}"\n'
        f'[[site]]\nbucket = "files"\nauth_key = "{SECRET}"\n'
    )
    assert SECRET not in repr(load({}, toml.encode()))
    for setting in (*SETTINGS, *BUCKET_SETTINGS):
        if setting.secret and setting.environ:
            assert SECRET not in refusal({**BASE, setting.environ: f"{SECRET} and more"})
        elif setting.secret:
            key = setting.toml.partition(".")[2]
            toml = f'[[bucket]]\nname = "files"\n{key} = "{SECRET} more"\n'
            assert SECRET not in refusal({}, toml)
    assert SECRET not in refusal(
        BASE, f'[[site]]\nbucket = "files"\nauth_key = "{SECRET} and more"\n'
    )
    pair = {"S3_ACCESS_KEY": "id", "S3_SECRET_KEY": SECRET}
    assert SECRET not in repr(load({**BASE, **pair}))
    assert SECRET not in refusal({**BASE, **pair, "S3_SECRET_KEY": f"{SECRET} and more"})
    assert SECRET not in refusal({**BASE, "S3_SECRET_KEY": SECRET})
    for name in ("S3_ENDPOINT", "S3_EXTERNAL_ENDPOINT"):
        for url in (f"http://user:{SECRET}@host", f"user:{SECRET}@host:1", f"x://u:{SECRET}@h"):
            assert SECRET not in refusal({**BASE, name: url})


def refusal(environ: dict[str, str], toml: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ, toml.encode())
    return str(caught.value)


_NAMES = [name for s in SETTINGS for name in (s.environ, s.also) if name]
# Files that hypothesis would name are not its to read.
_FILES = {
    *("PARPARCHIK_CONFIG", "PARPARCHIK_API_KEYS_FILE", "AWS_CA_BUNDLE"),
    "PARPARCHIK_LOCATION_DATABASE",
}
_texts = (
    st.text(max_size=12)
    | st.sampled_from(
        [
            "1",
            "0",
            "true",
            "a:b:public",
            "aaa,bbb",
            "http://h",
            "tcp://x:1",
            "2s",
            "ttl",
            "k e y",
            "\n",
        ]
    )
    | st.sampled_from(["aaa:read", "aaa:all,bbb:write", "/aaa/", "2MiB", "64KiB"])
)
_environs = st.dictionaries(
    st.sampled_from([name for name in _NAMES if name not in _FILES])
    | st.text(max_size=8).map("PARPARCHIK_".__add__),
    _texts,
    max_size=6,
)


@given(environ=_environs, base=st.booleans())
def test_any_environment_is_a_config_or_a_config_error(environ: dict[str, str], base: bool) -> None:
    outcome(environ | (BASE if base else {}), b"")


_scalars = st.one_of(
    st.booleans().map(lambda b: str(b).lower()),
    st.integers(-(10**12), 10**12).map(str),
    st.floats().map(str),
    st.sampled_from(["'x'", '"a\\nb"', "[]", "['a', 1]", "{a = 1}", "2020-01-01", "''", "'2s'"]),
    st.sampled_from(["'/a/'", "'2MiB'", "'a:read'", "{a = 'all'}", "'off'", "'*'", "'a.html'"]),
)
_tables = st.lists(
    st.tuples(
        st.sampled_from([s.toml for s in (*SETTINGS, *BUCKET_SETTINGS, *SITE_SETTINGS) if s.toml])
        .filter(lambda name: not re.search("file|bundle|location", name.partition(".")[2])),
        _scalars,
    ),
    max_size=6,
    unique_by=lambda pair: pair[0],
)  # fmt: skip


@given(pairs=_tables, base=st.booleans())
def test_any_tables_are_a_config_or_a_config_error(
    pairs: list[tuple[str, str]], base: bool
) -> None:
    lines = []
    several = {"bucket": "[[bucket]]\nname = 'n'", "site": "[[site]]\nbucket = 'n'"}
    for table in (
        "server",
        "s3",
        "routes",
        "cache",
        "objects",
        "auth",
        "log",
        "sinks",
        "bucket",
        "site",
    ):
        keys = [(n.partition(".")[2], v) for n, v in pairs if n.startswith(f"{table}.")]
        if keys:
            lines.append(several.get(table, f"[{table}]"))
            needed = {("bucket", "name"), ("site", "bucket")}
            lines += [f"{key} = {value}" for key, value in keys if (table, key) not in needed]
    outcome(BASE if base else {}, "\n".join(lines).encode())


@given(
    data=st.binary(max_size=60) | st.text(alphabet="[]{}='\"\n.a1_ #,", max_size=60).map(str.encode)
)
@settings(max_examples=200)
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    outcome(BASE, data)


def outcome(environ: dict[str, str], toml: bytes) -> None:
    loaded: Loaded | None = None
    messages: tuple[str, ...] = ()
    try:
        loaded = load(environ, toml)
    except ConfigError as error:
        messages = (str(error),)
    if loaded is not None:
        messages = loaded.warnings
        config = loaded.config
        names = [one.bucket.name for one in config.every_bucket]
        assert len(set(names)) == len(names) > 0
        assert config.buckets or config.sites or config.objects
        wanted = {site.bucket for site in config.sites}
        wanted |= {name for name, _ in config.objects.allowed_buckets} if config.objects else set()
        assert wanted <= set(names)
        assert all(one.mode != "off" for one in config.buckets)
        assert all(one.mode == "off" for one in config.other_buckets)
    for message in messages:
        assert message.isprintable()
        assert len(message) < 500


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PARPARCHIK_TLS_KEY", __file__),
        ("PARPARCHIK_TLS_PORT", "8443"),
        ("PARPARCHIK_TLS_MIN_VERSION", "1.3"),
    ],
)
def test_what_is_said_of_tls_needs_a_certificate(name: str, text: str) -> None:
    environ = {"PARPARCHIK_BUCKETS": "files", name: text}
    with pytest.raises(ConfigError, match=f"{name} needs PARPARCHIK_TLS_CERTIFICATE"):
        load(environ)
    server = load({**environ, "PARPARCHIK_TLS_CERTIFICATE": __file__}).config.server
    assert server.tls_certificate == Path(__file__)


@pytest.mark.parametrize("name", ["PARPARCHIK_TLS_CERTIFICATE", "PARPARCHIK_TLS_KEY"])
def test_files_of_tls_are_named_when_they_cannot_be_read(name: str, tmp_path: Path) -> None:
    environ = {"PARPARCHIK_BUCKETS": "files", "PARPARCHIK_TLS_CERTIFICATE": __file__}
    with pytest.raises(ConfigError, match=rf"{name}: .*absent\.pem.*No such file"):
        load({**environ, name: str(tmp_path / "absent.pem")})


def test_two_ports_are_two() -> None:
    environ = {"PARPARCHIK_BUCKETS": "files", "PARPARCHIK_TLS_CERTIFICATE": __file__}
    with pytest.raises(ConfigError, match="PARPARCHIK_TLS_PORT: the same as PARPARCHIK_PORT"):
        load({**environ, "PARPARCHIK_PORT": "8443", "PARPARCHIK_TLS_PORT": "8443"})


@pytest.mark.parametrize("text", ["0", "-1", "257", "many", "true"])
def test_workers_are_a_number_or_auto(text: str) -> None:
    with pytest.raises(ConfigError, match=r"PARPARCHIK_WORKERS: expected a whole number.*or auto"):
        load({"PARPARCHIK_BUCKETS": "files", "PARPARCHIK_WORKERS": text})
