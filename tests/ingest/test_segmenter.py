"""Windows cut from a stream: each record in one of them, and every end where it may be."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
from attrs import define
from hypothesis import given, strategies as st

from nxcdr_async.ingest.ranges import ReadRange
from nxcdr_async.ingest.segmenter import Segment, Segmenter
from nxcdr_async.records.arrow import Table
from nxcdr_async.windows import Window

START, END = 1000, 1060
LATEST = END + 5
SCHEMA = pa.schema([("number", pa.int64()), ("time", pa.timestamp("us", tz="UTC"))])


@define(frozen=True)
class Row:
    number: int
    at: float


TABLE = Table("calls", "calls", Row, key="number", is_key_unique=True, time="time", schema=SCHEMA)


def rows(page: Sequence[Row]) -> pa.Table:
    numbers, times = [row.number for row in page], [datetime.fromtimestamp(row.at, UTC) for row in page]
    return pa.table({"number": numbers, "time": times}, schema=SCHEMA)


def rows_in(cut: Segment) -> list[Row]:
    return [Row(row["number"], row["time"].timestamp()) for row in cut.rows.to_pylist()]


def no_floor(moment: int) -> int:
    return moment


def tens(moment: int) -> int:
    """Let windows end at full tens only, as days do."""
    return moment // 10 * 10


def moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


@st.composite
def readings(draw: st.DrawFn, step: int = 1) -> ReadRange:
    edges = draw(st.sets(st.integers(START // step, END // step), max_size=6))
    ends = [edge * step for edge in sorted(edges)]
    rigid = tuple(Window(start, end) for start, end in pairwise(ends) if draw(st.booleans()))
    return ReadRange(Window(START, END), rigid)


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[list[Row], float | None]]:
    """Make pages of records in order of time, each with a moment before which none comes any more."""
    # Strays before and after the range: a gateway may filter by another time than the start.
    places = draw(st.lists(st.integers(START * 4 - 40, LATEST * 4), max_size=40).map(sorted))
    left = [Row(number, place / 4) for number, place in enumerate(places)]
    pages: list[tuple[list[Row], float | None]] = []
    while left:
        page = left[: draw(st.integers(1, 10))]
        del left[: len(page)]
        following = left[0].at if left else LATEST
        pages.append((page, draw(st.none() | st.floats(START - 10, following).map(int))))
    return pages


def cuts_of(
    segmenter: Segmenter, stream: Sequence[tuple[list[Row], float | None]], cut_after: Sequence[bool]
) -> list[Segment]:
    cuts: list[Segment] = []
    for (page, complete_until), is_time in zip(stream, cut_after, strict=False):
        segmenter.add(rows(page), moment(complete_until))
        if is_time:
            cuts += segmenter.segments()
    segmenter.finish()
    return [*cuts, *segmenter.segments()]


def segmenter_of(reading: ReadRange, must_end: Sequence[int] = (), *, by_tens: bool = False) -> Segmenter:
    return Segmenter(TABLE, reading, tens if by_tens else no_floor, must_end)


some_cuts = st.lists(st.booleans(), min_size=40, max_size=40)
some_ends = st.lists(st.integers(START - 10, LATEST), max_size=2).map(sorted)


@given(readings(), streams(), some_cuts, some_ends)
def test_every_record_is_in_exactly_one_window(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    cuts = cuts_of(segmenter_of(reading, must_end), stream, cut_after)
    assert [row for cut in cuts for row in rows_in(cut)] == [row for page, _ in stream for row in page]


@given(readings(), streams(), some_cuts, some_ends)
def test_windows_adjoin_and_cover_what_is_read(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    windows = [cut.window for cut in cuts_of(segmenter_of(reading, must_end), stream, cut_after)]
    assert windows[0].start == START
    assert windows[-1].end == END
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert all(window.seconds > 0 for window in windows)


@given(readings(), streams(), some_cuts, some_ends)
def test_a_window_that_was_read_before_is_never_read_again_in_part(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    windows = [cut.window for cut in cuts_of(segmenter_of(reading, must_end), stream, cut_after)]
    edges = {edge for window in windows for edge in (window.start, window.end)}
    assert not [edge for edge in edges for rigid in reading.rigid if rigid.start < edge < rigid.end]


@given(streams(), some_cuts, st.sets(st.integers(START, END), max_size=6).map(sorted))
def test_a_reading_is_cut_where_it_says(
    stream: list[tuple[list[Row], float | None]], cut_after: list[bool], ends: list[int]
) -> None:
    reading = ReadRange(Window(START, END), ends=tuple(ends))
    cut_at = {cut.window.end for cut in cuts_of(segmenter_of(reading), stream, cut_after)}
    assert {end for end in ends if end > START} <= cut_at


@given(readings(step=10), streams(), some_cuts, some_ends)
def test_windows_end_only_where_the_source_lets_them(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    cuts = cuts_of(segmenter_of(reading, must_end, by_tens=True), stream, cut_after)
    assert all(cut.window.end % 10 == 0 for cut in cuts)


@given(readings(), streams(), some_cuts, some_ends)
def test_a_window_has_no_record_after_its_end_unless_it_is_the_last(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    cuts = cuts_of(segmenter_of(reading, must_end), stream, cut_after)
    assert all(row.at < cut.window.end for cut in cuts[:-1] for row in rows_in(cut))


@given(readings(), streams(), some_cuts)
def test_a_window_has_all_records_before_its_end(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool]
) -> None:
    cuts = cuts_of(segmenter_of(reading), stream, cut_after)
    assert all(row.at >= earlier.window.end for earlier, later in pairwise(cuts) for row in rows_in(later))


@given(readings(), streams(), some_cuts, some_ends)
def test_windows_end_where_they_must(
    reading: ReadRange, stream: list[tuple[list[Row], float | None]], cut_after: list[bool], must_end: list[int]
) -> None:
    ends = {cut.window.end for cut in cuts_of(segmenter_of(reading, must_end), stream, cut_after)}
    assert {reading.floor(end) for end in must_end if START < reading.floor(end) < END} <= ends


@given(st.lists(st.integers(0, 4 * (END - START) - 1), max_size=40), st.data())
def test_records_that_come_out_of_order_are_not_lost(places: list[int], data: st.DataObject) -> None:
    strays = [Row(number, START + place / 4) for number, place in enumerate(places)]
    stream = [([row], data.draw(st.none() | st.integers(START - 10, LATEST))) for row in strays]
    cuts = cuts_of(segmenter_of(ReadRange(Window(START, END))), stream, [data.draw(st.booleans()) for _ in strays])
    assert sorted(row.number for cut in cuts for row in rows_in(cut)) == list(range(len(strays)))


def test_nothing_can_be_cut_before_anything_is_complete() -> None:
    segmenter = segmenter_of(ReadRange(Window(START, END)))
    segmenter.add(rows([Row(0, START + 1)]), None)
    assert not segmenter.has_segments
    assert not list(segmenter.segments())
    assert segmenter.rows_pending == 1


def test_what_was_cut_off_is_not_held_any_more() -> None:
    segmenter = segmenter_of(ReadRange(Window(START, END)))
    segmenter.add(rows([Row(0, START + 1), Row(1, START + 5)]), moment(START + 3))
    assert segmenter.has_segments
    assert [cut.window for cut in segmenter.segments()] == [Window(START, START + 3)]
    assert (segmenter.rows_pending, segmenter.has_segments) == (1, False)


def test_a_fraction_of_a_second_is_complete_only_with_its_second() -> None:
    segmenter = segmenter_of(ReadRange(Window(START, END)))
    segmenter.add(rows([Row(0, START + 1.25)]), moment(START + 1.75))
    assert [cut.window for cut in segmenter.segments()] == [Window(START, START + 1)]


def test_complete_until_never_goes_back() -> None:
    segmenter = segmenter_of(ReadRange(Window(START, END)))
    segmenter.add(rows([]), moment(START + 9))
    segmenter.add(rows([]), moment(START + 3))
    assert [cut.window for cut in segmenter.segments()] == [Window(START, START + 9)]
