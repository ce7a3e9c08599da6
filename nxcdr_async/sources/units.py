"""The least part of an API's records that can be asked for: a second, or a local day. Pure."""

from datetime import date, datetime, timedelta, tzinfo
from typing import Literal, Protocol

from attrs import define, field

from nxcdr_async.errors import ConfigurationError
from nxcdr_async.windows import Window, day_at, midnight, window_of


class TimeUnit(Protocol):
    """The least part of an API's records that can be asked for, which says where windows may end."""

    @property
    def saturated(self) -> Literal["saturated second", "saturated day"]:
        """What one is called that holds more records than the gateway shows."""

    def whole(self, start: date, end: date) -> Window:
        """Return the range that is meant by what a user gives.

        Raises:
            ConfigurationError: a naive time, an end before the start, days for a source that has none.
        """

    def floor(self, moment: int) -> int:
        """Return the last moment up to a given one at which a window may end."""

    def ceiling(self, moment: int) -> int:
        """Return the first moment from a given one on at which a window may end."""


@define(frozen=True)
class Seconds:
    """The unit of an API that is asked for any range of seconds."""

    saturated: Literal["saturated second"] = field(default="saturated second", init=False)

    def whole(self, start: date, end: date) -> Window:
        """Return the seconds between two aware times."""
        if isinstance(start, datetime) and isinstance(end, datetime):
            return window_of(start, end)
        raise ConfigurationError("start and end must be aware datetimes: only DID calls are kept by days")

    def floor(self, moment: int) -> int:
        """Return the moment: a window may end at any second."""
        return moment

    def ceiling(self, moment: int) -> int:
        """Return the moment."""
        return moment


@define(frozen=True)
class Days:
    """The unit of an API that is asked for local days."""

    zone: tzinfo
    saturated: Literal["saturated day"] = field(default="saturated day", init=False)

    def whole(self, start: date, end: date) -> Window:
        """Return whole days: both of two dates included, or those that hold all between two aware times."""
        if isinstance(start, datetime) and isinstance(end, datetime):
            seconds = window_of(start, end)
            days = self.of(seconds)
        else:
            days = checked_days(start, end)
        return Window(midnight(days[0], self.zone), midnight(days[1] + timedelta(days=1), self.zone))

    def floor(self, moment: int) -> int:
        """Return the start of the day."""
        return midnight(day_at(moment, self.zone), self.zone)

    def ceiling(self, moment: int) -> int:
        """Return the end of the day."""
        return midnight(day_at(moment, self.zone) + timedelta(days=1), self.zone)

    def of(self, window: Window) -> tuple[date, date]:
        """Return the first and the last day of a window."""
        return day_at(window.start, self.zone), day_at(window.end - 1, self.zone)


def checked_days(first_day: date, last_day: date | None) -> tuple[date, date]:
    """Return the first and last day of a range of whole days, both inclusive.

    Raises:
        ConfigurationError: not dates, or in the wrong order.
    """
    last = first_day if last_day is None else last_day
    for name, day in (("first_day", first_day), ("last_day", last)):
        if not isinstance(day, date) or isinstance(day, datetime):
            raise ConfigurationError(f"{name} must be a datetime.date, as the gateway keeps DID calls by its local day")
    if first_day.year < 1970 or last.year > 9998:  # noqa: PLR2004 - what epoch seconds and a day more can say
        raise ConfigurationError("first_day and last_day must lie between the years 1970 and 9998")
    if last < first_day:
        raise ConfigurationError(f"last_day ({last}) must not be before first_day ({first_day})")
    # Without what a class of dates may add.
    return date(first_day.year, first_day.month, first_day.day), date(last.year, last.month, last.day)
