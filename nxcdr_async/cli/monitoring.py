"""`--metrics-port`: figures for Prometheus at /metrics, and at /healthz whether all is well."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.util import find_spec

import anyio
from aiohttp import web
from attrs import define

from nxcdr_async._util.clocks import move_on_after, steady, wall
from nxcdr_async._util.late_imports import import_late
from nxcdr_async.cli.terminal import json_text, say
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.ingest.sync_watch import SyncWatch
from nxcdr_async.telemetry.pushes import PUSHES

SECONDS_TO_CLOSE = 2.0


def check_prometheus() -> None:
    """Check that the package is there which figures are told by.

    Raises:
        ConfigurationError: it is not.
    """
    if find_spec("prometheus_client") is None:
        raise ConfigurationError(
            "--metrics-port needs the package prometheus_client: install nxcdr-async with its extra prometheus"
        )


@define(frozen=True)
class MetricsPlace:
    """Where figures are told.

    Attributes:
        port: 0 takes a free one.
        host: address to listen on; None for all of this machine.
    """

    port: int
    host: str | None = None

    @asynccontextmanager
    async def telling(self, watch: SyncWatch) -> AsyncIterator[None]:
        """Tell of rounds as long as a block lasts.

        Raises:
            ConfigurationError: nobody can listen there.
        """
        runner = web.AppRunner(application_of(watch), access_log=None, shutdown_timeout=SECONDS_TO_CLOSE)
        with self._listener() as listener:
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                port = listener.getsockname()[1]
                say(f"figures at http://{self.host or 'localhost'}:{port}/metrics, health at /healthz", port=port)
                yield
            finally:
                with anyio.CancelScope(shield=True), move_on_after(SECONDS_TO_CLOSE):
                    await runner.cleanup()

    def _listener(self) -> socket.socket:
        try:
            if self.host is not None:
                family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
                return socket.create_server((self.host, self.port), family=family)
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", self.port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", self.port))
        except OSError as error:
            where = f"port {self.port}" if self.host is None else f"port {self.port} of {self.host}"
            raise ConfigurationError(
                f"cannot listen on {where}: {error.strerror}; give another --metrics-port, or --metrics-host"
            ) from None


def application_of(watch: SyncWatch) -> web.Application:
    """Return what answers, from the event loop that the rounds run in: if that is stuck, nobody answers."""
    prometheus = import_late("nxcdr_async.telemetry.prometheus")
    exposition = prometheus.Exposition.of(
        lambda: [*watch.measure(at=wall()), *watch.measure_requests(), *PUSHES.measure()]
    )

    async def metrics(request: web.Request) -> web.Response:  # noqa: ASYNC124 - as aiohttp wants a handler
        text, content_type = exposition.text(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:  # noqa: ASYNC124 - likewise
        now = steady()
        status = HTTPStatus.OK if watch.is_well(now=now) else HTTPStatus.SERVICE_UNAVAILABLE
        return web.Response(status=status, text=json_text(watch.health(now=now)), content_type="application/json")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", healthz)
    return application
