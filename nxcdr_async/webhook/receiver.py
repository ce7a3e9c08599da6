"""Handling a push, whatever the framework: its head, its body, its signature, its call, the callback."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from attrs import define, field
from cattrs import Converter

from nxcdr_async._util.clocks import move_on_after
from nxcdr_async._util.tasks import is_cancelled
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async.errors import RecordError
from nxcdr_async.protocol.charset import in_utf8
from nxcdr_async.protocol.json_text import read_row
from nxcdr_async.protocol.signed_headers import ALLOWED_SKEW_MS, SignedHeaders
from nxcdr_async.records.converter import UnreadableRow, make_converter, structure_row
from nxcdr_async.records.models import CallRecord
from nxcdr_async.telemetry.log import log_receiver_clock
from nxcdr_async.telemetry.pushes import PUSHES
from nxcdr_async.webhook.authenticate import Authenticator, check_head, check_size, check_whole, length_in
from nxcdr_async.webhook.clock_watch import ClockWatch
from nxcdr_async.webhook.dedupe import CallLocks, SeenPushes, value_digests
from nxcdr_async.webhook.http import ACCEPTED, ALREADY_SEEN, Answer, Head, PushRefusedError

OnCall = Callable[[CallRecord], Awaitable[object]]
"""A user's callback for each call."""

NextChunk = Callable[[], Awaitable[bytes | None]]
"""Reads on in a body; None at its end."""

TIMEOUTS_TO_WAIT = 2
"""Times the timeout that a push waits for another one of its call: that one's whole time, and some more."""

_log = logging.getLogger("nxcdr_async")


class ClientGoneError(Exception):
    """The sender of a push went away before its body was read."""


@define(eq=False)
class Receiver(Uncopied):
    """Receives pushes, and hands each call to the user's callback.

    Attributes:
        path: where pushes are accepted.
        largest_body: bytes.
        timeout: seconds for a body to come, and again for the callback.
        now: returns epoch seconds.
    """

    on_call: OnCall
    authenticator: Authenticator
    path: str
    seen_pushes: SeenPushes
    largest_body: int
    timeout: float
    now: Callable[[], float]
    _converter: Converter = field(factory=make_converter, init=False, repr=False)
    _locks: CallLocks = field(factory=CallLocks, init=False, repr=False)
    _clock_watch: ClockWatch = field(factory=ClockWatch, init=False, repr=False)

    async def answer(self, head: Head, next_chunk: NextChunk) -> Answer:
        """Return the answer to one push, after its call has been handled.

        Raises:
            ClientGoneError: there is nobody left to answer.
        """
        try:
            taken = await self._receive(head, next_chunk)
        except PushRefusedError as refused:
            answer = refused.answer
        except ClientGoneError:
            PUSHES.add("refused")
            raise
        else:
            PUSHES.add("taken")
            return taken
        is_refused = answer.status < 500  # noqa: PLR2004 - else it is our own fault
        PUSHES.add("refused" if is_refused else "failed")
        if is_refused:  # else it was logged where it happened
            # No text that came with the request is in these words, so that nobody can write into the log.
            what = (answer.status, answer.content["error"])
            _log.warning("a call push was refused with %d: %s", *what, extra={"http_status": answer.status})
        return answer

    async def _receive(self, head: Head, next_chunk: NextChunk) -> Answer:
        check_head(head, path=self.path, largest_body=self.largest_body)
        now_ms = int(self.now() * 1000)
        signed = self.authenticator.admit(head.headers, now_ms=now_ms)
        declared_length = length_in(head.headers)
        body = await self._body(next_chunk, declared_length)
        check_whole(body, declared_length)
        if signed is not None:
            self.authenticator.check_signature(signed, body)
            self._watch_clocks(signed, now_ms)
            self.authenticator.check_time(signed, now_ms=now_ms)
        call = self._call_in(body, head.headers.text("content-type"))
        return await self._hand_over(call, _value_digests(call), signed)

    async def _body(self, next_chunk: NextChunk, declared_length: int | None) -> bytes:
        body = bytearray()
        try:
            with move_on_after(self.timeout) as limit:
                while (chunk := await next_chunk()) is not None:
                    check_size(len(body) + len(chunk), self.largest_body)
                    body += chunk
        except ClientGoneError:
            _log.warning("a call push was broken off by its sender: %s of its body came", _part(body, declared_length))
            raise
        if limit.cancelled_caught:
            reason = f"the body did not come within {self.timeout:g} seconds: {_part(body, declared_length)} came"
            raise PushRefusedError(408, reason, is_cut=True)
        return bytes(body)

    def _watch_clocks(self, signed: SignedHeaders, now_ms: int) -> None:
        ahead_ms = signed.ahead_ms(now_ms)
        if abs(ahead_ms) <= ALLOWED_SKEW_MS:
            self._clock_watch.note_accepted()
            return
        skew = self._clock_watch.note_refused(signed.ts, ahead_ms, now=now_ms / 1000)
        if skew is not None:
            log_receiver_clock(skew)

    def _call_in(self, body: bytes, content_type: str | None) -> CallRecord:
        row = read_row(in_utf8(body, content_type))
        if isinstance(row, UnreadableRow):
            raise PushRefusedError(400, "the body is not JSON", path=row.path, detail=row.reason)
        try:
            return structure_row(self._converter, row, CallRecord)
        except RecordError as bad:
            raise PushRefusedError(422, _no_call(bad.path), path=bad.path, detail=str(bad)) from None

    async def _hand_over(self, call: CallRecord, digests: frozenset[bytes], signed: SignedHeaders | None) -> Answer:
        try:
            async with self._locks.hold(call.call_id, wait=TIMEOUTS_TO_WAIT * self.timeout):
                if self.seen_pushes.contains(call.call_id, digests, signed, now=self.now()):
                    return ALREADY_SEEN
                await self._call_back(call)
                self.seen_pushes.add(call.call_id, digests, signed, now=self.now())
                return ACCEPTED
        except TimeoutError:
            _log.warning("a call push waited too long for another one of its call", extra={"http_status": 503})
            raise PushRefusedError(503, "another push of this call is still worked on: send it again later") from None

    async def _call_back(self, call: CallRecord) -> None:
        with move_on_after(self.timeout) as limit:
            try:
                await self._awaitable_of(call)
            except (Exception, asyncio.CancelledError) as failure:  # noqa: ASYNC103 - it may be of the user's own
                if isinstance(failure, asyncio.CancelledError) and is_cancelled():
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


def _value_digests(call: CallRecord) -> frozenset[bytes]:
    try:
        return value_digests(call)
    except RecursionError:
        # What can just be read may be too deep to be written.
        raise PushRefusedError(400, "the body is nested too deeply") from None


def _part(body: bytearray, declared_length: int | None) -> str:
    return f"{len(body)} bytes" if declared_length is None else f"{len(body)} of {declared_length} bytes"


def _no_call(path: str) -> str:
    return f"the body cannot be a call: see its {path}" if path else "the body cannot be a call"
