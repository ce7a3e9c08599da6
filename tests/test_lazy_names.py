"""Public names are imported as they are first used, and nobody can tell but by the time that it takes."""

import ast
import inspect
import pickle
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from unittest import mock

import pytest

import nxcdr_async
import nxcdr_async.testing

PACKAGES = (nxcdr_async, nxcdr_async.testing)


def told(code: str) -> str:
    """Return what a program prints in an interpreter of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def imported(node: ast.Module | ast.If) -> Iterator[tuple[str, str]]:
    """Yield each name that is imported there, with its module."""
    for statement in node.body:
        if isinstance(statement, ast.ImportFrom):
            yield from ((alias.name, statement.module or "") for alias in statement.names)


def told_to_checkers(package: object) -> dict[str, str]:
    """Return the names that type checkers are told a package has, each with its home."""
    tree = ast.parse(Path(inspect.getfile(package)).read_text(encoding="utf-8"))  # type: ignore[arg-type] - a module
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    return dict(pair for node in (tree, *blocks) for pair in imported(node))


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_what_type_checkers_are_told(package: object) -> None:
    homes = told_to_checkers(package)
    public = package.__all__  # type: ignore[attr-defined] - of both
    assert set(homes) - {"TYPE_CHECKING", "lazy_names"} == set(public)
    assert all(getattr(package, name) is getattr(import_module(homes[name]), name) for name in public)


def test_only_errors_come_with_the_package() -> None:
    code = "import sys, nxcdr_async; print(*sorted(name for name in sys.modules if name.startswith('nxcdr_async')))"
    assert told(code).split() == [
        *("nxcdr_async", "nxcdr_async._util", "nxcdr_async._util.late_imports", "nxcdr_async._util.moments"),
        *("nxcdr_async._version", "nxcdr_async.errors"),
    ]


@pytest.mark.parametrize("module", ["attrs", "cattrs", "anyio", "asyncio", "msgspec", "logging"])
def test_a_package_comes_with_no_other(module: str) -> None:
    assert told(f"import sys, nxcdr_async; print({module!r} in sys.modules)") == "False"


@pytest.mark.parametrize("name", ["Region", "CallRecord", "sign", "explain_hangup", "SessionStats"])
def test_a_small_name_comes_without_the_session(name: str) -> None:
    code = f"import sys; from nxcdr_async import {name}; print('nxcdr_async.session' in sys.modules)"
    assert told(code) == "False"


def test_a_star_brings_all() -> None:
    assert told("from nxcdr_async import *; print(CdrSession.__name__, backfill.__name__)") == "CdrSession backfill"


def test_all_are_listed_before_they_are_used() -> None:
    assert told("import nxcdr_async; print(set(nxcdr_async.__all__) <= set(dir(nxcdr_async)))") == "True"


def test_functions_are_no_modules() -> None:
    code = "import nxcdr_async.ingest, nxcdr_async.cli, nxcdr_async.sinks, nxcdr_async as n; "
    code += "print(*(type(f).__name__ for f in (n.backfill, n.sync, n.verify, n.prune)))"
    assert told(code) == "function function function function"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_misspelt_name_is_told_as_python_tells_it(package: object) -> None:
    name = package.__name__  # type: ignore[attr-defined] - of both
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'CdrSesion'$") as raised:
        package.CdrSesion  # type: ignore[attr-defined] # noqa: B018 - misspelt, and looked up for its error
    assert (raised.value.name, raised.value.obj) == ("CdrSesion", package)


def test_a_misspelt_import_says_so() -> None:
    with pytest.raises(ImportError, match="cannot import name 'CdrSesion' from 'nxcdr_async'"):
        from nxcdr_async import CdrSesion  # type: ignore[attr-defined] # noqa: F401, PLC0415 - misspelt


def test_a_name_can_be_patched() -> None:
    session = nxcdr_async.CdrSession
    with mock.patch("nxcdr_async.CdrSession") as stand_in:
        assert nxcdr_async.CdrSession is stand_in
    assert nxcdr_async.CdrSession is session


def test_a_name_can_be_patched_before_it_is_used() -> None:
    code = "import nxcdr_async; from unittest import mock\n"
    code += "with mock.patch('nxcdr_async.CdrSession', 1): print(nxcdr_async.CdrSession)\n"
    code += "print(nxcdr_async.CdrSession.__name__)"
    assert told(code).split() == ["1", "CdrSession"]


def test_help_shows_all() -> None:
    shown = pydoc.plain(pydoc.render_doc(nxcdr_async))
    assert {name for name in nxcdr_async.__all__ if name not in shown} == {"__version__"}  # told by its value


def test_a_pickle_is_read_where_nothing_was_used_yet() -> None:
    call = nxcdr_async.CallRecord(call_id="1", start_time=datetime(2026, 1, 1, tzinfo=UTC))
    code = f"import pickle; print(pickle.loads({pickle.dumps(call)!r}).call_id)"
    assert told(code) == "1"


@pytest.mark.parametrize("order", ["freeze first", "import first"])
def test_the_first_use_may_come_while_time_is_frozen(order: str) -> None:
    imports = {"freeze first": "", "import first": "import nxcdr_async\n"}
    code = f"""
import datetime as dt
from freezegun import freeze_time
{imports[order]}
with freeze_time("2020-02-29"):
    standing_in = dt.datetime
    import nxcdr_async
    record = nxcdr_async.CallRecord(call_id="1", start_time=dt.datetime(2020, 2, 28, tzinfo=dt.UTC))
    line = nxcdr_async.json_lines([record])
    assert dt.datetime is standing_in
print(line == nxcdr_async.json_lines([record]), line[line.index(b"2020-02-28"):][:20].decode())
"""
    assert told(code) == "True 2020-02-28T00:00:00Z"
