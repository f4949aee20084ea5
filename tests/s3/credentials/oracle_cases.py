"""What is set up, and which keys must come of it: the table that botocore and we are held to."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.s3.credentials.endpoint_server import (
    Canned,
    EndpointServer,
    assume_role_xml,
    keys_json,
    sts_error_xml,
)

Play = Callable[[EndpointServer], None]
Keys = tuple[str, str, str | None]
LATER_S = int(time.time()) + 7200


def one(name: str, indent: str = "") -> str:
    return f"aws_access_key_id={name}\n{indent}aws_secret_access_key={name}-secret-value\n"


def keys_of(name: str) -> Keys:
    return (name, f"{name}-secret-value", None)


def issued(name: str) -> Keys:
    return (f"ASIA{name.upper()}", f"{name}-secret-value", f"{name}-session-token")


def roles(*names: str, action: str = "AssumeRole") -> Play:
    """STS grants one after the other."""

    def play(endpoint: EndpointServer) -> None:
        endpoint.on(
            "POST",
            "/",
            *(
                Canned(body=assume_role_xml(name, expires_at_s=LATER_S, action=action))
                for name in names
            ),
        )

    return play


def instance(endpoint: EndpointServer) -> None:
    endpoint.play_instance(keys_json("instance", expires_at_s=LATER_S))


def container(endpoint: EndpointServer) -> None:
    endpoint.on("GET", "/keys", Canned(body=keys_json("container", expires_at_s=LATER_S)))


def each(*plays: Play) -> Play:
    def play(endpoint: EndpointServer) -> None:
        for one_of_them in plays:
            one_of_them(endpoint)

    return play


def everything(endpoint: EndpointServer) -> None:
    instance(endpoint)
    container(endpoint)
    roles("web", action="AssumeRoleWithWebIdentity")(endpoint)


def printing(json_text: str) -> str:
    return f"credential_process=/bin/echo '{json_text}'\n"


PROCESS = printing(
    '{"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "PROCESS-secret-value"}'
)
ENV_KEYS = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "ENV-secret-value"}
CONTAINER = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{url}/keys"}
WEB = {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token", "AWS_ROLE_ARN": "arn:aws:iam::1:role/web"}
ROLE = "role_arn=arn:aws:iam::1:role/reader\n"


@dataclass(frozen=True)
class Case:
    """`expected` None: neither finds any. {url} and {home} in texts are filled in."""

    expected: Keys | None
    environ: Mapping[str, str] = field(default_factory=dict)
    config: str | None = None
    credentials: str | None = None
    play: Play = lambda _: None


CASES: Mapping[str, Case] = {
    "nothing": Case(None),
    "environment": Case(keys_of("ENV"), ENV_KEYS),
    "environment with a token": Case(
        ("ENV", "ENV-secret-value", "t"), ENV_KEYS | {"AWS_SESSION_TOKEN": "t"}
    ),
    "environment, half": Case(
        None, {"AWS_ACCESS_KEY_ID": "ENV"}, credentials=f"[default]\n{one('FILE')}"
    ),
    "environment beats all": Case(
        keys_of("ENV"),
        ENV_KEYS | CONTAINER | WEB | {"AWS_PROFILE": "p"},
        credentials=f"[p]\n{one('FILE')}",
        play=everything,
    ),
    "credentials file": Case(keys_of("FILE"), credentials=f"[default]\n{one('FILE')}"),
    "credentials file with a token": Case(
        ("FILE", "FILE-secret-value", "t"),
        credentials=f"[default]\n{one('FILE')}aws_session_token = t\n",
    ),
    "config file": Case(keys_of("FILE"), config=f"[default]\n{one('FILE')}"),
    "credentials file beats config file": Case(
        keys_of("B"), config=f"[default]\n{one('A')}", credentials=f"[default]\n{one('B')}"
    ),
    "half in each file": Case(
        None,
        config="[default]\naws_secret_access_key=s",
        credentials="[default]\naws_access_key_id=a",
    ),
    "a named profile of config": Case(
        keys_of("P"), {"AWS_PROFILE": "p"}, config=f"[default]\n{one('D')}[profile p]\n{one('P')}"
    ),
    "a named profile of credentials": Case(
        keys_of("P"), {"AWS_PROFILE": "p"}, credentials=f"[default]\n{one('D')}[p]\n{one('P')}"
    ),
    "a profile with a space": Case(
        keys_of("P"), {"AWS_PROFILE": "a b"}, config=f'[profile "a b"]\n{one("P")}'
    ),
    "a profile that is missing": Case(
        None, {"AWS_PROFILE": "p"} | CONTAINER, credentials=f"[default]\n{one('D')}", play=container
    ),
    "a section of config that is no profile": Case(
        None, {"AWS_PROFILE": "p"}, config=f"[p]\n{one('P')}"
    ),
    "indented subsections": Case(
        keys_of("P"), config=f"[default]\ns3 =\n  addressing_style = path\n{one('P')}"
    ),
    "comments and blanks": Case(
        keys_of("P"), config=f"# a\n\n[default]\n; b\nregion : eu-west-1\n{one('P')}"
    ),
    "a profile without keys goes on": Case(
        issued("container"), CONTAINER, config="[default]\nregion=eu-west-1\n", play=container
    ),
    "half of the keys": Case(None, CONTAINER, credentials="[default]\naws_access_key_id=a\n"),
    "a junk line": Case(None, credentials="[default]\njunk\n"),
    "a line before any section": Case(None, credentials=one("A")),
    "one key twice": Case(None, credentials=f"[default]\n{one('A')}{one('B')}"),
    "process": Case(keys_of("PROCESS"), config=f"[default]\n{PROCESS}"),
    "process with a token and an end": Case(
        ("P", "s", "t"),
        config="[default]\n"
        + printing(
            '{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "s", "SessionToken": "t",'
            ' "Expiration": "2099-01-01T02:00:00+02:00"}'
        ),
    ),
    "process of another version": Case(
        None,
        config="[default]\n"
        + printing('{"Version": 2, "AccessKeyId": "P", "SecretAccessKey": "s"}'),
    ),
    "process that lacks the secret": Case(
        None, config="[default]\n" + printing('{"Version": 1, "AccessKeyId": "P"}')
    ),
    "process that prints junk": Case(None, config="[default]\n" + printing("{")),
    "process that fails": Case(None, config="[default]\ncredential_process=/bin/false\n"),
    "process beats keys of config": Case(
        keys_of("PROCESS"), config=f"[default]\n{PROCESS}{one('FILE')}"
    ),
    "keys of credentials beat process": Case(
        keys_of("FILE"), config=f"[default]\n{PROCESS}", credentials=f"[default]\n{one('FILE')}"
    ),
    "role of a source profile": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=base\nexternal_id=an id\nduration_seconds=900\n"
        f"role_session_name=here\nregion=eu-west-1\n[profile base]\n{one('BASE')}",
        play=roles("role"),
    ),
    "role of a source in the other file": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=base\n",
        credentials=f"[base]\n{one('BASE')}",
        play=roles("role"),
    ),
    "a role in both files": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=base\n[profile base]\n{one('BASE')}",
        credentials="[default]\nrole_arn=arn:aws:iam::1:role/other\n",
        play=roles("role"),
    ),
    "role of a source with a process": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=base\n[profile base]\n{PROCESS}",
        play=roles("role"),
    ),
    "role of a role": Case(
        issued("outer"),
        config=f"[default]\n{ROLE}source_profile=mid\n"
        f"[profile mid]\nrole_arn=arn:aws:iam::1:role/mid\nsource_profile=base\n"
        f"[profile base]\n{one('BASE')}",
        play=roles("inner", "outer"),
    ),
    "role beats keys beside it": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=base\n{one('OWN')}[profile base]\n{one('BASE')}",
        play=roles("role"),
    ),
    "a source with keys and a role gives its keys": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=mid\n"
        f"[profile mid]\nrole_arn=arn:aws:iam::1:role/mid\nsource_profile=base\n{one('MID')}"
        f"[profile base]\n{one('BASE')}",
        play=roles("role"),
    ),
    "a role that is its own source": Case(
        issued("role"),
        config=f"[default]\n{ROLE}source_profile=default\n{one('OWN')}",
        play=roles("role"),
    ),
    "a role that is its own source without keys": Case(
        None, config=f"[default]\n{ROLE}source_profile=default\n", play=roles("role")
    ),
    "a circle": Case(
        None,
        config=f"[default]\n{ROLE}source_profile=mid\n"
        f"[profile mid]\n{ROLE}source_profile=default\n",
        play=roles("role"),
    ),
    "a source that is missing": Case(
        None, config=f"[default]\n{ROLE}source_profile=base\n", play=roles("role")
    ),
    "a source without keys": Case(
        None,
        config=f"[default]\n{ROLE}source_profile=base\n[profile base]\nregion=a\n",
        play=roles("role"),
    ),
    "a role without a source": Case(None, config=f"[default]\n{ROLE}", play=roles("role")),
    "a role with two sources": Case(
        None,
        config=f"[default]\n{ROLE}source_profile=base\ncredential_source=EcsContainer\n"
        f"[profile base]\n{one('BASE')}",
        play=roles("role"),
    ),
    "a role from the container": Case(
        issued("role"),
        CONTAINER,
        config=f"[default]\n{ROLE}credential_source=EcsContainer\n",
        play=each(container, roles("role")),
    ),
    "a role from the instance": Case(
        issued("role"),
        config=f"[default]\n{ROLE}credential_source=Ec2InstanceMetadata\n",
        play=each(instance, roles("role")),
    ),
    "a role from what is not set up": Case(
        None, config=f"[default]\n{ROLE}credential_source=EcsContainer\n", play=roles("role")
    ),
    "a role from an unknown source": Case(
        None, config=f"[default]\n{ROLE}credential_source=Wizard\n", play=roles("role")
    ),
    "a role that is denied": Case(
        None,
        config=f"[default]\n{ROLE}source_profile=base\n[profile base]\n{one('BASE')}",
        play=lambda endpoint: endpoint.on(
            "POST", "/", Canned(403, sts_error_xml("AccessDenied", "no"))
        ),
    ),
    "web identity of a profile": Case(
        issued("web"),
        config=f"[default]\n{ROLE}web_identity_token_file={{home}}/token\nrole_session_name=site\n",
        play=everything,
    ),
    "web identity of a profile, without a role": Case(
        None, config="[default]\nweb_identity_token_file={home}/token\n", play=everything
    ),
    "web identity of a profile beats its keys": Case(
        issued("web"),
        config=f"[default]\n{ROLE}web_identity_token_file={{home}}/token\n",
        credentials=f"[default]\n{one('FILE')}",
        play=everything,
    ),
    "web identity": Case(
        issued("web"), WEB | CONTAINER | {"AWS_ROLE_SESSION_NAME": "pod"}, play=everything
    ),
    "web identity without a role": Case(
        None, {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/token"}, play=everything
    ),
    "web identity without its file": Case(
        None, WEB | {"AWS_WEB_IDENTITY_TOKEN_FILE": "{home}/gone"}, play=everything
    ),
    "identity center": Case(
        None,
        config="[default]\nsso_account_id=1\nsso_role_name=r\nsso_region=eu-west-1\n"
        f"sso_start_url=http://127.0.0.1:9/\n{one('FILE')}",
        play=instance,
    ),
    "container": Case(issued("container"), CONTAINER, play=everything),
    "container on a strange host": Case(
        None, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/keys"}, play=everything
    ),
    "instance": Case(issued("instance"), play=everything),
    "instance turned off": Case(None, {"AWS_EC2_METADATA_DISABLED": "true"}, play=everything),
    "instance without a role": Case(
        None, play=lambda endpoint: endpoint.on("PUT", "/latest/api/token", Canned(body=b"t"))
    ),
    "instance with junk": Case(None, play=lambda endpoint: endpoint.play_instance(b"{")),
    "instance with half": Case(
        None,
        play=lambda endpoint: endpoint.play_instance(
            keys_json("instance", expires_at_s=LATER_S, SecretAccessKey=None)
        ),
    ),
}
