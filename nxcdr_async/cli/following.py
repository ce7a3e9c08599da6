"""`--follow`: records as JSON lines on stdout as they turn up, until it is stopped."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import anyio
import msgspec
import typer
from attrs import define

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.options import parse_duration, parse_moment
from nxcdr_async.cli.stdout import write_lines
from nxcdr_async.cli.streaming import BadRows
from nxcdr_async.cli.terminal import say
from nxcdr_async.errors import ConfigurationError, NxcdrError
from nxcdr_async.paging.follower import Follower
from nxcdr_async.records.json_lines import json_lines
from nxcdr_async.session import CdrSession

LARGEST_POSITION = 500_000_000
"""Bytes; a file that is larger holds no position."""


@define(frozen=True)
class FollowGroup:
    """Whether, and how, to go on with what turns up."""

    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what turns up, late ones too, until stopped; not with --end.")
    ] = False
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="With --follow: from when on, ISO 8601; now if not given."),
    ] = None
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="With --follow: how often to ask: 60s, 5m.")
    ] = "60s"
    position: Annotated[
        str | None,
        typer.Option("--position", metavar="FILE", help="With --follow: keep in a file where it is, and go on there."),
    ] = None

    def check_range(self, start: str | None, end: str | None, last: str | None) -> None:
        """Check that a range is not both given and followed.

        Raises:
            ConfigurationError: it is; or an option of following is given without it.
        """
        if self.follow and any(given is not None for given in (start, end, last)):
            raise ConfigurationError(
                "--follow has no range: say by --since from when on, and leave --start, --end and --last out"
            )
        if not self.follow and (self.since is not None or self.position is not None):
            raise ConfigurationError("--since and --position are for --follow: add it, or give --start or --last")

    def options(self, zone: str) -> dict[str, Any]:
        """Return the arguments of `CdrSession.follow`.

        Raises:
            ConfigurationError: a value is none that its option can have; the file holds no position.
        """
        since: datetime | None = None if self.since is None else parse_moment("--since", self.since, zone)
        every = parse_duration("--every", self.every).total_seconds()
        return {"since": since, "every": every, "position": self._saved_position()}

    def _saved_position(self) -> Mapping[str, Any] | None:
        if self.position is None:
            return None
        path = Path(self.position)
        try:
            if not path.exists():
                return None
            if path.stat().st_size > LARGEST_POSITION:
                raise ConfigurationError(f"--position {self.position!r} is far too large to hold a position")
            return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except OSError as error:
            raise ConfigurationError(f"--position {self.position!r} cannot be read: {error.strerror}") from None
        except msgspec.MsgspecError:
            raise ConfigurationError(
                f"--position {self.position!r} holds no position: name another file, or remove it to begin anew"
            ) from None


def write_followed(
    arguments: dict[str, Any],
    follow: Callable[[CdrSession, dict[str, Any]], Follower[Any]],
    group: FollowGroup,
    zone: str,
    bad_rows: BadRows,
) -> ExitCode:
    """Write what turns up to stdout, until it is stopped; returns never.

    Args:
        arguments: of the session.
        follow: returns the follower, given the session and options of it.
        group: how to follow.
        zone: of times without an offset.
        bad_rows: what becomes of them.

    Raises:
        NxcdrError: it cannot go on, or the position cannot be kept.
        ReaderGoneError: nobody reads stdout any more.
    """
    options = {**group.options(zone), **bad_rows.options, "on_retry": _say_retry, "on_gap": _say_gap}
    return anyio.run(_write_followed, arguments, follow, options, group.position)


async def _write_followed(
    arguments: dict[str, Any],
    follow: Callable[[CdrSession, dict[str, Any]], Follower[Any]],
    options: dict[str, Any],
    place: str | None,
) -> ExitCode:
    async with CdrSession.from_env(**arguments) as session, follow(session, options) as follower:
        if place is not None:
            _save(place, follower.position)
        async for page in follower.pages():
            await write_lines(json_lines(page))
            if place is not None:
                _save(place, follower.position)
    return ExitCode.DONE


def _save(place: str, position: Mapping[str, Any]) -> None:
    """Write a position beside its file and rename it, so that the file is whole at any moment.

    Raises:
        NxcdrError: it cannot be written.
    """
    path = Path(place)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_bytes(msgspec.json.encode(position))
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise NxcdrError(f"cannot keep the position in {place!r}: {error.strerror}") from None


def _say_retry(error: NxcdrError) -> None:
    say(f"warning: {error}; trying again later", "warning", indent=len("warning: "))


def _say_gap(error: NxcdrError) -> None:
    say(f"warning: {error}", "warning", indent=len("warning: "))
