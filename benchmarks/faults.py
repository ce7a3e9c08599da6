"""What becomes of rows and secrets when things go wrong: a line for each fault, and each figure but the first two zero.

    python benchmarks/faults.py [--calls 6000] [--only 429 clock] [--sdk-only]

An emulator makes one fault after the other: each kind it knows in 30 % of its replies, all kinds mixed, each strange
way it can behave, throttling, and clocks that are wrong; then come gateways with a wrong TLS certificate. Under each, a
session reads some days of calls, with a call right at either border, all DID calls and all flash calls; where filters
are ignored, those of one direction.

- tried: replies that met the fault, as the emulator counts them.
- lost: rows that were there before the reading started and did not come. Where no answer can be complete, the right
  error has to say so, and the rows before the time it names have to be there.
- doubled: rows that came twice, or that were not asked for and came without an error that says so.
- leaked: secrets in any log record at debug, of aiohttp and asyncio too, or in an error, its notes, its causes, and the
  locals of its traceback; and tasks, requests and connections that are still there once the session is closed.
- a loop by hand: what becomes of the calls alone in the vendor's own way, page after page with `requests`
  (`contenders/serial_requests.py`). It "stops" if it raises an error: then nothing is lost in silence, but the rest has
  to be asked for again by hand. Only what it loses or doubles without a word is counted.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import aiohttp
import trustme
from attrs import define, evolve
from fault_table.account import Account
from fault_table.cases import Case, cases
from fault_table.false_gateways import certificates, false_gateway
from shared.by_hand import PAGE_SIZE
from shared.emulation import Told
from shared.leaks import Held, LeakWatch
from shared.limits import Limit
from shared.report import finish, markdown, parser_of, table

from nxcdr_async import CdrSession, CertificateError, Direction, NxcdrError, Paginator
from nxcdr_async.testing import Gateway, Switches

DAYS = 4
ATTEMPT = 1.0
"""Seconds an attempt may take: a reply that never comes costs as much."""

REPLIES_BEFORE_A_JUMP = 10
FOR_EVER = 5
"""A loop that asked for so many times the pages there are will not end."""

LIMITS = (
    Limit("lost", 0, "every row that was there, or the error that says which may be missing"),
    Limit("doubled", 0, "every row once"),
    Limit("leaked", 0, "a secret in a log is lost too, and what stays behind fills a server"),
    Limit("not tried", 0, "a fault that never came proves nothing"),
)

MARGIN = timedelta(hours=6)
"""How much of the history lies before and after the range of calls, so that a range that is ignored is noticed."""

EDGE = timedelta(seconds=1)
"""By how much a call may be outside the range, as nobody documents which ends of a range count."""

Ids = Callable[[datetime | None, datetime | None], Sequence[object]]


@define(frozen=True)
class Line:
    """A line of the table; see the head of this file."""

    fault: str
    tried: int
    account: Account
    leaked: int
    ends: str
    by_hand: str = "not tried"


@define(frozen=True)
class Source:
    """What can be read of an emulator: a range, and the ids in it.

    Attributes:
        ids: gives the ids between two times.
        start: the first moment of the range.
        end: the moment it ends before.
    """

    ids: Ids
    start: datetime
    end: datetime

    def due(self, until: datetime | None = None) -> Sequence[object]:
        """Return the ids that have to come, or only those before a time."""
        return self.ids(self.start, self.end if until is None else min(until, self.end))

    def known(self) -> Sequence[object]:
        """Return the ids that may come."""
        return self.ids(self.start - EDGE, self.end + EDGE)


def hostile_gateway(case: Case, calls: int) -> Gateway:
    """Return an emulator for a case, the same for whoever reads it, with a call at either border of the range."""
    gateway = Gateway(calls, days=DAYS, switches=Switches(**case.switches))
    gateway.clock.move(case.clock)
    source = calls_of(gateway)
    for border in (source.start, source.end - timedelta(milliseconds=1)):
        gateway.add_call(startTime=int(border.timestamp() * 1000))
    return gateway


def calls_of(gateway: Gateway, direction: Direction | None = None) -> Source:
    """Return the range of calls that is read. A gateway that filters by the end of calls has others in it."""
    first = datetime.combine(gateway.history.first_day, time(), UTC)
    start, end = first + MARGIN, first + timedelta(days=DAYS) - MARGIN
    ids = gateway.call_ids if gateway.switches.filter_by == "start" else ids_by_end(gateway)
    if direction is not None:
        ids = among(ids, {row["callId"] for row in gateway.history.calls() if row["direction"] == direction})
    return Source(ids, start, end)


def did_calls_of(gateway: Gateway, direction: Direction | None = None) -> Source:
    """Return the days of DID calls that are read. They are local days, which begin before those in UTC."""
    calls, ids = calls_of(gateway), gateway.did_ids
    if direction is not None:
        ids = among(ids, {row["id"] for row in gateway.history.did_calls() if row["callType"] == direction})
    return Source(ids, calls.start - timedelta(days=1), calls.end + timedelta(days=1))


def among(ids: Ids, wanted: Collection[object]) -> Ids:
    """Return what gives only those ids that are wanted."""
    return lambda start, end: [one for one in ids(start, end) if one in wanted]


def ids_by_end(gateway: Gateway) -> Ids:
    """Return what gives the ids of the calls that end between two times."""

    def ids(start: datetime | None, end: datetime | None) -> list[object]:
        first, last = (0 if moment is None else int(moment.timestamp() * 1000) for moment in (start, end))
        return [row["callId"] for row in gateway.history.calls() if first <= row["endTime"] < last]

    return ids


async def read(
    stream: Paginator[Any], source: Source, ends_in: type[NxcdrError] | None, watch: LeakWatch
) -> tuple[Account, str]:
    """Read a stream to its end, and count what came of it; with the name of the error it ended in."""
    due, came, error = source.due(), list[object](), None
    try:
        async with stream:
            async for record in stream:
                came.append(getattr(record, "call_id", None) or record.id)
    except NxcdrError as met:
        watch.look_at_error(met)
        error = met
    if error is None:
        return Account.of(came, due=due, known=source.known()), ""
    known = source.known()
    if ends_in is not None and isinstance(error, ends_in):
        # It says that the gateway does not answer what was asked: what came before it may be beside the range.
        due = () if error.complete_until is None else source.due(error.complete_until)
        known = source.ids(None, None)
    return Account.of(came, due=due, known=known), type(error).__name__


async def read_all(gateway: Gateway, cdr: CdrSession, case: Case, watch: LeakWatch) -> tuple[Account, str]:
    """Read the calls, the DID calls and the flash calls."""
    only, history = case.direction, gateway.history
    calls, did_calls = calls_of(gateway, only), did_calls_of(gateway, only)
    flash = evolve(did_calls, ids=gateway.flash_ids)
    whole, ends = Account(), list[str]()
    for stream, source in (
        (cdr.calls(calls.start, calls.end, direction=only), calls),
        (cdr.did_calls(history.first_day, history.last_day, direction=only), did_calls),
        (cdr.flash_calls(flash.start, flash.end), flash),
    ):
        account, ended = await read(stream, source, case.ends_in, watch)
        whole += account
        ends.append(ended)
    return whole, next(filter(None, ends), "complete")


@asynccontextmanager
async def jumping(gateway: Gateway, seconds: float) -> AsyncIterator[None]:
    """Have the clock jump once some replies were given."""

    async def jump() -> None:
        while gateway.log.requests < REPLIES_BEFORE_A_JUMP:  # noqa: ASYNC110 - the emulator runs in another thread
            await asyncio.sleep(0.001)
        gateway.clock.move(seconds)

    task = asyncio.create_task(jump())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def try_case(case: Case, calls: int) -> Line:
    """Try one fault with the SDK."""
    with hostile_gateway(case, calls) as gateway:
        watch = LeakWatch([gateway.credentials.access_secret, gateway.flash_app.secretkey])
        with watch.on_duty():
            held = Held.now()
            cdr = CdrSession(
                gateway=gateway.url, credentials=gateway.credentials, flash_app=gateway.flash_app, timeout=ATTEMPT
            )
            async with cdr, jumping(gateway, case.jump):
                account, ends = await read_all(gateway, cdr, case, watch)
            left = await held.left_behind() + cdr.stats.in_flight
        tried = case.met(gateway.log) - (REPLIES_BEFORE_A_JUMP if case.jump else 0)
    for where in watch.found:
        print(f"LEAKED: {case.fault}: a secret in {where}", file=sys.stderr)
    return Line(case.fault, tried, account, len(watch.found) + left, ends)


async def by_hand(case: Case, calls: int) -> str:
    """Say what becomes of the calls in a loop by hand."""
    from contenders import serial_requests  # noqa: PLC0415 - nothing else here needs requests

    with hostile_gateway(case, calls) as gateway:
        source, keys = calls_of(gateway, case.direction), gateway.credentials
        due = source.due()
        ends = (int(moment.timestamp()) for moment in (source.start, source.end))
        told = Told(gateway.url, keys.access_key, keys.access_secret, calls, DAYS, *ends, gateway.tenant_id)
        # A request counts directions one higher than a reply.
        filters = {} if case.direction is None else {"direction": case.direction + 1}
        loop = asyncio.create_task(asyncio.to_thread(serial_requests.read, told, 1, timeout=ATTEMPT, filters=filters))
        async with jumping(gateway, case.jump):
            most = FOR_EVER * calls / PAGE_SIZE
            while not loop.done() and gateway.log.requests < most:  # noqa: ASYNC110 - the emulator, as above
                await asyncio.sleep(0.01)
        ends_by_itself = loop.done()
        if not ends_by_itself:
            gateway.stop()
            await asyncio.wait([loop])
        if loop.exception() is not None:
            return "stops" if ends_by_itself else "never ends"
        return in_words(Account.of(loop.result(), due=due, known=source.known()))


def in_words(account: Account) -> str:
    """Say what was lost or doubled without a word."""
    counts = {"lost": account.lost, "doubled": account.doubled, "not asked for": account.stray}
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "complete"


async def try_certificate(fault: str, authority: trustme.CA, shown: trustme.LeafCert) -> Line:
    """Try one way a certificate can be wrong: a session has to refuse before it sends a single byte."""
    start, keys = datetime(2026, 1, 1, tzinfo=UTC), Gateway().credentials
    watch = LeakWatch([keys.access_secret])
    async with false_gateway(authority, shown) as gateway:
        with watch.on_duty():
            held = Held.now()
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=gateway.trusting)) as http,
                CdrSession(gateway=gateway.url, credentials=keys, http=http) as cdr,
            ):
                day = Source(lambda _start, _end: (), start, start + timedelta(days=1))
                account, ends = await read(cdr.calls(day.start, day.end), day, CertificateError, watch)
            left = await held.left_behind()
    # The rows of a gateway that was never asked cannot be counted; what must not happen is that the stream just ends.
    silent = Account() if ends == CertificateError.__name__ else Account(lost=1)
    return Line(fault, gateway.tried, account + silent, len(watch.found) + left + gateway.received, ends)


def rows_of(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the table."""
    return [
        {
            "fault": line.fault,
            "tried": line.tried,
            "rows": line.account.rows,
            "lost": line.account.lost,
            "doubled": line.account.doubled + line.account.stray,
            "leaked": line.leaked,
            "ends": line.ends,
            "a loop by hand": line.by_hand,
        }
        for line in lines
    ]


def figures_of(lines: Sequence[Line]) -> dict[str, float]:
    """Return the figures that have to be zero."""
    return {
        "lost": sum(line.account.lost for line in lines),
        "doubled": sum(line.account.doubled + line.account.stray for line in lines),
        "leaked": sum(line.leaked for line in lines),
        "not tried": sum(line.tried <= 0 for line in lines),
    }


async def measure(options: argparse.Namespace) -> list[Line]:
    """Try one fault after the other, those whose names hold one of the words if there are any."""

    def is_wanted(fault: str) -> bool:
        return not options.only or any(word in fault for word in options.only)

    lines = []
    for case in filter(lambda case: is_wanted(case.fault), cases()):
        line = await try_case(case, options.calls)
        lines.append(line if options.sdk_only else evolve(line, by_hand=await by_hand(case, options.calls)))
    wrong = certificates()
    return lines + [await try_certificate(fault, *pair) for fault, pair in wrong.items() if is_wanted(fault)]


def main() -> int:
    """Measure, print and check."""
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=6_000)
    parser.add_argument("--only", nargs="+", default=(), metavar="WORD", help="only faults whose names hold a word")
    parser.add_argument("--sdk-only", action="store_true", help="leave out the loop by hand")
    options = parser.parse_args()
    # Else what asyncio's debug mode says between two watches would be printed among the results.
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    lines = asyncio.run(measure(options))
    if not lines:
        parser.error("no fault has such a name")
    rows = rows_of(lines)
    print(table(rows))
    print(f"\n{markdown(rows)}")
    return finish("faults", rows, figures_of(lines), LIMITS, options.json)


if __name__ == "__main__":
    sys.exit(main())
