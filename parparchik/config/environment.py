"""Names in the environment that bear our prefix and are no settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parparchik.config.settings import SETTINGS
from parparchik.config.suggest import near_miss
from parparchik.errors import ConfigError

_PREFIX = "PARPARCHIK_"
_KNOWN = frozenset(setting.environ for setting in SETTINGS)
_TAILS = tuple(name.removeprefix(_PREFIX) for name in _KNOWN if name.startswith(_PREFIX))
_GUARDS = frozenset(
    setting.environ
    for setting in SETTINGS
    if setting.toml.startswith("auth.") or setting.toml == "objects.allowed_buckets"
)

# What Kubernetes sets for every Service whose name begins with "parparchik":
# https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
_SERVICE_LINK = re.compile(
    r"PARPARCHIK_(?:\w+_)?"
    r"(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)


def strangers(environ: Mapping[str, str]) -> list[str]:
    """A warning for each unknown name of our prefix: other tools may set such names, so they are
    no error.

    Except where a setting was meant that locks: a misspelt PARPARCHIK_API_KEYS would leave every
    door open, so that raises ConfigError.
    """
    warnings = []
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name in _KNOWN:
            continue
        if _SERVICE_LINK.fullmatch(name) or re.match(r"(?:tcp|udp|sctp)://", environ[name]):
            continue
        shown = name[:60] if name.isprintable() else ascii(name[:60])
        tail = near_miss(name.removeprefix(_PREFIX), _TAILS)
        hint = f"; did you mean {_PREFIX}{tail}?" if tail else ""
        if tail and _PREFIX + tail in _GUARDS:
            raise ConfigError(f"{shown} is no setting{hint}")
        warnings.append(f"{shown} is no setting and is ignored{hint}")
    return warnings
