"""The command that serves the emulator until it is told to stop."""

import os
import sys
from collections.abc import Callable
from datetime import date
from threading import Thread
from typing import Any

import anyio
import msgspec

from nxcdr_async.cli.guard import DONE
from nxcdr_async.errors import NxcdrError
from nxcdr_async.testing.gateway import Gateway
from nxcdr_async.testing.switches import Switches


class PortError(NxcdrError):
    """The port cannot be listened on."""


def emulate(history: dict[str, Any], switches: dict[str, Any], *, port: int, first_day: date | None, until: "Stop") -> int:
    """Announce the emulator in one line of JSON on stdout, then serve until stopped; returns the exit code.

    Raises:
        PortError: the port is taken, or not ours to take.
    """
    given = {**history, "first_day": first_day} if first_day else history
    gateway = Gateway(**given, switches=Switches(**switches), port=port)
    try:
        anyio.run(_serve, gateway, until)
    except KeyboardInterrupt:
        return DONE
    return DONE


async def never(_stop: Callable[[], None]) -> None:
    """Let the emulator run until a signal comes."""


async def _serve(gateway: Gateway, until: "Stop") -> None:
    raise NotImplementedError


Stop = Callable[[Callable[[], None]], Any]
