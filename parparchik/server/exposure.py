"""The one configuration that hands private files to strangers, and how it is pointed out."""

from __future__ import annotations

from ipaddress import ip_address

from parparchik.config.model import Config


def exposed_buckets(config: Config) -> tuple[str, ...]:
    """Private buckets whose files anybody who reaches this server is given: those without an API
    key in the settings and with an address that is not only this machine's."""
    if config.auth.api_keys or _is_loopback(config.server.host):
        return ()
    return tuple(each.bucket.name for each in config.buckets if not each.bucket.public)


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
