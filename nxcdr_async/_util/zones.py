"""Zones of local times: any tzinfo becomes one that `datetime` can be used with, or is refused. Pure.

Zones of pytz may not be given to `replace`, `combine` or `datetime(…, tzinfo=…)`: their times are off by minutes then.
Others tell no offset, raise, or are written with an address in memory, which is another one in the next process. So
each zone is looked at once, when a session is made, and all modules may use what comes of it like one of Python's own.
"""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from hashlib import sha256
from typing import Any

from nxcdr_async.errors import ConfigurationError

_FIRST, _STEP, _LAST = datetime(2000, 1, 1, tzinfo=UTC), timedelta(days=91), datetime(2040, 1, 1, tzinfo=UTC)
_HOW_TO_MEND = "give a zone such as ZoneInfo('Asia/Shanghai') or datetime.timezone(timedelta(hours=8))"


class LocalZone(tzinfo):
    """A zone that goes by another, whose own way with local times or whose name cannot be used.

    Args:
        zone: the other, such as one of pytz.
        name: how it is written.
    """

    def __init__(self, zone: tzinfo, name: str) -> None:
        self._zone = zone
        self._name = name

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return how far local time is ahead of UTC."""
        return None if moment is None else self._aware(moment).utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        """Return how much of that is summer time."""
        return None if moment is None else self._aware(moment).dst()

    def tzname(self, moment: datetime | None) -> str | None:
        """Return what local time is called."""
        return None if moment is None else self._aware(moment).tzname()

    def fromutc(self, moment: datetime) -> datetime:
        """Return a time in UTC as local time."""
        there = self._zone.fromutc(moment.replace(tzinfo=self._zone))
        local = there.replace(tzinfo=self, fold=0)
        return local if local.utcoffset() == there.utcoffset() else local.replace(fold=1)

    def __getinitargs__(self) -> tuple[tzinfo, str]:
        """Return what a copy is made of."""
        return self._zone, self._name

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<zone {self._name}>"

    def _aware(self, moment: datetime) -> datetime:
        """Return a local time with the other zone."""
        localize = getattr(self._zone, "localize", None)
        if localize is None:
            return moment.replace(tzinfo=self._zone)
        localized: datetime = _localized(self._zone, moment.replace(tzinfo=None, fold=0), fold=moment.fold)
        return localized


def checked_zone(zone: Any, name: str) -> tzinfo:
    """Return a zone that gives right times wherever Python's own would, and is written alike in every process.

    Args:
        zone: the zone.
        name: what the argument is called.

    Raises:
        ConfigurationError: it is none, tells no offset, raises or contradicts itself.
    """
    if not isinstance(zone, tzinfo):
        raise ConfigurationError(f"{name} is of type {type(zone).__name__}: {_HOW_TO_MEND}")
    if type(zone) is timezone and not zone.utcoffset(None).microseconds:
        return zone
    try:
        offsets = _offsets(zone)
        if offsets is None and hasattr(zone, "localize"):
            zone = LocalZone(zone, _name_of(zone, ()))
            offsets = _offsets(zone)
        written = _name_of(zone, offsets or ())
    except Exception as fault:  # noqa: BLE001 - the zone is somebody's own code
        raise ConfigurationError(
            f"{name} cannot turn times into local ones ({type(fault).__name__}: {fault}): {_HOW_TO_MEND}"
        ) from None
    if offsets is None:
        raise ConfigurationError(
            f"{name} {written} contradicts itself: a time that it made local is another one when it is read back, or "
            f"is not whole seconds from UTC: {_HOW_TO_MEND}"
        )
    return zone if written == str(zone) else LocalZone(zone, written)


def is_unlocalized(moment: datetime) -> bool:
    """Return whether a time was made with a zone of pytz and without its `localize`: then it is local mean time."""
    normalize = getattr(moment.tzinfo, "normalize", None)
    return normalize is not None and moment.tzname() == "LMT" and normalize(moment).utcoffset() != moment.utcoffset()


def _offsets(zone: tzinfo) -> tuple[timedelta, ...] | None:
    """Return the offsets of a zone over the years; None if times do not come back as they went."""
    offsets, moment = [], _FIRST
    while moment < _LAST:
        local = moment.astimezone(zone)
        offset = local.utcoffset()
        back = local.replace(tzinfo=None).replace(tzinfo=zone, fold=local.fold)
        if offset is None or offset.microseconds or local.replace(tzinfo=None) - offset != moment.replace(tzinfo=None):
            return None
        if back.utcoffset() != offset:
            return None
        offsets.append(offset)
        moment += _STEP
    return tuple(offsets)


def _name_of(zone: tzinfo, offsets: tuple[timedelta, ...]) -> str:
    """Return how a zone writes itself, or, if that is an address in memory, what distinguishes it from others."""
    written = str.__str__(str(zone))
    if written and " at 0x" not in written:
        return written
    if len(set(offsets)) == 1:
        return str(timezone(offsets[0]))
    return f"{type(zone).__qualname__} {sha256(repr(offsets).encode()).hexdigest()[:16]}"


def _localized(zone: Any, local: datetime, *, fold: int) -> Any:
    """Return a local time in a zone of pytz, by the rule of `fold` where it comes twice or never."""
    summer, winter = (zone.localize(local, is_dst=is_dst) for is_dst in (True, False))
    real = [moment for moment in (summer, winter) if zone.normalize(moment).replace(tzinfo=None) == local]
    if len(real) == 1:
        return real[0]
    # Summer time is ahead, so of a time that comes twice it is the first, and of one that never comes the second.
    return summer if bool(real) != bool(fold) else winter
