"""What every command has around it: logging, signals, and an exit code instead of a traceback."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.lines import ReaderGoneError, flush_stdout
from nxcdr_async.cli.output import say, say_error
from nxcdr_async.errors import ConfigurationError, NxcdrError, SaturatedSecondError

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}

Parameters = ParamSpec("Parameters")


class CommandError(NxcdrError):
    """A command cannot do its work, for a reason that is not the SDK's."""


def guarded(command: Callable[Parameters, ExitCode]) -> Callable[Parameters, None]:
    """Wrap a command, which returns its exit code, so that whatever happens in it ends in a clear line and a code."""

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            _prepare()
            code = command(*args, **kwargs)
            flush_stdout()
        except NxcdrError as error:
            say_error(error)
            code = exit_code(error)
        except ReaderGoneError:
            code = _without_reader()
        except (KeyboardInterrupt, typer.Abort):
            say("stopped")
            code = ExitCode.STOPPED
        except Exception as error:
            if _log_level() == logging.DEBUG:
                raise
            say(
                f"error: an unexpected {type(error).__name__}: please report it, with what NXCDR_LOG=debug says "
                "(look it over for private data first)"
            )
            code = ExitCode.FAILED
        raise SystemExit(code)

    return run


def exit_code(error: NxcdrError) -> ExitCode:
    """Return the exit code an error stands for."""
    if isinstance(error, ConfigurationError):
        return ExitCode.WRONG_USAGE
    return ExitCode.KNOWN_GAPS if isinstance(error, SaturatedSecondError) else ExitCode.FAILED


def _prepare() -> None:
    # What `kill` sends ends a command as Ctrl-C does: with everything closed and cleaned up. A shell starts what it
    # puts in the background with SIGINT ignored, and then neither would.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    level = _log_level()
    if level is not None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger = logging.getLogger("nxcdr_async")
        logger.addHandler(handler)
        logger.setLevel(level)


def _log_level() -> int | None:
    wanted = os.environ.get("NXCDR_LOG", "").lower()
    if wanted and wanted not in _LEVELS:
        raise ConfigurationError(f"NXCDR_LOG is {wanted!r}: set it to debug or info, or not at all")
    return _LEVELS.get(wanted)


def _without_reader() -> ExitCode:
    """Point stdout to nowhere, so that nothing complains when it is flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE
