"""The rules of the house, read off the source: who imports whom, what is documented."""

import ast
import enum
import inspect
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nxcdr_async

PACKAGE = Path(nxcdr_async.__file__).parent
NAME = "nxcdr_async"
FLOORS = {
    **dict.fromkeys(["_version", "_util", "errors", "windows", "lateness", "stats", "config"], 0),
    "records": 1,
    **dict.fromkeys(["protocol", "limits", "pydantic"], 2),
    **dict.fromkeys(["telemetry", "transport"], 3),
    "prometheus": 4,
    "paging": 4,
    "sources": 5,
    "session": 6,
    "sinks": 7,
    **dict.fromkeys(["ingest", "webhook", "testing"], 8),
    "cli": 9,
    **dict.fromkeys(["__init__", "__main__"], 10),
}
PURE_FLOORS = (
    *("_util", "records", "protocol", "limits", "config", "errors", "stats", "windows", "lateness", "pydantic"),
)
"""All in them is pure, but for what `THAT_WAIT` names."""

THAT_WAIT = {
    *("_util/clocks", "_util/late_imports", "_util/tasks"),
    *("limits/budget", "limits/limiter"),
}
"""What waits, for a thread too, asks a clock or holds an event loop on these floors."""

PURE_ABOVE = {
    "ingest/gaps",
    "ingest/ranges",
    "ingest/report",
    "ingest/schedule",
    "ingest/segmenter",
    "ingest/sync_watch",
    "ingest/totals",
    "sinks/extra_keys",
    "sinks/folder/placement",
    "sinks/folder/table_ledger",
    "sinks/ledger",
    "sinks/matching",
    "sinks/merge",
    "sinks/postgresql/known_ledger",
    "sinks/postgresql/rows",
    "sinks/postgresql/tables",
    "sinks/protocol",
    "sinks/sql",
    "sinks/values",
}
"""The rules of what stores; all else there asks, waits or stores."""

UNKNOWN_TO_SINKS = {"limits", "paging", "protocol", "session", "sources", "telemetry", "transport"}
"""A sink knows records, and nobody who asks for them."""

UNKNOWN_TO_INGEST = {"cli", "testing", "webhook"}
IMPURE_MODULES = {"asyncio", "anyio", "aiohttp", "socket", "time", "random", "logging", "os", "threading"}
MAY_IMPORT_AIOHTTP = {"session", "testing", "transport", "webhook"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """Return the part of the package a module belongs to: its own name, or that of its folder."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Yield every module that is imported anywhere in a file, as a dotted name."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module == NAME:
                yield from (f"{NAME}.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def parts_imported_by(path: Path) -> set[str]:
    names = (name.split(".") for name in imports_of(path))
    found = {parts[1] if len(parts) > 1 else NAME for parts in names if parts[0] == NAME}
    # `from nxcdr_async import CdrSession`: the front door, which stands above the session.
    known = {part_of(module) for module in MODULES}
    return {part if part in known else "__init__" for part in found}


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_a_part_imports_only_from_its_own_floor_and_those_below(path: Path) -> None:
    part = part_of(path)
    too_high = {other for other in parts_imported_by(path) if FLOORS[other] > FLOORS[part]}
    assert not too_high, f"{part} (floor {FLOORS[part]}) imports {too_high}"


def test_every_part_stands_on_a_floor() -> None:
    assert {part_of(path) for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_aiohttp_is_imported_by_few(path: Path) -> None:
    if part_of(path) not in MAY_IMPORT_AIOHTTP and name_of(path) != "cli/monitoring":
        assert not [name for name in imports_of(path) if name.split(".")[0] in {"aiohttp", "yarl"}]


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_only_one_module_knows_opentelemetry_and_of_it_the_api_alone(path: Path) -> None:
    known = {name for name in imports_of(path) if name.split(".")[0] == "opentelemetry"}
    api = {"opentelemetry", "opentelemetry.context", "opentelemetry.metrics", "opentelemetry.trace"}
    assert known <= (api if ids(path) == str(Path("telemetry", "otel.py")) else set())


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_only_one_module_knows_prometheus(path: Path) -> None:
    known = {name for name in imports_of(path) if name.split(".")[0] == "prometheus_client"}
    assert not known or name_of(path) == "telemetry/prometheus"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_only_one_module_knows_pydantic(path: Path) -> None:
    known = {name for name in imports_of(path) if name.split(".")[0] in {"pydantic", "pydantic_core"}}
    assert not known or ids(path) == "pydantic.py"


def test_the_session_knows_aiohttp_as_the_type_of_a_parameter_only() -> None:
    tree = tree_of(PACKAGE / "session.py")
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "aiohttp"]


def test_aiohttp_and_the_extras_are_not_imported_with_the_package() -> None:
    slow = "{'aiohttp', 'typer', 'rich', 'duckdb', 'pyarrow', 'psycopg', 'filelock', 'prometheus_client', "
    slow += "'opentelemetry', 'pandas', 'polars', 'pydantic', 'pydantic_core'}"
    code = f"import sys; bare = set(sys.modules); import nxcdr_async; print({slow} & (set(sys.modules) - bare))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_the_webhook_knows_aiohttp_in_one_module_which_comes_with_the_first_request() -> None:
    webhook = PACKAGE / "webhook"
    knowing = {path.name for path in webhook.glob("*.py") if "aiohttp" in set(imports_of(path))}
    assert knowing == {"aiohttp_web.py", "app.py"}
    code = "import sys; from nxcdr_async.webhook.app import call_push_app; call_push_app(print, token='t'); "
    code += "print('aiohttp' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def is_pure(path: Path) -> bool:
    """Return whether a module is to be pure, or says of itself that it is."""
    says_so = (ast.get_docstring(tree_of(path)) or "").partition("\n")[0].endswith(" Pure.")
    return says_so or name_of(path) in PURE_ABOVE or (part_of(path) in PURE_FLOORS and name_of(path) not in THAT_WAIT)


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=ids)
def test_a_pure_module_knows_no_loop_no_clock_and_no_chance(path: Path) -> None:
    assert not IMPURE_MODULES & {name.split(".")[0] for name in imports_of(path)}
    waits = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]
    assert not waits
    now = [
        node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow"}
    ]
    assert not now


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) != "testing"], ids=ids)
def test_how_long_something_takes_goes_by_the_clock_that_nobody_stops(path: Path) -> None:
    asked = {node.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
    stopped_by_tests = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    assert name_of(path) == "_util/clocks" or not asked & stopped_by_tests


def test_every_exception_is_of_a_module_that_is_there() -> None:
    assert {name_of(path) for path in MODULES} >= THAT_WAIT | PURE_ABOVE


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) == "ingest"], ids=ids)
def test_ingest_knows_neither_the_command_line_nor_the_emulator(path: Path) -> None:
    assert not parts_imported_by(path) & UNKNOWN_TO_INGEST


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) == "sinks"], ids=ids)
def test_a_sink_knows_nobody_who_asks(path: Path) -> None:
    assert not parts_imported_by(path) & UNKNOWN_TO_SINKS


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_the_paginator_has_the_only_unstructured_task(path: Path) -> None:
    made = {
        name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute | ast.Name)
        and (name := node.attr if isinstance(node, ast.Attribute) else node.id) in {"create_task", "ensure_future"}
    }
    allowed = {"create_task"} if ids(path) == str(Path("paging", "paginator.py")) else set()
    assert made <= allowed


def yields_in_group(tree: ast.Module) -> Iterator[int]:
    """Yield the line of each `yield` inside a task group or cancel scope, but for context managers."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        if any("contextmanager" in ast.unparse(decorator) for decorator in function.decorator_list):
            continue
        for block in ast.walk(function):
            if isinstance(block, ast.With | ast.AsyncWith) and any(
                word in ast.unparse(item.context_expr)
                for item in block.items
                for word in ("task_group", "TaskGroup", "CancelScope", "fail_after", "move_on_after")
            ):
                yield from (node.lineno for node in ast.walk(block) if isinstance(node, ast.Yield | ast.YieldFrom))


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_nothing_is_yielded_inside_a_task_group_or_cancel_scope(path: Path) -> None:
    assert not list(yields_in_group(tree_of(path)))


def public_things() -> Iterator[tuple[str, object]]:
    """Yield each public name, and the public methods and properties each class has of its own."""
    for name in nxcdr_async.__all__:
        if name.startswith("__"):
            continue
        thing = getattr(nxcdr_async, name)
        yield name, thing
        if not inspect.isclass(thing):
            continue
        for owner in thing.__mro__:
            if not owner.__module__.startswith(NAME):
                continue
            for attribute, value in vars(owner).items():
                if attribute.startswith("_") or isinstance(value, enum.Enum):
                    continue
                if inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod):
                    yield f"{name}.{attribute}", value


@pytest.mark.parametrize(("name", "thing"), list(public_things()), ids=[name for name, _ in public_things()])
def test_every_public_name_is_documented(name: str, thing: object) -> None:
    doc = thing.__doc__ or ""
    assert doc.strip(), f"{name} has no docstring"
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        bases = [base.__doc__ for base in thing.__mro__[1:]]
        assert doc not in bases, f"{name} only inherits its docstring"


def test_no_two_classes_have_one_name() -> None:
    names = [node.name for path in MODULES for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)) or path.name == "_version.py"
