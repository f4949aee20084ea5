"""What to grant: the permissions that a bucket needs, as the documents that give them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from parparchik.model import Bucket


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource, an ARN: to the credentials in use, or to `anyone` at all."""

    action: str
    resource: str
    anyone: bool = False


def list_bucket(bucket: Bucket) -> Grant:
    return Grant("s3:ListBucket", f"arn:aws:s3:::{bucket.name}")


def read_objects(bucket: Bucket, prefix: str = "", *, anyone: bool = False) -> Grant:
    return Grant("s3:GetObject", f"arn:aws:s3:::{bucket.name}/{prefix}*", anyone)


def write_manifest(bucket: Bucket) -> Grant:
    """The manifest and what is kept beside it (see `Bucket.reserves`)."""
    folder, slash, _ = bucket.manifest_key.rpartition("/")
    beside = f"{folder}/*" if slash else f"{bucket.manifest_key}*"
    return Grant("s3:PutObject", f"arn:aws:s3:::{bucket.name}/{beside}")


def write_objects(bucket: Bucket, prefix: str = "") -> Grant:
    return Grant("s3:PutObject", f"arn:aws:s3:::{bucket.name}/{prefix}*")


def delete_objects(bucket: Bucket, prefix: str = "") -> Grant:
    return Grant("s3:DeleteObject", f"arn:aws:s3:::{bucket.name}/{prefix}*")


def policies(grants: Iterable[Grant]) -> list[tuple[str, str]]:
    """Where to put each document, and the document: one policy for the credentials in use, and a
    bucket policy for each bucket that anyone may read."""
    ours = sorted({grant for grant in grants if not grant.anyone})
    found = [("the credentials, as an IAM policy", _document(ours))] if ours else []
    for grant in sorted({grant for grant in grants if grant.anyone}):
        bucket = grant.resource.removeprefix("arn:aws:s3:::").partition("/")[0]
        found.append((f"everyone, as the policy of bucket {bucket}", _document([grant])))
    return found


def _document(grants: Iterable[Grant]) -> str:
    statements = [
        {
            "Effect": "Allow",
            **({"Principal": "*"} if grant.anyone else {}),
            "Action": grant.action,
            "Resource": grant.resource,
        }
        for grant in grants
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
