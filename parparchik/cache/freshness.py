"""For how long what S3 said is good, by S3's own word and by a policy. Pure."""

from __future__ import annotations

from typing import NamedTuple

from parparchik.cache.types import Policy
from parparchik.content import Representation
from parparchik.rfc import freshness_lifetime_s, may_be_shared, parse_cache_control


class Lifetime(NamedTuple):
    """`kept`: whether it may be kept at all. The durations follow each other: fresh, then good
    while S3 is asked again, and, from the same moment, good where S3 gives no usable answer."""

    kept: bool
    fresh_s: float
    while_revalidating_s: float
    if_error_s: float


def lifetime(representation: Representation, policy: Policy, confirmed_at_s: float) -> Lifetime:
    """RFC 9111 sections 3, 4.2.1, 4.2.3 and 4.2.4; RFC 5861 where S3 says more than the policy.

    The age that it came with is part of the time that S3 gives it. The policy's time begins when we
    asked: a cache before S3 that keeps things for longer would otherwise be asked every time.
    Nothing is kept of what could not be told from the object that follows it.
    """
    if not representation.recognizable:
        return Lifetime(False, 0.0, 0.0, 0.0)
    said = representation.header("cache-control")
    expires = representation.header("expires")
    if not policy.respect_cache_control or not (said or expires):
        return Lifetime(
            True, policy.ttl_s, policy.stale_while_revalidate_s, policy.stale_if_error_s
        )
    control = parse_cache_control(said)
    # S3's Date is not known here; what it says holds from when it said so.
    fresh_s = freshness_lifetime_s(control, expires, confirmed_at_s - representation.age_s)
    if fresh_s is not None:
        fresh_s = max(0, fresh_s - representation.age_s)
    if control.forbids_stale:
        revalidating_s = if_error_s = 0.0
    else:
        revalidating_s = _either(control.stale_while_revalidate_s, policy.stale_while_revalidate_s)
        if_error_s = _either(control.stale_if_error_s, policy.stale_if_error_s)
    return Lifetime(
        may_be_shared(control), _either(fresh_s, policy.ttl_s), revalidating_s, if_error_s
    )


def _either(said_s: int | None, otherwise_s: float) -> float:
    return otherwise_s if said_s is None else float(said_s)
