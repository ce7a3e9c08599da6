"""What every command has around it: logging, signals, and an exit code instead of a traceback."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from traceback import format_exception
from typing import ParamSpec

import typer

from nxcdr_async._util.moments import moment_at
from nxcdr_async._util.redaction import Redactor
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.stdout import ReaderGoneError, flush_stdout
from nxcdr_async.cli.terminal import Manner, discard, json_text, printable, say, say_error, say_last
from nxcdr_async.config import SECRET_VARIABLES
from nxcdr_async.errors import BusyError, ConfigurationError, NxcdrError, SaturatedDayError, SaturatedSecondError
from nxcdr_async.transport.proxies import ProxyRules

_NO_MORE_THREADS = "can't start new thread"
"""What Python says of it, in an error of no kind of its own."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}

Parameters = ParamSpec("Parameters")


_OF_EACH_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""Attributes of any log record; what else one has are its facts."""


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not Manner.is_json:
            return printable(text, sys.stderr)
        facts = {name: value for name, value in vars(record).items() if name not in _OF_EACH_RECORD}
        if record.exc_text:
            facts["traceback"] = record.exc_text
        told = {"time": moment_at(record.created), "level": record.levelname.lower(), "logger": record.name}
        return json_text({**told, "message": record.getMessage(), **facts}).rstrip("\n")


class CommandError(NxcdrError):
    """A command cannot do its work, for a reason that is not the SDK's."""


def guarded(command: Callable[Parameters, ExitCode]) -> Callable[Parameters, None]:
    """Wrap a command, which returns its exit code, so that whatever happens in it ends in a clear line and a code."""

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        with exit_on_error():
            _handle_signals()
            _log_to_stderr()
            code = command(*args, **kwargs)
            flush_stdout()
        raise SystemExit(code)

    return run


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn whatever ends a block early into a clear line on stderr and an exit code.

    Raises:
        SystemExit: with the code of what ended it.
    """
    try:
        yield
    except NxcdrError as error:
        say_error(error)
        code = exit_code(error)
    except ReaderGoneError:
        discard(sys.stdout)
        code = ExitCode.DONE
    except (KeyboardInterrupt, typer.Abort) as stop:
        discard(sys.stdout)  # whoever should read it may never do so
        say_last(": ".join(["stopped", *getattr(stop, "__notes__", ())]))
        code = ExitCode.STOPPED
    except Exception as error:  # noqa: BLE001 - the user gets a line, and the rest when asked for
        if os.environ.get("NXCDR_LOG", "").lower() == "debug":
            _say_traceback(error)
        say(f"error: {_description(error)}", "error")
        code = ExitCode.FAILED
    else:
        return
    raise SystemExit(code)


def exit_code(error: NxcdrError) -> ExitCode:
    """Return the exit code an error stands for."""
    if isinstance(error, BusyError):
        return ExitCode.BUSY
    if isinstance(error, ConfigurationError):
        return ExitCode.WRONG_USAGE
    return ExitCode.KNOWN_GAPS if isinstance(error, SaturatedDayError | SaturatedSecondError) else ExitCode.FAILED


def _interrupt(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _description(error: Exception) -> str:
    """Say what ended a command: a want of the machine in its words, a fault of ours without, as they may be private."""
    if isinstance(error, OSError | MemoryError | ImportError) or str(error) == _NO_MORE_THREADS:
        reason = _redactor().text(str(error)) or "no memory is left"
        return f"the system refuses: {reason} (NXCDR_LOG=debug tells where)"
    return (
        f"an unexpected {type(error).__name__}: please report it, with what NXCDR_LOG=debug says (look it over for "
        "private data first)"
    )


def _handle_signals() -> None:
    # What `kill` sends, and a terminal that goes, end a command as Ctrl-C does: with everything closed and cleaned up.
    # A shell starts what it puts in the background with SIGINT ignored, and then neither would.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _interrupt)


def _log_to_stderr() -> None:
    level = _log_level()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s" if level is None else "%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger = logging.getLogger("nxcdr_async")
    logger.addHandler(handler)
    logger.setLevel(level or logging.WARNING)


def _say_traceback(error: Exception) -> None:
    """Show a traceback: without variables, and without the secrets of the environment, whoever wrote its messages."""
    for line in _redactor().text("".join(format_exception(error))).splitlines():
        say(line, "error")


def _redactor() -> Redactor:
    from urllib.request import getproxies_environment  # noqa: PLC0415 - slow to import, and seldom needed

    of_proxies = ProxyRules(environment=getproxies_environment()).secrets
    return Redactor((*(os.environ.get(variable, "") for variable in SECRET_VARIABLES), *of_proxies))


def _log_level() -> int | None:
    wanted = os.environ.get("NXCDR_LOG", "").lower()
    if wanted and wanted not in _LEVELS:
        raise ConfigurationError(f"NXCDR_LOG is {wanted!r}: set it to debug or info, or not at all")
    return _LEVELS.get(wanted)
