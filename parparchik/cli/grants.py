"""What to grant: the IAM statement that lets a bucket work, whatever of it is missing now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from parparchik.model import Bucket


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource, an ARN."""

    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


def list_bucket(bucket: Bucket) -> Grant:
    return Grant("s3:ListBucket", f"arn:aws:s3:::{bucket.name}")


def read_objects(bucket: Bucket) -> Grant:
    return Grant("s3:GetObject", f"arn:aws:s3:::{bucket.name}/*")


def write_manifest(bucket: Bucket) -> Grant:
    """The manifest and what is kept beside it (see `Bucket.reserves`)."""
    folder, slash, _ = bucket.manifest_key.rpartition("/")
    beside = f"{folder}/*" if slash else f"{bucket.manifest_key}*"
    return Grant("s3:PutObject", f"arn:aws:s3:::{bucket.name}/{beside}")


def policy(grants: Iterable[Grant]) -> str:
    """An IAM policy document that gives them, a statement for each."""
    statements = [
        {"Effect": "Allow", "Action": one.action, "Resource": one.resource}
        for one in sorted(set(grants))
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
