"""Whether a request was made on this very machine. Pure."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from parparchik.model import Headers

_PASSED_ON = {b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"}


def is_from_here(client: str, headers: Headers) -> bool:
    """`client` is the address of the connection, '' for one that has none (a Unix socket). What a
    proxy on this machine says that it passes on is not from here."""
    if any(name in _PASSED_ON for name, _ in headers):
        return False
    if not client:
        return True
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
