"""An emulator in a process of its own that does as it is told: a line of JSON on stdin each time, one on stdout back.

It ends with its stdin, however its parent dies.
"""

import asyncio
import json
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from nxcdr_async.testing import Gateway, Switches

_OPEN_FILES = Path("/proc/self/fd")


class Child:
    """One port, and the emulators that serve it one after the other."""

    def __init__(self, **history: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.history = history
        self.gateway = self.new_gateway()
        self.seconds_down: float | None = 0.0
        self.files_alone = 0

    def new_gateway(self) -> Gateway:
        """Return an emulator without anything that was added to the last."""
        return Gateway(**self.history, port=self.port)

    async def run(self) -> None:
        """Serve, with breaks, until stdin ends."""
        while self.seconds_down is not None:
            await asyncio.sleep(self.seconds_down)
            async with self.gateway.serving():
                self.files_alone = self.files_alone or open_files()
                keys = self.gateway.announcement()
                tell({name: keys[name] for name in ("gateway", "tenant_id", "first_call", "last_call")})
                self.seconds_down = await self.do_as_told()

    async def do_as_told(self) -> float | None:
        """Do as told until told to stop serving; return for how many seconds, or None for ever."""
        while line := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(line)
            match told.pop("do"):
                case "stop":
                    return float(told["seconds"])
                case "renew":
                    self.gateway = self.new_gateway()
                    return 0.0
                case "switch":
                    self.switch(**told)
                    tell({})
                case "ids":
                    tell({"ids": self.ids(**told)})
                case "look":
                    log = self.gateway.log
                    tell(
                        {"connections": open_files() - self.files_alone, "faults": log.faults, "requests": log.requests}
                    )
        return None

    def switch(self, clock: float, **switches: Any) -> None:
        """Set the clock so many seconds ahead, and every switch that is not named back to how it was made."""
        self.gateway.clock.offset = clock
        for name, value in (attrs.asdict(Switches()) | switches).items():
            setattr(self.gateway.switches, name, value)

    def ids(self, source: str, start: str, end: str) -> list[Any]:
        """Return the ids of a source between two times."""
        history = self.gateway.history
        find = {"calls": history.call_ids, "did": history.did_ids, "flash": history.flash_ids}[source]
        return find(datetime.fromisoformat(start), datetime.fromisoformat(end))


def open_files() -> int:
    """Count the open files and sockets of this process; 0 where the system does not tell."""
    return len(list(_OPEN_FILES.iterdir())) if _OPEN_FILES.exists() else 0


def tell(said: dict[str, Any]) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(Child(**json.loads(sys.argv[1])).run())
