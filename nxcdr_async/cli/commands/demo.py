"""The command that shows it all without an account."""

from importlib.util import find_spec
from typing import Annotated

import typer

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.sinks.files import as_path


def demo(
    *,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of calls.")] = 30,
    calls: Annotated[int, typer.Option(min=1, help="Calls in all.")] = 50_000,
    to: Annotated[str, typer.Option(metavar="FILE", help="DuckDB file to store them in.")] = "nxcdr-demo.duckdb",
    seed: Annotated[int, typer.Option(help="Tells made-up histories apart.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE even if it is not from an earlier demo.")
    ] = False,
) -> ExitCode:
    """See it work without an account: a month of made-up calls."""
    missing = [package for package in ("duckdb", "pyarrow", "filelock") if find_spec(package) is None]
    if missing:
        raise ConfigurationError(f"the demo needs {' and '.join(missing)}: install the package with its extra duckdb")
    from nxcdr_async.cli.demo import History, checked_target, free_target, run_demo  # noqa: PLC0415 - imports DuckDB and rich  # noqa: PLC0415 - imports DuckDB

    path = as_path(to)
    target = free_target(path) if force else checked_target(path)
    return run_demo(History(calls, days, seed), target)
