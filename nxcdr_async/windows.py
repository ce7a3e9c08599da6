"""Windows: the time ranges that are asked for. Pure; times are whole epoch seconds."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Self

from attrs import define

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.zones import is_unlocalized
from nxcdr_async.errors import ConfigurationError

HOUR = 3600
DAY = 24 * HOUR
HALF_A_DAY = 12 * HOUR

OVERLAP = 1
"""Seconds that neighbouring windows share."""

FARTHEST_OUTSIDE = HOUR
"""Seconds a call may start before the window that gives it, as gateways may filter by another time than the start."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


@define(frozen=True, order=True)
class Window:
    """The seconds [start, end) of a range, end after start."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Width of the window."""
        return self.end - self.start

    @property
    def bounds(self) -> tuple[int, int]:
        """What is asked of a gateway, one second early.

        No document says whether the ends of a range belong to it, nor whether fractions of a second count, so
        neighbours overlap by a second and their duplicates go by id.
        """
        return max(0, self.start - OVERLAP), self.end

    def is_near(self, earliest: float, latest: float) -> bool:
        """Return whether what lies between two moments lies in the window, or not far outside."""
        return self.start - FARTHEST_OUTSIDE <= earliest and latest <= self.end + FARTHEST_OUTSIDE

    def shared_with(self, other: Self) -> Self | None:
        """Return the seconds of both; None if there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return type(self)(start, end) if start < end else None

    def parts(self, count: int) -> list[Self]:
        """Cut into at most `count` windows of about the same width, none under a second."""
        count = max(1, min(count, self.seconds))
        edges = [self.start + self.seconds * part // count for part in range(count + 1)]
        return [type(self)(start, end) for start, end in pairwise(edges)]


EVER = Window(int(_EARLIEST.timestamp()), int(_LATEST.timestamp()))
"""All that can be asked for."""


def day_at(moment: int, zone: tzinfo) -> date:
    """Return the local day that holds a moment."""
    return moment_at(moment).astimezone(zone).date()


def midnight(day: date, zone: tzinfo) -> int:
    """Return the moment a local day begins."""
    return int(datetime.combine(day, time(), zone).timestamp())


def window_of_day(day: date, zone: tzinfo) -> Window:
    """Return the seconds of a local day."""
    return Window(midnight(day, zone), midnight(day + timedelta(days=1), zone))


def merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return the seconds of all windows as windows in order of time, none of which touch each other."""
    found: list[Window] = []
    for window in sorted(windows):
        if found and window.start <= found[-1].end:
            found[-1] = Window(found[-1].start, max(found[-1].end, window.end))
        else:
            found.append(window)
    return tuple(found)


def window_of(start: datetime, end: datetime) -> Window:
    """Return the whole seconds that cover [start, end).

    Raises:
        ConfigurationError: a time without a zone, or an end that is not after the start.
    """
    for name, moment in (("start", start), ("end", end)):
        if not isinstance(moment, datetime):
            raise ConfigurationError(f"{name} must be a datetime with a zone, not {type(moment).__name__}")
        if moment != moment:  # noqa: PLR0124 - so is what pandas has for a time that is missing
            raise ConfigurationError(f"{name} is {moment}, a time that is missing: give one that is known")
        if _offset(name, moment) is None:
            raise ConfigurationError(
                f"{name} has no time zone: say which one it is in, for example "
                f"{name}.replace(tzinfo=datetime.UTC) or datetime(…, tzinfo=ZoneInfo('Asia/Hong_Kong'))",
            )
        if is_unlocalized(moment):
            raise ConfigurationError(
                f"{name} was given a zone of pytz by tzinfo= or replace(), which is local mean time then: make it with "
                "zone.localize(datetime(…)), or use ZoneInfo"
            )
    if start < _EARLIEST or end > _LATEST:
        raise ConfigurationError("start and end must lie between the years 1970 and 9999")
    if end <= start:
        raise ConfigurationError(f"end ({end.isoformat()}) must be after start ({start.isoformat()})")
    return Window(math.floor(start.timestamp()), math.ceil(end.timestamp()))


def _offset(name: str, moment: datetime) -> timedelta | None:
    try:
        return moment.utcoffset()
    except Exception as fault:  # noqa: BLE001 - the zone is somebody's own code
        raise ConfigurationError(
            f"the zone of {name} cannot tell its offset from UTC ({type(fault).__name__}: {fault}): give one "
            "such as datetime.UTC or ZoneInfo('Asia/Hong_Kong')"
        ) from None


def check_offset(zone: tzinfo, window: Window) -> None:
    """Check that local times say when, all over a range.

    Raises:
        ConfigurationError: the zone changes its offset inside the range, so an hour of local times comes twice.
    """
    moments = [*range(window.start, window.end, HALF_A_DAY), window.end]
    offsets = {moment_at(moment).astimezone(zone).utcoffset() for moment in moments}
    if len(offsets) > 1:
        raise ConfigurationError(
            f"naive_zone {zone} changes its offset from UTC inside this range, so the vendor's local times do not say "
            "when: give a fixed offset, such as datetime.timezone(timedelta(hours=8))",
        )
