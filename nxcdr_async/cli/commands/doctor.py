"""`nxcdr doctor`: everything a reading needs, checked step by step, each failure with what to do about it."""

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from enum import Enum
from urllib.parse import SplitResult, urlsplit

import anyio
from attrs import define
from rich.table import Table
from rich.text import Text

from nxcdr_async._util.clocks import fail_after, present
from nxcdr_async._util.counts import counted
from nxcdr_async.cli.console import PlainConsole
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import GatewayOptions
from nxcdr_async.cli.terminal import can_show, printable
from nxcdr_async.config import checked_gateway
from nxcdr_async.errors import ConfigurationError, NxcdrError, SaturatedSecondError
from nxcdr_async.protocol.auth import Request
from nxcdr_async.protocol.endpoints import CALLS, FLASH
from nxcdr_async.session import CdrSession, context_of
from nxcdr_async.stats import SessionStats
from nxcdr_async.transport.clock_skew import CORRECT_ABOVE
from nxcdr_async.transport.connection import Connection
from nxcdr_async.transport.proxies import Proxy, Route

SECONDS_TO_CONNECT = 10.0
ASKED_FOR = timedelta(minutes=1)


class State(Enum):
    """How a check ended, with its mark and what stands for it in ASCII."""

    GOOD = ("✓", "ok", "green")
    BAD = ("✗", "FAIL", "red")
    LEFT_OUT = ("·", "-", "dim")


@define(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was checked.
        state: how it ended.
        found: what was found, or what went wrong.
        advice: what to do about it.
    """

    check: str
    state: State
    found: str
    advice: str = ""


def doctor(*, gateway: GatewayOptions) -> ExitCode:
    findings = anyio.run(_examine, gateway)
    _show(findings)
    return ExitCode.FAILED if any(finding.state is State.BAD for finding in findings) else ExitCode.DONE


def _show(findings: list[Finding]) -> None:
    symbols = can_show("✓✗·", sys.stdout)
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        mark, plain, style = finding.state.value
        text = Text(printable(finding.found, sys.stdout))
        if finding.advice:
            text.append(f"\n{printable(finding.advice, sys.stdout)}", style="bold")
        table.add_row(Text(mark if symbols else plain, style=style), finding.check, text)
    PlainConsole().print(table)


async def _examine(options: GatewayOptions) -> list[Finding]:
    try:
        session = CdrSession.from_env(**options.arguments())
    except ConfigurationError as error:
        return [Finding("settings", State.BAD, str(error))]
    async with session:
        own = options.gateway or os.environ.get("NXCDR_GATEWAY")
        gateway = checked_gateway(own or session.region.gateway)
        context = context_of(session)
        route = context.route_to(CALLS)
        findings = [
            Finding("gateway", State.GOOD, f"{gateway} ({'given' if own else f'region {session.region.name}'})"),
            _proxy("proxy", route),
        ]
        if context.route_to(FLASH) != route:
            findings.append(_proxy(f"proxy to {urlsplit(context.gateway_of(FLASH)).hostname}", context.route_to(FLASH)))
        if route.proxy is None:
            findings += await _connected_directly(urlsplit(gateway))
        else:
            findings += await _through_proxy(route.proxy, route, gateway)
        if findings[-1].state is State.GOOD:
            findings += await _signed(session)
            findings += await _flash(session)
        return findings


def _proxy(check: str, route: Route) -> Finding:
    if route.proxy is None:
        return Finding(check, State.LEFT_OUT, f"none: {route.reason}")
    user = ", with a user" if route.proxy.authorization else ""
    return Finding(check, State.GOOD, f"{route.proxy.url}{user}, {route.reason}")


async def _connected_directly(gateway: SplitResult) -> list[Finding]:
    """Check name, connection and certificate."""
    host, port = gateway.hostname or "", gateway.port or (443 if gateway.scheme == "https" else 80)
    name = await _name(host, port, "Is the gateway written right? Is this machine online?")
    if name.state is State.BAD:
        return [name]
    return [name, await _connection(host, port, is_encrypted=gateway.scheme == "https")]


async def _through_proxy(proxy: Proxy, route: Route, gateway: str) -> list[Finding]:
    """Check the name of a proxy, which alone looks up that of the gateway, and whether it lets the gateway answer."""
    name = await _name(*proxy.address, f"Is the proxy written right in {proxy.named_by}? Is this machine online?")
    if name.state is State.BAD:
        return [name]
    connection = Connection(http=None, timeout=SECONDS_TO_CONNECT, routes={gateway: route})
    try:
        response = await connection.send(gateway, Request("GET", "/", {}))
    except NxcdrError as error:
        return [name, Finding("connection", State.BAD, str(error))]
    finally:
        await connection.aclose()
    return [name, Finding("connection", State.GOOD, f"through the proxy, it answers (HTTP {response.status})")]


async def _name(host: str, port: int, advice: str) -> Finding:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Finding("name", State.BAD, f"{host} is not known ({error.strerror})", advice)
    addresses = sorted({str(address[0]) for *_, address in found})
    return Finding("name", State.GOOD, f"{host} is {', '.join(addresses)}")


async def _connection(host: str, port: int, *, is_encrypted: bool) -> Finding:
    try:
        with fail_after(SECONDS_TO_CONNECT):
            _, writer = await asyncio.open_connection(host, port, ssl=is_encrypted or None)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or error.reason
        advice = "Check this machine's clock, its certificates, and whether a proxy reads along."
        return Finding("connection", State.BAD, f"no TLS with {host}: {why}", advice)
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or f"no answer within {SECONDS_TO_CONNECT:.0f} s"
        return Finding("connection", State.BAD, f"port {port}: {why}", "Does a firewall or proxy stand in the way?")
    encryption = writer.get_extra_info("ssl_object")
    writer.close()
    return Finding("connection", State.GOOD, encryption.version() if encryption else "without TLS, on this machine")


async def _signed(session: CdrSession) -> list[Finding]:
    """Check credentials, a signed request and the clock."""
    if not os.environ.get("NXCDR_ACCESS_KEY"):
        advice = "Set NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET, from the vendor's console."
        return [Finding("credentials", State.BAD, "not set", advice)]
    credentials = Finding("credentials", State.GOOD, "set in the environment")
    now = present()
    request = await _asked(
        "signed request", lambda: session.calls(now - ASKED_FOR, now, on_bad_row="skip").collect(), "call"
    )
    return [credentials, request, _clock(session.stats)]


def _clock(stats: SessionStats) -> Finding:
    skew = stats.clock_skew
    if skew is None:
        found = "the gateway did not tell its time, so this machine's clock is used"
        return Finding("clock", State.LEFT_OUT, found)
    direction = "behind" if skew > 0 else "ahead of"
    found = f"{abs(skew):.1f} s {direction} the gateway's, which nxcdr makes up for"
    if stats.clock_source != "date":
        about = "within a minute of the gateway's" if abs(skew) <= CORRECT_ABOVE else found
        why = "its replies tell no time, or another clock's than it checks timestamps by"
        return Finding("clock", State.GOOD, f"{about}; {why}", "Keep this machine's clock set by NTP.")
    if abs(skew) <= CORRECT_ABOVE:
        return Finding("clock", State.GOOD, f"within {CORRECT_ABOVE:.0f} s of the gateway's")
    return Finding("clock", State.GOOD, found, "Set this machine's clock by NTP.")


async def _flash(session: CdrSession) -> list[Finding]:
    if not os.environ.get("NXCDR_FLASH_APPKEY"):
        found = "not set; only nxcdr flash and flash-call need NXCDR_FLASH_APPKEY and NXCDR_FLASH_SECRETKEY"
        return [Finding("flash app", State.LEFT_OUT, found)]
    now = present()
    return [await _asked("flash app", lambda: session.flash_calls(now - ASKED_FOR, now).collect(), "flash call")]


async def _asked(check: str, ask: Callable[[], Awaitable[Sequence[object]]], what: str) -> Finding:
    try:
        records = await ask()
    except SaturatedSecondError:
        return Finding(check, State.GOOD, "accepted")
    except NxcdrError as error:
        return Finding(check, State.BAD, str(error))
    return Finding(check, State.GOOD, f"accepted; {counted(len(records), what)} in the last minute")
