"""Stores that an earlier version filled, before its ledger noted gateways and counts: they go on as they are."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nxcdr_async import verify
from nxcdr_async.testing import Gateway
from tests.ingest.filling import Filling, at
from tests.ingest.touched import sql
from tests.sessions import OpenSession

STORES = Path(__file__).parent / "stores"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """The gateway that they were filled from, with the calls it had then."""
    with Gateway(calls=0) as running:
        for row in (STORES / "calls.rows.jsonl").read_text(encoding="utf-8").splitlines():
            running.add_call(**json.loads(row))
        running.clock.move_to(at(4))
        yield running


@pytest.fixture(params=["sqlite", "jsonl"])
def filling(gateway: Gateway, open_session: OpenSession, tmp_path: Path, request: pytest.FixtureRequest) -> Filling:
    place = tmp_path / f"calls.{request.param}"
    if request.param == "jsonl":
        shutil.copytree(STORES / place.name, place)
    else:
        with closing(sqlite3.connect(place)) as database:
            database.executescript((STORES / "calls.sql").read_text(encoding="utf-8"))
    return Filling(gateway, open_session(), place)


async def test_it_goes_on(filling: Filling) -> None:
    report = await filling.sync()
    assert (report.windows_before, report.windows_lost, report.rows) == (1, 0, 0)
    assert filling.stored_keys() == set(filling.gateway.call_ids())
    assert (await filling.sync()).windows_lost == 0


async def test_it_is_verified_without_a_change(filling: Filling) -> None:
    (checked,) = (await verify(filling.session, filling.to, sample=None)).sources
    assert (checked.rows_compared, checked.missing, checked.different, checked.extra) == (20, 0, 0, 0)


async def test_from_then_on_losses_are_found(filling: Filling) -> None:
    await filling.sync()
    if filling.to.suffix == ".jsonl":
        (file,) = filling.to.glob("**/calls-*")
        file.unlink()
        lost = 20
    else:
        victim = filling.gateway.call_ids()[0]
        sql("sqlite", str(filling.to), f"DELETE FROM calls WHERE call_id = '{victim}'")
        lost = 1
    report = await filling.sync()
    assert (report.windows_lost, report.rows_new) == (1, lost)
    assert filling.stored_keys() == set(filling.gateway.call_ids())
