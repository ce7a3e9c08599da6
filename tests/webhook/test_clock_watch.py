"""When a receiver says that its own clock is off."""

from nxcdr_async.webhook.clock_watch import SECONDS_BETWEEN_REPORTS, ClockWatch


def refused(watch: ClockWatch, *ahead_ms: int, now: float = 0.0, first: int = 0) -> list[float | None]:
    return [watch.note_refused(f"{first + number}", ahead, now=now) for number, ahead in enumerate(ahead_ms)]


def test_a_constant_offset_is_told_with_the_third_push() -> None:
    assert refused(ClockWatch(), 300_000, 310_000, 299_000) == [None, None, 300.0]


def test_offsets_that_differ_are_no_clock() -> None:
    assert refused(ClockWatch(), -70_000, -140_000, -210_000, -280_000) == [None] * 4


def test_a_push_that_is_accepted_in_between_clears_the_clock() -> None:
    watch = ClockWatch()
    refused(watch, 300_000, 300_000)
    watch.note_accepted()
    assert refused(watch, 300_000, 300_000, first=5) == [None, None]


def test_one_push_that_comes_again_and_again_counts_once() -> None:
    watch = ClockWatch()
    assert [watch.note_refused("1", ahead, now=0.0) for ahead in (-61_000, -62_000, -63_000, -64_000)] == [None] * 4


def test_it_is_told_again_after_an_hour() -> None:
    watch = ClockWatch()
    refused(watch, 300_000, 300_000, 300_000)
    assert refused(watch, 300_000, 300_000, now=SECONDS_BETWEEN_REPORTS - 1, first=5) == [None, None]
    assert refused(watch, 300_000, now=SECONDS_BETWEEN_REPORTS, first=9) == [300.0]
