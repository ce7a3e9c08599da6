"""`nxcdr emulator`: an emulator of the vendor's gateway, which serves until it is stopped."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta
from enum import Enum
from threading import Thread
from typing import Annotated

import anyio
import msgspec
import typer

from nxcdr_async._util.clocks import present
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import parse_day, parse_duration
from nxcdr_async.cli.run import CommandError
from nxcdr_async.cli.stdout import write_lines
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.testing.emulator.switches import Switches
from nxcdr_async.testing.gateway import Gateway

DETAILS = """
It serves on this machine only, for trying things out without an account. Its first line on stdout is JSON
with its address and its keys, which are made up. It runs until SIGINT or SIGTERM.
"""


class RowOrder(Enum):
    """Orders a page of the emulator can come in."""

    DESCENDING = "descending"
    ASCENDING = "ascending"
    SHUFFLED = "shuffled"


class MessageLanguage(Enum):
    """Languages an account's messages can be in."""

    CHINESE = "zh"
    ENGLISH = "en"


def emulator(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    calls: Annotated[int, typer.Option(min=0, help="Calls of the call center in all.")] = 1_000,
    days: Annotated[int, typer.Option(min=1, help="Days they are spread over.")] = 1,
    first_day: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="The first of them; also today or yesterday. 2026-01-01 if not live."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Calls go on arriving after these days, by the clock.")] = False,
    calls_per_minute: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="If live, so many arrive, day and night, from an hour ago on."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Tells histories apart; the same seed gives the same one.")] = 1,
    agents: Annotated[int | None, typer.Option(min=1, help="Agents; by the number of calls if not given.")] = None,
    did_calls: Annotated[int | None, typer.Option(min=0, help="DID calls in all; a fifth if not given.")] = None,
    flash_calls: Annotated[int | None, typer.Option(min=0, help="Flash calls in all; a tenth if not given.")] = None,
    latency: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Seconds a reply takes, between the two.")
    ] = (0.0, 0.0),
    max_in_flight: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Refuse more requests at once than this (429).")
    ] = None,
    max_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="Refuse more requests a second than this (429)."),
    ] = None,
    retry_after: Annotated[
        int | None, typer.Option(min=0, metavar="SECONDS", help="Name this wait in those refusals.")
    ] = None,
    fault_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests that meet a fault: 429, 503 or code 99.")
    ] = 0.0,
    order: Annotated[RowOrder, typer.Option(help="Order of rows; shuffled is none, the same on every page.")] = (
        RowOrder.DESCENDING
    ),
    publish_delay: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Calls show up this long after their end; if live, 5 s."),
    ] = None,
    price_delay: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Their prices come this long after their end.")
    ] = None,
    record_url_delay: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Recordings' addresses come so long after it.")
    ] = None,
    depth_cap: Annotated[
        int | None, typer.Option("--depth-cap", min=1, metavar="N", help="Show this many rows of an answer, no more.")
    ] = None,
    max_span: Annotated[
        str | None, typer.Option("--max-span", metavar="DURATION", help="Refuse ranges wider than this: 31d, 24h.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option("--retention", metavar="DURATION", help="Refuse what is older than this: 90d.")
    ] = None,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="Serve the recordings that calls name, as WAV files.")
    ] = False,
    language: Annotated[MessageLanguage, typer.Option(help="Of the messages beside result codes.")] = (
        MessageLanguage.CHINESE
    ),
    while_stdin_open: Annotated[
        bool, typer.Option("--while-stdin-open", help="End too when stdin is closed, so as not to outlive a parent.")
    ] = False,
) -> ExitCode:
    day = None if first_day is None else _first_day(first_day)
    if calls_per_minute is not None and not live:
        raise ConfigurationError("--calls-per-minute is for a live tenant: give --live too")
    switches = Switches(
        latency=latency,
        max_in_flight=max_in_flight,
        max_per_second=max_per_second,
        retry_after=retry_after,
        fault_rate=fault_rate,
        order=order.value,
        publish_delay=publish_delay,
        price_delay=price_delay,
        record_url_delay=record_url_delay,
        language=language.value,
        depth_cap=depth_cap,
        max_span=_seconds("--max-span", max_span),
        retention=_seconds("--retention", retention),
    )
    gateway = Gateway(
        calls,
        days=days,
        first_day=day,
        seed=seed,
        agents=agents,
        did_calls=did_calls,
        flash_calls=flash_calls,
        live=live,
        calls_per_minute=calls_per_minute,
        recordings=recordings,
        switches=switches,
        port=port,
    )
    with suppress(KeyboardInterrupt):  # SIGTERM too ends it so
        anyio.run(_serve, gateway, port, _stdin_ended if while_stdin_open else anyio.sleep_forever)
    return ExitCode.DONE


async def _serve(gateway: Gateway, port: int, stopped: Callable[[], Awaitable[object]]) -> None:
    """Announce the emulator as one line of JSON on stdout, then serve.

    Raises:
        CommandError: the port is taken, or not ours to take.
        ReaderGoneError: nobody reads the announcement.
    """
    try:
        async with gateway.serving():
            await write_lines(msgspec.json.encode(gateway.announcement()) + b"\n")
            await stopped()
    except OSError as error:
        raise CommandError(f"cannot listen on port {port}: {error.strerror or error}") from None


async def _stdin_ended() -> None:
    """Wait until stdin is closed: however the process that holds its other end dies, this one does not outlive it."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def watch() -> None:
        while os.read(0, 1024):
            pass
        with suppress(RuntimeError):  # the loop was closed first
            loop.call_soon_threadsafe(ended.set)

    # A thread, as not every platform's event loop can wait for stdin; a daemon, as nothing can wake it.
    Thread(target=watch, name="nxcdr stdin", daemon=True).start()
    await ended.wait()


def _first_day(text: str) -> date:
    today = present().date()
    words = {"today": today, "yesterday": today - timedelta(days=1)}
    return words[text] if text in words else parse_day("--first-day", text)


def _seconds(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    seconds = parse_duration(option, text).total_seconds()
    if not seconds:
        raise ConfigurationError(f"{option} {text!r} is no time at all: write 24h or 31d")
    return seconds
