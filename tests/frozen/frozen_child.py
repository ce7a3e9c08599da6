"""A user's test of her own, as a program: time is frozen by a tool, and all that she may use of the package is used.

Run as `frozen_child.py TOOL IMPORTED STARTED FOLDER`: the tool; whether the package is imported before time is frozen,
or while it is; whether the emulator is started before, or while. It writes what it found as JSON.
"""

# ruff: noqa: PLC0415 - when something is imported is what it is about

import asyncio
import datetime as dt  # as those do whose times a tool replaces
import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

FROZEN_AT = "2026-03-01 12:00:00"


def freezing(tool: str) -> AbstractContextManager[Any]:
    match tool:
        case "freezegun":
            options: dict[str, Any] = {}
        case "freezegun, tick":
            options = {"tick": True}
        case "freezegun, auto_tick_seconds":
            options = {"auto_tick_seconds": 1}
        case "freezegun, real_asyncio":
            options = {"real_asyncio": True}
        case _:
            import time_machine

            return time_machine.travel(f"{FROZEN_AT}+00:00", tick=tool.endswith("tick"))
    import freezegun

    return freezegun.freeze_time(FROZEN_AT, **options)


def kinds_of(*values: Any) -> list[str]:
    return [f"{type(value).__module__}.{type(value).__qualname__}" for value in values]


async def read(gateway: Any, folder: Path) -> dict[str, Any]:
    from pydantic import TypeAdapter

    import nxcdr_async
    from nxcdr_async import CdrSession, PushedCalls
    from nxcdr_async.pydantic import CallModel
    from nxcdr_async.webhook import call_push_app

    start, end = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    day, now = dt.date(2026, 1, 1), dt.datetime.now(dt.UTC)
    found: dict[str, Any] = {}
    async with CdrSession(
        gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app, rate=200
    ) as cdr:
        calls = cdr.calls(start, now)
        records = await calls.collect()
        did = await cdr.did_calls(day).collect()
        flash = await cdr.flash_calls(start, end).collect()
        assert await cdr.did_calls(now.date()).collect() == []
        found["kinds"] = kinds_of(
            *(records[0].start_time, records[0].end_time, did[0].start_time, flash[0].gmt_create),
            *(calls.complete_until, gateway.first_call, gateway.last_call),
        )
        own = nxcdr_async.CallRecord(call_id="own", start_time=start)
        written = [json.loads(line) for line in nxcdr_async.json_lines([own, *records]).splitlines()]
        found["lines"] = len(written)
        found["own"] = written[0]["start_time"]
        model = TypeAdapter(list[CallModel])
        found["is_made_again"] = model.validate_json(model.dump_json(records)) == records
        found["counts"] = [len(records), len(did), len(flash)]
        arrow = await cdr.calls(start, end).to_arrow()
        pandas, polars = await cdr.calls(start, end).to_pandas(), await cdr.calls(start, end).to_polars()
        found["frames"] = [arrow.num_rows, len(pandas), polars.height]
        for kind in ("503", "reset", "429"):
            gateway.fail_next(kind)
            await cdr.calls_by_order("none", tenant_id=gateway.tenant_id)
        found["is_tried_again"] = cdr.stats.retries >= 3
        found["stores"] = {}
        for name in ("calls.duckdb", "calls.sqlite", "calls.parquet", "calls.jsonl", "calls.csv"):
            store = folder / name
            report = await nxcdr_async.backfill(cdr, "calls", start, end, store)
            await nxcdr_async.backfill(cdr, "did", day, day, store)
            await nxcdr_async.sync(cdr, "did", store)
            verified = await nxcdr_async.verify(cdr, store)
            pruned = await nxcdr_async.prune(store, end)
            found["kinds"] += kinds_of(report.complete_until, verified.started, verified.finished, pruned.before)
            found["stores"][name] = [report.rows_new, len(verified.sources), pruned.rows]
        taken: list[Any] = []
        pushed = PushedCalls(cdr, folder / "pushed.sqlite")

        async def on_call(call: Any) -> None:
            taken.append(call)
            await pushed.store(call)

        await push_to(call_push_app(on_call, credentials=gateway.credentials), gateway)
        found["kinds"] += kinds_of(*(call.start_time for call in taken))
        found["pushed"] = len(taken)
    return found


async def push_to(app: Any, gateway: Any) -> None:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells so in no other way
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    reply = await gateway.push_call(f"http://127.0.0.1:{port}/", gateway.add_call())
    assert reply.status == 200, reply
    serving.cancel()
    await asyncio.wait([serving])


def main(tool: str, imported: str, started: str, folder: Path) -> None:
    if imported == "before":
        import nxcdr_async.ingest.api
        import nxcdr_async.testing  # noqa: F401
    if started == "before":
        from nxcdr_async.testing import Gateway

        with Gateway(calls=300) as gateway, freezing(tool):
            found = asyncio.run(read(gateway, folder))
    else:
        with freezing(tool):
            from nxcdr_async.testing import Gateway

            with Gateway(calls=300) as gateway:
                found = asyncio.run(read(gateway, folder))
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:4], Path(sys.argv[4]))
