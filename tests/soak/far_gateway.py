"""The emulator in a child process, as the tests see it: its memory, files and tasks are not ours."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from attrs import define, field

_CHILD = Path(__file__).with_name("emulator_child.py")
_LONGEST_LINE = 64 * 1024 * 1024

SourceName = Literal["calls", "did", "flash"]


@define(eq=False)
class FarGateway:
    """A running emulator.

    Attributes:
        url: its address, which stays the same.
        first_call: when its history starts.
        last_call: when its history ends.
        tenant_id: the tenant whose orders can be asked for.
    """

    _child: Process
    url: str = ""
    first_call: datetime = field(default=datetime.min)  # noqa: DTZ901 - told before it is looked at
    last_call: datetime = field(default=datetime.max)  # noqa: DTZ901 - likewise
    tenant_id: int = 0
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def ask(self, do: str, **told: Any) -> dict[str, Any]:
        """Have something done, and return what the child says to it."""
        # Shielded, as a question without its answer would leave the answer to whoever asks next.
        return await asyncio.shield(asyncio.ensure_future(self._exchange({"do": do, **told})))

    async def _exchange(self, said: dict[str, Any]) -> dict[str, Any]:
        if self._child.stdin is None:
            raise RuntimeError("the emulator has no stdin")
        async with self._turn:
            self._child.stdin.write(json.dumps(said).encode() + b"\n")
            await self._child.stdin.drain()
            return await self.heard()

    async def heard(self) -> dict[str, Any]:
        """Return the next line of the child."""
        line = await self._child.stdout.readline() if self._child.stdout else b""
        if not line:
            raise RuntimeError("the emulator has ended; what it says stands above")
        return dict(json.loads(line))

    async def ids(self, source: SourceName, start: datetime, end: datetime) -> list[Any]:
        """Return the ids of a source between two times."""
        said = await self.ask("ids", source=source, start=start.isoformat(), end=end.isoformat())
        return list(said["ids"])


@asynccontextmanager
async def far_gateway(**history: Any) -> AsyncIterator[FarGateway]:
    """Run one until the block ends."""
    command = (sys.executable, str(_CHILD), json.dumps(history))
    child = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
    gateway = FarGateway(child)
    try:
        keys = await gateway.heard()
        gateway.url, gateway.tenant_id = keys["gateway"], keys["tenant_id"]
        gateway.first_call, gateway.last_call = (
            datetime.fromisoformat(keys[name]) for name in ("first_call", "last_call")
        )
        yield gateway
    finally:
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()
