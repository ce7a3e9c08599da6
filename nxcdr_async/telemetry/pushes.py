"""How many call pushes came to this process, and what became of them."""

from collections.abc import Iterator
from threading import Lock
from typing import Literal

from attrs import define, field

from nxcdr_async.telemetry import names
from nxcdr_async.telemetry.names import Measurement
from nxcdr_async.telemetry.watch import observe

PushOutcome = Literal["taken", "refused", "failed"]
"""It was handled, or known already; it is none of the vendor's, or broken; we could not handle it."""


@define(eq=False)
class PushCounts:
    """Counts pushes, of all event loops of the process; OpenTelemetry is told of them from the first on."""

    _counts: dict[PushOutcome, int] = field(factory=lambda: {"taken": 0, "refused": 0, "failed": 0}, init=False)
    _is_observed: bool = field(default=False, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def add(self, outcome: PushOutcome) -> None:
        """Count one more."""
        with self._lock:
            self._counts[outcome] += 1
            is_first, self._is_observed = not self._is_observed, True
        if is_first:
            observe(self.measure, counters=(names.PUSHES,))

    def measure(self) -> Iterator[Measurement]:
        """Yield how many there were by now."""
        for outcome, pushes in self._counts.items():
            yield Measurement(names.PUSHES, pushes, {names.OUTCOME: outcome})


PUSHES = PushCounts()
"""Those of this process."""
