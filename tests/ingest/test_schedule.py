"""When rounds come, by figures alone."""

import pytest
from hypothesis import given, strategies as st

from nxcdr_async.errors import (
    AuthenticationError,
    BusyError,
    ClockSkewError,
    ConfigurationError,
    NxcdrError,
    SinkError,
    ThrottledError,
    TransportError,
)
from nxcdr_async.ingest.schedule import JITTER, LONGEST_RETRY, Schedule, Track, is_final, next_due

HOUR, DAY = 3600.0, 86_400.0

intervals = st.floats(1, 30 * DAY)
chances = st.floats(0, 1, exclude_max=True)
moments = st.floats(0, 1e9)
lengths = st.floats(0, 2 * DAY)


def after(every: float, outcome: str, *, failures: int = 0, ended: float = 1.0, chance: float = 0.5) -> Track:
    track = Track(0.0, failures)
    return Schedule(every).after(track, outcome, begun=0.0, ended=ended, chance=chance)  # type: ignore[arg-type]


@given(intervals, chances, moments, lengths, st.sampled_from(["done", "gaps", "busy", "failed"]), st.integers(0, 3000))
def test_no_round_begins_before_another_has_ended(
    every: float, chance: float, begun: float, length: float, outcome: str, failures: int
) -> None:
    ended = begun + length
    track = Schedule(every).after(Track(begun, failures), outcome, begun=begun, ended=ended, chance=chance)  # type: ignore[arg-type]
    assert track.due >= ended


@given(intervals, chances, moments)
def test_the_next_round_is_due_by_the_beginning_of_the_last(every: float, chance: float, begun: float) -> None:
    track = Schedule(every).after(Track(begun), "done", begun=begun, ended=begun, chance=chance)
    assert track.due - begun == pytest.approx(every, rel=JITTER + 1e-6, abs=1e-6)


def test_chance_spreads_rounds_both_ways() -> None:
    assert after(100, "done", chance=0.0).due == pytest.approx(90)
    assert after(100, "done", chance=0.5).due == pytest.approx(100)
    assert after(100, "done", chance=0.999999).due == pytest.approx(110, rel=1e-3)


def test_a_round_that_took_longer_is_followed_at_once() -> None:
    assert after(60, "done", ended=300).due == 300


def test_pauses_double_while_rounds_fail() -> None:
    pauses = [after(60, "failed", failures=failed, ended=0).due for failed in range(8)]
    assert pauses == [60, 120, 240, 480, 960, 1920, LONGEST_RETRY, LONGEST_RETRY]


def test_a_rare_round_is_tried_again_soon() -> None:
    pauses = [after(DAY, "failed", failures=failed, ended=0).due for failed in (0, 1, 2, 20)]
    assert pauses == [300, 600, 1200, DAY]


def test_what_has_failed_is_counted_until_a_round_works() -> None:
    assert after(60, "failed", failures=2).failures == 3
    assert after(60, "busy", failures=2).failures == 2
    assert after(60, "gaps", failures=2) == Track(60, 0, has_worked=True)


def test_a_store_in_use_is_no_failure() -> None:
    assert after(60, "busy").due == 60
    assert not after(60, "busy").has_worked


def test_the_source_that_waits_longest_comes_first() -> None:
    assert next_due({"calls": Track(3), "did": Track(1), "flash": Track(2)}) == "did"
    assert next_due({"calls": Track(1), "did": Track(1)}) == "calls"


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("no keys"), AuthenticationError("a wrong key", code=1003, http_status=200)],
    ids=lambda error: type(error).__name__,
)
def test_a_wrong_setup_ends_all_until_it_has_worked(error: NxcdrError) -> None:
    assert is_final(error, Track(0))
    assert not is_final(error, Track(0, has_worked=True))


@pytest.mark.parametrize(
    "error",
    [
        BusyError("in use"),
        ClockSkewError("too late", code=1004, http_status=200),
        SinkError("the disk is full"),
        ThrottledError("too much", code=99, http_status=200),
        TransportError("no line"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_tried_again(error: NxcdrError) -> None:
    assert not is_final(error, Track(0))


@given(intervals)
def test_patience_outlasts_a_few_rounds_and_an_hour(every: float) -> None:
    assert Schedule(every).patience >= max(HOUR, 2 * every * (1 + JITTER))
