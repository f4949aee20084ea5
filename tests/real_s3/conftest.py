"""One RADOS Gateway for all tests that need a real S3 server.

Where Ceph is not installed these tests are skipped, by name; with PARPARCHIK_REQUIRE_RGW=1 that
skip is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.plain_http import NO_TLS
from tests.real_s3.gateway import missing_programs
from tests.real_s3.rgw import Rgw, running_rgw


@pytest.fixture(scope="session")
def rgw() -> Iterator[Rgw]:
    missing = missing_programs()
    if missing:
        reason = (
            f"needs {', '.join(missing)}: apt install --no-install-recommends "
            "radosgw ceph-mon ceph-osd ceph-common"
        )
        if os.environ.get("PARPARCHIK_REQUIRE_RGW") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with running_rgw() as running:
        yield running


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """httpx on its own transport: adds nothing, follows nothing, retries nothing."""
    with httpx.Client(timeout=20, verify=NO_TLS) as client:
        yield client
