"""A benchmark that cannot fail proves nothing: each limit is met at its border, and missed right above it."""

import json
from pathlib import Path

import backfill
import faults
import memory
import peers
import processor
import pytest
import service
import short_ranges
import startup
import throttling
import wall
from fault_table.account import Account
from shared.beside import BEFORE, NOW
from shared.limits import Limit, missed
from shared.report import finish

LIMITS = {
    "processor": list(processor.LIMITS),
    "wall": wall.limits_of(wall.CASES),
    "memory": [*memory.LIMITS, *memory.LIMITS_BESIDE],
    "backfill": backfill.limits_of(["csv"]),
    "startup": list(startup.LIMITS),
    "service": list(service.LIMITS),
    "throttling": throttling.limits(["12 at once", "changes", "sessions", "start"]),
    "short_ranges": short_ranges.limits_of([1_000]),
    "faults": list(faults.LIMITS),
    "peers": [limit for run in peers.RUNS for limit in peers.limits_of(run)],
}
EACH = [(name, limit) for name, limits in LIMITS.items() for limit in limits]


def at_the_border(name: str) -> dict[str, float]:
    return {limit.figure: limit.most for limit in LIMITS[name]}


def reading(
    number: int, *, wall: float = 1.0, processor: float = 1.0, lost: int = 0, doubled: int = 0
) -> peers.Reading:
    return peers.Reading(
        round=number,
        wall=wall,
        processor=processor,
        before_kib=1000,
        most_kib=3000,
        requests=200,
        at_once=16,
        lost=lost,
        doubled=doubled,
    )


@pytest.mark.parametrize("name", LIMITS)
def test_figures_at_the_border_pass(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(name, [{"any": 1}], at_the_border(name), LIMITS[name]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["passed"]


@pytest.mark.parametrize(("name", "limit"), EACH, ids=[f"{name}: {limit.figure}" for name, limit in EACH])
def test_a_figure_above_its_limit_fails_and_is_named(
    name: str, limit: Limit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = at_the_border(name) | {limit.figure: limit.most + 0.01}
    assert finish(name, [{"any": 1}], figures, LIMITS[name], tmp_path / "result.json") == 1
    shown = capsys.readouterr()
    assert f"MISSED: {limit.figure} is" in shown.err
    told = json.loads(shown.out.splitlines()[-1])
    assert told == json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert [line.split(" is ")[0] for line in told["missed"]] == [limit.figure]


@pytest.mark.parametrize("figures", [{}, {"wall": float("nan")}])
def test_what_was_not_measured_is_missed(figures: dict[str, float]) -> None:
    assert missed(figures, [Limit("wall", 1.0, "a reason")])


def test_processor_figures_are_ratios_of_the_fastest_rounds() -> None:
    plain, wild = ("plain", processor.BRIEFLY), ("wild", processor.WHOLE)
    times = {
        (*plain, processor.OURS): [4.0, 3.0, 9.0],
        (*plain, processor.BY_HAND): [6.0, 7.0, 6.5],
        (*plain, processor.FLOOR): [1.0, 1.0, 1.0],
        (*wild, processor.OURS): [5.0],
        (*wild, BEFORE): [10.0],
    }
    assert processor.figures_of(times, 2) == {
        "plain rows, id and start: to by hand": 0.5,
        "plain rows, id and start: to floor": 3.0,
        "wild rows, every attribute: to before": 0.5,
        "rows amiss": 2.0,
    }


@pytest.mark.parametrize(
    ("received", "chain"),
    [([], 0), ([5.0], 1), ([5.0, 5.01, 5.09], 1), ([5.2, 5.0, 5.1], 3), ([5.0, 5.05, 5.12, 5.17, 5.3], 3)],
)
def test_the_longest_chain_counts_requests_that_waited_for_one_another(received: list[float], chain: int) -> None:
    assert wall.longest_chain(received, 0.0999) == chain


def test_wall_figures_compare_with_the_ideal_and_count_every_lost_row() -> None:
    case = next(case for case in wall.CASES if case.name == "month of 20000")
    assert case.ideal == pytest.approx(1.25)
    runs = [wall.Run(2.5, 240, 9, 0, 0), wall.Run(2.4, 250, 9, 3, 0), wall.Run(9.9, 260, 9, 0, 1)]
    before = [wall.Run(5.0, 500, 9, 7, 7)] * 3
    figures = wall.all_figures([(case, {NOW: runs, BEFORE: before})])
    assert figures == {
        f"{case.name}: wall": 2.0,
        f"{case.name}: requests": 1.25,
        f"{case.name}: wall to before": 0.5,
        "rows lost": 3,
        "rows doubled": 1,
    }


def test_memory_compares_the_largest_reading_with_the_smallest_and_with_that_of_before() -> None:
    rows = [
        {"code": NOW, "calls": 9, "MB for reading": 31.0, "rows amiss": 0},
        {"code": NOW, "calls": 1, "MB for reading": 11.0, "rows amiss": 1},
        {"code": BEFORE, "calls": 9, "MB for reading": 30.0, "rows amiss": 5},
        {"code": BEFORE, "calls": 1, "MB for reading": 11.0, "rows amiss": 5},
    ]
    assert memory.figures_of(rows) == {memory.GROWTH: 20.0, memory.MORE: 1.0, "rows amiss": 1.0}


def test_backfills_compare_with_streaming_by_the_same_code_and_with_the_code_of_before() -> None:
    def readings(*seconds: float) -> list[backfill.Reading]:
        return [backfill.Reading(one, most_mb=200.0, amiss=0) for one in seconds]

    found = {
        (backfill.STREAMED, NOW): readings(1.0, 2.0, 4.0),
        (backfill.STREAMED, BEFORE): readings(2.0, 2.0, 2.0),
        ("csv", NOW): readings(2.0, 3.0, 4.0),
        ("csv", BEFORE): readings(4.0, 4.0, 4.0),
    }
    long = {(backfill.STREAMED, NOW): readings(9.0), ("csv", NOW): [backfill.Reading(9.0, most_mb=260.0, amiss=1)]}
    figures = backfill.figures_of([backfill.row_of(case, found, long) for case in found])
    assert figures["csv: to streaming"] == 1.5
    assert figures["csv: to before"] == 0.75
    assert figures["csv: MB at most"] == 260.0
    assert figures["rows amiss"] == 1.0


def test_what_came_on_a_busy_machine_is_no_share_of_nothing() -> None:
    assert throttling.share_of(9.0, 10.0) == 0.9
    assert missed({"share": throttling.share_of(1.0, 0.0)}, [Limit("share", 9.0, "a reason")])


def test_a_start_compares_each_round_with_the_best_fixed_setting_of_that_round() -> None:
    fixed = [{"seconds": seconds, "refused": 0.0, "amiss": 0} for seconds in (1.0, 2.0, 4.0)]
    adapting = [{"seconds": seconds, "refused": 0.02, "amiss": 1} for seconds in (1.5, 2.0, 8.0)]
    row = throttling.row_of_start(600, NOW, {throttling.FIXED: fixed, NOW: adapting})
    assert (row["to fixed"], row["refused %"], row["rows amiss"]) == (1.5, 2.0, 3)


def test_short_ranges_count_requests_a_range_and_every_call_amiss() -> None:
    ranges = short_ranges.Ranges("some")
    ranges.note(1, ["a"], due={"a"}, allowed={"a", "b"})
    ranges.note(2, ["a", "a", "x"], due={"a", "b"}, allowed={"a", "b"})
    assert short_ranges.figures_of([ranges]) == {"some: requests": 1.5, "rows amiss": 3.0}


def test_startup_counts_the_import_alone_and_the_help_whole() -> None:
    times = {startup.BARE: 10.0, startup.IMPORT: 120.0, startup.SESSION: 200.0, startup.HELP: 300.0}
    figures = startup.figures_of(times, ["rich"])
    assert figures == {
        "import in ms": 110.0,
        "first session in ms": 190.0,
        "help in ms": 300.0,
        "extras imported": 1.0,
    }


def test_each_line_of_the_faults_counts_and_one_that_was_not_tried_is_no_proof() -> None:
    lines = [
        faults.Line("one", 5, Account(rows=9), 0, "complete"),
        faults.Line("two", 0, Account(rows=9, lost=1, doubled=2, stray=3), 4, "complete"),
    ]
    assert faults.figures_of(lines) == {"lost": 1, "doubled": 5, "leaked": 4, "not tried": 1}
    assert len(missed(faults.figures_of(lines), faults.LIMITS)) == 4


def test_peers_compare_each_round_with_ours_of_that_round() -> None:
    readings = {peer: [reading(0, wall=2.0)] for peer in peers.PEERS}
    readings[peers.OURS] = [reading(0), reading(1, wall=4.0, doubled=1)]
    readings[peers.DLT] = [reading(0, wall=0.5), reading(1, wall=2.0)]
    figures = peers.figures_of({"quiet": readings})
    assert figures[f"quiet: wall to {peers.DLT}"] == 2.0
    assert figures[f"quiet: wall to {peers.SERIAL}"] == 0.5
    assert figures["quiet: rows doubled"] == 1.0
    assert missed(figures, peers.limits_of("quiet"))


def test_peers_count_what_was_there_and_did_not_come_and_what_came_twice() -> None:
    assert peers.faults_of(["a", "b", "b", "new", "new"], {"a", "b", "c", "d"}) == (2, 2)
