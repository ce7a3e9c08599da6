"""The emulator as a whole: a real HTTP server on loopback that a test or a demo starts, asks, and stops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from datetime import date, datetime, timedelta
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

import anyio
from aiohttp import web

from nxcdr_async._util.clocks import move_on_after, new_steady_loop
from nxcdr_async._util.uncopied import Uncopied
from nxcdr_async._util.validation import as_whole, plain
from nxcdr_async.config import Credentials, FlashApp
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.testing.data.history import FIRST_DAY, CallHistory
from nxcdr_async.testing.data.timeline import RowId
from nxcdr_async.testing.data.times import moment_at_ms
from nxcdr_async.testing.emulator.clock import EmulatorClock
from nxcdr_async.testing.emulator.faults import FaultPlan, ScriptedFault
from nxcdr_async.testing.emulator.log import GatewayLog
from nxcdr_async.testing.emulator.security import RequestVerifier
from nxcdr_async.testing.emulator.server import GatewayServer
from nxcdr_async.testing.emulator.switches import EndpointName, FaultKind, Switches
from nxcdr_async.testing.pushes import PUSHED_KEYS, Push, PushReply

_TENANT_ID = 144
_LIVE_DELAY = 5.0
"""Seconds after its end that a call of a live tenant is shown."""

_SECONDS_TO_END = 10.0
_LAST_PORT = 65_535
_ITERATIONS_TO_ARRIVE = 5


class Gateway(Uncopied):
    """An emulator of the vendor's gateway: the vendor's APIs, signed and paged like the real ones.

    As a context manager it serves from a thread with an event loop of its own, so it works beside any test style:

        with Gateway(calls=500) as gateway:
            session = CdrSession(gateway=gateway.url, credentials=gateway.credentials)

    Inside an asyncio program, `async with gateway.serving():` serves from the running loop instead.

    Args:
        calls: call-center calls in total.
        days: days of history; calls fill whole UTC days, DID and flash calls the same dates in UTC+8.
        first_day: the first of these days, 2026-01-01 if not given.
        seed: of the history, and of the chance in faults and latencies.
        agents: how many agents there are; by default 12 to 40, by the number of calls.
        did_calls: DID calls in total, a fifth of `calls` by default.
        flash_calls: flash calls in total, a tenth of `calls` by default.
        live: whether calls go on arriving after those days, as often as in them, by the emulator's clock, for a year.
            None is there before it starts, and each is shown five seconds after its end, if the switches say no
            `publish_delay`. The days are then by default the last, today being one.
        calls_per_minute: with `live`: so many calls arrive, day and night, from an hour before now on.
        recordings: whether rows name recordings that the emulator serves, WAV files that play; else the addresses lead
            nowhere.
        clock: its clock, to have a test say what time it is.
        switches: how it behaves; may be changed at any time.
        host: loopback address (IPv4) or name to listen on.
        port: port to listen on; 0 takes a free one.

    Raises:
        ValueError: a number that no history can have.
        TypeError: an argument of the wrong kind.

    Attributes:
        credentials: the key pair with all rights.
        credentials_without_rights: a valid pair that may read nothing (code 1005).
        flash_app: the application that may read flash calls.
        tenant_id: the tenant whose orders can be asked for.
        clock: its own clock: `clock.move(seconds)`, `clock.now()` (epoch seconds).
        log: counters, and the latest requests.
        history: the rows it answers with.
    """

    _instead = "start one in each process"

    def __init__(
        self,
        calls: int = 1_000,
        *,
        days: int = 1,
        first_day: date | None = None,
        seed: int = 1,
        agents: int | None = None,
        did_calls: int | None = None,
        flash_calls: int | None = None,
        live: bool = False,
        calls_per_minute: float | None = None,
        recordings: bool = False,
        clock: EmulatorClock | None = None,
        switches: Switches | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.credentials = Credentials("emulatorKey01", "emulator-secret-of-no-value")
        self.credentials_without_rights = Credentials("emulatorKey02", "another-secret-of-no-value")
        self.flash_app = FlashApp("emulatorApp01", "emulator-app-secret-of-no-value")
        self.tenant_id = _TENANT_ID
        if not isinstance(switches, Switches | None):
            raise TypeError(f"switches is of type {type(switches).__name__}: give Switches(...)")
        self._switches = switches or Switches()
        self.clock = clock or EmulatorClock()
        if live and self._switches.publish_delay is None:
            self._switches.publish_delay = _LIVE_DELAY
        if first_day is None:
            first_day = moment_at_ms(self.clock.now_ms()).date() - timedelta(days=days - 1) if live else FIRST_DAY
        self.log = GatewayLog()
        self.history = CallHistory(
            calls,
            first_day=first_day,
            days=days,
            seed=seed,
            agents=agents,
            did_calls=did_calls,
            flash_calls=flash_calls,
            legs=lambda: self._switches.legs,
            now_ms=self.clock.now_ms if live else None,
            calls_per_minute=calls_per_minute,
            media=self._media if recordings else None,
        )
        self._seed = self.history.seed
        self._faults = FaultPlan(self.switches, self._seed)
        self._host, self._port = host, _checked_port(port)
        self._bound_port: int | None = None
        self._last_port = self._port
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """Base URL, to be given to a session as `gateway`.

        Raises:
            RuntimeError: the emulator is not running.
        """
        if self._bound_port is None:
            raise RuntimeError("the gateway emulator is not running: use it in a with statement")
        return f"http://{self._host}:{self._bound_port}"

    @property
    def switches(self) -> Switches:
        """How it behaves. Its attributes may be set at any time, and each request reads them anew."""
        return self._switches

    @property
    def first_call(self) -> datetime:
        """When the first call of the seeded history starts, in UTC; the start of its first day when it is empty."""
        arrivals = self.history.call_timeline.arrivals
        return moment_at_ms(arrivals.start_ms(0) if arrivals.total else arrivals.first_ms)

    @property
    def last_call(self) -> datetime:
        """When the last call of the seeded history starts, in UTC; the end of its last day when it is empty.

        Of a live tenant, the last that has started by now.
        """
        timeline = self.history.call_timeline
        ranks = timeline.ranks()
        return moment_at_ms(timeline.arrivals.start_ms(ranks[-1]) if ranks else timeline.arrivals.end_ms)

    @property
    def added_ids(self) -> list[RowId]:
        """Ids of everything added to the seeded history, calls first, then DID and flash calls."""
        return self.history.added_ids

    def call_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[str]:
        """Return the `callId` of each call that starts in [start, end), added ones included, earliest first."""
        return self.history.call_ids(start, end)

    def did_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[int]:
        """Return the `id` of each DID call that starts in [start, end), added ones included, earliest first."""
        return self.history.did_ids(start, end)

    def flash_ids(self, start: datetime | None = None, end: datetime | None = None) -> list[int]:
        """Return the `id` of each flash call made in [start, end), added ones included, earliest first."""
        return self.history.flash_ids(start, end)

    def add_call(self, **vendor_fields: Any) -> str:
        """Add a call at any time, from any thread; returns its `callId`. See `CallHistory.add_call`."""
        return self.history.add_call(**vendor_fields)

    def add_calls(self, number: int, *, apart: timedelta = timedelta(seconds=1), **vendor_fields: Any) -> list[str]:
        """Add several calls, one second apart; returns their `callId`s. See `CallHistory.add_calls`."""
        return self.history.add_calls(number, apart=apart, **vendor_fields)

    def change_call(self, call_id: str, **vendor_fields: Any) -> None:
        """Change values of a call at any time, from any thread: `gateway.change_call(call_id, totalCustomerPrice=0)`.

        See `CallHistory.change_call`.
        """
        self.history.change_call(call_id, **vendor_fields)

    def add_did_call(self, **vendor_fields: Any) -> int:
        """Add a DID call at any time, from any thread; returns its `id`. See `CallHistory.add_did_call`."""
        return self.history.add_did_call(**vendor_fields)

    def add_flash_call(self, **vendor_fields: Any) -> int:
        """Add a flash call at any time, from any thread; returns its `id`. See `CallHistory.add_flash_call`."""
        return self.history.add_flash_call(**vendor_fields)

    def fail_next(
        self, kind: FaultKind, times: int = 1, *, endpoint: EndpointName | None = None, page: int | None = None
    ) -> None:
        """Make the next requests fail, before any chance in the switches.

        Args:
            kind: what goes wrong, see `FaultKind`.
            times: for how many requests.
            endpoint: only "calls", "order", "did", "flash", "flash_call" or "recording"; any by default.
            page: only requests of that page.

        Raises:
            ValueError: an unknown kind or endpoint, or `times` below 1.
        """
        self._faults.script(ScriptedFault(kind, plain(times), endpoint, plain(page)))

    def failing(
        self, kind: FaultKind, *, endpoint: EndpointName | None = None, page: int | None = None
    ) -> AbstractContextManager[None]:
        """Make every request fail as long as a `with` block lasts: `with gateway.failing("503"): …`.

        Args and errors are those of `fail_next`; faults that were planned before come first.
        """
        return self._faults.under_way(ScriptedFault(kind, None, endpoint, plain(page)))

    def push_of(
        self,
        call_id: str,
        *,
        token: str | None = None,
        credentials: Credentials | None = None,
        keys: Collection[str] | None = PUSHED_KEYS,
    ) -> Push:
        """Make the push of a call as the vendor would send it now, by the emulator's clock.

            push = gateway.push_of(gateway.add_call())
            assert (await push.send("http://127.0.0.1:8000/push")).accepted

        Args:
            call_id: of the seeded history, or added.
            token: sent as the header `token`; by default the push is signed instead.
            credentials: the key pair that signs, by default the emulator's `credentials`.
            keys: the vendor's keys in the push, as far as the call has them; None for all.

        Raises:
            LookupError: there is no such call.
            ConfigurationError: both a token and credentials.
        """
        row = self.history.call(call_id)
        if keys is not None:
            row = {key: row[key] for key in keys if key in row}
        if token is None:
            return Push.signed(row, credentials or self.credentials, now=self.clock.now)
        if credentials is not None:
            raise ConfigurationError("give a token or credentials, not both: a push carries a token or is signed")
        return Push.with_token(row, token)

    async def push_call(
        self,
        url: str,
        call_id: str,
        *,
        token: str | None = None,
        credentials: Credentials | None = None,
        keys: Collection[str] | None = PUSHED_KEYS,
    ) -> PushReply:
        """Push a call to a receiver: `push_of` and `Push.send`. Without an event loop, see `Push.send_sync`.

        Raises:
            TransportError: the receiver gave no whole reply.
            LookupError: there is no such call.
            ConfigurationError: the URL is none; or as `push_of`.
        """
        return await self.push_of(call_id, token=token, credentials=credentials, keys=keys).send(url)

    def _media(self) -> str:
        # What rows say of an emulator that was stopped is what they said when it was asked.
        return f"http://{self._host}:{self._last_port}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which `CdrSession.from_env()` and the command find the running emulator.

        Raises:
            RuntimeError: the emulator is not running.
        """
        return {
            "NXCDR_GATEWAY": self.url,
            "NXCDR_ACCESS_KEY": self.credentials.access_key,
            "NXCDR_ACCESS_SECRET": self.credentials.access_secret,
            "NXCDR_FLASH_APPKEY": self.flash_app.appkey,
            "NXCDR_FLASH_SECRETKEY": self.flash_app.secretkey,
        }

    def announcement(self) -> dict[str, Any]:
        """Return what a program needs to use the emulator: URL, keys, numbers, and times (ISO 8601 in UTC)."""
        return {
            "gateway": self.url,
            "access_key": self.credentials.access_key,
            "access_secret": self.credentials.access_secret,
            "flash_appkey": self.flash_app.appkey,
            "flash_secretkey": self.flash_app.secretkey,
            "tenant_id": self.tenant_id,
            "calls": len(self.history.call_timeline.ranks()),
            "first_call": self.first_call.isoformat(),
            "last_call": self.last_call.isoformat(),
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        """Serve from the running event loop until the block ends."""
        server = GatewayServer(
            history=self.history,
            switches=self.switches,
            clock=self.clock,
            log=self.log,
            verifier=RequestVerifier(self.credentials, self.credentials_without_rights, self.flash_app),
            faults=self._faults,
            tenant_id=self.tenant_id,
            seed=self._seed,
        )
        # A client that gives up cancels its handler, so that a hanging request is in flight only while somebody waits.
        runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        with socket.create_server((self._host, self._port)) as listener:
            await runner.setup()
            await web.SockSite(runner, listener).start()
            self._bound_port = self._last_port = listener.getsockname()[1]
            try:
                yield self
            finally:
                self._bound_port = None
                server.close()
                with anyio.CancelScope(shield=True), move_on_after(_SECONDS_TO_END):
                    await _stop_accepting(listener)
                    await runner.cleanup()

    def start(self) -> None:
        """Serve from a thread of its own; returns once requests are accepted.

        Raises:
            RuntimeError: it is running already.
            OSError: the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("the gateway emulator is running already")
        started = Event()
        self._thread = Thread(target=self._run, args=(started,), name="nxcdr-gateway", daemon=True)
        self._thread.start()
        started.wait()
        if self._bound_port is None:
            self.stop()

    def stop(self) -> None:
        """Stop serving, break what is still open, and wait until the thread is gone; twice does no harm."""
        if self._thread is None:
            return
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # its loop may have ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = self._loop = self._stop = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self, started: Event) -> None:
        try:
            with asyncio.Runner(loop_factory=new_steady_loop) as runner:
                runner.run(self._serve_until_stopped(started))
        except BaseException as failure:  # noqa: BLE001, ASYNC103 - raised in the thread that waits in start() or stop()
            self._failure = failure
        finally:
            started.set()

    async def _serve_until_stopped(self, started: Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self.serving():
            started.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _checked_port(port: object) -> int:
    whole = as_whole(port)
    if whole is None or not 0 <= whole <= _LAST_PORT:
        raise ValueError(f"port is {port!r}: give a whole number up to {_LAST_PORT}, 0 for a free one")
    return whole


async def _stop_accepting(listener: socket.socket) -> None:
    """Accept no more connections, and wait until aiohttp has those accepted a moment ago.

    asyncio forgets to close a connection that it accepts in the very loop iteration in which its server is closed.
    """
    with suppress(NotImplementedError):  # Windows' proactor loop has no readers; there one may stay open
        asyncio.get_running_loop().remove_reader(listener)
    for _ in range(_ITERATIONS_TO_ARRIVE):
        await asyncio.sleep(0)
