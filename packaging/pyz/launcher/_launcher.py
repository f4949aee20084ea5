"""What `python3 parparchik.pyz` runs first, on whatever Python that is.

Written for the oldest python3 that an operator may type, so that it can say what is needed.
"""

import importlib.machinery
import sys
import zipfile


def main() -> None:
    with zipfile.ZipFile(sys.argv[0]) as archive:
        extensions = [name for name in archive.namelist() if name.endswith(".so")]
    own = importlib.machinery.EXTENSION_SUFFIXES[0]
    if extensions and not any(name.endswith(own) for name in extensions):
        sys.stderr.write(
            "parparchik: needs CPython 3.11 to 3.14 on Linux, x86-64 or arm64; "
            f"{sys.executable} loads only *{own}\n"
        )
        sys.exit(2)
    from _unpack import start  # type: ignore[import-not-found]

    start()
