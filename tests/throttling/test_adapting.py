"""A session finds out how much a gateway allows, comes near to all of it, and is hardly ever refused."""

import pytest

from nxcdr_async.limits.concurrency import HIGHEST_LIMIT
from tests.throttling.model import Bounds, Line, run

STEADY = 40.0
"""Seconds after which a run is steady."""

END = 120.0
LEAST_OF_BEST = 0.9
MOST_REFUSED = 0.02


@pytest.mark.first_of("at_once", "line")
@pytest.mark.parametrize("at_once", [1, 2, 5, 16])
@pytest.mark.parametrize("line", [Line(), Line(latency=(0.02, 0.08))], ids=["even", "uneven"])
def test_a_bound_on_requests_at_once_is_found(at_once: int, line: Line) -> None:
    outcome = run(END, Bounds(at_once=at_once), line)
    assert outcome.a_second(STEADY, END) >= LEAST_OF_BEST * at_once / 0.05
    assert outcome.throttled_share(STEADY, END) <= MOST_REFUSED


@pytest.mark.first_of("a_second", "line")
@pytest.mark.parametrize("a_second", [2, 10, 20, 80])
@pytest.mark.parametrize(
    "line",
    [Line(), Line(latency=(0.02, 0.4)), Line(latency=(0.005, 0.005), unevenness=0.01), Line(way=0.3)],
    ids=["even", "uneven", "quick", "far"],
)
def test_a_bound_on_requests_a_second_is_found(a_second: float, line: Line) -> None:
    start, end = max(STEADY, 300 / a_second), max(END, 900 / a_second)
    outcome = run(end, Bounds(a_second=a_second), line)
    assert outcome.a_second(start, end) >= LEAST_OF_BEST * a_second
    assert outcome.throttled_share(start, end) <= MOST_REFUSED


@pytest.mark.first_of
@pytest.mark.parametrize("seconds_a_request", [1.0, 1.5, 2.0])
def test_the_slow_bounds_that_sibling_apis_publish_are_found(seconds_a_request: float) -> None:
    outcome = run(1800, Bounds(a_second=1 / seconds_a_request))
    assert outcome.a_second(600, 1800) >= LEAST_OF_BEST / seconds_a_request
    assert outcome.throttled_share(600, 1800) <= MOST_REFUSED


@pytest.mark.first_of
@pytest.mark.parametrize(("at_once", "a_second", "best"), [(16, 50, 50), (8, 50, 40), (4, 100, 20)])
def test_of_two_bounds_the_tighter_one_is_found(at_once: int, a_second: float, best: float) -> None:
    outcome = run(END, Bounds(at_once=at_once, a_second=a_second), Line(latency=(0.2, 0.2)))
    assert outcome.a_second(STEADY, END) >= LEAST_OF_BEST * best
    assert outcome.throttled_share(STEADY, END) <= MOST_REFUSED


@pytest.mark.first_of("best")
@pytest.mark.parametrize(("bounds", "best"), [(Bounds(at_once=8), 160), (Bounds(a_second=10), 10)])
@pytest.mark.parametrize("pause", [1.0, 3.0, 10.0])
def test_pauses_that_are_asked_for_cost_little(bounds: Bounds, best: float, pause: float) -> None:
    start, end = STEADY * pause, STEADY * pause + 400
    outcome = run(end, bounds, Line(pause=pause))
    assert outcome.a_second(start, end) >= LEAST_OF_BEST * best
    assert outcome.throttled_share(start, end) <= MOST_REFUSED


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("before", "after", "best"),
    [
        (Bounds(at_once=4), Bounds(at_once=40), 800),
        (Bounds(at_once=4), Bounds(at_once=30), 600),
        (Bounds(a_second=50), Bounds(a_second=500), 500),
        (Bounds(a_second=50), Bounds(at_once=16), 320),
        (Bounds(at_once=4), Bounds(a_second=200), 200),
    ],
)
def test_a_bound_that_is_lifted_is_noticed_within_seconds(before: Bounds, after: Bounds, best: float) -> None:
    outcome = run(STEADY + 20, [(0, before), (STEADY, after)])
    assert outcome.a_second(STEADY + 12, STEADY + 20) >= LEAST_OF_BEST * best


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("before", "after", "best"),
    [
        (Bounds(at_once=16), Bounds(at_once=4), 80),
        (Bounds(at_once=40), Bounds(at_once=1), 20),
        (Bounds(a_second=100), Bounds(a_second=20), 20),
        (Bounds(at_once=16), Bounds(a_second=50), 50),
        (Bounds(a_second=100), Bounds(at_once=2), 40),
        (Bounds(), Bounds(at_once=4), 80),
    ],
)
def test_a_bound_that_tightens_is_kept_to_within_half_a_minute(before: Bounds, after: Bounds, best: float) -> None:
    # A request that was refused often before the new bound was found waits long, and its worker with it.
    outcome = run(STEADY + 70, [(0, before), (STEADY, after)])
    assert outcome.a_second(STEADY + 30, STEADY + 70) >= LEAST_OF_BEST * best
    assert outcome.throttled_share(STEADY + 30, STEADY + 70) <= MOST_REFUSED


@pytest.mark.slow
@pytest.mark.parametrize(("share", "least"), [(0.05, 50), (0.1, 25), (0.3, 3)])
def test_refusals_that_have_nothing_to_do_with_the_load_do_not_starve_a_session(share: float, least: float) -> None:
    outcome = run(600, Bounds(by_chance=share))
    assert outcome.a_second(300, 600) >= least


@pytest.mark.first_of("best")
@pytest.mark.parametrize(("bounds", "best"), [(Bounds(at_once=16), 320), (Bounds(a_second=50), 50)])
@pytest.mark.parametrize("sessions", [2, 8])
def test_sessions_share_fairly_and_as_well_as_one(sessions: int, bounds: Bounds, best: float) -> None:
    outcome = run(END, bounds, sessions=sessions)
    shares = outcome.by_session(STEADY, END)
    assert min(shares) >= 0.95 * max(shares)
    assert outcome.a_second(STEADY, END) >= LEAST_OF_BEST * best
    assert outcome.throttled_share(STEADY, END) <= MOST_REFUSED


def test_a_session_that_asks_little_is_not_kept_waiting_by_one_that_asks_much() -> None:
    outcome = run(STEADY, Bounds(at_once=4), sessions=4, workers=20)
    assert min(outcome.by_session(20, STEADY)) >= 0.95 * 20 * (STEADY - 20)


def test_a_gateway_without_bounds_is_asked_as_much_at_once_as_ever_allowed() -> None:
    outcome = run(20, Bounds())
    assert outcome.a_second(5, 20) == pytest.approx(HIGHEST_LIMIT / 0.05, rel=0.02)


def test_a_fixed_number_is_used_from_the_first_moment() -> None:
    outcome = run(2, Bounds(), concurrency=16)
    assert outcome.a_second(0.04, 2) == pytest.approx(16 / 0.05, rel=0.05)
