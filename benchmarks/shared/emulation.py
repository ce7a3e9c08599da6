"""The emulator in a process of its own, so that its processor time and memory are never counted as a client's."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, define

from shared.beside import HERE

_CHILD = Path(__file__).with_name("emulator_child.py")
_SECONDS_TO_END = 10.0


@define(frozen=True)
class Told:
    """What a client has to know of an emulator.

    Attributes:
        gateway: its base URL.
        access_key: half of the key pair.
        access_secret: the other half.
        calls: how many calls it holds.
        days: over how many days.
        start: epoch seconds, at or before the first call.
        end: epoch seconds, after the last call.
        tenant_id: the tenant whose orders can be asked for.
    """

    gateway: str
    access_key: str
    access_secret: str
    calls: int
    days: int
    start: int
    end: int
    tenant_id: int

    @property
    def range(self) -> tuple[datetime, datetime]:
        """The two ends as datetimes."""
        return datetime.fromtimestamp(self.start, UTC), datetime.fromtimestamp(self.end, UTC)

    def to_json(self) -> str:
        """Return it as text, for a process that is to read."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Told":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@define(frozen=True)
class Seen:
    """What an emulator saw since it was last asked.

    Attributes:
        requests: requests that arrived.
        peak_in_flight: the most that were answered at once.
        received: when the latest 2,000 arrived, seconds.
    """

    requests: int
    peak_in_flight: int
    received: list[float]


class Emulator:
    """A running emulator.

    Attributes:
        told: what a client has to know.
    """

    def __init__(self, child: "subprocess.Popen[str]", days: int) -> None:
        self._child = child
        line = self._line()
        first, last = (int(datetime.fromisoformat(line[name]).timestamp()) for name in ("first_call", "last_call"))
        known = {name: line[name] for name in ("gateway", "access_key", "access_secret", "calls", "tenant_id")}
        self.told = Told(**known, days=days, start=first, end=last + 1)

    def seen(self) -> Seen:
        """Ask what it saw since it was last asked; the requests are counted there, not by the client."""
        self._say("")
        return Seen(**self._line())

    def switch(self, **switches: Any) -> None:
        """Set switches while it runs, as in `nxcdr_async.testing.Switches`."""
        self._say(json.dumps(switches))

    def _say(self, line: str) -> None:
        if self._child.stdin is None:
            raise RuntimeError("the emulator has no stdin")
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()

    def _line(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child.stdout else ""
        if not line:
            raise RuntimeError("the emulator has ended; what it says stands above")
        return dict(json.loads(line))


@contextmanager
def emulator(calls: int, days: int, rows: str | None = None, **switches: Any) -> Iterator[Emulator]:
    """Run an emulator in a child process until the block ends.

    Args:
        calls: how many calls it holds.
        days: over how many days.
        rows: how its calls are shaped, a name in `wild_rows.SHAPES`; None for the emulator's own.
        **switches: as in `nxcdr_async.testing.Switches`.
    """
    wanted = json.dumps({"calls": calls, "days": days, "rows": rows, "switches": switches})
    command = [sys.executable, str(_CHILD), wanted]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=HERE.environment, stdin=pipe, stdout=pipe, text=True) as child:
        try:
            yield Emulator(child, days)
        finally:
            if child.stdin is not None:
                child.stdin.close()
            try:
                child.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                child.kill()
