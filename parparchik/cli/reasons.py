"""Why a file route is answered as it is: the registry's, S3's and the responder's own words.

Nothing is decided here: a registry is loaded from the manifests as at start-up, and the responder
that serves requests gives the answer. This file only writes down what each of them said.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from parparchik.access import redact_url
from parparchik.cli.manifests import ReadManifest, read_manifests
from parparchik.config import AuthConfig, Config, RoutesConfig
from parparchik.errors import BadTarget, UpstreamError
from parparchik.model import Answer, Entry, Method, ObjectHead, ObjectStore, Request
from parparchik.registry import Service
from parparchik.rfc import format_iso8601
from parparchik.routes import Namespace, Namespaces, Responder

Line = tuple[str, str]
_Found = ObjectHead | UpstreamError | None


async def find_reasons(
    stores: Sequence[ObjectStore], config: Config, method: Method, target: bytes
) -> list[Line]:
    """Label and text of each step from `target` to its answer, with what S3 says now."""
    lines = [("asked for", f"{method} {target.decode()}")]
    try:
        parsed = Namespaces([store.bucket for store in stores]).parse(target)
    except BadTarget as error:
        return [*lines, ("answer", f"{error.status}, {error}")]
    lines += [("namespace", _of_namespace(parsed.namespace)), ("key", parsed.key or "none")]
    if not parsed.key or parsed.namespace is None:
        return [*lines, ("answer", "404, no file route")]
    service = Service(stores, config.routes)
    manifests = await read_manifests(stores)
    for index, manifest in enumerate(manifests):
        service.registry.load(index, manifest.rows or ())
    registered = service.registry.get(parsed.key)
    found = await _ask_all(stores, parsed.key)
    request = Request(method, target)
    answer = await Responder(service, stores, config.routes, AuthConfig()).ask(request).answer()
    served = service.registry.get(parsed.key) if answer.status == 302 else None
    locked = await Responder(service, stores, config.routes, config.auth).ask(request).answer()
    return [
        *lines,
        *(("manifest", _of_manifest(one, parsed.key)) for one in manifests),
        *(
            ("S3 now", f"{s.bucket.name}: {_of_head(f)}")
            for s, f in zip(stores, found, strict=True)
        ),
        ("chosen", _of_choice(stores, found, registered, served)),
        ("verified", _of_verification(config.routes)),
        ("API key", "needed" if locked.status == 401 else "not needed"),
        ("answer", _of_answer(answer)),
    ]


async def _ask_all(stores: Sequence[ObjectStore], key: str) -> tuple[_Found, ...]:
    found: list[_Found] = [None] * len(stores)

    async def ask(index: int, store: ObjectStore) -> None:
        try:
            found[index] = None if store.bucket.reserves(key) else await store.head(key)
        except UpstreamError as error:
            found[index] = error

    async with trio.open_nursery() as nursery:
        for index, store in enumerate(stores):
            nursery.start_soon(ask, index, store)
    return tuple(found)


def _of_namespace(namespace: Namespace | None) -> str:
    if namespace is None:
        return "none: no bucket of that name"
    if namespace.bucket is None:
        return f"{namespace.name}: all {namespace.kind} buckets"
    return f"{namespace.name}: the {namespace.bucket.type} bucket of that name"


def _of_manifest(manifest: ReadManifest, key: str) -> str:
    name = manifest.bucket.name
    if manifest.problem:
        return f"{name}: cannot be read: {manifest.problem}"
    if manifest.rows is None:
        return f"{name}: none yet"
    has_it = any(one == key for one, _ in manifest.rows)
    return f"{name}: {'has the key' if has_it else 'does not have the key'}"


def _of_head(found: _Found) -> str:
    if isinstance(found, UpstreamError):
        return f"could not tell: {found}"
    if found is None:
        return "not there"
    return f"there, {found.size_bytes} bytes of {format_iso8601(found.last_modified_s)}"


def _of_choice(
    stores: Sequence[ObjectStore],
    found: Sequence[_Found],
    registered: Entry | None,
    served: Entry | None,
) -> str:
    if served is None:
        unsure = any(isinstance(one, UpstreamError) for one in found)
        return "not known: S3 could not tell" if unsure else "no bucket"
    name = served.bucket.name
    if registered is None or registered.bucket.name != name:
        return f"{name}: the first in priority order that has it"
    having = [
        s.bucket.name for s, f in zip(stores, found, strict=True) if isinstance(f, ObjectHead)
    ]
    why = f"{name}: its manifest has it"
    if having and having[0] != name and name in having:
        return f"{why}; {having[0]} has it too and comes first: POST /relocate would move it there"
    return why


def _of_verification(config: RoutesConfig) -> str:
    return {
        "ttl": f"by HEAD, good for {config.verify_ttl_s:g} s (PARPARCHIK_VERIFY=ttl)",
        "always": "by HEAD at each request (PARPARCHIK_VERIFY=always)",
        "never": "not at all where a manifest has it (PARPARCHIK_VERIFY=never)",
    }[config.verify]


def _of_answer(answer: Answer) -> str:
    location = dict(answer.headers).get(b"location")
    told = redact_url(location) if location else answer.body.decode()
    return f"{answer.status} {told}"
