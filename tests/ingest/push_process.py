"""A program that pushes calls into a store until it is killed, or so many, and prints the id of each once it is stored.

Arguments: the store, a prefix of the ids, how many calls ("0" for ever), and how many at once.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from nxcdr_async import CallRecord, CdrSession, Credentials, PushedCalls

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = Credentials("emulatorKey01", "emulator-secret-of-no-value")


async def push(to: str, prefix: str, calls: int, at_once: int) -> None:
    async with CdrSession(gateway="http://127.0.0.1:9", credentials=KEYS) as session:
        pushed, numbers = PushedCalls(session, to, lock_timeout=60), iter(range(calls or sys.maxsize))

        async def push_on() -> None:
            for number in numbers:
                await pushed.store(
                    CallRecord(call_id=f"{prefix}{number}", start_time=BEGIN + timedelta(seconds=number))
                )
                print(f"{prefix}{number}", flush=True)  # noqa: T201 - the test reads it

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(push_on())


if __name__ == "__main__":
    asyncio.run(push(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
