"""The shared config and credentials files of AWS's tools: sections of settings, by profile.

`config` calls a section `[profile backup]`, `credentials` calls it `[backup]`; `[default]` is the
same in both. Where both speak of one profile, the credentials file wins.

Format: AWS SDKs and Tools Reference Guide, "Shared config and credentials files". botocore reads
it with Python's configparser, and so do we.
"""

from __future__ import annotations

import configparser
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

import trio

from parparchik.s3.credentials.source import SourceError

Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    """What both files say of one profile. Never prints its settings."""

    name: str
    credentials: Settings = field(default_factory=dict, repr=False)
    config: Settings = field(default_factory=dict, repr=False)

    def get(self, setting: str) -> str | None:
        return self.credentials.get(setting, self.config.get(setting))

    @property
    def has_keys(self) -> bool:
        """Whether it holds static keys, or a part of them."""
        return bool(self.get("aws_access_key_id") or self.get("aws_secret_access_key"))


async def read_profiles(environ: Mapping[str, str]) -> Mapping[str, Profile]:
    """Every profile by its name. A file that does not exist is empty.

    Raises SourceError for one that cannot be read or understood.
    """
    credentials = parse_credentials(*await _load(environ, *_CREDENTIALS_FILE))
    config = parse_config(*await _load(environ, *_CONFIG_FILE))
    nothing: Settings = {}
    return {
        name: Profile(name, credentials.get(name, nothing), config.get(name, nothing))
        for name in (*config, *credentials)
    }


def searched(environ: Mapping[str, str]) -> str:
    """The two files' paths, for a message."""
    return " and ".join(_path(environ, *file) for file in (_CREDENTIALS_FILE, _CONFIG_FILE))


def parse_credentials(text: str, path: str) -> Mapping[str, Settings]:
    """Sections by profile name. Raises SourceError, which names `path` and the line."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its message quotes the line, which may be a secret.
        raise SourceError(f"{path} cannot be understood, line {_line(error)}") from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _line(error: configparser.Error) -> int:
    """The first line that a parser stumbled over."""
    line = getattr(error, "lineno", None)  # the attribute is not on all of them
    if line is None and isinstance(error, configparser.ParsingError):
        line = error.errors[0][0]
    return int(line or 0)


def parse_config(text: str, path: str) -> Mapping[str, Settings]:
    """As `parse_credentials`, of `[default]` and `[profile <name>]`; other sections are skipped."""
    profiles: dict[str, Settings] = {}
    for section, settings in parse_credentials(text, path).items():
        if section == "default":
            profiles[section] = settings
            continue
        try:
            words = shlex.split(section)
        except ValueError:
            continue  # quotes without their pair: no name of a profile
        if len(words) == 2 and words[0] == "profile":
            profiles[words[1]] = settings
    return profiles


def expand_home(path: str, environ: Mapping[str, str]) -> str:
    """`~/...` below HOME; any other path as it is."""
    home = environ.get("HOME")
    return f"{home}{path[1:]}" if home and path.startswith("~/") else path


async def read_text(path: str) -> str:
    """A whole small file. Raises SourceError, or FileNotFoundError where that is no fault."""
    try:
        return (await trio.Path(path).read_bytes()).decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SourceError(f"{path} is not UTF-8 text") from None


# The variable that names the file, and where it is without it.
_CREDENTIALS_FILE = ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
_CONFIG_FILE = ("AWS_CONFIG_FILE", "~/.aws/config")


def _path(environ: Mapping[str, str], variable: str, default: str) -> str:
    return expand_home(environ.get(variable) or default, environ)


async def _load(environ: Mapping[str, str], variable: str, default: str) -> tuple[str, str]:
    path = _path(environ, variable, default)
    if path.startswith("~"):
        return "", path  # there is no HOME
    try:
        return await read_text(path), path
    except FileNotFoundError:
        return "", path
