"""A MaxMind database, written by the rules of its format (version 2.0), for IPv4 networks."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"
Node = list[Any]


def city(name: str, **location: float) -> dict[str, Any]:
    return {
        "city": {"names": {"en": name, "de": "falsch"}},
        "continent": {"names": {"en": "Europe"}},
        "country": {"iso_code": "DE", "names": {"en": "Germany"}},
        "subdivisions": [{"names": {"en": "Hesse"}}],
        "location": location or {"latitude": 50.5, "longitude": -8.25},
    }


def database(networks: Mapping[str, dict[str, Any]]) -> bytes:
    """Records of 24 bits: a node's number, or a place in the data section."""
    nodes: list[Node] = [[None, None]]
    data = b""
    for network, record in networks.items():
        parsed = ip_network(network)
        bits = f"{int(parsed.network_address):032b}"[: parsed.prefixlen]
        node = nodes[0]
        for bit in bits[:-1]:
            if node[int(bit)] is None:
                nodes.append([None, None])
                node[int(bit)] = len(nodes) - 1
            node = nodes[node[int(bit)]]
        node[int(bits[-1])] = ("data", len(data))
        data += encode(record)
    count = len(nodes)

    def number(entry: Any) -> int:
        if entry is None:
            return count
        return count + 16 + entry[1] if isinstance(entry, tuple) else int(entry)

    tree = b"".join(number(entry).to_bytes(3, "big") for node in nodes for entry in node)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_700_000_000,
        "database_type": "Test-City",
        "description": {"en": "test"},
        "ip_version": 4,
        "languages": ["en"],
        "node_count": count,
        "record_size": 24,
    }
    pairs = [encode(name) + _typed(name, each) for name, each in metadata.items()]
    return tree + bytes(16) + data + MARKER + control(7, len(pairs)) + b"".join(pairs)


def _typed(name: str, value: Any) -> bytes:
    """The metadata's numbers each have a size of their own."""
    if name == "build_epoch":
        return control(9, 8) + int(value).to_bytes(8, "big")
    if isinstance(value, int) and name != "node_count":
        return control(5, 2) + value.to_bytes(2, "big")
    return encode(value)


def encode(value: Any) -> bytes:
    if isinstance(value, dict):
        pairs = [encode(name) + encode(each) for name, each in value.items()]
        return control(7, len(pairs)) + b"".join(pairs)
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(encode(each) for each in value)
    if isinstance(value, float):
        return control(3, 8) + struct.pack(">d", value)
    if isinstance(value, int):
        raw = value.to_bytes(4, "big").lstrip(b"\0")
        return control(6, len(raw)) + raw
    raw = value.encode()
    return control(2, len(raw)) + bytes(raw)


def control(kind: int, size: int) -> bytes:
    """Kinds above 7 are extended: their number, less 7, stands in a byte of its own."""
    assert size < 285
    first, extended = (kind << 5, b"") if kind <= 7 else (0, bytes([kind - 7]))
    if size < 29:
        return bytes([first | size]) + extended
    return bytes([first | 29]) + extended + bytes([size - 29])
