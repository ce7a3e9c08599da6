"""The push receiver of the FastAPI service: what the vendor sends lands in the store that a sync completes."""

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import evolve
from shared.service import Service

from nxcdr_async import CdrSession, backfill
from nxcdr_async.testing import Gateway
from tests.services.fastapi_service import app
from tests.services.running_service import STORE, TOKEN
from tests.webhook.pushing import under_uvicorn

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PUSHED = 30


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the calls in the store by id, read without anything of ours."""
    database = sqlite3.connect(f"file:{folder / STORE}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        return {row["call_id"]: dict(row) for row in database.execute("SELECT * FROM calls")}
    finally:
        database.close()


async def test_a_pushed_call_is_stored_before_it_is_acknowledged(
    gateway: Gateway, service: Service, tmp_path: Path
) -> None:
    call_id = gateway.add_call(startTime=int(NOON.timestamp() * 1000))
    assert (await gateway.push_of(call_id, token=TOKEN).send(f"{service.url}/push/calls")).accepted
    assert set(stored(tmp_path)) == {call_id}
    assert gateway.log.requests == 0


async def test_a_fuller_push_of_a_call_is_stored_over_the_first_and_the_first_again_changes_nothing(
    gateway: Gateway, service: Service, tmp_path: Path
) -> None:
    call_id = gateway.add_call(startTime=int(NOON.timestamp() * 1000))
    first = gateway.push_of(call_id, token=TOKEN)
    told = {**json.loads(first.body), "callDuration": 77, "hangupCode": 1001, "hangupReason": "by the agent"}
    fuller = evolve(first, body=json.dumps(told).encode())
    results = []
    for push in (first, first, fuller, first, fuller):
        reply = await push.send(f"{service.url}/push/calls")
        results.append(json.loads(reply.body)["result"])
        call = stored(tmp_path)[call_id]
    assert results == ["taken", "known already", "taken", "known already", "known already"]
    assert (call["call_duration"], call["hangup_code"], call["hangup_reason"]) == (77, 1001, "by the agent")


@pytest.mark.first_of
@pytest.mark.parametrize("token", ["another-token", None])
async def test_a_push_with_a_wrong_token_or_none_is_refused_and_not_stored(
    gateway: Gateway, service: Service, tmp_path: Path, token: str | None
) -> None:
    push = gateway.push_of(gateway.add_call(), token=TOKEN).with_headers(token=token)
    assert (await push.send(f"{service.url}/push/calls")).status == 401
    assert not (tmp_path / STORE).exists()
    assert TOKEN not in service.output


async def test_a_backfill_completes_what_was_pushed(gateway: Gateway, service: Service, tmp_path: Path) -> None:
    call_id = gateway.add_call(startTime=int(NOON.timestamp() * 1000))
    await gateway.push_of(call_id, token=TOKEN).send(f"{service.url}/push/calls")
    assert stored(tmp_path)[call_id]["hangup_code"] is None
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        end = NOON + timedelta(minutes=10)
        report = await backfill(session, "calls", NOON - timedelta(minutes=10), end, to=str(tmp_path / STORE))
    assert report.rows_changed == 1
    assert stored(tmp_path)[call_id]["hangup_code"] == 1001


@pytest.mark.parametrize("run", ["first", "second"])
async def test_a_service_that_a_process_starts_again_goes_by_its_new_environment(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    environment = {**gateway.environment(), "CALLS_STORE": str(tmp_path / STORE), "CALL_PUSH_TOKEN": f"{run}-token"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    call_id = gateway.add_call()
    with under_uvicorn(app) as address:
        reply = await gateway.push_call(f"{address}/push/calls", call_id, token=f"{run}-token")
    assert reply.accepted, reply.text
    assert set(stored(tmp_path)) == {call_id}


@pytest.mark.slow
async def test_the_store_is_read_while_pushes_and_a_backfill_write(
    gateway: Gateway, service: Service, tmp_path: Path
) -> None:
    pushed = [gateway.add_call(startTime=int(NOON.timestamp() * 1000) + number) for number in range(PUSHED)]
    acknowledged: list[str] = []
    is_over = asyncio.Event()

    async def push(http: aiohttp.ClientSession) -> None:
        for call_id in pushed:
            reply = await gateway.push_of(call_id, token=TOKEN).send(f"{service.url}/push/calls")
            assert reply.accepted, reply.text
            acknowledged.append(call_id)
            assert await count(http) >= len(acknowledged)

    async def count(http: aiohttp.ClientSession) -> int:
        before = len(acknowledged)
        async with http.get(f"{service.url}/stored/{NOON:%Y-%m-%d}") as reply:
            assert reply.status == 200, service.output
            calls = int((await reply.json())["calls"])
        assert calls >= before  # never stale
        return calls

    async def read(http: aiohttp.ClientSession) -> list[int]:
        counts = [await count(http)]
        while not is_over.is_set():
            counts.append(await count(http))
        return counts

    async with (
        aiohttp.ClientSession() as http,
        CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session,
    ):
        await gateway.push_of(pushed[0], token=TOKEN).send(f"{service.url}/push/calls")  # makes the store
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read(http)) for _ in range(3)]
            pushing = group.create_task(push(http))
            morning = NOON.replace(hour=0)
            await backfill(session, "calls", morning, morning + timedelta(days=1), to=str(tmp_path / STORE))
            await pushing
            is_over.set()
        assert await count(http) == len(stored(tmp_path))
    assert set(pushed) <= set(stored(tmp_path))
    for counts in (reader.result() for reader in readers):
        assert counts == sorted(counts)
        assert counts[0] < counts[-1]
