"""Arguments of any class that is a text, a number or a time are taken for what they are, or refused."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from nxcdr_async import (
    CdrSession,
    ConfigurationError,
    Credentials,
    FlashApp,
    Region,
    backfill,
    explain_hangup,
    json_lines,
    prune,
    sign,
    verify,
)
from nxcdr_async._util.validation import as_number, as_text, as_whole, is_number, is_whole, plain
from nxcdr_async.sources.calls import CallQuery
from nxcdr_async.sources.order import order_parameters
from nxcdr_async.sources.units import checked_days
from nxcdr_async.testing import Gateway
from nxcdr_async.webhook import call_push_app
from nxcdr_async.windows import Window, window_of
from tests.sessions import OpenSession


@pytest.mark.parametrize("value", [0, -1, 10**30])
def test_an_integer_is_a_whole_number(value: object) -> None:
    assert is_whole(value)
    assert is_number(value)


@pytest.mark.parametrize("value", [1.0, float("inf"), float("nan")])
def test_a_float_is_a_number_and_no_whole_one(value: object) -> None:
    assert is_number(value)
    assert not is_whole(value)


@pytest.mark.parametrize("value", [True, False, None, "1", Decimal(1), 1j])
def test_all_else_is_no_number(value: object) -> None:
    assert not is_whole(value)
    assert not is_number(value)


class Words(str, Enum):  # noqa: UP042 - as many services write theirs; a StrEnum is what its text is
    KEY = "word"


class Shouting(str):
    """Text that says it is another."""

    __slots__ = ()

    def __str__(self) -> str:
        return "SHOUTED"

    def __format__(self, _spec: str) -> str:
        return "SHOUTED"

    def __eq__(self, _other: object) -> bool:
        return False

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        return b"SHOUTED"

    __hash__ = str.__hash__


class Numbers(IntEnum):
    EIGHT = 8


class Lying(int):
    """A number that says it is another."""

    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __format__(self, _spec: str) -> str:
        return "0"


class Stubborn(str):
    """Text whose own words nobody should ask for."""

    __slots__ = ()

    def __str__(self) -> str:
        raise AssertionError


TEXTS = [Words.KEY, Shouting("word"), Stubborn("word"), np.str_("word")]
EIGHTS = [Numbers.EIGHT, Lying(8), np.int64(8), np.uint8(8)]


@pytest.mark.parametrize("text", ["word", *TEXTS], ids=lambda text: type(text).__name__)
def test_text_of_any_class_is_plain_text(text: str) -> None:
    plain = as_text(text)
    assert type(plain) is str
    assert plain == "word"


@pytest.mark.parametrize("value", [b"word", None, 8, bytearray(b"word")])
def test_all_else_is_no_text(value: object) -> None:
    assert as_text(value) is None


@pytest.mark.parametrize("number", [8, *EIGHTS], ids=lambda number: type(number).__name__)
def test_a_whole_number_of_any_class_is_a_plain_one(number: int) -> None:
    for found in (as_whole(number), as_number(number)):
        assert type(found) is int
        assert found == 8


@pytest.mark.parametrize("value", [True, np.True_, None, "8", 8.0, np.float64(8), Decimal(8), float("nan"), 1j])
def test_all_else_is_no_whole_number(value: object) -> None:
    assert as_whole(value) is None


@pytest.mark.parametrize(
    "number",
    [0.5, np.float64(0.5), np.float32(0.5), Decimal("0.5"), Fraction(1, 2)],
    ids=lambda one: type(one).__name__,
)
def test_a_number_of_any_class_is_a_plain_one(number: Any) -> None:
    plain = as_number(number)
    assert type(plain) is float
    assert plain == 0.5


@pytest.mark.parametrize("value", [True, np.True_, None, "8", 1j, Decimal("sNaN"), Fraction(10**400, 3)], ids=repr)
def test_what_is_no_number_or_too_large_for_one_is_none(value: object) -> None:
    assert as_number(value) is None


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: type(text).__name__)
async def test_text_of_any_class_goes_in_as_plain_text(text: Any, gateway: Gateway) -> None:
    expected = Credentials("word", "word")
    given = Credentials(text, text)
    assert {type(given.access_key), type(given.access_secret)} == {str}
    app = FlashApp(text, text)
    assert (type(app.appkey), type(app.secretkey)) == (str, str)
    signed = sign(given, action=text, biz_type=text, ts=text, body=text)
    assert signed == sign(expected, action="word", biz_type="word", ts="word", body="word")
    query = CallQuery(agent=text, caller=text, callee=text, call_id=text, order_id=text)
    for name in ("agent", "caller", "callee", "call_id", "order_id"):
        assert type(getattr(query, name)) is str
    assert {type(value) for value in order_parameters(text, 1).values()} == {str, int}
    session = CdrSession(gateway=type(text)(gateway.url) if type(text) is not Words else gateway.url)
    assert str(session) == f"<CdrSession {gateway.url}>"
    app_of_pushes = call_push_app(lambda _: asyncio.sleep(0), token=text, path="/calls")
    assert type(app_of_pushes._receiver.authenticator.token) is str


SUBCLASSES: dict[type, tuple[Callable[[Any], Any], ...]] = {
    str: (np.str_, Shouting, Stubborn, lambda text: Enum("One", {"ONE": text}, type=str).ONE),  # type: ignore[attr-defined]
    int: (np.int64, Lying, lambda number: IntEnum("One", {"ONE": number}).ONE),  # type: ignore[attr-defined]
    float: (np.float64, type("Number", (float,), {"__float__": lambda _: 0.0, "__eq__": lambda *_: True})),
}
VALUES = st.one_of(
    st.text(st.characters(exclude_characters="\0"), min_size=1),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)


@given(VALUES, st.integers(0, 3))
def test_a_value_of_any_class_is_the_plain_one(value: Any, which: int) -> None:
    classes = SUBCLASSES[type(value)]
    made = plain(classes[which % len(classes)](value))
    assert type(made) is type(value)
    assert made == value


@pytest.mark.parametrize("value", [None, True, b"x", [1], Decimal("1.50"), datetime(2026, 1, 1, tzinfo=UTC)], ids=repr)
def test_all_else_is_as_it_is(value: object) -> None:
    assert plain(value) is value


class Choices(str, Enum):  # noqa: UP042 - as above
    REGION = "idn"
    ALGORITHM = "sha256"
    SOURCE = "calls"
    SKIP = "skip"
    SINK = "store.jsonl"


async def test_choices_may_be_of_an_enumeration(gateway: Gateway, open_session: OpenSession, tmp_path: Path) -> None:
    assert CdrSession(Choices.REGION).region is Region.IDN
    assert Credentials("key", "secret", Choices.ALGORITHM).algorithm == "sha256"  # type: ignore[arg-type]
    session = open_session()
    to = Shouting(str(tmp_path / Choices.SINK.value))
    options: Any = {"on_bad_row": Choices.SKIP}
    source: Any = Choices.SOURCE
    report = await backfill(session, source, gateway.first_call, gateway.last_call, to, **options)
    assert report.rows_new > 0
    assert (await verify(session, to, source)).unmended == 0


@pytest.mark.parametrize("number", EIGHTS, ids=lambda number: type(number).__name__)
async def test_numbers_of_any_class_go_in_as_plain_ones(number: Any) -> None:
    session = CdrSession(timeout=number, rate=number, concurrency=number)
    assert type(session._transport.connection.timeout) is int
    assert session.stats.concurrency_limit == 8
    assert session.stats.rate_limit == 8
    assert order_parameters("order", number)["tenantId"] == 8
    credentials = Credentials("key", "secret")
    expected = sign(credentials, action="cc", biz_type="8", ts="8")
    assert sign(credentials, action="cc", biz_type=number, ts=number) == expected
    assert explain_hangup(number).code == 8


def refusals() -> Iterator[tuple[str, Callable[[], Any]]]:
    credentials: Any = Credentials("key", "secret")
    value: Any
    for value in (float("nan"), float("inf"), "1", True, b"1"):
        yield f"timeout is {value!r}", lambda value=value: CdrSession(timeout=value)
        yield f"rate is {value!r}", lambda value=value: CdrSession(rate=value)
        yield f"concurrency is {value!r}", lambda value=value: CdrSession(concurrency=value)
        yield f"tenant_id is {value!r}", lambda value=value: order_parameters("order", value)
        yield f"code is {value!r}", lambda value=value: explain_hangup(value)
        yield (
            f"largest_body is {value!r}",
            lambda value=value: call_push_app(lambda _: asyncio.sleep(0), token="t", largest_body=value),
        )
    for value in (float("nan"), "1", True, b"1"):
        yield (
            f"timeout is {value!r}",
            lambda value=value: call_push_app(lambda _: asyncio.sleep(0), token="t", timeout=value),
        )
    yield "action can be no part", lambda: sign(credentials, action=cast("Any", 8), biz_type=8, ts=8)
    yield "biz_type can be no part", lambda: sign(credentials, action="cc", biz_type=True, ts=8)
    yield "ts can be no part", lambda: sign(credentials, action="cc", biz_type=8, ts=cast("Any", 8.5))
    yield "body is of type int", lambda: sign(credentials, action="cc", biz_type=8, ts=8, body=cast("Any", 5))
    yield "access_key is empty", lambda: Credentials(cast("Any", b"key"), "secret")
    yield "secretkey is empty", lambda: FlashApp("key", cast("Any", b"secret"))
    yield "gateway must be", lambda: CdrSession(gateway=cast("Any", b"https://api-hk.nxlink.ai"))
    yield "unknown region", lambda: CdrSession(cast("Any", b"HK"))
    yield "agent is b'x'", lambda: CallQuery(agent=cast("Any", b"x"))
    yield "answered is 1", lambda: CallQuery(answered=cast("Any", 1))
    yield "direction is 1", lambda: CallQuery(direction=cast("Any", 1))
    yield "json_lines got a dict", lambda: json_lines([{}])


@pytest.mark.parametrize(
    ("says", "call"), [pytest.param(*one, id=f"{number}") for number, one in enumerate(refusals())]
)
async def test_what_cannot_be_meant_is_refused(says: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        call()


@pytest.mark.parametrize(
    ("says", "options"),
    [
        ("new_key is 'no'", {"new_key": "no"}),
        ("settle is 5", {"settle": 5}),
        ("source is 'call'", {"source": "call"}),
        ("on_progress cannot be called", {"on_progress": 5}),
        ("on_bad_row is 'ignore'", {"on_bad_row": "ignore"}),
        ("a store is of type bytes", {"to": b"calls.sqlite"}),
        ("a store is of type PurePosixPath", {"to": PurePosixPath("calls.sqlite")}),
        ("a store is of type NoneType", {"to": None}),
        ("a sink of your own, of type int, lacks name, open, inspect", {"to": 5}),
        ("start has no time zone", {"start": pd.Timestamp("2026-01-01")}),
        ("start and end must be aware datetimes", {"start": "2026-01-01"}),
    ],
)
async def test_what_a_backfill_cannot_mean_is_refused(
    says: str, options: dict[str, Any], gateway: Gateway, open_session: OpenSession, tmp_path: Path
) -> None:
    usual: dict[str, Any] = {"source": "calls", "start": gateway.first_call, "end": gateway.last_call}
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        await backfill(open_session(), **{**usual, "to": tmp_path / "calls.sqlite", **options})


@pytest.mark.parametrize("options", [{"fix": "no"}, {"sample": 2.0}, {"sample": True}, {"seed": -1}])
async def test_what_a_verification_cannot_mean_is_refused(
    options: dict[str, Any], open_session: OpenSession, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))} is"):
        await verify(open_session(), tmp_path / "calls.sqlite", **options)


@pytest.mark.parametrize(
    ("says", "arguments"),
    [
        ("before is NaT", (pd.NaT,)),
        ("before is np.datetime64", (np.datetime64("2026-01-01"),)),
        ("before is '2026-01-01'", ("2026-01-01",)),
        ("sources is 5", (datetime(2026, 1, 1, tzinfo=UTC), 5)),
        ("source is 5", (datetime(2026, 1, 1, tzinfo=UTC), [5])),
    ],
)
async def test_what_cannot_be_pruned_is_refused(says: str, arguments: tuple[Any, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        await prune(tmp_path / "calls.sqlite", *arguments)


class FakeDate(date):
    """As tests that stop the time put in the place of the real one."""

    def isoformat(self) -> str:
        return "never"


class FakeDatetime(datetime):
    """Likewise."""

    def isoformat(self, *_: Any) -> str:
        return "never"


@pytest.mark.parametrize(
    "moment", [pd.Timestamp("2026-01-01T00:00:00.5", tz="UTC"), FakeDatetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)]
)
def test_a_time_of_any_class_is_the_moment_it_says(moment: datetime) -> None:
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert window_of(moment, moment + timedelta(seconds=1)) == Window(start, start + 2)


def test_a_day_of_any_class_is_a_plain_one() -> None:
    days = checked_days(FakeDate(2026, 1, 1), FakeDate(2026, 1, 2))
    assert [day.isoformat() for day in days] == ["2026-01-01", "2026-01-02"]
