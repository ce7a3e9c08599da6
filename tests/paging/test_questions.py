"""Which narrowest question begins where. Pure."""

from hypothesis import given, strategies as st

from nxcdr_async import ServerError
from nxcdr_async.paging.answer_limits import NARROWEST
from nxcdr_async.paging.bounded import RangeProbes
from nxcdr_async.windows import Window

BEGIN = 1_767_225_600
DAY = 86_400


async def never(_: Window) -> None:
    raise ServerError("nothing is to be asked")


def about(whole: Window, now: int = BEGIN + 1000 * DAY) -> RangeProbes:
    return RangeProbes.about_range(whole, never, lambda: now, lambda _: False)


@given(st.integers(1, 40 * DAY), st.integers(-DAY, 41 * DAY))
def test_a_question_lies_in_the_range_and_is_asked_for_no_wider_than_an_hour(seconds: int, later: int) -> None:
    questions = about(Window(BEGIN, BEGIN + seconds))
    window = questions.at(BEGIN + later)
    start, end = window.bounds
    assert end - start <= NARROWEST
    assert questions.whole.start <= window.start < window.end <= questions.whole.end


@given(st.integers(2, 40 * DAY), st.data())
def test_the_first_that_begins_at_a_moment_or_later_is_found(seconds: int, data: st.DataObject) -> None:
    questions = about(Window(BEGIN, BEGIN + seconds))
    place = data.draw(st.integers(0, questions.count - 1))
    assert questions.number_at(questions.window(place).start) == place


def test_the_newest_is_the_last_one() -> None:
    questions = about(Window(BEGIN, BEGIN + 9 * DAY))
    assert questions.newest.end == BEGIN + 9 * DAY


def test_the_newest_is_none_about_the_future() -> None:
    questions = about(Window(BEGIN, BEGIN + 9 * DAY), now=BEGIN + DAY)
    assert questions.newest.end == BEGIN + DAY


def test_of_a_range_that_has_yet_to_come_it_is_the_first() -> None:
    questions = about(Window(BEGIN, BEGIN + 9 * DAY), now=BEGIN - DAY)
    assert questions.newest.start == BEGIN
