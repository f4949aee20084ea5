"""Reading the files that settings name."""

from __future__ import annotations

from pathlib import Path

from parparchik.errors import ConfigError

_LARGEST_BYTES = 16 << 20  # nobody's settings; a wrong name may well be of a device or an archive


def check_file(path: Path, label: str) -> None:
    """For files of any size that others read. Raises ConfigError as `read_file` does."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ConfigError(f"{label}: {str(path)!a}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise ConfigError(f"{label}: {str(path)!a} is no file name") from None


def read_file(path: Path, label: str) -> bytes:
    """The file's content. Raises ConfigError, which calls the setting that names it `label`."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{label}: {str(path)!a}: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise ConfigError(f"{label}: {str(path)!a} is no file name") from None
    if len(data) > _LARGEST_BYTES:
        raise ConfigError(f"{label}: {str(path)!a}: larger than {_LARGEST_BYTES >> 20} MiB")
    return data
