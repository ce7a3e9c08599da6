"""The SDK: `async for` over `session.calls`, a fixed number of requests at once, each record looked at and dropped."""

import asyncio

from shared.emulation import Told

from nxcdr_async import CdrSession, Credentials


async def read_calls(told: Told, at_once: int | None) -> list[str]:
    """Read all calls."""
    keys = Credentials(told.access_key, told.access_secret)
    async with CdrSession(gateway=told.gateway, credentials=keys, concurrency=at_once) as cdr:
        return [call.call_id async for call in cdr.calls(*told.range) if call.start_time]


def read(told: Told, at_once: int | None) -> list[str]:
    """Read all calls; return their ids as they came."""
    return asyncio.run(read_calls(told, at_once))
