"""The emulator serves the recordings that it names: sound that plays, with all that can go wrong."""

import io
import time
import wave
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from nxcdr_async.testing import Gateway


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(calls=300, recordings=True) as gateway:
        yield gateway


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
def row(gateway: Gateway) -> dict[str, Any]:
    return gateway.history.call(gateway.add_call(callDuration=3))


async def test_every_recording_that_is_named_plays(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    rows = [row for row in gateway.history.calls() if row.get("recordUrl")]
    assert len(rows) > 100
    for row in rows[:: len(rows) // 20]:
        async with http.get(row["recordUrl"]) as reply:
            assert (reply.status, reply.content_type) == (200, "audio/wav")
            with wave.open(io.BytesIO(await reply.read())) as sound:
                assert sound.getnframes() == row["callDuration"] * sound.getframerate()
                assert len(set(sound.readframes(1_000))) > 10


async def test_a_message_plays_too(http: aiohttp.ClientSession) -> None:
    with Gateway(calls=2_000, recordings=True) as gateway:
        url = next(row["leaveMsgUrl"] for row in gateway.history.calls() if row["leaveMsgUrl"])
        async with http.get(url) as reply:
            with wave.open(io.BytesIO(await reply.read())) as sound:
                assert sound.getnframes() > 0


async def test_a_call_without_one_has_no_file(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    for url in (f"{gateway.url}/record/nobody.wav", f"{gateway.url}/message/{gateway.add_call()}.wav"):
        async with http.get(url) as reply:
            assert reply.status == 404


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("bytes=0-99", 0, 100), ("bytes=20000-", 20_000, None), ("bytes=-50", -50, None)]
)
async def test_a_part_can_be_asked_for(
    http: aiohttp.ClientSession, row: dict[str, Any], asked: str, first: int, last: int | None
) -> None:
    async with http.get(row["recordUrl"]) as reply:
        whole = await reply.read()
    async with http.get(row["recordUrl"], headers={"Range": asked}) as reply:
        assert reply.status == 206
        assert await reply.read() == whole[first:last]
        assert reply.headers["Content-Range"].endswith(f"/{len(whole)}")


async def test_ranges_can_be_beyond_the_end_or_unknown(
    http: aiohttp.ClientSession, gateway: Gateway, row: dict[str, Any]
) -> None:
    async with http.get(row["recordUrl"], headers={"Range": "bytes=999999-"}) as reply:
        assert reply.status == 416
    gateway.switches.recording_ranges = False
    async with http.get(row["recordUrl"], headers={"Range": "bytes=0-99"}) as reply:
        assert (reply.status, len(await reply.read())) == (200, 24_044)


async def test_an_address_may_lead_to_the_file(
    http: aiohttp.ClientSession, gateway: Gateway, row: dict[str, Any]
) -> None:
    gateway.switches.recording_redirect = True
    async with http.get(row["recordUrl"]) as reply:
        assert [earlier.status for earlier in reply.history] == [302]
        assert len(await reply.read()) == 24_044


async def test_a_file_comes_late_and_goes(http: aiohttp.ClientSession, gateway: Gateway, row: dict[str, Any]) -> None:
    gateway.clock.move(row["endTime"] / 1000 - gateway.clock.now())
    gateway.switches.recording_delay, gateway.switches.recording_retention = 60, 3600
    statuses = []
    for seconds in (0, 61, 3600):
        gateway.clock.move(seconds)
        async with http.get(row["recordUrl"]) as reply:
            statuses.append(reply.status)
    assert statuses == [404, 200, 404]


@pytest.mark.parametrize("kind", ["reset", "truncated", "close"])
async def test_a_file_can_be_cut_off(
    http: aiohttp.ClientSession, gateway: Gateway, row: dict[str, Any], kind: Any
) -> None:
    gateway.fail_next(kind, times=2, endpoint="recording")  # aiohttp asks again where nothing came at all
    with pytest.raises(aiohttp.ClientError):
        async with http.get(row["recordUrl"]) as reply:
            await reply.read()
    assert gateway.log.faults[kind] == gateway.log.by_endpoint["recording"] >= 1


async def test_a_file_can_be_refused_or_slow(
    http: aiohttp.ClientSession, gateway: Gateway, row: dict[str, Any]
) -> None:
    gateway.fail_next("503", endpoint="recording")
    async with http.get(row["recordUrl"]) as reply:
        assert reply.status == 503
    gateway.switches.recording_rate = 240_440
    began = time.perf_counter()
    async with http.get(row["recordUrl"]) as reply:
        assert len(await reply.read()) == 24_044
    assert time.perf_counter() - began >= 0.09
