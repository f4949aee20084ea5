"""What the operator has settled, and nothing of where it was written.

Idea: one table (`settings`) has a row for every setting: its TOML key, its variable, the parser of
its value, what it means. Reading, errors, did-you-mean and the README's table derive from the
rows; defaults live in the model. `load` is a function of the environment it is handed and the
files that this names: it makes a whole, frozen Config or raises one ConfigError.
"""

from parparchik.config.load import Loaded, load
from parparchik.config.model import (
    AuthConfig,
    BucketConfig,
    CacheConfig,
    Config,
    DedupConfig,
    Endpoint,
    LogConfig,
    ObjectsConfig,
    RoutesConfig,
    S3Config,
    ServerConfig,
    SiteConfig,
    StaticKeys,
)
from parparchik.config.reference import setting_rows, settings_markdown

__all__ = [
    "AuthConfig",
    "BucketConfig",
    "CacheConfig",
    "Config",
    "DedupConfig",
    "Endpoint",
    "Loaded",
    "LogConfig",
    "ObjectsConfig",
    "RoutesConfig",
    "S3Config",
    "ServerConfig",
    "SiteConfig",
    "StaticKeys",
    "load",
    "setting_rows",
    "settings_markdown",
]
