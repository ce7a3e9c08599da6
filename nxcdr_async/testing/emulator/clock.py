"""The emulator's own clock, which a test can move."""

from datetime import UTC, datetime
from email.utils import formatdate
from math import isfinite
from threading import Lock

from attrs import define, field

from nxcdr_async._util.clocks import wall
from nxcdr_async._util.validation import as_number
from nxcdr_async.testing.emulator.switches import Switches


class EmulatorClock:
    """The real time plus an offset; safe to move from any thread."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._lock = Lock()

    def now(self) -> float:
        """Return the emulator's time in epoch seconds."""
        return wall() + self.offset

    def now_ms(self) -> int:
        """Return the emulator's time in epoch milliseconds."""
        return int(self.now() * 1000)

    def move(self, seconds: float) -> None:
        """Set the clock forward, or back with a negative number, by so many seconds.

        Raises:
            ValueError: they are no number.
        """
        number = as_number(seconds)
        if number is None or not isfinite(number):
            raise ValueError(f"seconds is {seconds!r}: give a number of seconds, such as -90.0")
        with self._lock:
            self.offset += number

    def move_to(self, moment: datetime) -> None:
        """Set the clock to an aware datetime; it goes on running from there.

        Raises:
            ValueError: the datetime is naive.
        """
        if moment.tzinfo is None:
            raise ValueError("a time without a zone means nothing here: use an aware datetime")
        self.offset = moment.astimezone(UTC).timestamp() - wall()

    def reset(self) -> None:
        """Go back to the real time."""
        self.offset = 0.0


@define(eq=False)
class DateHeader:
    """What the `Date` of each reply says, which need not be what the clock does."""

    _switches: Switches
    _first: float | None = field(default=None, init=False)
    _replies: int = field(default=0, init=False)

    def at(self, now: float) -> str | None:
        """Return the header of a reply that leaves at a moment of the emulator's clock; None for none."""
        switches = self._switches
        self._first = now if self._first is None else self._first
        relay = switches.relays[self._replies % len(switches.relays)] if switches.relays else 0.0
        self._replies += 1
        if switches.date == "absent":
            return None
        running = self._first if switches.date == "frozen" else now
        told = running + switches.date_offset + relay + switches.date_drift * (running - self._first)
        return formatdate(told, usegmt=True)
