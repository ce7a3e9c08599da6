"""Going on from a position, at any moment, loses nothing and doubles nothing."""

from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError
from nxcdr_async.paging.follow_schedule import FollowSchedule
from nxcdr_async.paging.handed_out import HandedOut, digest_of
from tests.following.live import HOUR, MINUTE, NOON, LiveTenant, TimeIsUpError, over_json


async def test_restarts_lose_and_double_nothing(live: LiveTenant) -> None:
    there = live.gateway.add_calls(330, startTime=NOON - timedelta(hours=30), apart=timedelta(minutes=5))
    for number in range(60):
        late = (30, 500, HOUR, 20 * HOUR)[number % 4]
        live.add_call(f"call {number}", start=400.0 * number, shows_up=400.0 * number + late)
    position, seen = None, []
    until = 60 * 400 + 30 * HOUR
    while live.passed < until:
        # Each process ends after some calls, or some time, in the middle of a page as well.
        live.until = min(until, live.passed + (37 + len(seen) % 5) * 11 * MINUTE)
        async with live.follow(since=NOON - timedelta(days=2), position=position, every=600) as follower:
            for _ in range(73):
                try:
                    seen.append((await anext(follower)).call_id)
                except TimeIsUpError:
                    break
            position = over_json(follower.position)
    assert len(seen) == len(set(seen))
    assert set(seen) == {*there, *(f"call {number}" for number in range(60))}


async def test_a_position_counts_what_was_handed_out_and_no_more(live: LiveTenant) -> None:
    added = live.gateway.add_calls(30, startTime=NOON - timedelta(minutes=20))
    async with live.follow(since=NOON - timedelta(hours=1)) as first:
        seen = [(await anext(first)).call_id for _ in range(7)]
    async with live.follow(position=first.position) as second:
        seen += await live.watch(second, 5 * MINUTE)
    assert seen == added


async def test_a_position_goes_on_with_another_time_to_settle(live: LiveTenant) -> None:
    added = live.gateway.add_calls(30, startTime=NOON - timedelta(hours=20), apart=timedelta(minutes=30))
    async with live.follow(since=NOON - timedelta(days=1), settle=timedelta(hours=2)) as first:
        assert list(await live.watch(first, 5 * MINUTE)) == added
    async with live.follow(position=first.position, settle=timedelta(days=5)) as second:
        assert await live.watch(second, live.passed + 2 * HOUR) == {}


async def test_a_position_of_something_else_is_refused(live: LiveTenant) -> None:
    position = live.follow(agent="ann").position
    with pytest.raises(ConfigurationError, match="same source"):
        live.follow(position=position)
    with pytest.raises(ConfigurationError, match="same source"):
        live.follow("flash", position=position)


@pytest.mark.parametrize(
    ("part", "value"), [("handed_out", "AAAA"), ("handed_out", "?"), ("handed_out", None), ("read_until", "now")]
)
def test_a_damaged_position_is_refused(part: str, value: object, live: LiveTenant) -> None:
    position = {**live.follow().position, part: value}
    with pytest.raises(ConfigurationError, match="position"):
        live.follow(position=position)


Calls = st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 50)))


@given(Calls, Calls)
def test_what_was_handed_out_is_known_again(handed_out: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    known = HandedOut()
    for moment, number in handed_out:
        if not known.has(moment, digest_of(str(number), moment, 0)):
            known.add(moment, digest_of(str(number), moment, 0))
    read = HandedOut.of(known.text())
    assert len(read) == len(set(handed_out))
    for moment, number in handed_out + others:
        assert read.has(moment, digest_of(str(number), moment, 0)) == ((moment, number) in handed_out)


@given(st.lists(st.integers(0, 10**7), min_size=1), st.integers(0, 10**7))
def test_only_what_is_older_is_forgotten(seconds: list[int], before: int) -> None:
    known = HandedOut()
    for second in seconds:
        known.add(second * 1000, digest_of("a", second, 0))
    known.forget(before)
    assert all(known.has(second * 1000, digest_of("a", second, 0)) for second in seconds if second >= before)
    assert not any(known.has(s * 1000, digest_of("a", s, 0)) for s in seconds if s < before - 60)


Gaps = st.lists(st.integers(1, 30_000), min_size=5, max_size=60)


@given(Gaps, st.sampled_from([60, 600]), st.integers(0, 86_400), st.data())
def test_every_row_is_read_after_it_shows_up(gaps: list[int], every: int, late: int, data: st.DataObject) -> None:
    begin, settle = 10**9, 86_400
    schedule, now = FollowSchedule.since(begin, every, settle), begin
    start = begin + data.draw(st.integers(0, 40_000))
    found = False
    for gap in [*gaps, *[settle] * 3]:
        now += max(gap, every)
        newest = schedule.newest(now, now)
        found = found or (start + late <= now and newest.start <= start < newest.end)
        schedule.note_newest(newest, now)
        due = schedule.older(now, newest.start)
        if due is not None and data.draw(st.booleans()):
            window, level = due
            found = found or (start + late <= now and window.start <= start < window.end)
            schedule.note_older(window, level, now)
        if data.draw(st.booleans()):
            schedule = FollowSchedule(every, settle, schedule.closed_until, schedule.read_until)
        assert found or schedule.closed_until <= start
