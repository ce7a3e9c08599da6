"""The options commands have in common, and what their values mean."""

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import Enum
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote

import typer
from attrs import asdict, define, fields, has

from nxcdr_async._util.clocks import present
from nxcdr_async.cli.terminal import Manner
from nxcdr_async.config import Credentials, FlashApp
from nxcdr_async.errors import ConfigurationError
from nxcdr_async.records.converter import UTC_PLUS_8
from nxcdr_async.records.models import SourceName


class SourceChoice(Enum):
    """What can be read."""

    CALLS = "calls"
    DID = "did"
    FLASH = "flash"


SourceArgument = Annotated[SourceChoice, typer.Argument(metavar="SOURCE", help="calls, did or flash.")]
TargetOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="PLACE",
        help="A file .duckdb or .sqlite, a folder .parquet, .jsonl or .csv, or postgresql://…",
    ),
]
SettleOption = Annotated[
    str,
    typer.Option("--settle", metavar="DURATION", help="How long rows may still turn up: 24h, 90m, 2d; hours if bare."),
]

ZoneOption = Annotated[
    str,
    typer.Option(
        "--tz", metavar="ZONE", help="Zone of times read without an offset and shown: Asia/Hong_Kong, +08:00."
    ),
]
ShownZoneOption = Annotated[
    str,
    typer.Option("--tz", metavar="ZONE", help="Zone of the times that are shown: Asia/Hong_Kong, +08:00."),
]
StartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="First moment: 2026-01-01, 2026-01-01T08:30+08:00, today, yesterday."),
]
EndOption = Annotated[
    str | None,
    typer.Option(
        "--end", metavar="TIME", help="The moment the range ends before; a date is its midnight; now if not given."
    ),
]
RangeStartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", help="First moment: 2026-01-01T08:30+08:00, yesterday; a day for did."),
]
RangeEndOption = Annotated[
    str | None,
    typer.Option(
        "--end", metavar="TIME", help="The moment the range ends before, for did the last day; now if not given."
    ),
]
LastOption = Annotated[
    str | None,
    typer.Option("--last", metavar="DURATION", help="The range of so long before the end, for --start: 7d, 24h, 90m."),
]
SkipOption = Annotated[
    bool,
    typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read instead of stopping; ends with code 3."),
]


def filter_option(option: str, which: str) -> Any:
    """Return an option that leaves only calls of one kind, say "from this number"."""
    return typer.Option(option, metavar="TEXT", help=f"Only calls {which}.")


_Secrets = Literal["credentials", "flash app"]

_PROMPTS: dict[_Secrets, tuple[tuple[str, str], tuple[str, str]]] = {
    "credentials": (("NXCDR_ACCESS_KEY", "access key"), ("NXCDR_ACCESS_SECRET", "access secret")),
    "flash app": (("NXCDR_FLASH_APPKEY", "flash-call appkey"), ("NXCDR_FLASH_SECRETKEY", "flash-call secretkey")),
}
"""The variable and the prompt of each secret."""

_PAIRS: dict[_Secrets, tuple[str, Callable[[str, str], Credentials | FlashApp]]] = {
    "credentials": ("credentials", Credentials),
    "flash app": ("flash_app", FlashApp),
}

_SECRETS_FOR: dict[SourceName, _Secrets] = {"calls": "credentials", "did": "credentials", "flash": "flash app"}
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)\s*([smhd]?)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "": "hours", "d": "days"}
_DAYS_AGO = {"today": 0, "yesterday": 1}
_PASSWORD = re.compile(r"://[^@]*:.*@|password\s*=", re.IGNORECASE | re.DOTALL)

ReturnT = TypeVar("ReturnT")


@define(frozen=True)
class GatewayOptions:
    """How to reach a gateway; None leaves it to the environment, then to the default."""

    region: Annotated[
        str | None,
        typer.Option("--region", metavar="NAME", help="hk (the default), amer, idn or legacy; else NXCDR_REGION."),
    ] = None
    gateway: Annotated[
        str | None,
        typer.Option("--gateway", metavar="URL", help="Base URL instead of the region's own; else NXCDR_GATEWAY."),
    ] = None
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", metavar="N", min=1, help="Most requests at once; adapts by itself if not given."),
    ] = None
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N", help="Most requests a second; no bound if not given."),
    ] = None
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="How long one request may take; 30 if not given."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given, as arguments of `CdrSession.from_env`.

        Raises:
            ConfigurationError: a value is none that its option can have.
        """
        return {name: value for name, value in asdict(self).items() if value is not None}

    def arguments_for(self, source: SourceName) -> dict[str, Any]:
        """Return what was given, and the secrets that a source is asked with.

        Raises:
            ConfigurationError: a value is none that its option can have; or the secrets are missing, and nobody can be
                asked.
        """
        return {**self.arguments(), **secrets_for(source)}


@define(frozen=True)
class RangeOptions(GatewayOptions):
    """How to reach a gateway, for commands that ask for a range of time."""

    max_span: Annotated[
        str | None,
        typer.Option(
            "--max-span", metavar="DURATION", help="Widest range to ask for at once: 31d; learned if not given."
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given, as arguments of `CdrSession.from_env`.

        Raises:
            ConfigurationError: the widest range is no duration.
        """
        arguments = super().arguments()
        if self.max_span is not None:
            arguments["max_span"] = parse_duration("--max-span", self.max_span)
        return arguments


class LogFormat(Enum):
    """How lines on stderr are written."""

    TEXT = "text"
    JSON = "json"


@define(frozen=True)
class StoreOptions:
    """How to go on in a store, and what to tell where."""

    new_key: Annotated[
        bool, typer.Option("--new-key", help="Go on in a store that was filled with another key of the same account.")
    ] = False
    new_gateway: Annotated[
        bool,
        typer.Option("--new-gateway", help="Go on in a store that was filled from another address of the gateway."),
    ] = False
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write the report as JSON too; - is stdout.")
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something is wrong.")] = False
    log: Annotated[
        LogFormat, typer.Option("--log", metavar="FORMAT", help="Lines on stderr: text (the default) or json.")
    ] = LogFormat.TEXT

    def choose_manner(self) -> None:
        """Have lines on stderr be written as was asked for, from now on."""
        Manner.is_quiet, Manner.is_json = self.quiet, self.log is LogFormat.JSON


def secrets_for(source: SourceName) -> dict[str, Credentials | FlashApp]:
    """Ask at the terminal for the secrets of a source that the environment lacks; returns an argument of a session.

    Raises:
        ConfigurationError: they are missing, and nobody can be asked.
    """
    secrets = _SECRETS_FOR[source]
    (key_variable, key_prompt), (secret_variable, secret_prompt) = _PROMPTS[secrets]
    if os.environ.get(key_variable) or os.environ.get(secret_variable):
        return {}
    if not sys.stdin.isatty():
        raise ConfigurationError(f"no {secrets}: set {key_variable} and {secret_variable} in the environment")
    argument, pair = _PAIRS[secrets]
    # No variable holds the secret: a traceback may show them.
    return {argument: pair(typer.prompt(key_prompt, err=True), typer.prompt(secret_prompt, hide_input=True, err=True))}


def with_option_groups(command: Callable[..., ReturnT]) -> Callable[..., ReturnT]:
    """Show typer the single options of each group that a command takes, in the group's place."""
    parameters: list[Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in signature(command).parameters.values():
        if not has(parameter.annotation):
            parameters.append(parameter)
            continue
        groups[parameter.name] = parameter.annotation
        parameters += [
            Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
            for option in fields(parameter.annotation)
        ]

    @wraps(command)
    def with_groups(**given: Any) -> ReturnT:
        made = {
            name: group(**{option.name: given.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **made)

    with_groups.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # what typer reads, if it is there
    return with_groups


def parse_moment(option: str, text: str, zone: str, now: datetime | None = None) -> datetime:
    """Read a time, in a zone if it has no offset of its own.

    Args:
        option: it is the value of.
        text: ISO 8601, now, or a day by name, which is its midnight there.
        zone: a name or an offset.
        now: the present; that of this machine's clock if not given.

    Raises:
        ConfigurationError: it is no time, there is no such zone, or no such time in it, or two.
    """
    word = text.strip().lower()
    now = now or present()
    if word == "now":
        return now.replace(microsecond=0)
    if word in _DAYS_AGO:
        day = now.astimezone(parse_zone(zone)).date() - timedelta(days=_DAYS_AGO[word])
        moment = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - gets its zone below
    else:
        moment = _iso_moment(option, text)
    return moment if moment.tzinfo else _moment_in(option, text, moment.replace(tzinfo=parse_zone(zone)), zone)


def _iso_moment(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is no time: write today, yesterday, now or ISO 8601, as 2026-01-31 or "
            "2026-01-31T08:30:00+08:00"
        ) from None


def _moment_in(option: str, text: str, moment: datetime, zone: str) -> datetime:
    """Return a local time, unless the clocks of its zone are set in that hour, so that it says no or two moments."""
    other = moment.replace(fold=1)
    if moment.utcoffset() == other.utcoffset():
        return moment
    # The moments, as those of one zone are compared by what its clocks show.
    how_often = "comes twice" if moment.astimezone(UTC) < other.astimezone(UTC) else "never comes"
    raise ConfigurationError(
        f"{option} {text!r} {how_often} in {zone}, as its clocks are set then: write the offset too, as in "
        f"{moment.isoformat()} or {other.isoformat()}"
    )


@define(frozen=True)
class RangeWords:
    """A range as it was written.

    Attributes:
        start: --start, None if not given.
        end: --end, None for the present.
        last: --last, how long the range is, in place of --start.
        zone: --tz.
    """

    start: str | None
    end: str | None
    last: str | None
    zone: str = "UTC"

    def moments(self, now: datetime | None = None) -> tuple[datetime, datetime]:
        """Read it as times.

        Args:
            now: the present; that of this machine's clock if not given.

        Raises:
            ConfigurationError: it does not say from when on, or says it twice; or one of its times is none.
        """
        self._check_start()
        now = now or present()
        start = None if self.start is None else parse_moment("--start", self.start, self.zone, now)
        end = parse_moment("--end", self.end or "now", self.zone, now)
        if start is not None:
            return start, end
        return end - _length("--last", self.last or ""), end

    def days(self, now: datetime | None = None) -> tuple[date, date]:
        """Read it as days of the vendor's, both inclusive.

        Args:
            now: the present; that of this machine's clock if not given.

        Raises:
            ConfigurationError: it does not say from when on, or says it twice; or one of its days is none.
        """
        self._check_start()
        now = now or present()
        start = None if self.start is None else parse_day("--start", self.start, now)
        end = parse_day("--end", self.end or "today", now)
        if start is not None:
            return start, end
        whole = _length("--last", self.last or "") / timedelta(days=1)
        if not whole.is_integer():
            raise ConfigurationError(f"--last {self.last!r} is not whole days, which did calls are kept by: write 7d")
        return end - timedelta(days=whole - 1), end

    def of(self, source: SourceChoice | None) -> tuple[date, date]:
        """Read it as what a source is asked by: days for did, else times.

        Raises:
            ConfigurationError: as of both.
        """
        return self.days() if source is SourceChoice.DID else self.moments()

    def _check_start(self) -> None:
        if (self.start is None) is (self.last is None):
            raise ConfigurationError(
                "from when on? Give --start or --last, as in --start yesterday or --last 7d"
                if self.start is None
                else "--start and --last exclude each other: give one of them"
            )


def parse_day(option: str, text: str, now: datetime | None = None) -> date:
    """Read a day of the vendor's.

    Args:
        option: it is the value of.
        text: ISO 8601, today or yesterday.
        now: the present; that of this machine's clock if not given.

    Raises:
        ConfigurationError: it is none.
    """
    word = text.strip().lower()
    if word in _DAYS_AGO:
        return (now or present()).astimezone(UTC_PLUS_8).date() - timedelta(days=_DAYS_AGO[word])
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{option} {text!r} is no day: write today, yesterday or ISO 8601, as 2026-01-31"
        ) from None


def _length(option: str, text: str) -> timedelta:
    length = parse_duration(option, text)
    if not length:
        raise ConfigurationError(f"{option} {text!r} is no time at all: write 24h or 7d")
    return length


def parse_zone(text: str) -> tzinfo:
    """Read a zone's name, or an offset such as +08:00.

    Raises:
        ConfigurationError: there is no such zone.
    """
    if text.upper() in {"UTC", "Z"}:
        return UTC
    try:
        if text[:1] in {"+", "-"}:
            return datetime.fromisoformat(f"2000-01-01T00:00{text}").tzinfo or UTC
        from zoneinfo import ZoneInfo  # noqa: PLC0415 - no other part of a command needs it

        return ZoneInfo(text)
    except (ValueError, KeyError, OSError):  # what ZoneInfo raises for names that are none, or that are folders
        raise ConfigurationError(
            f"--tz {text!r} is no time zone: give a name such as Asia/Hong_Kong, or an offset such as +08:00"
        ) from None


def parse_duration(option: str, text: str) -> timedelta:
    """Read a duration such as 24h, 90m or 2d; a bare number is hours.

    Raises:
        ConfigurationError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"{option} {text!r} is no duration: write hours, or 24h, 90m, 2d")
    number, unit = found.groups()
    return timedelta(**{_UNITS[unit]: float(number)})


def parse_target(text: str) -> str:
    """Return the place to store in, as it was given.

    Raises:
        ConfigurationError: it holds a password, which the list of processes shows to everybody.
    """
    if _PASSWORD.search(unquote(text)):
        raise ConfigurationError(
            "--to holds a password, which everybody on this machine can see in the list of processes: leave it out, "
            "and set PGPASSWORD in the environment, or put it into ~/.pgpass or the file that PGPASSFILE names"
        )
    return text
