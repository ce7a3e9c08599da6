"""Sessions where people try things out: the cells of a real notebook, scripts, and loops of other makes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from nxcdr_async import CdrSession
from nxcdr_async.testing import Gateway
from tests.sessions import all_calls

PREPARED = """
import asyncio
from datetime import UTC, datetime, timedelta
from nxcdr_async import CdrSession

start = datetime(2026, 1, 1, tzinfo=UTC)
end = start + timedelta(days=3)

def under_way():
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("nxcdr_async")]
"""
SLOW = (0.5, 0.5)
"""Seconds for an answer. A kernel that waits heeds the stop button with the next thing that happens: an answer, say."""

OPENED = "cdr = CdrSession.from_env()"


class Notebook:
    """A notebook whose cells are run one by one, as a person would."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    async def run(self, code: str) -> str:
        """Run a cell, and return what it showed; an error is raised."""
        return "".join(shown(output) for output in (await self._run(code)).outputs)

    async def interrupt(self, code: str, when: Callable[[], bool]) -> str:
        """Begin a cell, press the stop button once something is so, and return the name of the error it ends with."""
        cell = asyncio.create_task(self._run(code, may_fail=True))
        while not when():  # noqa: ASYNC110 - the emulator lives in another thread and tells nobody
            await asyncio.sleep(0.01)
        await self._client.km.interrupt_kernel()
        return next(output.ename for output in (await cell).outputs if output.output_type == "error")

    async def _run(self, code: str, *, may_fail: bool = False) -> Any:
        cell = nbformat.v4.new_code_cell(code, metadata={"tags": ["raises-exception"] if may_fail else []})
        self._client.nb.cells.append(cell)
        return await self._client.async_execute_cell(cell, len(self._client.nb.cells) - 1)


def shown(output: Any) -> str:
    return str(output.data["text/plain"] if output.output_type == "execute_result" else output.text)


def environment_of(gateway: Gateway) -> dict[str, str]:
    return {**os.environ, **gateway.environment(), "PYTHONWARNINGS": "error"}


@pytest.fixture
async def notebook(gateway: Gateway) -> AsyncIterator[Notebook]:
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=600, kernel_name="python3")
    async with client.async_setup_kernel(env={**environment_of(gateway), "PYTHONWARNINGS": "default"}):
        running = Notebook(client)
        await running.run(PREPARED)
        yield running


@pytest.mark.slow
async def test_a_cell_reads_a_data_frame_in_the_running_loop(notebook: Notebook, gateway: Gateway) -> None:
    cell = """
async with CdrSession.from_env() as cdr:
    calls = await cdr.calls(start, end).to_pandas()
len(calls), str(calls.start_time.dtype), under_way()
"""
    assert await notebook.run(cell) == f"({len(gateway.call_ids())}, 'datetime64[us, UTC]', [])"


@pytest.mark.slow
async def test_a_session_and_a_paginator_live_over_several_cells(notebook: Notebook, gateway: Gateway) -> None:
    await notebook.run(OPENED)
    assert await notebook.run("calls = cdr.calls(start, end)\ncalls") == (
        "<Paginator of calls 2026-01-01T00:00:00+00:00 to 2026-01-04T00:00:00+00:00: not started, 0 records read>"
    )
    first = await notebook.run("first = await anext(calls)\nfirst.call_id")
    assert first == repr(gateway.call_ids()[0])
    assert await notebook.run("len(await calls.to_polars())") == str(len(gateway.call_ids()) - 1)
    assert await notebook.run("len(await cdr.calls(start, end).collect())") == str(len(gateway.call_ids()))
    assert await notebook.run("await cdr.aclose()\nunder_way()") == "[]"


async def test_a_loop_that_is_left_early_leaves_nothing_behind_it(notebook: Notebook, gateway: Gateway) -> None:
    gateway.switches.latency = (0.02, 0.02)
    await notebook.run(OPENED)
    await notebook.run("async for call in cdr.calls(start, end):\n    break")
    gone = "for _ in range(1000):\n    if not under_way(): break\n    await asyncio.sleep(0.005)\nunder_way()"
    assert await notebook.run(gone) == "[]"
    assert await notebook.run("len(await cdr.calls(start, end).to_arrow())") == str(len(gateway.call_ids()))
    assert await notebook.run("await cdr.aclose()\ncdr.stats.in_flight") == "0"


@pytest.mark.first_of
@pytest.mark.parametrize("how", ["to_pandas", "collect"])
async def test_a_cell_that_is_stopped_leaves_a_session_to_go_on_with(
    how: str, notebook: Notebook, gateway: Gateway
) -> None:
    await notebook.run(OPENED)
    gateway.switches.latency = SLOW
    stopped = await notebook.interrupt(f"await cdr.calls(start, end).{how}()", lambda: gateway.log.in_flight > 0)
    assert stopped in {"CancelledError", "KeyboardInterrupt"}
    gateway.switches.latency = (0, 0)
    assert await notebook.run("cdr.stats.in_flight, under_way()") == "(0, [])"
    assert await notebook.run(f"len(await cdr.calls(start, end).{how}())") == str(len(gateway.call_ids()))
    await notebook.run("await cdr.aclose()")


@pytest.mark.slow
async def test_a_stopped_loop_can_be_gone_on_with_in_the_next_cell(notebook: Notebook, gateway: Gateway) -> None:
    await notebook.run(f"{OPENED}\ncalls = cdr.calls(start, end)\nids = []")
    gateway.switches.latency = SLOW
    loop = "async for call in calls:\n    ids.append(call.call_id)"
    await notebook.interrupt(loop, lambda: gateway.log.in_flight > 0)
    gateway.switches.latency = (0, 0)
    assert ": being read, " in await notebook.run("calls")
    await notebook.run(loop)
    assert await notebook.run("len(ids), len(set(ids))") == str((len(gateway.call_ids()),) * 2)
    assert await notebook.run("await cdr.aclose()\ncdr.stats.in_flight, under_way()") == "(0, [])"


async def count(gateway: Gateway) -> int:
    async with CdrSession(gateway=gateway.url, credentials=gateway.credentials) as session:
        return (await all_calls(session, gateway).to_arrow()).num_rows


def test_a_script_may_run_one_loop_after_the_other(gateway: Gateway) -> None:
    counts = [asyncio.run(count(gateway)) for _ in range(2)]
    assert counts == [len(gateway.call_ids())] * 2


def test_a_session_lives_over_several_runs_of_one_runner(gateway: Gateway) -> None:
    session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)
    calls = all_calls(session, gateway)
    with asyncio.Runner() as runner:
        first = runner.run(anext(calls))
        table = runner.run(calls.to_arrow())
        runner.run(session.aclose())
    assert [first.call_id, *table["call_id"].to_pylist()] == gateway.call_ids()


def test_uvloop_does_as_well(gateway: Gateway) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(count(gateway)) == len(gateway.call_ids())


SCRIPT = f"""
{PREPARED}
async def main():
    async with CdrSession.from_env() as cdr:
        await cdr.calls(start, end).to_pandas()

asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_script_ends_at_once_with_ctrl_c_and_complains_of_nothing_else(gateway: Gateway) -> None:
    gateway.switches.latency = (60, 60)
    script = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", SCRIPT], env=environment_of(gateway), stderr=subprocess.PIPE, text=True
    )
    with script:
        while not gateway.log.in_flight and script.poll() is None:
            time.sleep(0.01)
        script.send_signal(signal.SIGINT)
        _, told = script.communicate(timeout=20)
    assert script.returncode == -signal.SIGINT
    assert told.rstrip().endswith("KeyboardInterrupt")
    assert "Warning" not in told
    assert "never" not in told
