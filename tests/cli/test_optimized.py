"""`python -O` has no asserts, and `python -OO` no docstrings either: all is said and done as without."""

from typing import Any

import msgspec
import pytest

from nxcdr_async.cli.app import COMMANDS, HELP

FLAGS = ["-OO", "-O"]
DAY = ("--start", "2026-01-01", "--end", "2026-01-02")


@pytest.mark.first_of
@pytest.mark.parametrize("flag", FLAGS)
def test_every_command_says_what_it_does(flag: str, nxcdr: Any) -> None:
    runs = [("--help",), *((name, "--help") for name in COMMANDS)]
    told = nxcdr.under(flag).each(runs)
    assert told == nxcdr.each(runs)
    for first_line, ended in zip([HELP.strip(), *COMMANDS.values()], told, strict=True):
        assert ended.code == 0
        assert first_line[:40] in ended.out


@pytest.mark.first_of
@pytest.mark.parametrize("flag", FLAGS)
def test_calls_are_streamed(flag: str, nxcdr: Any) -> None:
    ended = nxcdr.under(flag)("calls", *DAY)
    assert ended.code == 0, ended.err
    assert ended.records == nxcdr("calls", *DAY).records


@pytest.mark.slow
@pytest.mark.parametrize("to", ["calls.sqlite", "calls.duckdb", "calls.parquet"])
def test_a_store_is_filled_and_compared(to: str, nxcdr: Any) -> None:
    optimized = nxcdr.under("-OO")
    filled = optimized("backfill", "calls", *DAY, "--to", to, "--report", "-")
    assert filled.code == 0, filled.err
    report = msgspec.json.decode(filled.out)
    assert report["rows_new"] == report["rows"] > 300
    assert optimized("verify", "--to", to).code == 0


@pytest.mark.first_of
@pytest.mark.parametrize(
    "command", [("doctor",), ("plan", "calls", *DAY), ("demo", "--days", "1", "--calls", "50", "--live", "0")]
)
def test_other_commands_do_their_work(command: tuple[str, ...], nxcdr: Any) -> None:
    ended = nxcdr.under("-OO")(*command)
    assert ended.code == 0, ended.err
    assert ended.out
