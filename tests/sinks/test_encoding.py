"""What is sent of a request, byte by byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from parparchik.access import TrustedProxies
from parparchik.errors import ConfigError
from parparchik.sinks import akumuli, influx
from parparchik.sinks.measurement import Location, Measurement
from parparchik.sinks.mongo import document

PLACE = Location("Bad Homburg", "Europe", "Germany", "DE", "Hesse", 50.5, -8.25)
FULL = Measurement(
    timestamp_ns=1_700_000_000_123_456_789,
    method="GET",
    resource="/a b/ü.html",
    media_type="text/html",
    address="192.0.2.7",
    size_bytes=1234,
    time_ns=56_789,
    status=200,
    compressed=True,
    location=PLACE,
)
BARE = Measurement(1, "HEAD", "/", "", "::1", 0, 5, 404, compressed=False)


def test_influx_lines() -> None:
    assert influx.lines([FULL, BARE], "request").decode() == (
        r"request,method=GET,mimeType=text/html,city=Bad\ Homburg,continent=Europe,"
        r"country=Germany,country_iso_code=DE,subdivision=Hesse "
        r'resource="/a b/ü.html",ipaddress="192.0.2.7",size=1234i,time=56789i,status=200i,'
        "compressed=true,latitude=50.5,longitude=-8.25 1700000000123456789\n"
        'request,method=HEAD resource="/",ipaddress="::1",size=0i,time=5i,status=404i,'
        "compressed=false 1\n"
    )


def hostile(text: str) -> Measurement:
    place = Location(city=text)
    return Measurement(1, "GET", text, text, "::1", 0, 5, 404, compressed=False, location=place)


@pytest.mark.parametrize("text", ['a"b', "a\\", "a\nx,y=1 z=2 3", "a,b=c d", "a\\\\,b", "\r\n+x"])
def test_nothing_in_a_name_breaks_a_line(text: str) -> None:
    line = influx.lines([hostile(text)], "a b").decode()
    assert line.count("\n") == 1
    kept = text.replace("\n", "").replace("\r", "")
    tag = kept.replace("\\", "/")
    assert read_back(line) == (
        ["a b", "method", "GET", "mimeType", tag, "city", tag],
        [
            *("resource", kept, "ipaddress", "::1", "size", "0i", "time", "5i"),
            *("status", "404i", "compressed", "false"),
        ],
        "1",
    )


def read_back(line: str) -> tuple[list[str], list[str], str]:
    """As a server reads it: the measurement and its tags, the fields, the time. A backslash
    escapes what follows, and between quotes nothing else is special."""
    parts: list[list[str]] = [[""]]
    quoted = False
    characters = iter(line.rstrip("\n"))
    for character in characters:
        if character == "\\":
            parts[-1][-1] += next(characters)
        elif character == '"' and len(parts) == 2:
            quoted = not quoted
        elif character == " " and not quoted:
            parts.append([""])
        elif character in ",=" and not quoted:
            parts[-1].append("")
        else:
            parts[-1][-1] += character
    head, fields, time = parts
    return head, fields, time[0]


def test_akumuli_messages() -> None:
    assert akumuli.messages([FULL, BARE], "request").decode() == (
        "+request.size|request.time|request.status|request.compressed|request.latitude|"
        "request.longitude method=GET resource=/a_b/ü.html mimeType=text/html "
        "ipaddress=192.0.2.7 city=Bad_Homburg continent=Europe country=Germany "
        "country_iso_code=DE subdivision=Hesse\r\n"
        ":1700000000123456789\r\n*6\r\n:1234\r\n:56789\r\n:200\r\n:1\r\n+50.5\r\n+-8.25\r\n"
        "+request.size|request.time|request.status|request.compressed method=HEAD resource=/ "
        "ipaddress=::1\r\n:1\r\n*4\r\n:0\r\n:5\r\n:404\r\n:0\r\n"
    )


@pytest.mark.parametrize("text", ["a\r\n:1\r\n", "a b=c|d", "a\n", "x" * 3000, "ü" * 600])
def test_nothing_in_a_name_breaks_a_message(text: str) -> None:
    lines = akumuli.messages([hostile(text)], "request").split(b"\r\n")
    assert len(lines) == 8
    series = lines[0].decode()
    assert len(lines[0]) <= 1024
    assert all(part.count("=") == 1 for part in series.split(" ")[1:])
    assert series.count("|") == 3


def test_mongo_documents() -> None:
    time = datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)
    assert document(FULL) == {
        "method": "GET",
        "resource": "/a b/ü.html",
        "mimeType": "text/html",
        "ipaddress": "192.0.2.7",
        "city": "Bad Homburg",
        "continent": "Europe",
        "country": "Germany",
        "country_iso_code": "DE",
        "subdivision": "Hesse",
        "size": 1234,
        "time": 56_789,
        "status": 200,
        "compressed": True,
        "latitude": 50.5,
        "longitude": -8.25,
        "timestamp": time,
    }


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),  # not from a proxy of ours
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.1", "192.0.2.1"),  # the left one may be invented
        ("10.0.0.1", "192.0.2.1, 10.9.9.9, 2001:db8::5", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        ("10.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("10.0.0.1", "2001:db9::1", "2001:db9::1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "192.0.2.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, " * 5000 + "10.0.0.3", "10.0.0.2"),
        ("unix:", "192.0.2.1", "unix:"),
        ("", "192.0.2.1", ""),
    ],
)
def test_whose_request_it_is(peer: str, forwarded_for: str, client: str) -> None:
    proxies = TrustedProxies(["10.0.0.0/8", "2001:db8::/32"])
    assert proxies.client(peer, forwarded_for) == client


def test_nobody_is_believed_unless_configured() -> None:
    assert TrustedProxies([]).client("10.0.0.1", "192.0.2.1") == "10.0.0.1"


def test_what_is_no_network_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"10\.0\.0"):
        TrustedProxies(["10.0.0/8x"])
