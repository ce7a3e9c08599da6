"""The sources a backfill reads: how a part of each is asked for, and where its windows may end."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import (
    ConfigurationError,
    RecordError,
    RefusedRangeError,
    SaturatedDayError,
    SaturatedSecondError,
)
from nxcdr_async.paging.paginator import Paginator
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, Endpoint
from nxcdr_async.records.models import SourceName
from nxcdr_async.session import CdrSession
from nxcdr_async.sources.queries import CallQuery, DidQuery, checked_days, flash_parameters
from nxcdr_async.windows import Window, merged, window_of


@define
class Mishaps:
    """What was left out while a source was read.

    Attributes:
        bad_rows: rows that could not be records, since this was last asked.
        saturated: seconds that the gateway does not show all calls of; of days, their first.
        refused: what lies further back than the gateway tells.
        on_bad_row: gets the error of each bad row; None to stop at the first.
    """

    on_bad_row: Callable[[RecordError], object] | None = None
    bad_rows: int = 0
    saturated: set[int] = field(factory=set)
    refused: list[Window] = field(factory=list)

    @property
    def bad_row_taker(self) -> Callable[[RecordError], object] | None:
        """What takes the error of a bad row; None if it is to be raised."""
        return None if self.on_bad_row is None else self.take_bad_row

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for a paginator of the session."""
        skipping = {} if self.on_bad_row is None else {"on_bad_row": "skip", "bad_row_callback": self.take_bad_row}
        return {"on_refused_range": self.take_refused_range, **skipping}

    def take_bad_row(self, bad: RecordError) -> None:
        """Count a bad row and hand it on."""
        self.bad_rows += 1
        if self.on_bad_row is not None:
            self.on_bad_row(bad)

    def take_saturated_second(self, saturated: SaturatedSecondError) -> None:
        """Note a second."""
        self.saturated.add(int(saturated.second.timestamp()))

    def take_refused_range(self, refused: RefusedRangeError) -> None:
        """Note a range."""
        self.refused.append(Window(int(refused.start.timestamp()), int(refused.end.timestamp())))

    def saturated_until(self, end: int) -> tuple[int, ...]:
        """Take out the seconds noted before a moment, in order of time."""
        found = sorted(second for second in self.saturated if second < end)
        self.saturated.difference_update(found)
        return tuple(found)

    def refused_in(self, window: Window) -> tuple[Window, ...]:
        """Return the parts of a window that were refused, in order of time."""
        return merged(part for refused in self.refused if (part := refused.shared_with(window)))


class Feed(Protocol):
    """A source as a backfill sees it."""

    @property
    def endpoint(self) -> Endpoint[Any]:
        """The API that is asked."""

    def whole(self, start: date, end: date) -> Window:
        """Return the range that is meant by what a user gives.

        Raises:
            ConfigurationError: a naive time, an end before the start, days for a source that has none.
        """

    def floor(self, moment: int) -> int:
        """Return the last moment up to a given one at which a window may end."""

    def ceiling(self, now: int) -> int:
        """Return the first moment from now on at which a window may end."""

    def smallest(self, window: Window) -> Mapping[str, Any]:
        """Return the parameters of a question about a range that is answered with little."""

    def read(self, window: Window, mishaps: Mishaps) -> Paginator[Any]:
        """Return a paginator over a part of the range."""


@define(frozen=True)
class CallFeed:
    """The calls of the call center."""

    session: CdrSession
    endpoint: Endpoint[Any] = field(default=CALLS, init=False)

    def whole(self, start: date, end: date) -> Window:
        """Return the seconds between two aware times."""
        return _seconds(start, end)

    def floor(self, moment: int) -> int:
        """Return the moment: a window may end at any second."""
        return moment

    def ceiling(self, now: int) -> int:
        """Return the moment."""
        return now

    def smallest(self, window: Window) -> Mapping[str, Any]:
        """Ask for one call."""
        return CallQuery().page(window, number=1, size=1)

    def read(self, window: Window, mishaps: Mishaps) -> Paginator[Any]:
        """Read calls; seconds that the gateway does not show whole are noted."""
        saturated = mishaps.take_saturated_second
        return self.session.calls(*_moments(window), on_saturated_second=saturated, **mishaps.options)


@define(frozen=True)
class FlashFeed:
    """The flash calls."""

    session: CdrSession
    endpoint: Endpoint[Any] = field(default=FLASH, init=False)

    def whole(self, start: date, end: date) -> Window:
        """Return the seconds between two aware times."""
        return _seconds(start, end)

    def floor(self, moment: int) -> int:
        """Return the moment: a window may end at any second."""
        return moment

    def ceiling(self, now: int) -> int:
        """Return the moment."""
        return now

    def smallest(self, window: Window) -> Mapping[str, Any]:
        """Ask for one second."""
        return flash_parameters(window.start, window.start + 1, self.session.naive_zone)

    def read(self, window: Window, mishaps: Mishaps) -> Paginator[Any]:
        """Read flash calls; seconds that the list cannot tell are noted."""
        saturated = mishaps.take_saturated_second
        return self.session.flash_calls(*_moments(window), on_saturated_second=saturated, **mishaps.options)


@define(frozen=True)
class DidFeed:
    """The calls over DID numbers, which the vendor keeps by local days."""

    session: CdrSession
    endpoint: Endpoint[Any] = field(default=DID, init=False)

    def whole(self, start: date, end: date) -> Window:
        """Return whole days: both of two dates included, or those that hold all between two aware times."""
        if isinstance(start, datetime) and isinstance(end, datetime):
            seconds = window_of(start, end)
            days = self._day(seconds.start), self._day(seconds.end - 1)
        else:
            days = checked_days(start, end)
        return Window(self._midnight(days[0]), self._midnight(days[1] + timedelta(days=1)))

    def floor(self, moment: int) -> int:
        """Return the start of the day."""
        return self._midnight(self._day(moment))

    def ceiling(self, now: int) -> int:
        """Return the end of the day."""
        return self._midnight(self._day(now) + timedelta(days=1))

    def smallest(self, window: Window) -> Mapping[str, Any]:
        """Ask for one call of the first day."""
        return DidQuery().page(self._day(window.start), number=1, size=1)

    def read(self, window: Window, mishaps: Mishaps) -> Paginator[Any]:
        """Read days; those that the gateway does not show whole are noted."""

        def take_saturated_day(saturated: SaturatedDayError) -> None:
            mishaps.saturated.add(self._midnight(saturated.day))

        days = self._day(window.start), self._day(window.end - 1)
        return self.session.did_calls(*days, on_saturated_day=take_saturated_day, **mishaps.options)

    def _day(self, moment: int) -> date:
        return moment_at(moment).astimezone(self.session.naive_zone).date()

    def _midnight(self, day: date) -> int:
        return int(datetime.combine(day, time(), self.session.naive_zone).timestamp())


def unit_at(feed: Feed, moment: int) -> Window:
    """Return the least part of a source that can be asked for, a second or a day, which holds a moment."""
    return Window(feed.floor(moment), feed.ceiling(moment + 1))


FEEDS: dict[SourceName, Callable[[CdrSession], Feed]] = {"calls": CallFeed, "did": DidFeed, "flash": FlashFeed}


def _seconds(start: date, end: date) -> Window:
    if isinstance(start, datetime) and isinstance(end, datetime):
        return window_of(start, end)
    raise ConfigurationError("start and end must be aware datetimes: only DID calls are kept by days")


def _moments(window: Window) -> tuple[datetime, datetime]:
    return moment_at(window.start), moment_at(window.end)
