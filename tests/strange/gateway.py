"""A model of a strange gateway, and sessions that ask it: everything of the SDK is real but the line.

What cannot be told from an honest gateway even in principle is left out: rows that are always held back, a page cut
short or a place in the order changed while a window is read, a cap on pages that falls later on, rows taken back while
they are read, two empty answers to one question, and a flash list that ends in the middle of a second before it is
full. A gateway that caps its pages lower than documented is not also one that ignores their numbers or doubles rows,
as its first page might be all that there is. And no rows arrive in the very moments in which page numbers are ignored.
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import msgspec
from attrs import define, evolve, field

from nxcdr_async import CdrSession, Credentials, Direction, FlashApp, NxcdrError, ServerError
from nxcdr_async._util.redaction import NO_SECRETS, Redactor
from nxcdr_async.errors import IncompleteError, MalformedReplyError, RecordError, SaturatedSecondError
from nxcdr_async.limits.limiter import Limiter
from nxcdr_async.protocol.endpoints import CALLS, DID, FLASH, Endpoint
from nxcdr_async.protocol.responses import Page, Response, parse_page, plain_page
from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.sources import calls, did, flash
from nxcdr_async.telemetry.watch import SILENCE, Telemetry

PAGE = 5
ROWS_A_WINDOW = 20
HOUR = 3600
BEGIN = 1_767_240_000
"""Noon of the first of January 2026 in the vendor's zone; all rows start within the hour after it."""

DAY = date(2026, 1, 1)
MOST_QUESTIONS = 6_000
"""More than any query of some hundred rows takes, even second by second."""

Trick = Literal["empty", "vague", "fault", "junk", "malformed", "doubled"]
Api = Literal["calls", "did", "flash"]
Kind = tuple[Api, str]
"""What is read, and the filter it is read with, "" for none."""

EXPECTED = (IncompleteError, MalformedReplyError, RecordError, ServerError, SaturatedSecondError)


@define
class Ways:
    """How the gateway behaves until it is told otherwise.

    Attributes:
        order_seed: tells in which order it sorts each window; 0 by time, 1 the other way round, else at random.
        cap: rows a page holds at most.
        overlap: rows at the head of each further page that stood at the end of the one before.
        repeats_last_page: whether a page beyond the last is the last one again.
        ignores_page: whether every page is the first one.
        ignores_filter: whether rows of all kinds come, whatever was asked for.
        is_generous: whether all rows come at once, whatever size was asked for.
        lies: how much the total of a day is off.
        arrivals: rows that turn up after each reply, as long as there are any left to.
        writes_plainly: whether rows are as documented, so that they are read on the quick way.
    """

    order_seed: int = 0
    cap: int = PAGE
    overlap: int = 0
    repeats_last_page: bool = False
    ignores_page: bool = False
    ignores_filter: bool = False
    is_generous: bool = False
    lies: int = 0
    arrivals: int = 0
    writes_plainly: bool = True

    @property
    def told_too_many(self) -> int:
        """Rows the total of a day is off; none where pages come one like the other: too low, it could not be told."""
        return 0 if self.ignores_page or self.cap < PAGE else self.lies

    @property
    def are_honest(self) -> bool:
        """Whether nothing it does keeps a reader from the end."""
        return not (self.repeats_last_page or self.ignores_page or self.ignores_filter or self.is_generous or self.lies)


@define
class StrangeGateway:
    """The rows there are, each as (milliseconds after BEGIN, number, direction), and what is made of them."""

    rows: list[tuple[int, int, int]] = field(factory=list)
    ways: Ways = field(factory=Ways)
    chance: random.Random = field(factory=lambda: random.Random(1))
    left_to_arrive: int = 0
    numbers: int = 0

    def add(self, offset: int) -> None:
        """Have a row turn up."""
        self.numbers += 1
        self.rows.append((offset, self.numbers, self.numbers % 2))

    def answer(self, api: Api, parameters: Mapping[str, Any], trick: Trick | None) -> bytes:
        """Return the body of a reply."""
        if trick == "malformed":
            return b'{"code": 0, "data": ['
        rows, total = self._page(api, parameters)
        written = [self._written(api, row) for row in rows]
        if trick == "junk" and written:
            written[self.chance.randrange(len(written))] = self.chance.choice([None, 7, [], {"startTime": "soon"}])
        if trick == "doubled" and self.ways.cap == PAGE:
            written += written[:1]
        if trick == "empty":
            written, total = [], 0
        self._arrive()
        return _enveloped(api, None if trick == "vague" else written, total, self.ways.cap)

    def _page(self, api: Api, parameters: Mapping[str, Any]) -> tuple[list[tuple[int, int, int]], int]:
        ways = self.ways
        found = self._sorted([row for row in self.rows if self._belongs(api, row, parameters)], parameters)
        if api == "flash":
            return found[:PAGE], len(found)
        size = max(PAGE, len(found)) if ways.is_generous and ways.cap == PAGE else ways.cap
        step = max(1, size - ways.overlap) if api == "calls" else size
        number = 1 if ways.ignores_page and ways.cap == PAGE else int(parameters["page"])
        if ways.repeats_last_page:
            number = min(number, max(1, -(-(len(found) - size + step) // step)))
        first = (number - 1) * step
        # Of a page that is shorter than asked for, a total that says so too is believed.
        return found[first : first + size], max(0, len(found) + ways.told_too_many)

    def _belongs(self, api: Api, row: tuple[int, int, int], parameters: Mapping[str, Any]) -> bool:
        offset, number, direction = row
        if parameters.get("callId", f"{number}") != f"{number}":
            return False
        wanted = parameters.get("direction", parameters.get("type", -1) + 1) - 1
        if wanted >= 0 and wanted != direction and not self.ways.ignores_filter:
            return False
        if api == "did":
            return True
        if api == "calls":
            return parameters["startTime"] <= BEGIN + offset / 1000 <= parameters["endTime"]
        moment = _local(BEGIN + offset // 1000)
        return bool(parameters["start"] <= moment <= parameters["end"])

    def _sorted(self, rows: list[tuple[int, int, int]], parameters: Mapping[str, Any]) -> list[tuple[int, int, int]]:
        seed = self.ways.order_seed
        if seed <= 1:
            return sorted(rows, reverse=seed == 1)
        window = parameters.get("startTime"), parameters.get("endTime")
        return sorted(rows, key=lambda row: random.Random(f"{seed} {window} {row[1]}").random())

    def _written(self, api: Api, row: tuple[int, int, int]) -> dict[str, Any]:
        offset, number, direction = row
        if api == "did":
            return {"id": number, "startTime": _local(BEGIN + offset // 1000), "callType": direction}
        if api == "flash":
            return {"id": number, "gmtCreate": _local(BEGIN + offset // 1000)}
        written = {"callId": f"{number}", "startTime": BEGIN * 1000 + offset, "direction": direction}
        # A text where a number belongs means the same to the converter, and nothing to the quick way.
        return written if self.ways.writes_plainly else written | {"direction": f"{direction}", "callDuration": "5"}

    def _arrive(self) -> None:
        if self.ways.ignores_page:
            return
        for _ in range(min(self.ways.arrivals, self.left_to_arrive)):
            self.left_to_arrive -= 1
            self.add(self.chance.randrange(HOUR * 1000))


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC_PLUS_8).replace(tzinfo=None).isoformat(sep=" ")


def _enveloped(api: Api, rows: list[Any] | None, total: int, size: int) -> bytes:
    if api == "flash":
        return msgspec.json.encode({"cdrs": rows, "code": "0"})
    if api == "did":
        data = None if rows is None else {"totalRow": total, "totalPage": -(-total // size), "list": rows}
        return msgspec.json.encode({"code": 0, "data": data})
    return msgspec.json.encode({"reqId": "r", "code": 0, "msg": "success", "data": rows})


@define(eq=False)
class Question:
    """A question on its way."""

    api: Api
    parameters: Mapping[str, Any]
    reply: "asyncio.Future[bytes]"

    @property
    def name(self) -> tuple[Any, ...]:
        """What tells one question from another."""
        return tuple(sorted(self.parameters.items()))


@define(eq=False)
class StrangeLine:
    """The line of a session, whose questions wait until a test has them answered."""

    waiting: list[Question] = field(factory=list)
    asked: int = 0
    readers: int = 1
    redactor: Redactor = NO_SECRETS
    limiter: Limiter = field(factory=Limiter)
    telemetry: Telemetry = SILENCE

    def useful_concurrency(self, _: Endpoint[Any]) -> int:
        """As many as the test says."""
        return self.readers

    def has_failed_lately(self, _: Endpoint[Any]) -> bool:
        """Never, so that as much is believed at once as may be."""
        return False

    def need_key(self, _: Endpoint[Any]) -> str:
        """There is one."""
        return "key"

    async def ask(
        self,
        endpoint: Endpoint[Any],
        parameters: Mapping[str, Any],
        *,
        client: object = None,  # noqa: ARG002 - which of them is next, a test decides here
        read_success: Callable[[bytes], Any] | None = None,
    ) -> Page:
        self.asked += 1
        api: Any = endpoint.name
        question = Question(api, parameters, asyncio.get_running_loop().create_future())
        self.waiting.append(question)
        try:
            body = await question.reply
        finally:
            if question in self.waiting:
                self.waiting.remove(question)
        reply = Response(200, {}, body)
        page = None if read_success is None else plain_page(reply, read_success)
        return page or parse_page(
            reply,
            rows_at=endpoint.rows_at,
            codes=endpoint.codes,
            now=0.0,
            redactor=NO_SECRETS,
        )


@contextmanager
def small_pages() -> Iterator[None]:
    """Have sessions ask for small pages and windows, so that few rows fill many."""
    small: list[tuple[Any, str, Any]] = [
        (calls.CallSource, "endpoint", evolve(CALLS, page_size=PAGE)),
        (did.DidSource, "endpoint", evolve(DID, page_size=PAGE)),
        (flash.FlashSource, "endpoint", evolve(FLASH, page_size=PAGE)),
        (calls, "MOST_ROWS", ROWS_A_WINDOW),
        (calls, "MOST_AT_ONCE", 4 * PAGE),
        (flash, "MOST_ROWS", PAGE),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in small]
    for owner, name, value in small:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def session_over(line: StrangeLine, readers: int) -> CdrSession:
    """Open a session that asks over a strange line."""
    session = CdrSession(
        gateway="http://127.0.0.1:9",
        credentials=Credentials("key", "secret"),
        flash_app=FlashApp("app", "secret"),
    )
    line.readers = readers
    session._transport = line  # type: ignore[assignment]
    return session


@define(eq=False)
class Query:
    """A query of a session, read to its end by a task of its own.

    Attributes:
        kind: what is read.
        there: the ids of the rows there were at its start, with when they start (milliseconds after BEGIN).
        tricked: questions that were answered with a trick, which come one to a question.
        is_honest: whether all that was done to it only made it harder.
    """

    kind: Kind
    there: dict[str, int]
    is_honest: bool
    found: list[tuple[float, str]] = field(factory=list)
    error: Exception | None = None
    tricked: set[tuple[Any, ...]] = field(factory=set)
    task: "asyncio.Task[None] | None" = None

    async def read(self, session: CdrSession) -> None:
        """Read all there is, and keep what stopped it."""
        try:
            async for record in _paginator(session, self.kind):
                start = record.gmt_create if self.kind[0] == "flash" else record.start_time
                name = record.call_id if self.kind[0] == "calls" else record.id
                self.found.append((start.timestamp(), str(name)))
        except Exception as error:  # noqa: BLE001 - of what kind it is, is what the test asks
            self.error = error

    def check(self) -> None:
        """Check that what came is right up to where it says, and all that there was if nothing went wrong."""
        names = [name for _, name in self.found]
        assert len(names) == len(set(names)), "a record came twice"
        starts = [start for start, _ in self.found]
        assert starts == sorted(starts), "records came out of order"
        assert self.error is None or isinstance(self.error, EXPECTED), f"{self.error!r} is no answer"
        is_excused = not self.is_honest or isinstance(self.error, SaturatedSecondError)
        assert self.error is None or is_excused, f"{self.error} though the gateway was honest"
        missing = {name for name, offset in self.there.items() if offset < self._until_ms()} - set(names)
        assert not missing, f"missing {missing}, and {self.error!r}"

    def _until_ms(self) -> float:
        """Return up to when the records are complete, milliseconds after BEGIN."""
        if self.error is None:
            return float("inf")
        assert isinstance(self.error, NxcdrError)
        assert self.error.complete_until is not None
        return (self.error.complete_until.timestamp() - BEGIN) * 1000


def _paginator(session: CdrSession, kind: Kind) -> Any:
    api, wanted = kind
    direction = Direction[wanted] if wanted else None
    start = datetime.fromtimestamp(BEGIN, UTC)
    if api == "calls":
        return session.calls(start, start + timedelta(seconds=HOUR), direction=direction)
    if api == "did":
        return session.did_calls(DAY, direction=direction)
    return session.flash_calls(start, start + timedelta(seconds=HOUR))


@define(eq=False)
class StrangeWorld:
    """A gateway, a session, and at most one query at a time; a test says what happens next."""

    gateway: StrangeGateway = field(factory=StrangeGateway)
    line: StrangeLine = field(factory=StrangeLine)
    readers: int = 4
    query: Query | None = None
    queries: int = 0
    loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop)
    session: CdrSession = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.session = self._run(self._open)

    def _run(self, make: Callable[[], Any]) -> Any:
        async def run() -> Any:
            made = make()
            for _ in range(12):
                await asyncio.sleep(0)
            return made

        return self.loop.run_until_complete(run())

    def _open(self) -> CdrSession:
        return session_over(self.line, self.readers)

    def ask(self, kind: Kind) -> Query:
        """Begin a query, and return it."""
        wanted = Direction[kind[1]] if kind[1] else None
        there = {str(number): offset for offset, number, way in self.gateway.rows if wanted in {None, way}}
        query = self.query = Query(kind, there, self.gateway.ways.are_honest)
        self.line.asked = 0
        self.queries += 1

        def begin() -> None:
            query.task = asyncio.get_running_loop().create_task(query.read(self.session))

        self._run(begin)
        self._check_if_over()
        return query

    def answer(self, place: int, trick: Trick | None = None) -> None:
        """Have one of the questions that wait answered, with a trick if it had none before."""
        query = self.query
        assert query is not None
        waiting = self.line.waiting
        question = waiting.pop(place % len(waiting))
        if question.name in query.tricked:
            trick = None
        if trick is not None:
            query.tricked.add(question.name)
            query.is_honest = query.is_honest and trick in {"empty", "vague", "doubled"} and question.api != "did"
        if trick == "fault":
            fault = ServerError("down", code=99)
            self._run(lambda: question.reply.done() or question.reply.set_exception(fault))
        else:
            body = self.gateway.answer(question.api, question.parameters, trick)
            self._run(lambda: question.reply.done() or question.reply.set_result(body))
        assert self.line.asked <= MOST_QUESTIONS, "it asks for ever"
        self._check_if_over()

    def behave(self, **changes: Any) -> None:
        """Have the gateway behave otherwise, from now on."""
        self.gateway.ways = evolve(self.gateway.ways, **changes)
        if self.query is not None:
            self.query.is_honest = self.query.is_honest and self.gateway.ways.are_honest

    def finish(self) -> None:
        """Have all questions answered until the query is over."""
        while self.query is not None:
            self.answer(self.gateway.chance.randrange(len(self.line.waiting)))

    def _check_if_over(self) -> None:
        query = self.query
        if query is None:
            return
        assert query.task is not None
        turns = 0
        while not query.task.done() and not self.line.waiting:
            # Between two questions there is only computing; a query that does neither has come to a halt.
            self._run(lambda: None)
            turns += 1
            assert turns < 10_000, "it neither asks nor ends"
        if query.task.done():
            self.query = None
            self._run(lambda: None)
            assert not self.line.waiting, "a question is left behind"
            query.check()

    def close(self) -> None:
        """Stop all that is under way; nothing may be left."""
        self.loop.run_until_complete(self.session.aclose())
        if self.query is not None and self.query.task is not None:
            self.loop.run_until_complete(asyncio.wait([self.query.task]))
        left = asyncio.all_tasks(self.loop)
        if left:
            self.loop.run_until_complete(asyncio.wait([task for task in left if task.cancel()]))
        self.loop.close()
        assert not left, f"left behind: {left}"
