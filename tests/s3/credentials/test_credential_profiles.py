"""Shared files and credential processes: how they are read, and how they fail."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config.model import Endpoint
from parparchik.errors import NoCredentials
from parparchik.s3.credentials import CredentialStores
from parparchik.s3.credentials.process import run_credential_process
from parparchik.s3.credentials.profile_files import parse_config, parse_credentials
from parparchik.s3.credentials.source import SourceError
from parparchik.s3.sigv4 import Credentials

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCY"

# Lines that make up such files, well formed and not.
lines = st.sampled_from(
    [
        "[default]",
        "[profile a]",
        "[profile 'b c']",
        "[profile b c]",
        "[profile]",
        '[profile "open]',
        "[a]",
        "[sso-session s]",
        "[DEFAULT]",
        "aws_access_key_id = AKIA",
        "AWS_Secret_Access_Key=x = y ; z",
        "region: eu-west-1",
        "s3 =",
        "  addressing_style = path",
        "# comment",
        "; comment",
        "",
        "junk",
        "= value",
        "key",
        "[broken",
    ]
)


@given(st.lists(lines, max_size=12).map("\n".join))
def test_files_are_read_as_botocore_reads_them(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
        file.write(text)
        file.flush()
        try:
            raw = botocore.configloader.raw_config_parse(file.name, parse_subsections=False)
        except botocore.exceptions.ConfigParseError:
            raw = None
    if raw is None:
        with pytest.raises(SourceError, match=r"^x cannot be understood, line \d"):
            parse_credentials(text, "x")
        return
    assert parse_credentials(text, "x") == raw
    expected = botocore.configloader.build_profile_map(raw)["profiles"]
    ours = parse_config(text, "x")
    assert set(ours) == set(expected)
    for name in set(ours) - {"default"}:
        assert ours[name] == expected[name]


def environ_with(tmp_path: Path, **files: str) -> dict[str, str]:
    (tmp_path / ".aws").mkdir(exist_ok=True)
    for name, text in files.items():
        (tmp_path / ".aws" / name).write_text(text)
    return {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}


async def failure(environ: dict[str, str], client: httpx.AsyncClient) -> str:
    store = CredentialStores(environ, client).for_endpoint(Endpoint())
    with pytest.raises(NoCredentials) as caught:
        await store.load()
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("sso_account_id=1\nsso_role_name=r", "IAM Identity Center (sso_*) is not supported"),
        ("sso_session=s\nsso_role_name=r", "IAM Identity Center (sso_*) is not supported"),
        ("login_session=arn:aws:iam::1:user/u", "login_session is not supported"),
        (
            "role_arn=r\nsource_profile=default\naws_access_key_id=a\n"
            "aws_secret_access_key=s\nmfa_serial=m",
            "mfa_serial is not supported",
        ),
        (
            "role_arn=r\nsource_profile=default\naws_access_key_id=a\n"
            "aws_secret_access_key=s\naws_session_token=t\n  X-Injected: 1",
            "the session token is empty or holds odd characters",
        ),
        ("role_arn=r", "needs source_profile or credential_source"),
        ("role_arn=r\nsource_profile=base", "source_profile 'base' does not exist"),
        ("role_arn=r\nsource_profile=default", "goes in a circle: default -> default"),
        ("role_arn=r\ncredential_source=Wizard", "not one of Environment, EcsContainer, Ec2Inst"),
        ("role_arn=r\ncredential_source=Environment", "AWS_ACCESS_KEY_ID is not set"),
        ("role_arn=r\nsource_profile=x\nduration_seconds=1h", "not a number of seconds"),
        ("web_identity_token_file=/t", "has web_identity_token_file, but no role_arn"),
        ("role_arn=r\nweb_identity_token_file=/no/t", "the token file /no/t does not exist"),
        ("aws_access_key_id=a", "has aws_access_key_id, but no aws_secret_access_key"),
        ("aws_secret_access_key=s", "it holds neither keys nor a role"),
        ("credential_process='", "not a command line"),
    ],
)
async def test_a_profile_that_cannot_work_says_why(
    settings: str, reason: str, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    environ = environ_with(tmp_path, config=f"[default]\n{settings}\n")
    assert reason in await failure(environ, client)


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\naws_secret_access_key {SECRET}\n",
        f"{SECRET}\n[default]\n",
        f"[default]\naws_secret_access_key={SECRET}\naws_secret_access_key={SECRET}\n",
        f"[{SECRET}]\n[{SECRET}]\n",
    ],
)
async def test_a_file_that_is_no_ini_file_is_named_by_line_and_not_quoted(
    text: str, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    message = await failure(environ_with(tmp_path, credentials=text), client)
    assert f"{tmp_path}/.aws/credentials cannot be understood, line " in message
    assert SECRET not in message


async def test_files_that_cannot_be_read(tmp_path: Path, client: httpx.AsyncClient) -> None:
    environ = environ_with(tmp_path)
    directory = environ | {"AWS_CONFIG_FILE": str(tmp_path)}
    assert f"{tmp_path} cannot be read (Is a directory)" in await failure(directory, client)
    (tmp_path / "latin").write_bytes(b"[default]\nregion=\xe9\n")
    latin = environ | {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "latin")}
    assert "latin is not UTF-8 text" in await failure(latin, client)


async def test_without_a_home_no_file_is_looked_for(
    tmp_path: Path, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all in a directory called ~."""
    (tmp_path / "~" / ".aws").mkdir(parents=True)
    (tmp_path / "~" / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id=A\naws_secret_access_key=s\n"
    )
    monkeypatch.chdir(tmp_path)
    message = await failure({"AWS_EC2_METADATA_DISABLED": "true"}, client)
    assert "profile 'default': not in ~/.aws/credentials and ~/.aws/config" in message


async def test_the_files_may_be_elsewhere(tmp_path: Path, client: httpx.AsyncClient) -> None:
    (tmp_path / "a").write_text("[p]\naws_access_key_id=A\n")
    (tmp_path / "b").write_text("[profile p]\nrole_arn=\naws_secret_access_key=s\n")
    environ = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "p",
        "AWS_SHARED_CREDENTIALS_FILE": "~/a",
        "AWS_CONFIG_FILE": str(tmp_path / "b"),
    }
    assert "but no aws_secret_access_key" in await failure(environ, client)
    (tmp_path / "a").write_text("\ufeff[p]\naws_access_key_id=A\naws_secret_access_key=s\n")
    store = CredentialStores(environ, client).for_endpoint(Endpoint())
    await store.load()
    assert store.current() == Credentials("A", "s")


PRINTS = (
    "import json, os, sys; "
    'print(json.dumps({"Version": 1, "AccessKeyId": sys.argv[1], '
    '"SecretAccessKey": os.environ["IT_SEES"], "SessionToken": "t", '
    '"Expiration": "2099-01-01T00:00:00Z"}))'
)


async def test_a_process_gets_its_arguments_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    command = f"{sys.executable} '{tmp_path}/prints.py' \"a b\" ';rm'"
    found = await run_credential_process(command, {"IT_SEES": "s"})
    assert found == Credentials("a b", "s", "t", 4_070_908_800)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/no/such/program --password {secret}", "program cannot run (No such file or directory)"),
        ("/bin/sh -c 'echo {secret} >&2; exit 3'", "/bin/sh failed with exit status 3"),
        ("/bin/sh -c 'kill -9 $$; echo {secret}'", "/bin/sh failed with exit status -9"),
        ("/bin/echo {secret}", "/bin/echo: it printed something other than the JSON"),
        ('/bin/echo \'{{"Version": 1, "SecretAccessKey": "{secret}"}}\'', "no AccessKeyId"),
        ("", "not a command line"),
    ],
)
async def test_a_process_that_fails_is_named_without_its_arguments_and_output(
    command: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError) as caught:
        await run_credential_process(command.format(secret=SECRET), {})
    assert reason in str(caught.value)
    assert SECRET not in str(caught.value)
    assert capfd.readouterr() == ("", "")


async def test_a_process_that_hangs_is_killed() -> None:
    with pytest.raises(SourceError, match=r"/bin/sleep took over 0\.2 s"):
        await run_credential_process("/bin/sleep 60", {}, limit_s=0.2)
