"""What a test needs of a running gateway: where it is, whom it knows, and buckets to play with.

Buckets are made and filled by boto3, not by the code under test.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from parparchik.s3.sigv4 import Credentials
from tests.real_s3.gateway import Gateway, running_gateway

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    access_key_id: str
    secret_access_key: str

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.access_key_id, self.secret_access_key)


OWNER = User("owner", "OWNERACCESSKEY000001", "ownersecretownersecretownersecretowner01")
GUEST = User("guest", "GUESTACCESSKEY000001", "guestsecretguestsecretguestsecretguest01")


@dataclass(frozen=True, slots=True)
class Rgw:
    """A gateway with two users. Every bucket belongs to `owner`; `guest` may do in it what
    `allow` has granted, and nothing else."""

    gateway: Gateway
    region: str = "us-east-1"
    owner: User = field(default=OWNER)
    guest: User = field(default=GUEST)

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:port`; buckets are addressed by path."""
        return self.gateway.endpoint

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """The owner's boto3 client."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.owner.access_key_id,
            aws_secret_access_key=self.owner.secret_access_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
            ),
        )
        try:
            yield client
        finally:
            client.close()

    def create_bucket(self, objects: dict[str, bytes] | None = None) -> str:
        """A new bucket with these objects in it; its name has not been used before."""
        name = f"bucket-{next(_NUMBERS)}"
        with self.client() as client:
            client.create_bucket(Bucket=name)
            for key, data in (objects or {}).items():
                client.put_object(Bucket=name, Key=key, Body=data)
        return name

    def create_public_bucket(self, objects: dict[str, bytes] | None = None) -> str:
        """A new bucket whose objects anybody may read, without credentials, but not list."""
        name = self.create_bucket(objects)
        self._set_policy(name, "*", ("s3:GetObject",))
        return name

    def allow(self, bucket: str, *actions: str) -> None:
        """Grants `guest` exactly these actions: without `s3:ListBucket`, S3 answers 403 for a
        key that does not exist."""
        self._set_policy(bucket, {"AWS": [f"arn:aws:iam:::user/{self.guest.name}"]}, actions)

    def _set_policy(
        self, bucket: str, principal: str | dict[str, list[str]], actions: tuple[str, ...]
    ) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": principal,
            "Action": list(actions),
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        with self.client() as client:
            client.put_bucket_policy(Bucket=bucket, Policy=policy)


@contextlib.contextmanager
def running_rgw() -> Iterator[Rgw]:
    """A gateway of one's own, for tests that take it down."""
    with running_gateway() as gateway:
        rgw = Rgw(gateway)
        for user in (rgw.owner, rgw.guest):
            gateway.create_user(user.name, user.access_key_id, user.secret_access_key)
        yield rgw
