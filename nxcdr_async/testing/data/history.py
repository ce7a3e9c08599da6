"""The seeded history an emulator answers from: calls of the call center, DID calls and flash calls."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import Any

import msgspec

from nxcdr_async._util.validation import as_whole, plain
from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.testing.data.arrivals import Arrivals
from nxcdr_async.testing.data.call_rows import CallRows, Row
from nxcdr_async.testing.data.other_rows import DidRows, FlashRows
from nxcdr_async.testing.data.timeline import RowId, Timeline
from nxcdr_async.testing.data.times import DAY_MS, HALF_DAY_MS, HOUR_MS, epoch_ms, local_ms, local_text

FIRST_DAY = date(2026, 1, 1)
"""The day a history starts unless given."""

_LIVE_DAYS = 367
"""Days from the first instant of today for which a live tenant goes on."""

_FEWEST_AGENTS, _MOST_AGENTS, _CALLS_PER_AGENT_A_DAY = 12, 40, 60


class CallHistory:
    """A seeded history with exactly as many rows as asked for, the same for the same arguments on every machine.

    Only one number a minute is stored; each row is computed when it is asked for. Call-center calls fill whole UTC
    days; DID and flash calls fill the days of the same dates in the vendor's local time, UTC+8.

    `gateway.history` is the one of an emulator, and its methods may be called from any thread.

    Args:
        calls: call-center calls in total.
        first_day: the first day.
        days: how many days.
        seed: tells histories apart.
        agents: how many agents there are; by default 12 to 40, by the number of calls.
        did_calls: DID calls in total, a fifth of `calls` by default.
        flash_calls: flash calls in total, a tenth of `calls` by default.
        legs: returns how many calls, one after the other, share an id.
        now_ms: returns the epoch milliseconds of now. With it the tenant is live: calls go on arriving as often as in
            those days, for a year from now, and none is there before it starts.
        calls_per_minute: of a live tenant: so many call-center calls arrive, day and night, from an hour ago on.
        media: returns the base of the addresses of recordings; None for addresses that lead nowhere.

    Raises:
        ValueError: an argument is no number, or one that no history can have.
    """

    def __init__(
        self,
        calls: int = 1_000,
        *,
        first_day: date = FIRST_DAY,
        days: int = 1,
        seed: int = 1,
        agents: int | None = None,
        did_calls: int | None = None,
        flash_calls: int | None = None,
        legs: Callable[[], int] = lambda: 1,
        now_ms: Callable[[], int] | None = None,
        calls_per_minute: float | None = None,
        media: Callable[[], str] | None = None,
    ) -> None:
        calls, days = _number("calls", calls, 0), _number("days", days, 1)
        agents = None if agents is None else _number("agents", agents, 1)
        did_calls = None if did_calls is None else _number("did_calls", did_calls, 0)
        flash_calls = None if flash_calls is None else _number("flash_calls", flash_calls, 0)
        first_day = _day(first_day)
        self.first_day = first_day
        self.days = days
        self.seed = seed = _number("seed", seed)
        """As a plain number."""
        busy = calls // days // _CALLS_PER_AGENT_A_DAY
        agents = agents or min(_MOST_AGENTS, max(_FEWEST_AGENTS, busy))
        first_ms = epoch_ms(datetime.combine(first_day, time(), UTC))
        first_local_ms = epoch_ms(datetime.combine(first_day, time(), UTC_PLUS_8))

        after, steady = 0, None
        if now_ms is not None:
            after = max(0, (now_ms() - first_ms) // DAY_MS + _LIVE_DAYS - days)
            steady = None if calls_per_minute is None else (now_ms() - HOUR_MS, calls_per_minute)
        elif calls_per_minute is not None:
            raise ValueError("calls_per_minute is for a live tenant: give live=True too")

        def arrivals(total: int, start_ms: int, name: str, steady: tuple[int, float] | None = None) -> Arrivals:
            words = f"{seed} {name}"
            return Arrivals(total, first_ms=start_ms, days=days, seed=words, days_after=after, steady=steady)

        call_arrivals = arrivals(calls, first_ms, "calls", steady)
        call_rows = CallRows(call_arrivals, agents=agents, legs=legs, media=media)
        did_total = calls // 5 if did_calls is None else did_calls
        did_rows = DidRows(arrivals(did_total, first_local_ms, "did"))
        flash_total = calls // 10 if flash_calls is None else flash_calls
        flash_rows = FlashRows(arrivals(flash_total, first_local_ms, "flash"))
        self.call_rows = call_rows
        self._has_media = media is not None
        self.flash_rows = flash_rows
        self.call_timeline = Timeline(call_rows.arrivals, call_rows.row, call_rows.call_id, _call_end, now_ms)
        self.did_timeline = Timeline(did_rows.arrivals, did_rows.row, did_rows.did_id, _did_end, now_ms)
        self.flash_timeline = Timeline(flash_rows.arrivals, flash_rows.row, flash_rows.flash_id, _flash_end, now_ms)
        self._numbers = count(1)

    @property
    def agents(self) -> tuple[tuple[str, str], ...]:
        """Accounts and nicknames of the agents."""
        return self.call_rows.agents

    @property
    def last_day(self) -> date:
        """The last day of the history."""
        return self.first_day + timedelta(days=self.days - 1)

    def calls(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[Row]:
        """Iterate over raw rows of cdr/page that start in [start, end), aware datetimes, earliest first."""
        return self.call_timeline.rows(_ms_or_none(start), _ms_or_none(end))

    def did_calls(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[Row]:
        """Iterate over raw rows of did/cdr that start in [start, end), aware datetimes, earliest first."""
        return self.did_timeline.rows(_ms_or_none(start), _ms_or_none(end))

    def flash_calls(self, start: datetime | None = None, end: datetime | None = None) -> Iterator[Row]:
        """Iterate over raw rows of the flash list made in [start, end), aware datetimes, earliest first."""
        return self.flash_timeline.rows(_ms_or_none(start), _ms_or_none(end))

    def call_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[str]:
        """Return the `callId` of each call that starts in [start, end), earliest first, without computing rows."""
        return [str(row_id) for row_id in self.call_timeline.ids(_ms_or_none(start), _ms_or_none(end))]

    def did_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[int]:
        """Return the `id` of each DID call that starts in [start, end), earliest first."""
        return [int(row_id) for row_id in self.did_timeline.ids(_ms_or_none(start), _ms_or_none(end))]

    def flash_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[int]:
        """Return the `id` of each flash call made in [start, end), earliest first."""
        return [int(row_id) for row_id in self.flash_timeline.ids(_ms_or_none(start), _ms_or_none(end))]

    def call(self, call_id: str) -> Row:
        """Return the raw row of one call, the one added last where several have the id.

        Raises:
            LookupError: there is no such call.
        """
        rows = [dict(added.row) for added in self.call_timeline.added() if added.row_id == call_id]
        rows = rows or [self.call_timeline.row(rank) for rank in self._ranks_of_call(call_id)]
        if not rows:
            raise _no_call(call_id)
        return rows[-1]

    def change_call(self, call_id: str, **vendor_fields: Any) -> None:
        """Change a call, as a gateway that fills a value in later does; all of its legs, if it has several.

        Args:
            call_id: of the seeded history, or added.
            **vendor_fields: the vendor's keys, as for `add_call`.

        Raises:
            LookupError: there is no such call.
            ValueError: as for `add_call`, or a key by which a call is found: `callId`, `startTime`, `endTime`.
        """
        fixed = sorted({"callId", "startTime", "endTime"} & vendor_fields.keys())
        if fixed:
            raise ValueError(f"{fixed[0]} is what a call is found by: add another with add_call()")
        fields = _written(vendor_fields, _CALL_KEYS, epoch_ms)
        added = [one for one in self.call_timeline.added() if one.row_id == call_id]
        for one in added:
            self.call_timeline.change_added(one, fields)
        ranks = self._ranks_of_call(call_id)
        for rank in ranks:
            self.call_timeline.change(rank, fields)
        if not added and not ranks:
            raise _no_call(call_id)

    def _ranks_of_call(self, call_id: str) -> list[int]:
        return [rank for rank in self.call_rows.ranks_of_call(call_id) if self.call_rows.call_id(rank) == call_id]

    @property
    def added_ids(self) -> list[RowId]:
        """Ids of everything that was added to the history, calls first, then DID and flash calls."""
        timelines = (self.call_timeline, self.did_timeline, self.flash_timeline)
        return [added.row_id for timeline in timelines for added in timeline.added()]

    def add_call(self, **vendor_fields: Any) -> str:
        """Add a call-center call; what is not given is filled in from a call like any other.

        Args:
            **vendor_fields: the vendor's keys. Times are aware datetimes or epoch milliseconds; `startTime` is by
                default noon UTC of the first day, and moves the other times along.

        Returns:
            the call's `callId`.

        Raises:
            ValueError: a naive datetime, a value that JSON cannot hold, or a key spelled as in our records
                (`start_time`).
        """
        vendor_fields = _written(vendor_fields, _CALL_KEYS, epoch_ms)
        number = next(self._numbers)
        row = self._model_call(number, vendor_fields)
        row.update(vendor_fields)
        if self._has_media and "recordUrl" not in vendor_fields:
            row["recordUrl"] = self.call_rows.address_of("record", row["callId"])
        end = row.get("endTime") or row["startTime"]
        self.call_timeline.add(row, row_id=row["callId"], start_ms=row["startTime"], end_ms=end)
        return str(row["callId"])

    def add_calls(self, number: int, *, apart: timedelta = timedelta(seconds=1), **vendor_fields: Any) -> list[str]:
        """Add several calls that differ in their ids and times only.

        Args:
            number: how many.
            apart: from the start of one to the start of the next.
            **vendor_fields: as for `add_call`; `startTime` is that of the first.

        Returns:
            their ids (`callId`), earliest first.

        Raises:
            ValueError: as for `add_call`, or a `callId`, which is one call's only.
        """
        number = _number("number", number, 0)
        if "callId" in vendor_fields:
            raise ValueError("callId is the id of one call: add that one with add_call()")
        fields = {"startTime": self._noon_ms()} | _written(vendor_fields, _CALL_KEYS, epoch_ms)
        first, step = fields.pop("startTime"), apart // timedelta(milliseconds=1)
        return [self.add_call(**fields, startTime=first + step * later) for later in range(number)]

    def add_did_call(self, **vendor_fields: Any) -> int:
        """Add a DID call, by default at noon of the first day; returns its `id`.

        Args:
            **vendor_fields: the vendor's keys. `startTime` and `endTime` are aware datetimes or the vendor's local
                text, UTC+8.

        Raises:
            ValueError: as for `add_call`, or a text that is no time.
        """
        vendor_fields = _written(vendor_fields, _DID_KEYS, _local_text_of)
        row = {**_DID_MODEL, "id": 900_000_000 + next(self._numbers), "startTime": self._noon_text()}
        row |= {"endTime": vendor_fields.get("startTime", row["startTime"])} | vendor_fields
        start_ms, end_ms = local_ms(row["startTime"]), local_ms(row["endTime"])
        self.did_timeline.add(row, row_id=row["id"], start_ms=start_ms, end_ms=end_ms)
        return int(row["id"])

    def add_flash_call(self, **vendor_fields: Any) -> int:
        """Add a flash call, by default at noon of the first day; returns its `id`.

        Args:
            **vendor_fields: the vendor's keys. `gmtCreate` is an aware datetime or the vendor's local text, UTC+8.

        Raises:
            ValueError: as for `add_call`, or a text that is no time.
        """
        vendor_fields = _written(vendor_fields, _FLASH_KEYS, _local_text_of)
        row = {**_FLASH_MODEL, "id": 900_000_000 + next(self._numbers), "gmtCreate": self._noon_text()} | vendor_fields
        start_ms = local_ms(row["gmtCreate"])
        self.flash_timeline.add(row, row_id=row["id"], start_ms=start_ms, end_ms=start_ms)
        return int(row["id"])

    def _model_call(self, number: int, given: Row) -> Row:
        row = dict(_CALL_MODEL, callId=f"{0xADDED << 16:09x}63616c6c{number:08x}")
        shift = given.get("startTime", self._noon_ms()) - row["startTime"]
        return row | {key: row[key] + shift for key in _TIME_KEYS}

    def _noon_ms(self) -> int:
        return self.call_rows.arrivals.first_ms + HALF_DAY_MS

    def _noon_text(self) -> str:
        return local_text(self.did_timeline.arrivals.first_ms + HALF_DAY_MS)


_TIME_KEYS = ("startTime", "ringTime", "inQueueTime", "outQueueTime", "answerTime", "endTime")

_CALL_MODEL: Row = {
    "agentName": "NX094450006938",
    "agentNickName": "示例坐席",
    "answered": True,
    "answerTime": 7_000,
    "callDuration": 5,
    "callee": "85235757568",
    "caller": "85238531117",
    "direction": 0,
    "dtmfKeys": None,
    "endTime": 11_124,
    "hangupBy": 1,
    "hangupCode": 1001,
    "callStatus": "正常结束",
    "hangupReason": "坐席挂断",
    "inQueueTime": 744,
    "leaveMsgUrl": None,
    "orderId": "",
    "other": None,
    "intent": None,
    "outQueueTime": 7_000,
    "queueDuration": 6,
    "recordUrl": "https://media.example.com/record/added.mp3",
    "ringDuration": 7,
    "ringTime": 0,
    "startTime": 704,
    "taskId": "",
    "totalCustomerPrice": 0,
    "lineIp": "43.134.225.234",
    "mediaIp": "",
    "termSipCode": 200,
    "hangupCause": "NORMAL_CLEARING",
    "mos": 4.35,
}

_DID_MODEL: Row = {
    "number": "66820000001",
    "callDuration": 0,
    "endReason": "-7",
    "feeDurationMinute": 0,
    "feeType": 0,
    "callType": 0,
    "callerIp": "127.0.0.1",
    "endReasonName": "Caller Hang-up",
    "callNumber": "123456789",
    "calleeIp": "127.0.0.1",
    "callPrice": 0,
    "endDirection": 0,
    "countryName": "Thailand",
    "callPriceUnit": 0,
}

_FLASH_MODEL: Row = {
    "customerId": 1,
    "appId": 1,
    "msisdn": "182182182",
    "callingNumber": "2150928925",
    "token": "8925",
    "requestId": "3097f48a0c6e465586e9f7cc5a922b90",
    "ip": None,
    "price": 0,
    "gmtModified": None,
    "callStartAt": None,
    "callEndAt": None,
    "callbackAt": None,
    "callStatus": 0,
}


_CALL_KEYS = {*_CALL_MODEL, "callId"}
_DID_KEYS = {*_DID_MODEL, "id", "startTime", "endTime"}
_FLASH_KEYS = {*_FLASH_MODEL, "id", "gmtCreate"}


def _call_end(row: Row) -> int:
    return int(row.get("endTime") or row["startTime"])


def _did_end(row: Row) -> int:
    return local_ms(row["endTime"])


def _flash_end(row: Row) -> int:
    return local_ms(row["gmtCreate"])


def _no_call(call_id: str) -> LookupError:
    return LookupError(f"there is no call {call_id!r}: take one of call_ids(), or what add_call() returned")


def _number(name: str, number: object, least: int | None = None) -> int:
    whole = as_whole(number)
    if whole is None or (least is not None and whole < least):
        raise ValueError(f"{name} is {number!r}: give a whole number{'' if least is None else f', at least {least}'}")
    return whole


def _day(day: object) -> date:
    if not isinstance(day, date) or day != day:  # noqa: PLR0124 - as is the missing time of pandas
        raise ValueError(f"first_day is {day!r}: give a day, such as datetime.date(2026, 1, 31)")
    return date(day.year, day.month, day.day)


def _written(fields: Mapping[str, Any], known: set[str], write: Callable[[datetime], int | str]) -> Row:
    """Return fields with their datetimes as the vendor writes them; unknown keys are allowed."""
    for name in fields.keys() - known:
        head, *tail = name.split("_")
        vendors = head + "".join(word.capitalize() for word in tail)
        if vendors in known:
            raise ValueError(f"{name} is no key of the vendor's: write it {vendors}")
    written = {name: write(value) if isinstance(value, datetime) else plain(value) for name, value in fields.items()}
    for name, value in written.items():
        try:
            msgspec.json.encode(value)
        except (TypeError, ValueError) as fault:
            raise ValueError(
                f"{name} is {fields[name]!r}: give what JSON can tell, or an aware datetime ({fault})"
            ) from None
    return written


def _local_text_of(moment: datetime) -> str:
    return local_text(epoch_ms(moment))


def _ms_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else epoch_ms(moment)
