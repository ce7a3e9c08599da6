"""The way of a push, whatever the framework: its head, its body, its signature, its call, the callback."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

import anyio
from attrs import define, field
from cattrs import Converter

from nxcdr_async.convert import UnreadableRow, make_converter, structure_row
from nxcdr_async.errors import RecordError
from nxcdr_async.records import CallRecord
from nxcdr_async.webhook.answers import KNOWN, TAKEN, Answer, PushRefusedError
from nxcdr_async.webhook.call_locks import CallLocks
from nxcdr_async.webhook.checks import Doorkeeper, check_shape, check_size
from nxcdr_async.webhook.head import Head
from nxcdr_async.webhook.memory import PushMemory
from nxcdr_async.wire import SignedHeaders, in_utf8, read_row

OnCall = Callable[[CallRecord], Awaitable[object]]
"""What users do with a call."""

NextChunk = Callable[[], Awaitable[bytes | None]]
"""Reads on in a body; None at its end."""

TIMEOUTS_TO_WAIT = 2
"""How many times as long as a callback may take a push waits for another of its call: that one's time, and room."""

_log = logging.getLogger("nxcdr_async")


class ClientGoneError(Exception):
    """Whoever sent the push went away before its body was read."""


@define(eq=False)
class Receiver:
    """Takes pushes, and hands each call to the user.

    Attributes:
        on_call: what the user does with a call.
        doorkeeper: knows whose pushes are taken.
        path: where pushes are taken.
        memory: of what was taken lately.
        largest_body: bytes.
        timeout: seconds for a body to come, and for the callback.
        now: epoch seconds.
    """

    on_call: OnCall
    doorkeeper: Doorkeeper
    path: str
    memory: PushMemory
    largest_body: int
    timeout: float
    now: Callable[[], float]
    _converter: Converter = field(factory=make_converter, init=False, repr=False)
    _locks: CallLocks = field(factory=CallLocks, init=False, repr=False)

    async def answer(self, head: Head, next_chunk: NextChunk) -> Answer:
        """Return the answer to one push, after all that is to be done about it is done.

        Raises:
            ClientGoneError: there is nobody left to answer.
        """
        try:
            return await self._take(head, next_chunk)
        except PushRefusedError as refused:
            answer = refused.answer
        if answer.status < 500:  # noqa: PLR2004 - what is our own fault was logged where it happened
            # Nothing that came with the request is in these words, so that nobody can write into the log.
            what = (answer.status, answer.said["error"])
            _log.warning("a call push was refused with %d: %s", *what, extra={"http_status": answer.status})
        return answer

    async def _take(self, head: Head, next_chunk: NextChunk) -> Answer:
        check_shape(head, path=self.path, largest_body=self.largest_body)
        signed = self.doorkeeper.admit(head.headers, now_ms=int(self.now() * 1000))
        body = await self._body(next_chunk)
        if signed is not None:
            self.doorkeeper.check_signature(signed, body)
        return await self._hand_over(self._call_in(body, head.headers.text("content-type")), signed)

    async def _body(self, next_chunk: NextChunk) -> bytes:
        body = bytearray()
        with anyio.move_on_after(self.timeout):
            while (chunk := await next_chunk()) is not None:
                check_size(len(body) + len(chunk), self.largest_body)
                body += chunk
            return bytes(body)
        raise PushRefusedError(408, f"the body did not come within {self.timeout:g} seconds", is_cut=True)

    def _call_in(self, body: bytes, content_type: str | None) -> CallRecord:
        row = read_row(in_utf8(body, content_type))
        if isinstance(row, UnreadableRow):
            raise PushRefusedError(400, "the body is not JSON", path=row.path, detail=row.reason)
        try:
            return structure_row(self._converter, row, CallRecord)
        except RecordError as bad:
            raise PushRefusedError(422, _no_call(bad.path), path=bad.path, detail=str(bad)) from None

    async def _hand_over(self, call: CallRecord, signed: SignedHeaders | None) -> Answer:
        try:
            async with self._locks.held(call.call_id, patience=TIMEOUTS_TO_WAIT * self.timeout):
                if self.memory.knows(call.call_id, signed, now=self.now()):
                    return KNOWN
                await self._call_back(call)
                self.memory.take(call.call_id, signed, now=self.now())
                return TAKEN
        except TimeoutError:
            _log.warning("a call push waited too long for another one of its call", extra={"http_status": 503})
            raise PushRefusedError(503, "another push of this call is still worked on: send it again later") from None

    async def _call_back(self, call: CallRecord) -> None:
        with anyio.move_on_after(self.timeout) as limit:
            try:
                await self._awaitable_of(call)
            except (Exception, asyncio.CancelledError) as failure:  # noqa: ASYNC103 - it may be of the user's own
                if isinstance(failure, asyncio.CancelledError) and _is_cancelled_now():
                    raise
                _log.exception("on_call failed with a pushed call", extra={"http_status": 500})
                failed = PushRefusedError(500, "the call could not be handled: send it again later")
                raise failed from None  # noqa: ASYNC104 - as above
        # One that swallowed its cancellation has given up, too.
        if not limit.cancel_called:
            return
        _log.error("on_call took more than %g seconds with a pushed call", self.timeout, extra={"http_status": 500})
        raise PushRefusedError(500, "the call could not be handled in time: send it again later")

    def _awaitable_of(self, call: CallRecord) -> Awaitable[object]:
        doing = self.on_call(call)
        if not inspect.isawaitable(doing):
            raise TypeError(f"on_call returned {type(doing).__name__}, which cannot be awaited: make it an async def")
        return doing


def _is_cancelled_now() -> bool:
    """Tell whether whoever works on the push is cancelled, and not something that on_call waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _no_call(path: str) -> str:
    return f"the body cannot be a call: see its {path}" if path else "the body cannot be a call"
