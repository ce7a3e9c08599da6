"""What is in the demo's database, as people like to look at it. All figures are SQL on the file."""

import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nxcdr_async._util.counts import counted
from nxcdr_async.cli.console import PlainConsole
from nxcdr_async.cli.terminal import can_show, duration, printable, size_text
from nxcdr_async.records.hangup import HANGUPS
from nxcdr_async.stats import SessionStats

MOST_LISTED = 8
BAR_WIDTH = 40
DAYS_OF_A_CHART = 45
"""Days beyond which the chart shows weeks."""

_UTC = "make_timestamp(epoch_us(start_time))"
"""The start in UTC without a zone, which needs no further package in Python and no extension in DuckDB."""

_BY_TIME = f"""
SELECT date_trunc($bucket, {_UTC})::DATE, count(*), count(*) FILTER (answered)
FROM calls GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - a constant
_BY_DIRECTION = """
SELECT coalesce(direction, 'all calls'), count(*), count(*) FILTER (answered) / count(*),
       quantile_cont(queue_wait, 0.5), quantile_cont(queue_wait, 0.9),
       quantile_cont(ring_duration, 0.5), quantile_cont(ring_duration, 0.9), sum(total_customer_price)
FROM (FROM calls SELECT *, CASE WHEN out_queue_time >= in_queue_time
                                THEN (epoch_us(out_queue_time) - epoch_us(in_queue_time)) / 1e6 END AS queue_wait)
GROUP BY ROLLUP (direction) ORDER BY grouping(direction), 2 DESC
"""
_BUSIEST = """
SELECT any_value(agent_nick_name), agent_name, count(*), sum(call_duration) / 3600
FROM calls WHERE agent_name IS NOT NULL GROUP BY agent_name ORDER BY 3 DESC, 2 LIMIT ?
"""
_HANGUPS = """
SELECT coalesce(meaning, 'unknown code ' || hangup_code), count(*), count(*) / sum(count(*)) OVER ()
FROM calls LEFT JOIN hangups ON code = hangup_code
WHERE hangup_code IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?
"""
_MEANINGS = pa.table({"code": list(HANGUPS), "meaning": [hangup.meaning for hangup in HANGUPS.values()]})


def show_summary(target: Path, held: int, stats: SessionStats, seconds: float) -> bool:
    """Print the summary of a database to stdout; returns whether it is complete.

    Args:
        target: the database.
        held: how many calls the emulator says it holds.
        stats: the session's counts.
        seconds: how long reading and storing took.
    """
    console = PlainConsole()
    with duckdb.connect(str(target), read_only=True) as database:
        stored, distinct = database.execute("SELECT count(*), count(DISTINCT call_id) FROM calls").fetchall()[0]
        for part in (_chart(database), _figures(database), _lists(database)):
            console.print(part)
            console.print()
    is_complete = bool(stored == distinct == held)
    console.print(_verdict(stored, distinct, held, is_complete=is_complete))
    console.print(_figures_of_run(target, stored, stats, seconds))
    console.print(_next_steps(target))
    return is_complete


def _chart(database: duckdb.DuckDBPyConnection) -> RenderableType:
    days = database.execute(f"SELECT count(DISTINCT {_UTC}::DATE) FROM calls").fetchall()[0][0]  # noqa: S608 - a constant
    bucket = "day" if days <= DAYS_OF_A_CHART else "week"
    rows = database.execute(_BY_TIME, {"bucket": bucket}).fetchall()
    most = max(calls for _, calls, _ in rows)
    table = Table.grid(padding=(0, 1))
    for justify in ("left", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for day, calls, answered in rows:
        table.add_row(_day(day), _bar(calls, answered, most), f"{calls:,}", _percent(answered / calls))
    yes, no = _blocks()
    legend = Text.assemble(
        (f"Calls a {bucket}", "bold"), " (UTC): ", (yes, "green"), " answered, ", (no, "yellow"), " not"
    )
    return Group(legend, table)


def _bar(calls: int, answered: int, most: int) -> Text:
    yes, no = _blocks()
    length = round(BAR_WIDTH * calls / most)
    solid = round(length * answered / calls)
    return Text.assemble((yes * solid, "green"), (no * (length - solid), "yellow"))


def _blocks() -> tuple[str, str]:
    return ("█", "░") if can_show("█░", sys.stdout) else ("#", "-")


def _figures(database: duckdb.DuckDBPyConnection) -> Table:
    table = _table("", "calls", "answered", "queue wait", "ring time", "cost")
    table.caption = Text("times are the median, and what nine of ten calls stay under")
    rows = database.execute(_BY_DIRECTION).fetchall()
    for name, calls, share, wait, long_wait, ring, long_ring, cost in rows:
        style = "bold" if name == "all calls" else None
        times = (_times(wait, long_wait), _times(ring, long_ring))
        table.add_row(name, f"{calls:,}", _percent(share), *times, _money(cost), style=style)
    return table


def _lists(database: duckdb.DuckDBPyConnection) -> Table:
    agents = _table("busiest agents", "calls", "hours")
    for nickname, account, calls, hours in database.execute(_BUSIEST, [MOST_LISTED]).fetchall():
        # A name in letters the terminal has none for is of less use than the account.
        name = nickname if nickname and can_show(nickname, sys.stdout) else account
        agents.add_row(printable(name, sys.stdout), f"{calls:,}", f"{hours:,.1f}")
    hangups = _table("how calls ended", "calls", "share")
    database.register("hangups", _MEANINGS)
    for meaning, calls, share in database.execute(_HANGUPS, [MOST_LISTED]).fetchall():
        hangups.add_row(meaning, f"{calls:,}", _percent(share))
    both = Table.grid(padding=(0, 2))
    both.add_row(agents, hangups)
    return both


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", caption_justify="left")
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _verdict(stored: int, distinct: int, held: int, *, is_complete: bool) -> Text:
    good, bad = ("✓", "✗") if can_show("✓✗", sys.stdout) else ("OK:", "FAILED:")
    verdict = (f"{good} complete", "bold green") if is_complete else (f"{bad} not complete", "bold red")
    calls, ids = counted(stored, "call"), counted(distinct, "different id")
    return Text.assemble(verdict, f": {calls} stored, {ids}, {held:,} in the emulator")


def _figures_of_run(target: Path, stored: int, stats: SessionStats, seconds: float) -> Text:
    return Text.assemble(
        f"{counted(stats.requests, 'request')}, {stats.retries:,} of them repeated, up to {stats.peak_in_flight} at "
        f"once; {duration(seconds)}, {stored / seconds:,.0f} calls a second\n",
        (printable(str(target), sys.stdout), "bold"),
        f", {size_text(target.stat().st_size)}, table calls\n",
    )


def _next_steps(target: Path) -> Text:
    path = printable(str(target), sys.stdout).replace("'", "''")
    return Text.assemble(
        ("Ask it something", "bold"),
        ", in Python:\n",
        f"import duckdb\nduckdb.sql(\"ATTACH '{path}' AS demo (READ_ONLY)\")\n",
        'duckdb.sql("SELECT direction, count(*) FROM demo.calls GROUP BY 1").show()\n',
        ("With an account", "bold"),
        ": set NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET, then\n",
        "nxcdr doctor\n",
        "nxcdr calls --last 7d > calls.jsonl",
    )


def _day(day: date) -> Text:
    return Text(f"{day:%a %d %b}", style="dim" if day.weekday() > 4 else "")  # noqa: PLR2004 - Saturday and Sunday


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _times(usual: Any, long: Any) -> str:
    return "" if usual is None else f"{usual:.0f} / {long:.0f} s"


def _money(total: Decimal | None) -> str:
    return "" if total is None else f"{total:,.2f}"
