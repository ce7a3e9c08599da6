import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError
from nxcdr_async.windows import Window, window_of

DAY = 86_400
EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - hypothesis wants naive bounds
START = 1_767_225_600  # a Thursday, 2026-01-01 00:00 UTC


@st.composite
def windows(draw: st.DrawFn, longest: int = 60 * DAY) -> Window:
    start = draw(st.integers(START, START + 14 * DAY))
    return Window(start, start + draw(st.integers(1, longest)))


def tiles(parts: list[Window], whole: Window) -> bool:
    edges = [whole.start, *(part.start for part in parts[1:]), whole.end]
    return all(part == Window(*pair) for part, pair in zip(parts, pairwise(edges), strict=True))


@given(windows(), st.integers(-3, 5000))
def test_parts_tile_a_window_exactly(window: Window, count: int) -> None:
    parts = window.parts(count)
    assert tiles(parts, window)
    assert len(parts) == max(1, min(count, window.seconds))


@given(windows(), st.integers(1, 50))
def test_parts_are_of_about_the_same_width_and_none_is_empty(window: Window, count: int) -> None:
    widths = [part.seconds for part in window.parts(count)]
    assert min(widths) >= 1
    assert max(widths) - min(widths) <= 1


def test_a_window_is_asked_for_with_a_second_of_overlap() -> None:
    assert Window(100, 200).bounds == (99, 200)


@given(
    st.datetimes(EARLIEST, LATEST),
    st.timedeltas(timedelta(microseconds=1), timedelta(days=400)),
    st.integers(-12, 14),
)
def test_the_window_of_a_range_is_the_whole_seconds_that_cover_it(
    naive: datetime, width: timedelta, offset: int
) -> None:
    start = naive.replace(tzinfo=timezone(timedelta(hours=offset)))
    end = start + width
    window = window_of(start, end)
    assert window.start == math.floor(start.timestamp()) <= start.timestamp()
    assert window.end == math.ceil(end.timestamp()) >= end.timestamp()
    assert window.seconds >= 1


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_naive_time_is_refused_with_the_way_to_mend_it(name: str) -> None:
    times = {"start": datetime(2026, 1, 1, tzinfo=UTC), "end": datetime(2026, 1, 2, tzinfo=UTC)}
    times[name] = times[name].replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match=rf"{name} has no time zone.*{name}\.replace\(tzinfo=datetime\.UTC\)"):
        window_of(**times)


@pytest.mark.parametrize("wrong", ["2026-01-01", 1_767_225_600, None])
def test_what_is_no_datetime_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="start must be a datetime with a zone"):
        window_of(wrong, datetime(2026, 1, 2, tzinfo=UTC))  # type: ignore[arg-type]


@pytest.mark.parametrize("later", [timedelta(0), timedelta(seconds=-1)])
def test_an_end_that_is_not_after_the_start_is_refused(later: timedelta) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="must be after start"):
        window_of(start, start + later)


class NoOffset(tzinfo):
    """A zone that cannot do its work."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise LookupError("no such year")


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize(
    ("moment", "said"),
    [(pd.NaT, "is NaT, a time that is missing"), (datetime(2026, 1, 1, tzinfo=NoOffset()), "cannot tell its offset")],
    ids=["missing", "a zone that raises"],
)
def test_what_is_no_moment_is_refused(name: str, moment: Any, said: str) -> None:
    moments = {"start": datetime(2025, 1, 1, tzinfo=UTC), "end": datetime(2027, 1, 1, tzinfo=UTC), name: moment}
    with pytest.raises(ConfigurationError, match=said):
        window_of(**moments)
