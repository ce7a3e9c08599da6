"""The table of faults is worth as much as what counts for it: it misses no fault, no row and no secret."""

import asyncio
import logging
import socket

import attrs
import pytest
from hostile.account import Account
from hostile.cases import NO_FAULTS, cases
from hostile.leaks import Held, LeakWatch

from nxcdr_async.testing import FAULT_KINDS, Switches

SECRET = "a-secret-of-no-value"


@pytest.fixture
def watch() -> LeakWatch:
    return LeakWatch([SECRET])


def test_every_kind_of_fault_has_a_line() -> None:
    tried = [case.switches["faults"] for case in cases() if "faults" in case.switches]
    assert {kind for kinds in tried for kind in kinds} == set(FAULT_KINDS)
    assert [kinds[0] for kinds in tried if len(kinds) == 1] == list(FAULT_KINDS)


def test_every_switch_of_the_emulator_has_a_line_or_makes_nothing_go_wrong() -> None:
    switched = {name for case in cases() for name in case.switches}
    assert {switch.name for switch in attrs.fields(Switches)} <= switched | NO_FAULTS


def test_every_line_has_a_name_of_its_own() -> None:
    names = [case.fault for case in cases()]
    assert len(names) == len(set(names))


def test_rows_that_are_missing_twice_there_or_not_asked_for_are_counted() -> None:
    account = Account.of(["a", "b", "b", "x"], due=["a", "b", "c"], known=["a", "b", "c"])
    assert account == Account(rows=4, lost=1, doubled=1, stray=1)
    assert account + account == Account(rows=8, lost=2, doubled=2, stray=2)


async def test_a_secret_in_a_log_record_is_found(watch: LeakWatch) -> None:
    with watch.on_duty():
        logging.getLogger("some.library").debug("sent %s", SECRET)
        logging.getLogger("some.library").debug("sent", extra={"headers": {"key": SECRET}})
    logging.getLogger("some.library").debug("sent %s", SECRET)
    assert watch.found == ["log some.library"] * 2


async def test_a_secret_in_a_logged_traceback_is_found(watch: LeakWatch) -> None:
    with watch.on_duty():
        error = ValueError(SECRET)
        logging.getLogger("some.library").error("failed", exc_info=error)
    assert watch.found == ["log some.library"]


async def test_debug_mode_and_the_level_are_set_back(watch: LeakWatch) -> None:
    before = logging.getLogger().level, asyncio.get_running_loop().get_debug()
    with watch.on_duty():
        assert asyncio.get_running_loop().get_debug()
        assert logging.getLogger().isEnabledFor(logging.DEBUG)
    assert (logging.getLogger().level, asyncio.get_running_loop().get_debug()) == before


def raise_from_a_cause() -> None:
    raise ValueError("clean") from OSError(SECRET)


def raise_with_a_note() -> None:
    error = ValueError("clean")
    error.add_note(f"key {SECRET}")
    raise error


def raise_with_a_local() -> None:
    key = [SECRET]
    raise ValueError(f"clean, {len(key)}")


@pytest.mark.parametrize("fail", [raise_from_a_cause, raise_with_a_note, raise_with_a_local])
def test_a_secret_in_an_error_is_found(fail: object, watch: LeakWatch) -> None:
    assert callable(fail)
    with pytest.raises(ValueError, match="clean") as caught:
        fail()
    watch.look_at_error(caught.value)
    assert watch.found


def test_a_clean_error_is_no_leak(watch: LeakWatch) -> None:
    watch.look_at_error(ValueError("clean"))
    assert watch.seen
    assert not watch.found


async def test_a_task_or_a_socket_left_behind_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostile.leaks._SECONDS_TO_SETTLE", 0.0)
    held = Held.now()
    task = asyncio.create_task(asyncio.sleep(60))
    assert await held.left_behind() == 1
    with socket.socket():
        assert await held.left_behind() == 1 + bool(held.files)
    task.cancel()
    await asyncio.wait([task])
    assert await held.left_behind() == 0
