"""The push receiver of the FastAPI service: what the vendor sends lands in the store that a sync completes."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi_service import app
from pushing import under_uvicorn
from running_service import STORE, TOKEN
from shared.service import Service

from nxcdr_async import CdrSession, backfill
from nxcdr_async.testing import Gateway

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


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
