"""[[sink]] tables: where the figures of requests go."""

from __future__ import annotations

import pytest

from parparchik.config import load
from parparchik.config.model import SinkConfig
from parparchik.errors import ConfigError

FILES = {"PARPARCHIK_BUCKETS": "files"}
SECRET = "hunter2-hunter2"


def sink(kind: str, url: str, rest: str = "") -> bytes:
    return f"[[sink]]\nkind = '{kind}'\nurl = '{url}'\n{rest}".encode()


def test_sinks_in_their_order() -> None:
    toml = sink("akumuli", "tcp://tsdb:8282", "name = 'proxy'\nflush = '5s'\n") + sink(
        "mongodb", "mongodb://db", "database = 'd'\nname = 'c'\nbatch_max = 10\n"
    )
    assert load(FILES, toml).config.sinks.sinks == (
        SinkConfig("akumuli", "tcp://tsdb:8282", name="proxy", flush_s=5.0),
        SinkConfig("mongodb", "mongodb://db", name="c", database="d", batch_max=10),
    )


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (b"[[sink]]\nkind = 'influx'\n", r"^TOML: \[\[sink\]\] 1 has no url$"),
        (b"[[sink]]\nurl = 'tcp://h:1'\n", r"^TOML: \[\[sink\]\] 1 has no kind$"),
        (sink("influx", f"mongodb://u:{SECRET}@h"), "url: expected tcp:// or http:// or https://"),
        (sink("akumuli", f"http://u:{SECRET}@h"), "url: expected tcp:// for kind akumuli"),
        (sink("mongodb", "tcp://h:1"), "expected mongodb:// or mongodb.srv:// for kind mongodb"),
        (sink("akumuli", "tcp://h"), "url: expected a port, as in tcp://host:8089"),
        (sink("influx", "tcp://h:1", f"token = '{SECRET}'"), "token: only HTTP has a place"),
        (sink("influx", f"u:{SECRET}@h"), "url: expected a URL such as"),
    ],
)
def test_sinks_that_cannot_work(toml: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        load(FILES, toml)
    assert SECRET not in str(caught.value)


def test_what_a_sink_is_told_in_confidence_is_not_printed() -> None:
    toml = sink("influx", f"http://u:{SECRET}@h/write", f"token = '{SECRET}'\n")
    assert SECRET not in repr(load(FILES, toml))


def test_a_sink_of_the_command_line() -> None:
    options = [{"kind": "akumuli", "url": "tcp://tsdb:8282"}]
    loaded = load(FILES, sink("influx", "tcp://h:1"), sinks=options)
    assert [one.kind for one in loaded.config.sinks.sinks] == ["influx", "akumuli"]
    with pytest.raises(ConfigError, match=r"^the sink of the command line: expected a URL"):
        load(FILES, sinks=[{"kind": "akumuli", "url": "tcp://a b:8282"}])
