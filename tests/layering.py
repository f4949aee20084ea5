"""The order of the rooms, and who may use what: read from the source, never from running it.

`complaints` judges one module; `tests/test_layers.py` has it judge them all, and has sources of
every forbidden kind judged too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "parparchik"
ROOT = Path(__file__).parent.parent / PACKAGE

# Each may import only from its left.
ORDER = (
    *("errors", "model", "content", "rfc", "config", "s3", "registry", "routes"),
    *("cache", "delivery", "objects", "site", "dedup", "peers", "metrics", "access", "sinks"),
    *("edge", "web", "server", "cli"),
)
# Rooms whose __init__ is not the only door, and why.
SIDE_DOORS = {
    "cache.disk": "a room in a room, with a door of its own",
    "config.model": "the settings without what reads them",
    "s3.credentials": "a room in a room, with a door of its own",
    "server.workers": "likewise",
}
ANYWHERE = {"msgspec", "outcome", "structlog", "trio"}  # outcome is what trio wakes a task with
OWNERS = {
    "httpx": {"s3", "sinks", "dedup", "peers"},  # dedup: files of another filetracker server
    "httptools": {"s3"},
    "h2": {"server"},  # what Hypercorn speaks HTTP/2 with
    "h11": {"server"},  # what Hypercorn speaks HTTP/1.1 with
    "prometheus_client": {"metrics"},
    "quart": {"web"},
    "quart_trio": {"web"},
    "werkzeug": {"web"},
    "hypercorn": {"server"},
    "brotli": {"delivery"},
    "zstandard": {"delivery"},
    "maxminddb": {"sinks"},
    "pymongo": {"sinks"},
    "sqlite3": {"dedup"},
    "coredis": {"dedup"},
    "click": {"cli"},
    "moto": {"cli"},
    "bench": {"cli"},  # stands right of the rooms: `parparchik bench` is its only door from here
}
# No I/O, no clock, no environment: what these modules say depends on their arguments alone.
PURE = {
    *("errors", "model", "content", "rfc", "config.model"),
    *(
        "cache.types",
        "dedup.types",
        "dedup.versions",
        "dedup.bounds",
        "dedup.order",
        "dedup.compress",
        "dedup.reports",
        "dedup.blobs",
        "dedup.redis_scripts",
        "dedup.redis_files",
        "dedup.redis_cleaning",
        "dedup.redis_integrity",
        "dedup.faults",
        "cache.tiers",
        "cache.lru",
        "cache.freshness",
    ),
    "cache.purge",
    *("peers.messages", "peers.pending"),
    *("cache.disk.format", "cache.disk.forgotten"),
    *("config.sizes", "config.places"),
    *("s3.sigv4", "s3.presign", "s3.xml", "s3.xml_writes", "s3.document", "s3.representation"),
    *("registry.entries", "registry.recency", "registry.manifest", "registry.health"),
    *("registry.progress", "routes.target", "routes.answers", "routes.authorize"),
    *("objects.digests", "objects.storing"),
    *("site.accept", "site.pages", "site.listing", "site.cors"),
    *("access.observation", "access.redact", "access.proxies", "access.rate"),
    *("sinks.measurement", "sinks.influx", "sinks.akumuli"),
    *("delivery.headers", "delivery.plan", "delivery.wishes"),
    *("edge.head", "edge.framing", "edge.limits", "edge.render"),
}
IMPURE = {
    *("asyncio", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib"),
    *("platform", "random", "secrets", "select", "selectors", "shutil", "signal", "socket"),
    *("ssl", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "trio", "uuid"),
}
PURE_ALL_THE_SAME = {
    ("config.model", "pathlib"),  # the type of a setting; nothing is opened
    ("routes.answers", "http"),  # the phrases of statuses
    ("edge.render", "http"),  # likewise
    ("site.pages", "http"),  # likewise
}
CLOCKS = {"now", "today", "utcnow"}
ONLY_CLI = {
    *("os.environ", "os.environb", "os.getenv", "os._exit"),
    *("sys.exit", "sys.argv", "sys.stdout"),
    *("print", "exit", "quit", "input", "SystemExit"),
}
HIDDEN_IMPORTS = {"__import__", "importlib.import_module"}


@dataclass(frozen=True, slots=True)
class Module:
    """`name` is without the package: `s3.pool`; `` and `__main__` are the package's own files."""

    name: str
    source: str
    is_package: bool = False

    @property
    def room(self) -> str:
        room = self.name.partition(".")[0]
        return "cli" if room == "__main__" else room


def modules() -> Iterator[Module]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield Module(name, path.read_text(), is_package)


def packages() -> frozenset[str]:
    return frozenset(module.name for module in modules() if module.is_package)


def complaints(module: Module, known_packages: frozenset[str]) -> Iterator[str]:
    tree = ast.parse(module.source)
    for imported in imports(tree, module):
        yield from judge_import(module, imported, known_packages)
    yield from judge_names(module, tree)
    if is_pure(module.name):
        yield from judge_purity(tree)
    if module.is_package and module.name:
        yield from judge_door(tree)


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import name`; `name` is '' for `import module`."""

    module: str
    name: str = ""

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]


def imports(tree: ast.Module, module: Module) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = f"{PACKAGE}.{module.name}".rstrip(".").split(".")
                here = here[: len(here) - node.level + module.is_package]
                base = ".".join([*here, base]).rstrip(".")
            yield from (Import(base, alias.name) for alias in node.names)


def judge_import(module: Module, imported: Import, known_packages: frozenset[str]) -> Iterator[str]:
    where = module.name
    if imported.name.startswith("_") and imported.name != "__version__":
        yield f"{where} imports {imported.name} of {imported.module}, which is private"
    if imported.library == PACKAGE:
        target = imported.module.removeprefix(PACKAGE).removeprefix(".")
        if f"{target}.{imported.name}".strip(".") in known_packages:
            target = f"{target}.{imported.name}".strip(".")
        yield from judge_rooms(module, target, imported.name, known_packages)
    elif imported.library in OWNERS:
        if module.room not in OWNERS[imported.library]:
            yield f"{where} uses {imported.library}, which belongs to {OWNERS[imported.library]}"
    elif imported.library not in ANYWHERE and not is_stdlib(imported.library):
        yield f"{where} uses {imported.library}, which nobody is known to need"
    impure = imported.library in IMPURE and (where, imported.library) not in PURE_ALL_THE_SAME
    if is_pure(where) and impure:
        yield f"{where} is pure and imports {imported.library}"


def judge_rooms(
    module: Module, target: str, name: str, known_packages: frozenset[str]
) -> Iterator[str]:
    if not target:
        if name != "__version__":
            yield f"{module.name} imports {name or PACKAGE} from the package itself"
        return
    room = target.partition(".")[0]
    if module.room == "" or ORDER.index(room) > ORDER.index(module.room):
        yield f"{module.name} imports {target}, to the right of it"
    if room != module.room and target != room and target not in SIDE_DOORS:
        yield f"{module.name} imports {target} past the door of {room}"
    if is_pure(module.name) and not is_pure(target):
        yield f"{module.name} is pure and imports {target}, which is not"


def judge_names(module: Module, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        used = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
        if used in HIDDEN_IMPORTS:
            yield f"{module.name} imports what nobody can read from its source"
        if used in ONLY_CLI and module.room != "cli":
            yield f"{module.name} uses {used}, which only cli may"


def judge_purity(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef) and not is_protocol_method(tree, node):
            yield f"{node.name} is async in a pure module"
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                yield "a pure module opens files"
            if isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                yield f"a pure module asks the clock: {ast.unparse(called)}"


def is_protocol_method(tree: ast.Module, method: ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(node, ast.ClassDef)
        and method in node.body
        and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
        for node in ast.walk(tree)
    )


def judge_door(tree: ast.Module) -> Iterator[str]:
    """A room's __init__ says what the room is and what it exports, and does nothing."""
    if ast.get_docstring(tree) is None:
        yield "a room's __init__ does not say what the room is"
    exported: list[str] = []
    shown: list[str] = []
    for node in tree.body[1:]:
        if isinstance(node, ast.ImportFrom):
            exported += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            shown += ast.literal_eval(node.value)
        else:
            yield f"a room's __init__ holds logic: {ast.unparse(node)[:60]}"
    if sorted(exported) != sorted(shown):
        yield f"a room's __init__ shows {shown} and imports {exported}"


def is_pure(name: str) -> bool:
    return any(name == pure or name.startswith(f"{pure}.") for pure in PURE)


def is_stdlib(library: str) -> bool:

    return library in sys.stdlib_module_names
