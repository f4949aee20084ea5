"""A profile of the shared files: keys, a process that prints them, or a role to assume.

Which of a profile's settings decides follows botocore: a role with its source, a role by web
identity, keys of the credentials file, a process, keys of the config file. Ways that need a
browser or a person are refused by name rather than passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

from parparchik.s3.credentials.process import run_credential_process
from parparchik.s3.credentials.profile_files import (
    Profile,
    Settings,
    expand_home,
    read_profiles,
    searched,
)
from parparchik.s3.credentials.source import NotConfigured, Source, SourceError
from parparchik.s3.credentials.sts import Role, SecurityTokenService
from parparchik.s3.credentials.web_identity import read_token
from parparchik.s3.sigv4 import Credentials

_SSO = "IAM Identity Center (sso_*) is not supported, for it needs a browser"
_LOGIN = "login_session is not supported, for it needs a browser"
_MFA = "mfa_serial is not supported, for it needs a person"


class ProfileSource:
    """One profile by its name.

    `credential_sources` is what its `credential_source` may name. `required`: somebody asked for
    the profile by name, so that its absence is a fault. Both files are read at every fetch.
    """

    def __init__(
        self,
        profile: str,
        *,
        environ: Mapping[str, str],
        sts: SecurityTokenService,
        credential_sources: Mapping[str, Source],
        required: bool,
    ) -> None:
        self._profile = profile
        self._environ = environ
        self._sts = sts
        self._credential_sources = credential_sources
        self._required = required

    @property
    def name(self) -> str:
        return f"profile {self._profile!r}"

    async def fetch(self) -> Credentials | NotConfigured:
        profiles = await read_profiles(self._environ)
        if self._profile not in profiles:
            reason = f"not in {searched(self._environ)}"
            if self._required:
                raise SourceError(reason)
            return NotConfigured(reason)
        credentials = await self._from_profile(profiles, (self._profile,))
        return credentials or NotConfigured("it holds neither keys nor a role")

    async def _from_profile(
        self, profiles: Mapping[str, Profile], path: tuple[str, ...]
    ) -> Credentials | None:
        """The credentials of the last profile on `path`, which leads there over source_profile."""
        profile = profiles[path[-1]]
        role_arn = profile.get("role_arn")
        token_file = profile.get("web_identity_token_file")
        # A source that has keys beside a role is asked for its keys.
        if role_arn and not token_file and (len(path) == 1 or not profile.has_keys):
            role = _role(profile, role_arn)
            source = await self._source_of(profiles, path)
            return await self._sts.assume_role(role, source, region=profile.get("region"))
        if token_file:
            if not role_arn:
                raise SourceError(f"{profile.name!r} has web_identity_token_file, but no role_arn")
            token = await read_token(expand_home(token_file, self._environ))
            return await self._sts.assume_role_with_web_identity(
                _role(profile, role_arn), token, region=profile.get("region")
            )
        if profile.get("sso_account_id") or profile.get("sso_role_name"):
            raise SourceError(_SSO)
        if keys := _keys(profile.credentials):
            return keys
        if profile.get("login_session"):
            raise SourceError(_LOGIN)
        if command := profile.get("credential_process"):
            return await run_credential_process(command, self._environ)
        return _keys(profile.config)

    async def _source_of(
        self, profiles: Mapping[str, Profile], path: tuple[str, ...]
    ) -> Credentials:
        """Who assumes the role of the last profile on `path`."""
        profile = profiles[path[-1]]
        source_profile = profile.get("source_profile")
        credential_source = profile.get("credential_source")
        if credential_source and not source_profile:
            return await self._named_source(credential_source)
        if not source_profile or credential_source:
            raise SourceError(
                f"{profile.name!r} has role_arn, and needs source_profile or credential_source "
                "beside it: one of them, not both"
            )
        if source_profile not in profiles:
            raise SourceError(f"source_profile {source_profile!r} does not exist")
        # A profile may be its own source, when it has keys too.
        own_keys = source_profile == profile.name and profile.has_keys
        if source_profile in path and not own_keys:
            raise SourceError(
                f"source_profile goes in a circle: {' -> '.join((*path, source_profile))}"
            )
        credentials = await self._from_profile(profiles, (*path, source_profile))
        if credentials is None:
            raise SourceError(f"source_profile {source_profile!r} holds neither keys nor a role")
        return credentials

    async def _named_source(self, credential_source: str) -> Credentials:
        source = self._credential_sources.get(credential_source)
        if source is None:
            known = ", ".join(self._credential_sources)
            raise SourceError(f"credential_source {credential_source!r} is not one of {known}")
        try:
            answer = await source.fetch()
        except SourceError as error:
            raise SourceError(f"credential_source {credential_source}: {error}") from None
        if isinstance(answer, NotConfigured):
            raise SourceError(f"credential_source {credential_source}: {answer.reason}")
        return answer


def _keys(settings: Settings) -> Credentials | None:
    """Static keys, as one of the two files has them."""
    access_key_id = settings.get("aws_access_key_id")
    if not access_key_id:
        return None
    secret_access_key = settings.get("aws_secret_access_key")
    if not secret_access_key:
        raise SourceError("it has aws_access_key_id, but no aws_secret_access_key")
    return Credentials(access_key_id, secret_access_key, settings.get("aws_session_token") or None)


def _role(profile: Profile, arn: str) -> Role:
    if profile.get("mfa_serial"):
        raise SourceError(_MFA)
    duration_s = profile.get("duration_seconds")
    if duration_s and not duration_s.isdecimal():
        raise SourceError("duration_seconds is not a number of seconds")
    return Role(
        arn,
        session_name=profile.get("role_session_name") or None,
        external_id=profile.get("external_id") or None,
        duration_s=int(duration_s) if duration_s else None,
    )
