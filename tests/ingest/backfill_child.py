"""Backfills in processes of their own, which may be killed: everything is imported once, and forked for each run.

A line of JSON on stdin for each run, one on stdout when its process is gone. It ends with its stdin.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import traceback
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from select import select
from typing import Any

from nxcdr_async import CdrSession, Credentials, backfill, sync
from nxcdr_async.ingest import job as runs, pipeline as engine
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.sources import calls
from nxcdr_async.transport import connection
from tests.ingest.told_sink import ToldSink

ROWS_A_WINDOW = 60
"""So few that a few thousand calls make many windows."""

_READY_MADE = (connection, runs, *map(import_module, filter(find_spec, ("duckdb", "psycopg", "pyarrow.parquet"))))


async def run(order: dict[str, Any], teller: int) -> None:
    """Do one backfill or sync."""
    sink = ToldSink(sink_for(order["to"]), lambda step: os.write(teller, step.encode()))
    settle = timedelta(seconds=order["settle"])
    credentials = Credentials(order["access_key"], order["access_secret"])
    async with CdrSession(gateway=order["gateway"], credentials=credentials) as session:
        if order["do"] == "sync":
            await sync(session, "calls", sink, settle=settle)
            return
        start, end = map(datetime.fromisoformat, order["range"])
        await backfill(session, "calls", start, end, sink, settle=settle)


def run_and_end(order: dict[str, Any], teller: int) -> None:
    """Be the process of one run."""
    status = 1
    try:
        asyncio.run(run(order, teller))
        status = 0
    except Exception:  # noqa: BLE001 - the test shows what a run ended with
        traceback.print_exc()
    finally:
        os._exit(status)


def watch(process: int, told: int, kill: dict[str, Any] | None) -> str:
    """Read what a process tells until it is gone, and kill it when it is time to; return its steps."""
    steps, kill_at = "", None
    while True:
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        if not select([told], [], [], left)[0]:
            os.kill(process, signal.SIGKILL)
            kill = kill_at = None
            continue
        said = os.read(told, 65536).decode()
        if not said:
            return steps
        steps += said
        if kill is not None and kill_at is None and steps.count(kill["step"]) >= kill["count"]:
            kill_at = time.monotonic() + kill["delay"]


def do(order: dict[str, Any]) -> dict[str, Any]:
    """Have a process do one run, and tell what became of it."""
    told, teller = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(told)
        run_and_end(order, teller)
    os.close(teller)
    steps = watch(process, told, order["kill"])
    os.close(told)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return {"steps": steps, "status": status}


def main() -> None:
    engine.ROWS_A_WINDOW = engine.RECORDS_AT_ONCE = ROWS_A_WINDOW
    calls.MOST_ROWS = calls.MOST_AT_ONCE = ROWS_A_WINDOW
    for line in sys.stdin:
        # Of several threads one could hold a lock that is never let go of in what is forked. Arrow minds its own.
        assert threading.active_count() == 1
        sys.stdout.write(json.dumps(do(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
