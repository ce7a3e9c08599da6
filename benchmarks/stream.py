"""How much faster a month of calls streams than with a serial loop, and what it costs the gateway.

Both read the same emulator, which runs in a process of its own, one after the other, in this one run:

    python benchmarks/stream.py [--calls 20000] [--latency 0.05 0.15] [--concurrency 16]

Prints a table, then one line of JSON. Exits with 1 if a row is lost or doubled, or a ratio is missed.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from nxcdr_async import CdrSession, Credentials, sign

LEAST_SPEEDUP = 6.0
MOST_REQUESTS = 1.25

Job = Callable[[dict[str, Any]], Awaitable[tuple[list[str], int]]]


@contextmanager
def emulator(calls: int, latency: tuple[float, float]) -> Iterator[dict[str, Any]]:
    """Run an emulator in a child process and give what it announces."""
    command = [sys.executable, "-m", "nxcdr_async", "emulator", "--port", "0", "--calls", str(calls), "--days", "30"]
    command += ["--latency", str(latency[0]), str(latency[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield json.loads(child.stdout.readline())
        finally:
            child.terminate()


async def serial_loop(told: dict[str, Any]) -> tuple[list[str], int]:
    """Read page after page of the whole range, as the vendor's samples do."""
    keys = Credentials(told["access_key"], told["access_secret"])
    start, end = (int(datetime.fromisoformat(told[name]).timestamp()) for name in ("first_call", "last_call"))
    ids: list[str] = []
    async with aiohttp.ClientSession() as http:
        for page in range(1, 1_000_000):
            asked = {"startTime": start, "endTime": end + 1, "size": 100, "page": page}
            body = json.dumps(asked).encode()
            ts = int(time.time() * 1000)
            headers = {
                "accessKey": keys.access_key,
                "ts": str(ts),
                "bizType": "8",
                "action": "cc",
                "sign": sign(keys, action="cc", biz_type="8", ts=ts, body=body),
                "Content-Type": "application/json",
            }
            async with http.post(f"{told['gateway']}/saas/cc/openapi/cdr/page", data=body, headers=headers) as reply:
                rows = json.loads(await reply.read())["data"]
            ids += [row["callId"] for row in rows]
            if len(rows) < asked["size"]:
                return ids, page
    raise AssertionError("unreachable: the range has an end")


def ours(concurrency: int) -> Job:
    """Make the same job with a session."""

    async def stream(told: dict[str, Any]) -> tuple[list[str], int]:
        keys = Credentials(told["access_key"], told["access_secret"])
        start, end = (datetime.fromisoformat(told[name]) for name in ("first_call", "last_call"))
        async with CdrSession(gateway=told["gateway"], credentials=keys, concurrency=concurrency) as cdr:
            ids = [call.call_id async for call in cdr.calls(start, end + timedelta(seconds=1))]
            return ids, cdr.stats.requests

    return stream


def measured(name: str, job: Job, told: dict[str, Any]) -> dict[str, Any]:
    """Run a job once and give its figures."""
    wall, processor = time.perf_counter(), time.process_time()
    ids, requests = asyncio.run(job(told))
    return {
        "name": name,
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
        "requests": requests,
        "lost": told["calls"] - len(set(ids)),
        "doubled": len(ids) - len(set(ids)),
    }


def main() -> int:
    """Run both jobs, print their figures and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--latency", type=float, nargs=2, default=(0.05, 0.15), metavar=("LOW", "HIGH"))
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    with emulator(options.calls, tuple(options.latency)) as told:
        loop = measured("serial loop", serial_loop, told)
        sdk = measured("nxcdr_async", ours(options.concurrency), told)
    for row in (loop, sdk):
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    speedup = loop["wall_seconds"] / sdk["wall_seconds"]
    requests = sdk["requests"] / (options.calls / 100)
    print(f"{speedup:.1f} times as fast as the serial loop, {requests:.2f} requests for each hundred calls")
    print(
        json.dumps({"speedup": round(speedup, 2), "requests_a_hundred_calls": round(requests, 3), "runs": [loop, sdk]})
    )
    whole = not (sdk["lost"] or sdk["doubled"])
    return 0 if whole and speedup >= LEAST_SPEEDUP and requests <= MOST_REQUESTS else 1


if __name__ == "__main__":
    sys.exit(main())
