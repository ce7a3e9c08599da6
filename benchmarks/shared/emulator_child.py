"""An emulator for a benchmark: `nxcdr emulator`, but one that tells what it saw when it is asked.

Takes what it should be as JSON, its calls shaped as in `wild_rows` if they are to be, and announces itself on stdout. A
line of JSON on stdin sets switches; an empty one is answered with what it saw since the last. It ends with its stdin,
however its parent dies.
"""

import asyncio
import json
import sys
from typing import Any

from nxcdr_async.testing import Gateway
from nxcdr_async.testing.emulator.switches import Switches
from shared.wild_rows import SHAPES


def tell(said: dict[str, Any]) -> None:
    """Write one line of JSON."""
    print(json.dumps(said), flush=True)


def shape(gateway: Gateway, rows: str) -> None:
    """Shape the calls of the history."""
    timeline, reshape = gateway.history.call_timeline, SHAPES[rows]
    plain = timeline.row
    timeline.row = lambda rank: reshape(rank, plain(rank))


async def serve(gateway: Gateway) -> None:
    """Serve until stdin ends."""
    async with gateway.serving():
        tell(gateway.announcement())
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                for name, value in json.loads(line).items():
                    setattr(gateway.switches, name, value)
                continue
            log = gateway.log
            received = [request.received for request in log.recent]
            tell({"requests": log.requests, "peak_in_flight": log.peak_in_flight, "received": received})
            log.clear()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    made = Gateway(wanted["calls"], days=wanted["days"], switches=Switches(**wanted["switches"]))
    if wanted["rows"] is not None:
        shape(made, wanted["rows"])
    asyncio.run(serve(made))
