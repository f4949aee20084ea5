"""What stops a build."""

from __future__ import annotations


class BuildFailed(Exception):
    """The archive cannot be made as promised; the message says what to change."""
