"""Web identity: a token that the platform mounts and renews, traded for a role's credentials.

Kubernetes does this on EKS ("IAM roles for service accounts"): it sets AWS_WEB_IDENTITY_TOKEN_FILE
and AWS_ROLE_ARN, and replaces the file long before the token in it ends. So the file is read anew
for every request.
"""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.s3.credentials.profile_files import expand_home, read_text
from parparchik.s3.credentials.source import NotConfigured, SourceError
from parparchik.s3.credentials.sts import Role, SecurityTokenService
from parparchik.s3.sigv4 import Credentials


class WebIdentitySource:
    """AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, with AWS_ROLE_SESSION_NAME where it is set."""

    name = "web identity"

    def __init__(self, environ: Mapping[str, str], sts: SecurityTokenService) -> None:
        self._environ = environ
        self._sts = sts

    async def fetch(self) -> Credentials | NotConfigured:
        path = self._environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        if not path:
            return NotConfigured("AWS_WEB_IDENTITY_TOKEN_FILE is not set")
        arn = self._environ.get("AWS_ROLE_ARN")
        if not arn:
            raise SourceError("AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not")
        role = Role(arn, session_name=self._environ.get("AWS_ROLE_SESSION_NAME") or None)
        token = await read_token(expand_home(path, self._environ))
        return await self._sts.assume_role_with_web_identity(role, token)


async def read_token(path: str) -> str:
    """The token in a file, without white space around it. Raises SourceError."""
    try:
        token = (await read_text(path)).strip()
    except FileNotFoundError:
        raise SourceError(f"the token file {path} does not exist") from None
    if not token:
        raise SourceError(f"the token file {path} is empty")
    return token
