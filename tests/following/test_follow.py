"""Following over HTTP: each call once, soon after it shows up, however late that is."""

import asyncio
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, strategies as st

from nxcdr_async import AuthenticationError, CdrSession, ConfigurationError, Credentials, NxcdrError, RecordError
from tests.following.live import HOUR, MINUTE, NOON, LiveTenant, TimeIsUpError, over_json

LATENESS = {"seconds": 20.0, "minutes": 400.0, "an hour": HOUR, "five hours": 5 * HOUR, "twenty hours": 20 * HOUR}


@pytest.mark.parametrize("late", LATENESS)
async def test_late_calls_come_once(late: str, live: LiveTenant) -> None:
    after = LATENESS[late]
    every = MINUTE if after <= HOUR else 20 * MINUTE
    starts = [1_000.0 * number for number in range(5)]
    for number, start in enumerate(starts):
        live.add_call(f"call {number}", start=start, shows_up=start + after)
    async with live.follow(every=every) as follower:
        seen = await live.watch(follower, starts[-1] + after + max(every, after) + MINUTE)
    assert set(seen) == {f"call {number}" for number in range(5)}
    for number, start in enumerate(starts):
        assert 0 <= seen[f"call {number}"] - (start + after) <= max(2 * MINUTE, after)


async def test_calls_before_since_are_not_asked_for(live: LiveTenant) -> None:
    live.gateway.add_call(callId="before", startTime=NOON - timedelta(hours=1))
    live.gateway.add_call(callId="after", startTime=NOON + timedelta(seconds=1))
    async with live.follow() as follower:
        assert set(await live.watch(follower, 10 * MINUTE)) == {"after"}


async def test_now_is_when_it_begins_unless_told(live: LiveTenant) -> None:
    live.gateway.add_call(callId="before", startTime=NOON - timedelta(minutes=1))
    live.add_call("after", start=5, shows_up=30)
    async with live.follow(since=None) as follower:
        assert set(await live.watch(follower, 10 * MINUTE)) == {"after"}


async def test_what_is_there_comes_first_and_in_order(live: LiveTenant) -> None:
    added = live.gateway.add_calls(700, startTime=NOON - timedelta(days=3), apart=timedelta(minutes=5))
    live.add_call("new", start=90, shows_up=100)
    async with live.follow(since=NOON - timedelta(days=4)) as follower:
        seen = await live.watch(follower, 10 * MINUTE)
    assert list(seen) == [*added, "new"]


async def test_pages_are_lists_of_news(live: LiveTenant) -> None:
    added = live.gateway.add_calls(250, startTime=NOON - timedelta(hours=2))
    live.until = 5 * MINUTE
    found: list[str] = []
    async with live.follow(since=NOON - timedelta(days=1)) as follower:
        with pytest.raises(TimeIsUpError):
            async for page in follower.pages():
                assert 0 < len(page) <= 100
                found += [call.call_id for call in page]
    assert found == added


async def test_filters_narrow_what_is_followed(live: LiveTenant) -> None:
    live.gateway.add_call(callId="a", startTime=NOON, agentName="ann")
    live.gateway.add_call(callId="b", startTime=NOON, agentName="bob")
    async with live.follow(agent="bob") as follower:
        assert set(await live.watch(follower, 3 * MINUTE)) == {"b"}


async def test_legs_with_one_id_all_come(live: LiveTenant) -> None:
    for seconds in (0, 30):
        live.gateway.add_call(callId="leg", startTime=NOON + timedelta(seconds=seconds))
    live.at(15 * MINUTE, lambda: live.gateway.add_call(callId="leg", startTime=NOON + timedelta(seconds=90)))
    async with live.follow() as follower:
        found = await live.records(follower, HOUR)
    assert [call.start_time for call in found] == [NOON + timedelta(seconds=seconds) for seconds in (0, 30, 90)]


@pytest.mark.parametrize("order", ["descending", "shuffled"])
@pytest.mark.parametrize("filter_by", ["start", "end"])
async def test_rows_that_move_while_they_are_read_come_once(order: str, filter_by: str, live: LiveTenant) -> None:
    switches = live.gateway.switches
    switches.order, switches.filter_by, switches.arrivals_per_page = order, filter_by, 1  # type: ignore[assignment] # of two words each
    live.gateway.add_calls(250, startTime=NOON - timedelta(hours=6), apart=timedelta(seconds=60))
    live.at(20 * MINUTE, lambda: setattr(switches, "arrivals_per_page", 0))
    async with live.follow(since=NOON - timedelta(days=1), every=1_200) as follower:
        keys = [call.call_id for call in await live.records(follower, 30 * HOUR)]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(live.gateway.call_ids())


async def test_a_gateway_that_is_down_for_an_hour_costs_no_call(live: LiveTenant) -> None:
    for number in range(100):
        live.add_call(f"call {number}", start=100.0 * number, shows_up=100.0 * number + 70)
    told: list[NxcdrError] = []
    down = live.gateway.failing("close")
    live.at(1_000, down.__enter__)
    live.at(1_000 + HOUR, lambda: down.__exit__(None, None, None))
    async with live.follow(on_retry=told.append) as follower:
        seen = await live.watch(follower, 3 * HOUR)
    assert set(seen) == {f"call {number}" for number in range(100)}
    assert 5 < len(told) < 60
    after = 1_000 + HOUR
    assert all(moment <= after + 10 * MINUTE for call, moment in seen.items() if int(call.split()[1]) < 40)


async def test_a_machine_that_slept_misses_nothing(live: LiveTenant) -> None:
    async with live.follow() as follower:
        live.add_call("before", start=10, shows_up=30)
        assert set(await live.watch(follower, 10 * MINUTE)) == {"before"}
        live.passed += 8 * HOUR
        live._go_to(live.passed)
        live.gateway.add_call(callId="meanwhile", startTime=NOON + timedelta(hours=3))
        assert set(await live.watch(follower, live.passed + 20 * MINUTE)) == {"meanwhile"}


async def test_a_clock_that_is_set_back_misses_nothing(live: LiveTenant) -> None:
    live.add_call("before", start=10, shows_up=30)
    async with live.follow() as follower:
        assert set(await live.watch(follower, 10 * MINUTE)) == {"before"}
        live.passed -= 8 * MINUTE
        live.gateway.clock.move_to(NOON + timedelta(seconds=live.passed))
        live.add_call("after", start=live.passed + 10, shows_up=live.passed + 30)
        assert set(await live.watch(follower, 30 * MINUTE)) == {"after"}


async def test_a_refused_key_is_raised(live: LiveTenant, open_session: object) -> None:
    wrong = Credentials(live.gateway.credentials.access_key, "wrong")
    live = LiveTenant(live.gateway, open_session(credentials=wrong))  # type: ignore[operator] # a fixture's function
    async with live.follow() as follower:
        with pytest.raises(AuthenticationError):
            await anext(follower)


async def test_a_bad_row_is_raised_or_left_out(live: LiveTenant) -> None:
    live.gateway.add_call(callId="bad", startTime=NOON, callDuration="long")
    live.gateway.add_call(callId="good", startTime=NOON + timedelta(seconds=5))
    async with live.follow() as follower:
        with pytest.raises(RecordError):
            await anext(follower)
    async with live.follow(on_bad_row="skip") as follower:
        assert (await anext(follower)).call_id == "good"


async def test_a_full_second_is_told_once(live: LiveTenant) -> None:
    live.gateway.switches.depth_cap = 200
    live.gateway.add_calls(250, startTime=NOON, apart=timedelta(0))
    gaps: list[NxcdrError] = []
    async with live.follow(on_gap=gaps.append) as follower:
        seen = await live.watch(follower, 20 * MINUTE)
    assert len(seen) >= 200
    assert len(gaps) == 1


async def test_a_wait_that_is_cancelled_loses_nothing(live: LiveTenant) -> None:
    added = live.gateway.add_calls(300, startTime=NOON - timedelta(hours=1))
    found: list[str] = []
    async with live.follow(since=NOON - timedelta(hours=2)) as follower:
        for attempt in count():
            if len(found) == 300:
                break
            one = asyncio.ensure_future(anext(follower))
            await asyncio.sleep(0.01 if attempt % 7 == 0 else 0)
            if not one.done():
                one.cancel()
            done = await asyncio.gather(one, return_exceptions=True)
            found += [call.call_id for call in done if not isinstance(call, BaseException)]
    assert found == added


async def test_leaving_ends_what_is_under_way(live: LiveTenant) -> None:
    live.gateway.add_calls(3_000, startTime=NOON - timedelta(hours=3))
    live.gateway.switches.latency = (0.05, 0.05)
    async with live.follow(since=NOON - timedelta(hours=4)) as follower:
        await anext(follower)
    assert live.session.stats.in_flight == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(ConfigurationError, match="closed"):
        await anext(follower)


async def test_did_calls_are_followed_by_their_days(live: LiveTenant) -> None:
    early = live.gateway.add_did_call(startTime=NOON - timedelta(hours=2))
    there = live.gateway.add_did_call(startTime=NOON)
    late: list[int] = []
    live.at(13 * HOUR, lambda: late.append(live.gateway.add_did_call(startTime=NOON + timedelta(minutes=1))))
    async with live.follow("did", every=1_800) as follower:
        found = [call.id for call in await live.records(follower, 30 * HOUR)]
    assert found == [there, *late]
    assert early not in found


async def test_flash_calls_are_followed(live: LiveTenant) -> None:
    added: list[int] = []
    for minutes in range(0, 200, 10):
        live.at(minutes * MINUTE, lambda: added.append(live.gateway.add_flash_call(gmtCreate=NOON)))
    async with live.follow("flash", every=300) as follower:
        found = [call.id for call in await live.records(follower, 7 * HOUR)]
    assert sorted(found) == sorted(added)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"since": datetime(2026, 1, 1)}, "since is"),  # noqa: DTZ001 - a naive one is what is refused
        ({"every": 0}, "every is 0"),
        ({"settle": timedelta(0)}, "settle is"),
        ({"agents": "ann"}, "cannot be narrowed by agents"),
        ({"source": "sms"}, "source is 'sms'"),
        ({"position": {"version": 2}}, "position is none"),
        ({"on_bad_row": "ignore"}, "on_bad_row"),
    ],
)
def test_what_cannot_work_is_told_at_once(options: dict[str, object], told: str) -> None:
    session = CdrSession(credentials=Credentials("AK", "secret"))
    with pytest.raises(ConfigurationError, match=told):
        session.follow(**options)  # type: ignore[call-overload] # what is wrong is the test


async def test_memory_is_six_bytes_a_call_of_the_time_to_settle(live: LiveTenant) -> None:
    live.gateway.add_calls(6_000, startTime=NOON - timedelta(days=20), apart=timedelta(minutes=4))
    async with live.follow(since=NOON - timedelta(days=21)) as follower:
        seen = await live.watch(follower, 2 * MINUTE)
        assert len(seen) == 6_000
        remembered = follower._handed_out
    most = (24 + 6 + 2) * 15
    assert len(remembered) <= most
    assert len(over_json(follower.position)["handed_out"]) <= most * (8 + 12)


@given(st.integers(1, 86_400), st.integers(60, 40 * 86_400))
def test_levels_leave_no_lateness_out(every: int, settle: int) -> None:
    from nxcdr_async.paging.follow_schedule import levels_of  # noqa: PLC0415 - of this test alone

    levels = levels_of(every, settle)
    assert levels[0].interval == every
    assert levels[-1].reach == settle
    assert [level.reach for level in levels] == sorted({level.reach for level in levels})
    assert len(levels) < 20
