"""The emulator takes numbers, texts and times of any class for what they are, or says what it wants."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nxcdr_async import CdrSession, ConfigurationError
from nxcdr_async.testing import Gateway, Switches


class Words(StrEnum):
    ID = "mine"
    KIND = "503"
    ENDPOINT = "calls"


async def test_numbers_of_any_class_make_the_same_history() -> None:
    numbers = {"days": 2, "seed": 7, "agents": 3, "did_calls": 4, "flash_calls": 5, "port": 0}
    plain = Gateway(20, first_day=date(2026, 1, 5), **numbers)
    other = Gateway(
        np.int64(20), first_day=pd.Timestamp("2026-01-05"), **{name: np.int32(value) for name, value in numbers.items()}
    )
    for told in (Gateway.call_ids, Gateway.did_ids, Gateway.flash_ids):
        assert told(other) == told(plain)
    assert [*other.history.calls()] == [*plain.history.calls()]
    other.switches.fault_rate = np.float64(0.0)
    with other:
        async with CdrSession(gateway=other.url, credentials=other.credentials) as cdr:
            end = other.last_call + timedelta(seconds=1)
            assert len(await cdr.calls(other.first_call, end).collect()) == 20


async def test_what_is_added_may_be_of_any_class() -> None:
    with Gateway(0) as gateway:
        moment = pd.Timestamp("2026-01-01T12:00", tz="UTC")
        gateway.add_call(callId=Words.ID, startTime=moment, callDuration=np.int64(5), caller=np.str_("852"))
        gateway.add_call(callId="later", startTime=np.int64(moment.value // 10**6 + 1000), mos=np.float64(4.5))
        gateway.fail_next(Words.KIND, np.int64(1), endpoint=Words.ENDPOINT, page=np.int64(1))
        gateway.clock.move(np.float64(0.5))
        async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as cdr:
            calls = await cdr.calls(moment, moment + timedelta(hours=1)).collect()
        assert [call.call_id for call in calls] == ["mine", "later"]
        assert calls[0].call_duration == 5
        assert cdr.stats.retries == 1
        push = gateway.push_of(np.str_("mine"), token=Words.ID)
        assert type(push.headers["token"]) is str
        assert b'"mine"' in push.body


BAD: dict[str, Callable[[Gateway], Any]] = {
    "calls is '5': give a whole number": lambda _: Gateway("5"),  # type: ignore[arg-type]
    "days is 1.5: give a whole number": lambda _: Gateway(days=1.5),  # type: ignore[arg-type]
    "seed is 'x': give a whole number": lambda _: Gateway(seed="x"),  # type: ignore[arg-type]
    "port is 70000: give a whole number": lambda _: Gateway(port=70_000),
    "first_day is '2026-01-01': give a day": lambda _: Gateway(first_day="2026-01-01"),  # type: ignore[arg-type]
    "first_day is NaT: give a day": lambda _: Gateway(first_day=pd.NaT),
    "legs is 0: give a whole number": lambda _: Switches(legs=0),
    "legs is '2': give a whole number": lambda _: Switches(legs="2"),  # type: ignore[arg-type]
    "kind is '5033': give one of '429', ": lambda gateway: gateway.fail_next("5033"),  # type: ignore[arg-type]
    "endpoint is 'cals': give one of 'calls', ": lambda gateway: gateway.fail_next("503", endpoint="cals"),  # type: ignore[arg-type]
    "faults is '5033': give one of '429', ": lambda _: Switches(faults=["5033"]),  # type: ignore[list-item]
    "order is 'up': give one of 'ascending', ": lambda _: Switches(order="up"),  # type: ignore[arg-type]
    "times is '1': give a whole number": lambda gateway: gateway.fail_next("503", "1"),  # type: ignore[arg-type]
    "page is 0: give a whole number": lambda gateway: gateway.fail_next("503", page=0),
    "seconds is '5': give a number": lambda gateway: gateway.clock.move("5"),  # type: ignore[arg-type]
    "startTime is np.datetime64(": lambda gateway: gateway.add_call(startTime=np.datetime64("2026-01-01T00:00")),
    "a time without a zone": lambda gateway: gateway.add_call(startTime=datetime(2026, 1, 1)),  # noqa: DTZ001 - the point
    "answered is np.True_: give what JSON can tell": lambda gateway: gateway.add_call(answered=np.True_),
}


@pytest.mark.parametrize("says", BAD)
def test_what_cannot_be_meant_is_refused(says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        BAD[says](Gateway(1))


async def test_a_push_without_sensible_seconds_is_refused() -> None:
    push = Gateway(1).push_of(Gateway(1).call_ids()[0], token="t")
    timeout: Any
    for timeout in (0, "5", timedelta(seconds=5), float("nan")):
        with pytest.raises(ConfigurationError, match=re.escape(f"timeout is {timeout!r}: give seconds")):
            await push.send("http://127.0.0.1:9/push", timeout=timeout)
