"""A store that is in use, by another run or by this very process, is told as that, and nobody is harmed."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import anyio
import pytest
from attrs import define

from nxcdr_async import BusyError
from nxcdr_async._util.tasks import in_thread
from nxcdr_async.sinks.factory import sink_for
from nxcdr_async.testing import Gateway
from tests.sinks.all_sinks import KINDS, Places, opened

BUSY = 75

TIMEOUT = 120.0
"""Seconds in which commands end that wait for a store, on however busy a machine."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """Give a gateway that nobody is going to ask for calls."""
    with Gateway(calls=1) as one:
        yield one


def command(gateway: Gateway, words: list[str], to: str) -> "subprocess.Popen[str]":
    keys, address = gateway.credentials, urlsplit(to)
    environment = {"NXCDR_ACCESS_KEY": keys.access_key, "NXCDR_ACCESS_SECRET": keys.access_secret}
    if address.password is not None:
        environment["PGPASSWORD"] = unquote(address.password)
        to = to.replace(f":{address.password}@", "@")
    return subprocess.Popen(
        [sys.executable, "-m", "nxcdr_async", *words, "--gateway", gateway.url, "--to", to],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.first_of
@pytest.mark.parametrize("kind", KINDS)
def test_commands_end_with_a_code_of_their_own(places: Places, kind: str, gateway: Gateway, tmp_path: Path) -> None:
    to, asked = places.fresh(kind), gateway.log.requests
    reports = [tmp_path / f"{number}.json" for number in range(3)]
    days = ["--start", "2026-01-01", "--end", "2026-01-02"]
    commands = [["backfill", "calls", *days], ["sync", "calls"], ["verify"]]
    with opened(to):
        for report in reports:
            report.write_text("of the other run")
        runs = [
            command(gateway, [*words, "--report", str(report)], to)
            for words, report in zip(commands, reports, strict=True)
        ]
        told = [run.communicate(timeout=TIMEOUT)[1] for run in runs]
    assert [run.returncode for run in runs] == [BUSY] * 3, told
    assert all("another run" in error for error in told)
    assert [report.read_text() for report in reports] == ["of the other run"] * 3
    assert gateway.log.requests == asked


@define
class FairQueue:
    """Counts who has hold of a store at the same time.

    Attributes:
        to: the store.
        most: of them at once.
        had: how often somebody had.
    """

    to: str
    most: int = 0
    had: int = 0
    _inside: int = 0

    def hold(self) -> None:
        """Take hold of the store once it is free, and let go of it."""
        sink = sink_for(self.to)
        while True:
            try:
                sink.open()
            except BusyError:
                sink.close()
            else:
                break
        self._inside += 1
        self.most = max(self.most, self._inside)
        self.had += 1
        time.sleep(0.01)  # lets another thread in, if anything does
        self._inside -= 1
        sink.close()


@pytest.mark.parametrize("kind", KINDS)
def test_threads_tasks_and_event_loops_exclude_each_other(places: Places, kind: str) -> None:
    turns = FairQueue(places.fresh(kind))

    async def in_tasks() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(in_thread, turns.hold)

    threads = [Thread(target=turns.hold) for _ in range(2)] + [
        Thread(target=asyncio.run, args=(in_tasks(),)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (turns.most, turns.had) == (1, 6)
