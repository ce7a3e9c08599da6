from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nxcdr_async import CallRecord, Direction, SessionStats
from nxcdr_async.cli.summary import show_summary
from nxcdr_async.records.arrow import CALLS, rows_of
from nxcdr_async.sinks.duckdb import DuckDbSink
from nxcdr_async.sinks.ledger import LedgerChange, LedgerEntry
from nxcdr_async.sinks.protocol import Origin
from nxcdr_async.windows import Window

START = datetime(2026, 1, 1, tzinfo=UTC)
STATS = SessionStats(
    requests=1,
    retries=0,
    throttled=0,
    clock_refusals=0,
    in_flight=0,
    peak_in_flight=1,
    concurrency_limit=8,
    rate_limit=None,
    clock_skew=None,
)


def summary_of(target: Path, *calls: CallRecord) -> bool:
    sink = DuckDbSink(target)
    sink.open()
    sink.create(CALLS, Origin("account", "UTC"))
    sink.write(CALLS, rows_of(CALLS, calls), LedgerChange(LedgerEntry(Window(0, 1), 2), (), None))
    sink.close()
    return show_summary(target, len(calls), STATS, 1.0)


def line_of(told: str, words: str) -> str:
    (line,) = (line for line in told.splitlines() if words in line)
    return " ".join(line.split())


def test_no_name_in_the_database_steers_the_terminal_or_is_taken_for_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = "[red]b[/red] :skull:\x1b[2J\x9b\x7f\u202ec\r\nd"
    call = CallRecord(call_id="1", start_time=START, agent_name=nasty, agent_nick_name=nasty, call_duration=9)
    assert summary_of(tmp_path / "calls.duckdb", call)
    told = capsys.readouterr().out
    assert not [one for one in told if not one.isprintable() and one != "\n"]
    assert "[red]b[/red] :skull:?[2J???c  d" in told


def test_waits_come_from_the_times_of_the_queue_unless_they_contradict_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = [timedelta(seconds=10.4), timedelta(seconds=30.4), timedelta(seconds=-900), None]
    calls = [
        CallRecord(
            call_id=str(number),
            start_time=START,
            direction=Direction.INBOUND,
            in_queue_time=START,
            out_queue_time=None if wait is None else START + wait,
        )
        for number, wait in enumerate(waits)
    ]
    summary_of(tmp_path / "calls.duckdb", *calls)
    assert "inbound 4 0% 20 / 28 s" in line_of(capsys.readouterr().out, "inbound")


def test_ends_of_calls_are_told_by_what_their_codes_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [1002, 2002, 3002, 4711, None]
    calls = [CallRecord(call_id=str(number), start_time=START, hangup_code=code) for number, code in enumerate(codes)]
    summary_of(tmp_path / "calls.duckdb", *calls)
    told = capsys.readouterr().out
    assert "user hung up 3 75%" in line_of(told, "user hung up")
    assert "unknown code 4711 1 25%" in line_of(told, "unknown code")
