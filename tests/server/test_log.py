"""Logs as an operator, or an operator's machine, reads them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import structlog

from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    Config,
    Endpoint,
    LogConfig,
    SinkConfig,
    SinksConfig,
    SiteConfig,
    StaticKeys,
)
from parparchik.model import Bucket
from parparchik.server import configured_secrets

if TYPE_CHECKING:
    from tests.server.conftest import Logged

log = structlog.get_logger(__name__)


def test_json_lines(logged: Logged) -> None:
    log.info("request", path="/кот", status=302)
    (event,) = logged.events
    assert list(event)[:3] == ["timestamp", "level", "event"]
    assert (event["level"], event["event"]) == ("info", "request")
    assert (event["path"], event["status"]) == ("/кот", 302)
    assert "кот" in logged.getvalue()


def test_level(logged: Logged) -> None:
    logged.configure(LogConfig(format="json", level="warning"))
    log.info("quiet")
    logging.getLogger("some.library").info("quiet")
    log.warning("loud")
    logging.getLogger("some.library").warning("loud too")
    assert [event["event"] for event in logged.events] == ["loud", "loud too"]


@pytest.mark.parametrize(
    ("chosen", "terminal", "is_json"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_format(logged: Logged, chosen: str, terminal: bool, is_json: bool) -> None:
    logged.terminal = terminal
    logged.configure(LogConfig(format=chosen))  # type: ignore[arg-type]
    log.info("hello", number=1)
    assert logged.getvalue().startswith("{") is is_json
    assert "hello" in logged.getvalue()


def test_libraries_are_routed_in(logged: Logged) -> None:
    logging.getLogger("hypercorn.error").error("it %s", "broke")
    assert logged.events[0]["event"] == "it broke"
    assert logged.events[0]["level"] == "error"


def test_http_libraries_do_not_chat(logged: Logged) -> None:
    logged.configure(LogConfig(format="json", level="debug"))
    logging.getLogger("httpx").info("HTTP Request: GET http://s3/?X-Amz-Signature=abc")
    assert logged.getvalue() == ""


def test_tracebacks_are_complete_and_show_no_variables(logged: Logged) -> None:
    def fail(hidden: str) -> None:
        raise ValueError("visible")

    value = "-".join(("value", "of", "a", "variable"))
    for chosen in ("json", "console"):
        logged.configure(LogConfig(format=chosen))
        try:
            fail(value)
        except ValueError:
            log.exception("failed")
            logging.getLogger("lib").exception("failed too")
    output = logged.getvalue()
    assert output.count("ValueError: visible") == 4
    assert output.count("in fail") == 4
    assert value not in output


def test_request_id_of_the_context(logged: Logged) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        log.info("inside")
        logging.getLogger("lib").warning("inside too")
    assert [event["request_id"] for event in logged.events] == ["r-1", "r-1"]


SECRETS = ("s3cr3t/key+with=signs", 'quo"te\\back', "ключ-доступа")


@pytest.mark.parametrize("chosen", ["json", "console"])
@pytest.mark.parametrize("secret", SECRETS)
def test_configured_secrets_are_blanked_wherever_they_stand(
    logged: Logged, secret: str, chosen: str
) -> None:
    logged.configure(LogConfig(format=chosen), secrets=SECRETS)  # type: ignore[arg-type]
    log.info(secret)
    log.info("field", value=f"before {secret} after")
    log.info("nested", value={"list": [secret]})
    log.info("url", url="http://host/?x=" + quote(secret, safe=""))
    logging.getLogger("lib").error("said %s", secret)
    log.error("failed", exc_info=RuntimeError(f"bad: {secret}"))
    output = logged.getvalue()
    assert output.count("[redacted]") == 6
    assert secret not in output


@pytest.mark.parametrize(
    "text",
    [
        "http://s3/b/k?X-Amz-Signature=deadbeef&X-Amz-Date=1",
        "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=deadbeef",
        "x-amz-security-token=deadbeef",
        "Authorization: Bearer deadbeef",
    ],
)
def test_signatures_are_blanked_by_their_shape(logged: Logged, text: str) -> None:
    log.info("url", url=text)
    log.info(text)
    assert "deadbeef" not in logged.getvalue()
    assert logged.getvalue().count("[redacted]") >= 2


def test_a_short_secret_does_not_blank_innocent_words(logged: Logged) -> None:
    logged.configure(secrets=("a", ""))
    log.info("banana")
    assert logged.events[0]["event"] == "banana"


def test_a_banner_is_a_block_on_a_terminal_and_a_list_in_json(logged: Logged) -> None:
    log.warning("mind this", banner=("line one", "line two"))
    assert logged.events[0]["banner"] == ["line one", "line two"]
    logged.configure(LogConfig(format="console"))
    log.warning("mind this", banner=("line one", "line two"))
    lines = logged.getvalue().splitlines()
    assert lines[-3:-1] == ["line one", "line two"]
    assert set(lines[-4]) == set(lines[-1].strip()) == {"="}


def test_what_cannot_be_encoded_is_logged_all_the_same(logged: Logged) -> None:
    log.info("odd", value=object(), text=b"bytes")
    assert logged.events[0]["event"] == "odd"


def test_every_secret_of_the_settings_is_known() -> None:
    keys = StaticKeys("AKIA", "the-secret-key", "the-session-token")
    config = Config(
        buckets=(BucketConfig(Bucket("b"), Endpoint(keys=keys)),),
        auth=AuthConfig(api_keys=("the-api-key",)),
        sites=(SiteConfig("www", auth_key="the-site-s-key"),),
        other_buckets=(
            BucketConfig(Bucket("www"), Endpoint(keys=StaticKeys("AKIB", "another-key")), "off"),
        ),
        sinks=SinksConfig(
            (
                SinkConfig("influx", "http://h", token="the-token"),
                SinkConfig("mongodb", "mongodb://u:the-password@a:1,b:2/d"),
            )
        ),
    )
    environ = {"AWS_SECRET_ACCESS_KEY": "from-the-environment", "HOME": "/home/me"}
    assert set(configured_secrets(config, environ)) - {""} == {
        "the-secret-key",
        "the-session-token",
        "the-api-key",
        "the-site-s-key",
        "another-key",
        "the-token",
        "the-password",
        "from-the-environment",
    }
