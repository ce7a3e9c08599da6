"""A whole run, its first seconds included, takes hardly longer than with the best fixed setting."""

from typing import Any

import pytest

from tests.throttling.model import Bounds, Line, run

EVENLY = Line(latency=(0.06, 0.06))
BY_CHANCE = Line(latency=(0.04, 0.1))
NEAR = Line(latency=(0.04, 0.1), way=0.005, unevenness=0.002, work=0.002)
FAR = Line(latency=(0.04, 0.1), way=0.02, unevenness=0.005)
BUSY = Line(latency=(0.04, 0.04), way=0.002, unevenness=0.001, work=0.003)
SLOW = Line(latency=(0.1, 0.1), way=0.004, unevenness=0.002, work=0.002)
LINES = {"evenly": EVENLY, "by chance": BY_CHANCE, "near": NEAR, "far": FAR, "busy": BUSY, "slow": SLOW}
SEEDS = range(5)

AT_ONCE = [
    pytest.param(Bounds(at_once=12), line, pages, {"concurrency": 12}, id=f"12 at once, {name}, {pages} pages")
    for name, line in LINES.items()
    for pages in (600, 1_000)
]
OTHERS = [
    (Bounds(at_once=4), BY_CHANCE, 600, {"concurrency": 4}, 1.1, 0.02),
    (Bounds(at_once=32), BY_CHANCE, 2_000, {"concurrency": 32}, 1.1, 0.02),
    (Bounds(a_second=5), NEAR, 300, {"rate": 5}, 1.1, 0.06),
    (Bounds(a_second=40), NEAR, 1_000, {"rate": 40}, 1.1, 0.04),
    (Bounds(a_second=100), SLOW, 1_500, {"rate": 100}, 1.1, 0.03),
    (Bounds(at_once=12, a_second=100), NEAR, 1_000, {"concurrency": 12, "rate": 100}, 1.1, 0.04),
    (Bounds(at_once=8, a_second=60), SLOW, 1_000, {"concurrency": 8, "rate": 60}, 1.1, 0.03),
]


def compare(bounds: Bounds, line: Line, pages: int, fixed: dict[str, Any], seed: int) -> tuple[float, float]:
    """Return the time a session takes to that of the best fixed setting, and the share that was refused."""
    outcome = run(1e6, bounds, line, pages=pages, seed=seed)
    best = run(1e6, bounds, line, pages=pages, seed=seed, **fixed)
    return outcome.wall / best.wall, outcome.throttled_share()


@pytest.mark.parametrize(("bounds", "line", "pages", "fixed"), AT_ONCE)
def test_a_bound_at_once_costs_no_time(bounds: Bounds, line: Line, pages: int, fixed: dict[str, Any]) -> None:
    found = [compare(bounds, line, pages, fixed, seed) for seed in SEEDS]
    assert max(ratio for ratio, _ in found) <= 1.1
    assert max(refused for _, refused in found) <= 0.02


@pytest.mark.parametrize(("bounds", "line", "pages", "fixed", "most", "most_refused"), OTHERS)
def test_other_bounds_cost_little_time(
    bounds: Bounds, line: Line, pages: int, fixed: dict[str, Any], most: float, most_refused: float
) -> None:
    # While a bound a second is found, its first second is refused what came too much.
    found = [compare(bounds, line, pages, fixed, seed) for seed in SEEDS]
    assert max(ratio for ratio, _ in found) <= most
    assert max(refused for _, refused in found) <= most_refused


def test_four_sessions_share_a_bound_from_the_start() -> None:
    bounds = Bounds(at_once=12)
    outcome = run(1e6, bounds, NEAR, pages=1_000, sessions=4)
    best = run(1e6, bounds, NEAR, pages=1_000, sessions=4, concurrency=3)
    assert outcome.wall <= 1.1 * best.wall
    assert outcome.throttled_share() <= 0.02
