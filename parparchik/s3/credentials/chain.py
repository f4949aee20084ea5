"""The order of the sources, and the rule that the first one which is set up decides.

A source that is set up but fails ends the search. Falling through to the next would sign with
another identity than the operator chose, and would hide the fault behind an "access denied".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import httpx

from parparchik.errors import NoCredentials
from parparchik.rfc import format_iso8601
from parparchik.s3.credentials.container import ContainerSource
from parparchik.s3.credentials.imds import InstanceMetadataSource
from parparchik.s3.credentials.profile import ProfileSource
from parparchik.s3.credentials.source import Found, Source, SourceError, check_sound
from parparchik.s3.credentials.static import EnvironmentSource
from parparchik.s3.credentials.sts import SecurityTokenService
from parparchik.s3.credentials.web_identity import WebIdentitySource
from parparchik.s3.sigv4 import Credentials


def default_chain(
    environ: Mapping[str, str], client: httpx.AsyncClient, sts: SecurityTokenService
) -> tuple[Source, ...]:
    """The sources that AWS's tools ask when nothing is said for a bucket, in their order."""
    chosen = environ.get("AWS_PROFILE")
    return (
        EnvironmentSource(environ),
        profile_source(chosen or "default", environ, client, sts, required=bool(chosen)),
        WebIdentitySource(environ, sts),
        ContainerSource(environ, client),
        InstanceMetadataSource(environ, client),
    )


def profile_source(
    profile: str,
    environ: Mapping[str, str],
    client: httpx.AsyncClient,
    sts: SecurityTokenService,
    *,
    required: bool = True,
) -> ProfileSource:
    """A profile whose roles may be assumed from any of the sources that AWS names for it."""
    return ProfileSource(
        profile,
        environ=environ,
        sts=sts,
        credential_sources={
            "Environment": EnvironmentSource(environ),
            "EcsContainer": ContainerSource(environ, client),
            "Ec2InstanceMetadata": InstanceMetadataSource(environ, client),
        },
        required=required,
    )


async def resolve(sources: Sequence[Source], *, now: Callable[[], float]) -> Found:
    """Ask the sources in order until one has credentials that are sound and still valid.

    Raises NoCredentials with a message that says of each source asked why it has none.
    """
    tried: list[str] = []
    for source in sources:
        try:
            answer = await source.fetch()
            if isinstance(answer, Credentials):
                check_sound(answer)
                _check_valid(answer, now())
                return Found(answer, source)
        except SourceError as error:
            tried.append(f"{source.name}: {error}")
            break
        tried.append(f"{source.name}: {answer.reason}")
    raise NoCredentials("no credentials for S3: " + "; ".join(tried))


def _check_valid(credentials: Credentials, now_s: float) -> None:
    expires_at_s = credentials.expires_at_s
    if expires_at_s is not None and expires_at_s <= now_s:
        raise SourceError(f"the credentials expired at {format_iso8601(int(expires_at_s))}")
