"""Errors on their way from the parent to a worker: by name, and raised there as the same kind."""

from __future__ import annotations

from parparchik.errors import (
    CredentialsRefused,
    Denied,
    NoBucket,
    NoCredentials,
    NotSupported,
    Overloaded,
    PreconditionFailed,
    Unavailable,
    UpstreamError,
    WrongRegion,
)
from parparchik.registry import PersistFailed
from parparchik.server.workers.messages import Failed

_PLAIN: tuple[type[Exception], ...] = (
    *(UpstreamError, Denied, CredentialsRefused, NoBucket),
    *(PreconditionFailed, NotSupported, PersistFailed),
)
_WITH_RETRY = (Unavailable, Overloaded, NoCredentials)
_BY_NAME = {kind.__name__: kind for kind in _PLAIN}
_BY_NAME_WITH_RETRY = {kind.__name__: kind for kind in _WITH_RETRY}


class ParentFailed(Exception):
    """The parent has failed at a request, and has logged how."""


def to_message(id: int, error: Exception) -> Failed | None:  # noqa: A002  as in the message
    """What to answer; None when the error is a crash, which is none of the worker's business."""
    name = type(error).__name__
    match error:
        case Unavailable():
            return Failed(id, name, str(error), retry_after_s=error.retry_after_s)
        case WrongRegion():
            return Failed(id, name, str(error), region=error.region)
        case UpstreamError() | PersistFailed():
            return Failed(id, name, str(error))
    return None


def from_message(failed: Failed) -> Exception:
    """The error that `to_message` was given; of a kind unknown here, the nearest that is known."""
    if kind := _BY_NAME.get(failed.error):
        return kind(failed.message)
    if with_retry := _BY_NAME_WITH_RETRY.get(failed.error):
        return with_retry(failed.message, retry_after_s=failed.retry_after_s)
    if failed.error == WrongRegion.__name__:
        return WrongRegion(failed.message, region=failed.region)
    return ParentFailed(failed.message)
