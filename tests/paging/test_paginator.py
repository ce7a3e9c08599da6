"""Each way out of a paginator, on the real emulator."""

import asyncio
import contextlib
import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import aiohttp
import anyio
import pytest

from nxcdr_async import (
    AuthenticationError,
    CallRecord,
    CdrSession,
    ConfigurationError,
    Credentials,
    FlashApp,
    MalformedReplyError,
    NxcdrError,
    Paginator,
    RecordError,
    ServerError,
    TransportError,
)
from nxcdr_async.paging.places import FEWEST_WINDOWS
from nxcdr_async.records.arrow import CALLS, DID_CALLS, FLASH_CALLS, rows_of
from nxcdr_async.records.money import narrowed
from nxcdr_async.sources.calls import MOST_ROWS
from nxcdr_async.testing import Gateway
from tests.sessions import OpenSession, all_calls

OpenGateway = Callable[..., Gateway]

SECOND = timedelta(seconds=1)


@pytest.fixture
def open_gateway() -> Iterator[OpenGateway]:
    """Give emulators with a history of the test's own."""
    with contextlib.ExitStack() as stack:
        yield lambda **history: stack.enter_context(Gateway(**history))


read_either_way = pytest.mark.parametrize("whole", [aiter, lambda calls: calls.pages()], ids=["calls", "pages"])


async def test_nothing_is_asked_before_the_first_record_is_wanted(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    all_calls(session, gateway)
    await asyncio.sleep(0)
    assert session.stats.requests == 0


async def test_a_loop_to_the_end_gives_every_call_once_in_order(gateway: Gateway, open_session: OpenSession) -> None:
    calls = [call async for call in all_calls(open_session(), gateway)]
    assert sorted(call.call_id for call in calls) == sorted(gateway.call_ids())
    assert calls == sorted(calls, key=lambda call: (call.start_time, call.call_id))


async def test_pages_are_lists_that_together_are_all_calls(gateway: Gateway, open_session: OpenSession) -> None:
    pages = [page async for page in all_calls(open_session(), gateway).pages()]
    assert all(pages)
    assert sum(map(len, pages)) == len(gateway.call_ids())


async def test_pages_go_on_where_single_records_stopped(gateway: Gateway, open_session: OpenSession) -> None:
    async with all_calls(open_session(), gateway) as calls:
        first = await anext(calls)
        rest = [call async for page in calls.pages() for call in page]
    assert first not in rest
    assert 1 + len(rest) == len(gateway.call_ids())


async def test_a_table_has_the_columns_and_calls_of_a_store(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    table = await all_calls(session, gateway).to_arrow()
    assert table == narrowed(rows_of(CALLS, await all_calls(session, gateway).collect()))
    assert table.num_rows == len(gateway.call_ids())


async def test_data_frames_have_all_calls_in_order(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    ids = [call.call_id for call in await all_calls(session, gateway).collect()]
    assert list((await all_calls(session, gateway).to_pandas()).call_id) == ids
    assert (await all_calls(session, gateway).to_polars())["call_id"].to_list() == ids


async def test_did_and_flash_calls_become_tables_too(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    day = gateway.first_call.date()
    assert (await session.did_calls(day).to_arrow()).schema == narrowed(DID_CALLS.empty()).schema
    flash = session.flash_calls(gateway.first_call, gateway.first_call + timedelta(hours=1))
    assert (await flash.to_arrow()).schema == narrowed(FLASH_CALLS.empty()).schema


async def test_a_range_without_calls_is_a_table_with_all_columns(gateway: Gateway, open_session: OpenSession) -> None:
    before = gateway.first_call - timedelta(days=9)
    calls = open_session().calls(before, before + timedelta(days=1))
    assert await calls.to_arrow() == narrowed(CALLS.empty())


async def test_a_table_has_what_is_left_and_the_paginator_is_at_its_end(
    gateway: Gateway, open_session: OpenSession
) -> None:
    calls = all_calls(open_session(), gateway)
    first = await anext(calls)
    table = await calls.to_arrow()
    assert table["call_id"].to_pylist() == gateway.call_ids()[1:]
    assert first.call_id == gateway.call_ids()[0]
    with pytest.raises(ConfigurationError, match="read once"):
        await calls.to_arrow()


async def test_a_table_is_not_made_of_half_a_range(open_session: OpenSession) -> None:
    with Gateway(calls=40_000, days=2) as busy:
        session = open_session(concurrency=2, gateway=busy.url, credentials=busy.credentials)
        session._transport.sleep = no_sleep
        calls = all_calls(session, busy)
        async for _ in calls:
            if calls.complete_until is not None:
                break
        busy.switches.faults, busy.switches.fault_rate = ["88"], 1.0
        with pytest.raises(ServerError) as caught:
            await calls.to_arrow()
        until = caught.value.complete_until
        assert until is not None
        busy.switches.fault_rate = 0.0
        table = await session.calls(busy.first_call, until).to_arrow()
        assert set(busy.call_ids(end=until)) <= set(table["call_id"].to_pylist())
        assert session.stats.in_flight == 0


def add_call_of_forty_digits(gateway: Gateway) -> None:
    start = int(gateway.first_call.timestamp() * 1000) + 1
    gateway.add_call(callId="much", startTime=start, totalCustomerPrice="1" * 40)


async def test_a_record_that_fits_into_no_table_is_an_error(gateway: Gateway, open_session: OpenSession) -> None:
    add_call_of_forty_digits(gateway)
    session = open_session()
    with pytest.raises(RecordError, match="much") as caught:
        await all_calls(session, gateway).to_arrow()
    assert caught.value.path == "totalCustomerPrice"
    assert session.stats.in_flight == 0


async def test_it_is_skipped_and_told_where_bad_rows_are(gateway: Gateway, open_session: OpenSession) -> None:
    add_call_of_forty_digits(gateway)
    bad: list[RecordError] = []
    calls = open_session().calls(
        gateway.first_call, gateway.last_call + SECOND, on_bad_row="skip", bad_row_callback=bad.append
    )
    table = await calls.to_arrow()
    assert sorted([*table["call_id"].to_pylist(), "much"]) == sorted(gateway.call_ids())
    assert ([error.record_id for error in bad], calls.stats.bad_rows) == (["much"], 1)


@pytest.mark.parametrize(
    ("method", "package"),
    [("to_arrow", "pyarrow"), ("to_pandas", "pandas"), ("to_pandas", "pyarrow"), ("to_polars", "polars")],
)
async def test_a_missing_package_is_told_before_anything_is_asked(
    method: str, package: str, gateway: Gateway, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session()
    calls = all_calls(session, gateway)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, package, None)
        with pytest.raises(ConfigurationError, match=f"pip install {package}"):
            await getattr(calls, method)()
    assert session.stats.requests == 0
    assert len(await calls.collect()) == len(gateway.call_ids())


async def test_cancelling_a_table_ends_the_requests(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    gateway.switches.latency = (5, 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await all_calls(session, gateway).to_arrow()
    assert session.stats.in_flight == 0


async def test_a_paginator_shows_what_it_reads_and_how_far(gateway: Gateway, open_session: OpenSession) -> None:
    start, end = gateway.first_call.replace(microsecond=0), gateway.last_call.replace(microsecond=0) + SECOND
    calls = open_session().calls(start, end, caller="85212345678")
    what = f"calls {start.isoformat()} to {end.isoformat()}"
    assert repr(calls) == f"<Paginator of {what}: not started, 0 records read>"
    calls = open_session().calls(start, end)
    await anext(calls)
    assert repr(calls).startswith(f"<Paginator of {what}: being read, ")
    count = 1 + len(await calls.collect())
    state = f"read to its end, {count:,} records read, complete until {end.isoformat()}"
    assert repr(calls) == f"<Paginator of {what}: {state}>"


async def test_a_paginator_shows_how_it_was_left(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    days = session.did_calls(gateway.first_call.date(), gateway.last_call.date())
    await days.aclose()
    what = f"DID calls {gateway.first_call.date()} to {gateway.last_call.date()}"
    assert repr(days) == f"<Paginator of {what}: closed, 0 records read>"
    calls = all_calls(open_session(credentials=Credentials("nobody", "nothing")), gateway)
    with pytest.raises(AuthenticationError):
        await calls.collect()
    assert ": failed with AuthenticationError, 0 records read>" in repr(calls)


async def test_a_paginator_shows_no_secret(gateway: Gateway, open_session: OpenSession) -> None:
    app = FlashApp("flash-key", "flash-secret")
    calls = open_session(flash_app=app).flash_calls(gateway.first_call, gateway.last_call)
    assert repr(calls).startswith("<Paginator of flash calls ")
    assert "flash-secret" not in repr(calls)
    assert "flash-key" not in repr(calls)


async def test_the_stats_count_what_was_handed_out(gateway: Gateway, open_session: OpenSession) -> None:
    calls = all_calls(open_session(), gateway)
    collected = await calls.collect()
    assert calls.stats.records == len(collected) == len(gateway.call_ids())
    assert calls.stats.pages >= len(collected) // 100


async def test_break_inside_the_block_leaves_no_request_in_flight(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    async with all_calls(session, gateway) as calls:
        async for _ in calls:
            break
    assert session.stats.in_flight == 0


@read_either_way
async def test_aclosing_leaves_no_request_and_no_task(
    gateway: Gateway, open_session: OpenSession, whole: Callable[[Paginator[CallRecord]], Any]
) -> None:
    session = open_session()
    gateway.switches.latency = (0.02, 0.02)
    async with contextlib.aclosing(whole(all_calls(session, gateway))) as parts:
        assert await anext(parts)
    assert session.stats.in_flight == 0
    assert len(asyncio.all_tasks()) == 1


async def test_closing_pages_closes_their_paginator(gateway: Gateway, open_session: OpenSession) -> None:
    calls = all_calls(open_session(), gateway)
    async with contextlib.aclosing(calls.pages()) as pages:
        assert [page async for page in pages]
    await pages.aclose()
    untouched = all_calls(open_session(), gateway)
    await untouched.pages().aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await anext(untouched)


@read_either_way
async def test_a_bare_break_stops_the_requests_and_warns(
    gateway: Gateway, open_session: OpenSession, whole: Callable[[Paginator[CallRecord]], Any]
) -> None:
    session = open_session()
    gateway.switches.latency = (0.02, 0.02)
    with pytest.warns(ResourceWarning, match="dropped before its end"):
        async for _ in whole(all_calls(session, gateway)):
            break
        gc.collect()
    with anyio.fail_after(5):
        while session.stats.in_flight or len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nothing tells of either
            await asyncio.sleep(0)


async def test_a_paginator_nobody_started_can_be_dropped_in_silence(
    gateway: Gateway, open_session: OpenSession
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        all_calls(open_session(), gateway)
        gc.collect()


async def test_an_exception_of_the_users_own_comes_out_bare(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    with pytest.raises(ZeroDivisionError):
        async with all_calls(session, gateway) as calls:
            async for _ in calls:
                _ = 1 / 0
    assert session.stats.in_flight == 0


async def test_cancelling_the_reader_ends_the_requests(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    gateway.switches.latency = (5, 5)

    async def read() -> None:
        await all_calls(session, gateway).collect()

    task = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.stats.in_flight == 0


async def test_a_timeout_around_the_loop_ends_the_requests(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    gateway.switches.latency = (5, 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), all_calls(session, gateway) as calls:
            await anext(calls)
    assert session.stats.in_flight == 0


async def test_a_reader_that_times_out_and_goes_on_misses_nothing(gateway: Gateway, open_session: OpenSession) -> None:
    gateway.switches.latency = (0.0, 0.02)
    ids: list[str] = []
    timeouts = 0
    async with all_calls(open_session(), gateway) as calls:
        while True:
            try:
                call = await asyncio.wait_for(anext(calls), 0.002)
            except TimeoutError:
                timeouts += 1
                continue
            except StopAsyncIteration:
                break
            ids.append(call.call_id)
    assert timeouts
    assert sorted(ids) == sorted(gateway.call_ids())


async def test_an_error_is_bare_and_comes_after_the_records_before_it(open_session: OpenSession) -> None:
    with Gateway(calls=40_000, days=2) as busy:
        session = open_session(concurrency=2, gateway=busy.url, credentials=busy.credentials)
        session._transport.sleep = no_sleep
        calls = all_calls(session, busy)
        read = [(await anext(calls)).call_id]
        busy.fail_next("88", times=1000)
        with pytest.raises(ServerError) as caught:
            async for call in calls:
                read.append(call.call_id)  # noqa: PERF401 - what came before the error is the point
        assert caught.value.code == 88
        assert caught.value.request_id
        assert str(caught.value.asked_for).startswith("page ")
        assert caught.value.complete_until is not None
        assert set(busy.call_ids(end=caught.value.complete_until)) <= set(read)
        assert len(read) < len(busy.call_ids())


async def test_pages_read_before_a_failing_page_are_handed_out_first(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    session._transport.sleep = no_sleep
    gateway.switches.order = "ascending"  # so that page 1 has the calls that are handed out first
    gateway.fail_next("truncated", times=1000, endpoint="calls", page=2)
    read = []
    with pytest.raises(MalformedReplyError):
        async for call in session.calls(gateway.first_call, start_of(gateway, 150)):
            read.append(call.call_id)  # noqa: PERF401 - what came before the error is the point
    assert read == gateway.call_ids()[:100]


async def test_an_error_stays_if_one_goes_on_after_it(gateway: Gateway, open_session: OpenSession) -> None:
    session = open_session()
    session._transport.sleep = no_sleep
    gateway.fail_next("88", times=1000)
    calls = all_calls(session, gateway)
    for _ in range(2):
        with pytest.raises(ServerError):
            await anext(calls)


async def test_a_paginator_is_read_once(gateway: Gateway, open_session: OpenSession) -> None:
    calls = all_calls(open_session(), gateway)
    await calls.collect()
    with pytest.raises(ConfigurationError, match="read once"):
        [call async for call in calls]


async def test_a_closed_paginator_says_so(gateway: Gateway, open_session: OpenSession) -> None:
    calls = all_calls(open_session(), gateway)
    await anext(calls)
    await calls.aclose()
    await calls.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        async for _ in calls.pages():
            pass


async def test_a_session_closed_under_it_says_so_and_leaves_nothing(
    gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    gateway.switches.latency = (0.02, 0.02)
    calls = all_calls(session, gateway)
    await anext(calls)
    await session.aclose()
    with pytest.raises(ConfigurationError, match="session was closed"):
        async for _ in calls:
            pass


async def test_a_session_may_be_entered_and_left_in_different_tasks(gateway: Gateway) -> None:
    opened: asyncio.Queue[CdrSession] = asyncio.Queue()

    async def enter() -> None:
        session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)
        await opened.put(await session.__aenter__())

    await asyncio.create_task(enter())
    session = await opened.get()
    count = len(await asyncio.create_task(all_calls(session, gateway).collect()))
    await asyncio.create_task(session.__aexit__(None, None, None))
    assert count == len(gateway.call_ids())


async def test_a_slow_reader_holds_the_requests_back(open_session: OpenSession) -> None:
    with Gateway(calls=60_000, days=2) as busy:
        busy.switches.order = "ascending"
        session = open_session(concurrency=2, gateway=busy.url, credentials=busy.credentials)
        async with all_calls(session, busy) as calls:
            await anext(calls)
            quiet = 0
            while quiet < 20:
                await asyncio.sleep(0.005)
                quiet = 0 if session.stats.in_flight else quiet + 1
            # As many windows as are held at once, and the one that is being handed out.
            assert session.stats.requests < 1.3 * (FEWEST_WINDOWS + 1) * MOST_ROWS / 100


@pytest.mark.parametrize("leave", [StopAsyncIteration, LookupError])
async def test_cancel_scopes_of_the_user_stay_whole_around_it(
    leave: type[Exception], gateway: Gateway, open_session: OpenSession
) -> None:
    with anyio.fail_after(10) as scope, contextlib.suppress(LookupError):
        async with all_calls(open_session(), gateway) as calls:
            async for _ in calls:
                if leave is LookupError:
                    raise LookupError
    assert not scope.cancelled_caught


async def no_sleep(_: float) -> None:
    await asyncio.sleep(0)


def start_of(gateway: Gateway, number: int) -> datetime:
    """Return when the call of this number starts."""
    row = next(islice(gateway.history.calls(), number, None))
    return datetime.fromtimestamp(row["startTime"] / 1000, UTC)


async def test_tasks_that_share_a_paginator_share_its_records(gateway: Gateway, open_session: OpenSession) -> None:
    calls = all_calls(open_session(), gateway)
    read: list[str] = []

    async def work() -> None:
        async for call in calls:
            read.append(call.call_id)
            await asyncio.sleep(0)

    await asyncio.gather(work(), work(), work())
    assert sorted(read) == sorted(gateway.call_ids())


@pytest.mark.parametrize("close", ["session", "paginator"])
async def test_closing_before_the_first_step_of_its_task_ends_the_wait(
    close: str, gateway: Gateway, open_session: OpenSession
) -> None:
    session = open_session()
    calls = all_calls(session, gateway)
    waiting = asyncio.create_task(calls.collect())
    await asyncio.sleep(0)
    await (session.aclose() if close == "session" else calls.aclose())
    with anyio.fail_after(5), pytest.raises(ConfigurationError, match="closed"):
        await waiting


async def test_a_client_session_closed_in_mid_run_is_an_error_not_an_end(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(calls=40_000, days=2)
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2))
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials, http=http, concurrency=2) as session:
        calls = all_calls(session, gateway)
        await anext(calls)
        # Requests of the app's own take every connection, so that ours queue for one when the app closes its client.
        gateway.switches.latency = (5, 5)
        own = [asyncio.create_task(http.get(f"{gateway.url}/otp/call/list")) for _ in range(4)]
        await asyncio.sleep(0.1)
        await http.close()
        with pytest.raises(NxcdrError):
            await calls.collect()
        await asyncio.gather(*own, return_exceptions=True)


@pytest.mark.parametrize("raised", [asyncio.CancelledError, StopAsyncIteration])
async def test_what_a_callback_raises_is_never_taken_for_the_end(
    raised: type[BaseException], gateway: Gateway, open_session: OpenSession
) -> None:
    gateway.add_call(callId="bad", startTime=int(gateway.first_call.timestamp() * 1000) + 1, answerTime="yesterday")

    def refuse(_: object) -> None:
        raise raised

    calls = open_session().calls(gateway.first_call, gateway.last_call, on_bad_row="skip", bad_row_callback=refuse)
    with pytest.raises((TransportError, RuntimeError)):
        await calls.collect()


def test_a_paginator_of_another_loop_says_so(gateway: Gateway) -> None:
    async def start() -> tuple[CdrSession, Paginator[CallRecord]]:
        session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)
        calls = all_calls(session, gateway)
        await anext(calls)
        return session, calls

    async def go_on(session: CdrSession, calls: Paginator[CallRecord]) -> None:
        with pytest.raises(ConfigurationError):
            await calls.collect()
        for _ in range(2):
            await calls.aclose()
            await session.aclose()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    session, calls = first.run_until_complete(start())
    second.run_until_complete(asyncio.wait_for(go_on(session, calls), 5))
    first.run_until_complete(session.aclose())
    first.close()
    second.run_until_complete(asyncio.wait_for(go_on(session, calls), 5))
    second.close()
