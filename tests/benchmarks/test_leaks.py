"""What looks for leaks finds each of them, or the soak and the table of faults prove nothing."""

import asyncio
import logging
import socket

import pytest
from shared.leaks import Held, LeakWatch

SECRET = "a-secret-of-no-value"


@pytest.fixture
def watch() -> LeakWatch:
    return LeakWatch([SECRET])


async def test_a_secret_in_a_log_record_is_found(watch: LeakWatch) -> None:
    with watch.on_duty():
        logging.getLogger("other.package").debug("sent %s", SECRET)
        logging.getLogger("other.package").debug("sent", extra={"headers": {"key": SECRET}})
    logging.getLogger("other.package").debug("sent %s", SECRET)
    assert watch.found == ["log other.package"] * 2


async def test_a_secret_in_a_logged_traceback_is_found(watch: LeakWatch) -> None:
    with watch.on_duty():
        error = ValueError(SECRET)
        logging.getLogger("other.package").error("failed", exc_info=error)
    assert watch.found == ["log other.package"]


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
    monkeypatch.setattr("shared.leaks._SECONDS_TO_SETTLE", 0.0)
    held = Held.now()
    task = asyncio.create_task(asyncio.sleep(60))
    assert await held.left_behind() == 1
    with socket.socket():
        assert await held.left_behind() == 1 + bool(held.files)
    task.cancel()
    await asyncio.wait([task])
    assert await held.left_behind() == 0
