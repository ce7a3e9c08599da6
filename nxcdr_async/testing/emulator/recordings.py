"""The files behind the addresses of recordings: whole, in ranges, late, expired, cut off, slow."""

import asyncio
from collections.abc import Iterator

from aiohttp import web
from attrs import define

from nxcdr_async._util.clocks import sleep
from nxcdr_async.testing.data.history import CallHistory
from nxcdr_async.testing.data.sound import wav_bytes, wav_part
from nxcdr_async.testing.emulator.clock import EmulatorClock
from nxcdr_async.testing.emulator.faults import FaultPlan, refused_by
from nxcdr_async.testing.emulator.log import GatewayLog, SeenRequest
from nxcdr_async.testing.emulator.switches import Switches

PATH = "/{kind:record|message}/{name:.+}"

_IN_PARTS = 16_384
_SECONDS_OF_A_MESSAGE = 10
_FILE = "file"
_ENDS_EARLY = {"reset", "cut-chunked", "truncated", "stall"}
_EXPIRED = '<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>NoSuchKey</Code></Error>'


@define(eq=False)
class RecordingServer:
    """Answers requests for recordings. They need no key, as at the vendor."""

    history: CallHistory
    switches: Switches
    clock: EmulatorClock
    log: GatewayLog
    faults: FaultPlan
    closing: asyncio.Event

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        seen = SeenRequest("recording", None, self.clock.now(), {"path": request.path})
        with self.log.request(seen):
            fault = seen.fault = self.faults.next_fault("recording", {})
            if fault == "hang":
                await self.closing.wait()
            if fault in {"hang", "close"}:
                return _broken_off(request)
            refused = refused_by(fault, "flash", self.clock.now(), self.switches.language) if fault else None
            if refused is not None:
                seen.status = refused.status
                headers = {"Content-Type": refused.content_type, **refused.headers}
                return web.Response(body=refused.body, status=refused.status, headers=headers)
            response: web.StreamResponse | None = self._without_file(request)
            if response is None:
                response = await self._file(request, ends_early=fault in _ENDS_EARLY, stalls=fault == "stall")
            seen.status = response.status
            return response

    def _without_file(self, request: web.Request) -> web.Response | None:
        """Return the answer to a request that gets no file; None if it gets one."""
        switches = self.switches
        seconds, end_ms = self._seconds_and_end(request)
        if not seconds:
            return web.Response(text=_EXPIRED, status=404, content_type="application/xml")
        age = self.clock.now() - end_ms / 1000
        if switches.recording_delay is not None and age < switches.recording_delay:
            return web.Response(text="the audio file is in generating", status=404)
        if switches.recording_retention is not None and age > switches.recording_retention:
            return web.Response(text=_EXPIRED, status=404, content_type="application/xml")
        if switches.recording_redirect and _FILE not in request.query:
            return web.Response(status=302, headers={"Location": f"{request.rel_url.raw_path}?{_FILE}=1"})
        return None

    def _seconds_and_end(self, request: web.Request) -> tuple[int, int]:
        """Return how long a recording is, 0 if there is none, and when its call ended."""
        try:
            row = self.history.call(request.match_info["name"].removesuffix(".wav"))
        except LookupError:
            return 0, 0
        is_message = request.match_info["kind"] == "message"
        address = row.get("leaveMsgUrl" if is_message else "recordUrl")
        seconds = _SECONDS_OF_A_MESSAGE if is_message else int(row["callDuration"])
        return seconds if address else 0, self.history.call_timeline.end_of(row)

    async def _file(self, request: web.Request, *, ends_early: bool, stalls: bool) -> web.StreamResponse:
        seconds, _ = self._seconds_and_end(request)
        size = wav_bytes(seconds)
        first, last, status = 0, size, 200
        headers = {"Content-Type": "audio/wav"}
        if self.switches.recording_ranges:
            headers["Accept-Ranges"] = "bytes"
            try:
                asked = request.http_range
            except ValueError:
                asked = slice(None)
            if (asked.start, asked.stop) != (None, None):
                first, last, _ = asked.indices(size)
                status = 206
                headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
            if first >= last:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = last - first
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        for start, stop in _parts(first, first + (last - first) // 2 if ends_early else last):
            if self.switches.recording_rate is not None:
                await sleep((stop - start) / self.switches.recording_rate)
            await response.write(wav_part(seconds, start, stop))
        if stalls:
            await self.closing.wait()
        if ends_early:
            return _broken_off(request)
        await response.write_eof()
        return response


def _parts(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, _IN_PARTS):
        yield start, min(start + _IN_PARTS, last)


def _broken_off(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
