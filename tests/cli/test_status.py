"""`nxcdr status` in processes of its own, on stores that `nxcdr backfill` filled."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nxcdr_async.cli.commands import status as command
from nxcdr_async.ingest.report import AgeCount

FILL = ("backfill", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--to", "c.sqlite")
STATUS = ("status", "--to", "c.sqlite")


def contents(folder: Path) -> dict[str, Any]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def told(out: str) -> dict[str, str]:
    return {line[:10].strip(): line[10:] for line in out.splitlines()}


def test_a_store_is_told_as_people_read_it(nxcdr: Any) -> None:
    nxcdr(*FILL)
    before = contents(nxcdr.folder)
    ended = nxcdr(*STATUS)
    assert (ended.code, ended.err) == (0, "")
    assert contents(nxcdr.folder) == before
    lines = told(ended.out)
    assert lines["store"].startswith("c.sqlite, ")
    assert lines["calls"].startswith("700 rows, from http://127.0.0.1:")
    assert lines["read"] == "2026-01-01T00:00:00Z to 2026-01-03T00:00:00Z"
    assert lines["complete"] == "until 2026-01-03T00:00:00Z"
    assert lines["settle"] == "late rows are waited for until 24 h after the end of a window"
    assert lines[""] == "no evidence yet of how late rows turn up"
    assert lines["gaps"] == "none known"
    assert lines["last run"].startswith("backfill of 20")
    assert ": done after " in lines["last run"]
    assert "700 new rows, 0 changed" in lines["last run"]


def test_a_store_is_told_as_programs_read_it(nxcdr: Any) -> None:
    nxcdr(*FILL)
    ended = nxcdr(*STATUS, "calls", "--json")
    (found,) = ended.records
    assert ended.code == 0
    assert (found["sink"], found["in_use"]) == ("c.sqlite", False)
    (source,) = found["sources"]
    assert (source["source"], source["rows"], source["settle"], source["gaps"]) == ("calls", 700, 86_400.0, [])
    assert source["complete_until"] == "2026-01-03T00:00:00Z"
    assert (source["last_run"]["outcome"], source["last_run"]["rows_new"]) == ("done", 700)


def test_what_is_wrong_is_told(nxcdr: Any) -> None:
    nxcdr(*FILL)
    with closing(sqlite3.connect(nxcdr.folder / "c.sqlite", isolation_level=None)) as database:
        database.execute("DELETE FROM nxcdr_windows WHERE start_second > 1767225600 AND end_second < 1767398400")
    nxcdr("backfill", "calls", "--start", "2026-01-04", "--end", "2026-01-05", "--to", "c.sqlite")
    assert nxcdr("sync", "calls", "--to", "c.sqlite", NXCDR_ACCESS_SECRET="a-wrong-secret").code == 1
    out = nxcdr(*STATUS).out
    assert "to 2026-01-04T00:00:00Z was never read" in out
    assert ": failed after 0." in told(out)["last run"]
    assert "AuthenticationError: " in told(out)["last run"]


def test_where_no_store_is_nothing_is_made(nxcdr: Any) -> None:
    for place in ("c.sqlite", "c.duckdb", "c.parquet", "c.jsonl", "c.csv"):
        ended = nxcdr("status", "--to", place)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"error: there is no store {place}: give the --to of an earlier backfill")
    assert not list(nxcdr.folder.iterdir())


def test_no_keys_are_needed(nxcdr: Any) -> None:
    nxcdr(*FILL)
    assert nxcdr.without("NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET", "NXCDR_GATEWAY")(*STATUS).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status",), "--to"),
        ((*STATUS, "sms"), "sms"),
        (("status", "--to", "postgresql://me:hidden@host/db"), "--to holds a password"),
        (("status", "--to", "c.txt"), "no sink is known for 'c.txt'"),
    ],
)
def test_wrong_usage_ends_with_code_2(nxcdr: Any, words: tuple[str, ...], said: str) -> None:
    ended = nxcdr(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "hidden" not in ended.err


def test_evidence_is_a_small_plot() -> None:
    counts = (AgeCount(timedelta(minutes=1), 90, 0), AgeCount(timedelta(hours=1), 9, 2), AgeCount(None, 1, 0))
    first, second, last = command.evidence_plot(counts)
    assert first.split() == ["to", "1", "min", "█" * command.BAR_WIDTH, "90", "rows"]
    assert second.endswith(" 9 rows, 2 changed")
    assert last.split()[0] == "later"
