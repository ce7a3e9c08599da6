"""`nxcdr prune` in processes of its own, and a store of another gateway on the command line."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from nxcdr_async.testing import Gateway

FILL = ("backfill", "calls", "--start", "2026-01-01", "--end", "2026-01-03", "--to", "c.sqlite")


def rows_before(nxcdr: Any, moment: str) -> int:
    with closing(sqlite3.connect(nxcdr.folder / "c.sqlite")) as database:
        ((rows,),) = database.execute("SELECT count(*) FROM calls WHERE start_time < ?", [moment])
    return int(rows)


def test_old_rows_are_removed_and_stay_so(nxcdr: Any) -> None:
    nxcdr(*FILL)
    old = rows_before(nxcdr, "2026-01-01T16")
    assert old
    words = ("prune", "--to", "c.sqlite", "--before", "2026-01-02", "--tz", "+08:00")
    counted = nxcdr(*words, "--dry-run")
    assert counted.code == 0
    assert f"calls     {old:,} rows before 2026-01-02T00:00:00+08:00 would be removed" in counted.err
    assert rows_before(nxcdr, "2026-01-01T16") == old
    done = nxcdr(*words, "calls")
    assert (done.code, done.out) == (0, "")
    assert rows_before(nxcdr, "2026-01-01T16") == 0
    again = nxcdr(*FILL)
    assert again.code == 0
    assert "rows before 2026-01-01T16:00:00Z were removed on purpose" in again.err
    assert rows_before(nxcdr, "2026-01-01T16") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--before", "soon"), "--before 'soon' is no time"),
        (("--before", "2026-01-02"), "c.sqlite holds no calls"),
    ],
)
def test_what_cannot_work_is_refused(nxcdr: Any, words: tuple[str, ...], told: str) -> None:
    ended = nxcdr("prune", "--to", "c.sqlite", *words)
    assert ended.code == 2
    assert told in ended.err
    assert not list(nxcdr.folder.iterdir())


def test_a_store_of_another_gateway_is_taken_only_when_said(nxcdr: Any) -> None:
    nxcdr(*FILL)
    before = (nxcdr.folder / "c.sqlite").read_bytes()
    with Gateway(calls=335, days=2, seed=7) as other:
        refused = nxcdr(*FILL, NXCDR_GATEWAY=other.url)
        assert refused.code == 2
        assert "--new-gateway" in refused.err
        assert (nxcdr.folder / "c.sqlite").read_bytes() == before
        assert nxcdr("sync", "calls", "--to", "c.sqlite", "--new-gateway", NXCDR_GATEWAY=other.url).code == 0


def test_a_store_that_was_never_begun_leaves_nothing(nxcdr: Any) -> None:
    assert nxcdr("sync", "calls", "--to", "c.sqlite").code == 2
    assert nxcdr("backfill", "calls", "--start", "2040-01-01", "--end", "2040-01-02", "--to", "c.sqlite").code == 2
    assert not list(nxcdr.folder.iterdir())
