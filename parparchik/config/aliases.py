"""Names of settings that are not ours first: two for one setting, and estrois's own.

estrois gives the endpoint as `host:port` and says in S3_USE_SSL which scheme is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.config.settings import SETTINGS
from parparchik.config.values import boolean
from parparchik.errors import ConfigError

_KEYS = ("S3_ACCESS_KEY", "S3_SECRET_KEY")
_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE")


def resolve_aliases(environ: Mapping[str, str]) -> tuple[Mapping[str, str], list[str]]:
    """The environment with one name for each setting, and warnings about names that count no
    more. Raises ConfigError."""
    found = {name: value for name, value in environ.items() if value.strip()}
    warnings = [f"{name} is ignored: {why}" for name, why in _losers(found).items()]
    for name in _losers(found):
        del found[name]
    for name, other in (_KEYS, _KEYS[::-1]):
        if name in found and other not in found:
            raise ConfigError(f"{other} is not set, and {name} is: set both")
    return _with_scheme(found, warnings), warnings


def _losers(found: Mapping[str, str]) -> dict[str, str]:
    """Names that another one wins over, and why. Two names that say the same are no conflict.

    A pair of keys counts as a whole: half of one and half of the other are nobody's.
    """
    losers = {
        setting.also: f"{setting.environ} is set"
        for setting in SETTINGS
        if setting.also in found
        and setting.environ in found
        and (setting.parse_also or found[setting.also].strip() != found[setting.environ].strip())
    }
    aws = [name for name in _AWS_KEYS if name in found]
    return losers | {name: f"{aws[0]} is set" for name in _KEYS if aws and name in found}


def _with_scheme(found: dict[str, str], warnings: list[str]) -> Mapping[str, str]:
    raw, endpoint = found.pop("S3_USE_SSL", ""), found.get("S3_ENDPOINT", "").strip()
    if not raw:
        return found
    try:
        is_tls = boolean(raw)
    except ValueError as error:
        raise ConfigError(f"S3_USE_SSL: {error}; got {raw[:60]!a}") from None
    if not endpoint:
        warnings.append("S3_USE_SSL is ignored: S3_ENDPOINT is not set")
    elif "://" not in endpoint:
        found["S3_ENDPOINT"] = f"http{'s' * is_tls}://{endpoint}"
    elif endpoint.lower().startswith("https:") != is_tls:
        warnings.append("S3_USE_SSL is ignored: S3_ENDPOINT has a scheme of its own")
    return found
