"""Configurations that hand private files to strangers, or let them write; and how that is pointed
out. Who writes a site into the settings publishes a bucket on purpose: there is nothing to say.
"""

from __future__ import annotations

from ipaddress import ip_address

from parparchik.config.model import Config


def exposed_buckets(config: Config) -> tuple[str, ...]:
    """Private buckets whose files anybody who reaches this server is given: those without an API
    key in the settings and with an address that is not only this machine's."""
    if config.auth.api_keys or _is_loopback(config.server.host):
        return ()
    return tuple(each.bucket.name for each in config.buckets if not each.bucket.public)


def writable_buckets(config: Config) -> tuple[str, ...]:
    """Buckets that anybody who reaches this server may write to, through the object gateway."""
    if config.objects is None or config.auth.api_keys or _is_loopback(config.server.host):
        return ()
    return tuple(name for name, allowed in config.objects.allowed_buckets if allowed != "read")


def writable_banner(config: Config, buckets: tuple[str, ...]) -> tuple[str, ...]:
    """What to tell the operator, in lines."""
    server = config.server
    return (
        f"EVERYBODY WHO REACHES {server.host}:{server.port} CAN WRITE AND DELETE IN THESE BUCKETS:",
        f"    {', '.join(buckets)}",
        "No API key is configured, so the object gateway does what it is told by whoever asks.",
        "Set PARPARCHIK_API_KEYS, or allow `read` alone in PARPARCHIK_OBJECTS_ALLOWED_BUCKETS.",
    )


def is_dedup_open(config: Config) -> bool:
    """Whether anybody who reaches this server may change the dedup store."""
    if config.dedup is None or _is_loopback(config.server.host):
        return False
    return not (config.auth.api_keys and config.dedup.write_needs_key)


def open_dedup_banner(config: Config) -> tuple[str, ...]:
    """What to tell the operator where `is_dedup_open`; nothing where not."""
    dedup, server = config.dedup, config.server
    if dedup is None or not is_dedup_open(config):
        return ()
    return (
        f"EVERYBODY WHO REACHES {server.host}:{server.port} CAN STORE AND DELETE FILES AT"
        f" {dedup.mount}:",
        "No API key is asked for there, as with a filetracker server.",
        "Set PARPARCHIK_API_KEYS (filetracker's client has the key as the password in its URL), or",
        "see to it that only trusted hosts reach this one.",
    )


def exposure_banner(config: Config, buckets: tuple[str, ...]) -> tuple[str, ...]:
    """What to tell the operator, in lines."""
    server = config.server
    return (
        f"EVERYBODY WHO REACHES {server.host}:{server.port} CAN READ THESE PRIVATE BUCKETS:",
        f"    {', '.join(buckets)}",
        "No API key is configured, so presigned URLs are given to whoever asks.",
        "Set PARPARCHIK_API_KEYS, or listen on PARPARCHIK_HOST=127.0.0.1 behind a proxy that",
        "asks who is there.",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
