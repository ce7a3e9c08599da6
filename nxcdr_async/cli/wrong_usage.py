"""What the parser of the command line says of wrong usage, in our words: its own change with its version."""

import re
from typing import Any

import typer

from nxcdr_async.cli.terminal import say

UsageError: Any = typer.BadParameter.__mro__[1]
"""Click's or typer's own, by its version."""

_IN_OUR_WORDS = (
    (r"Value error, ", ""),
    (r"Input should be a valid integer\b.*", "it is no whole number"),
    (r"Input should be a valid number\b.*", "it is no number"),
    (r"Input should be greater than or equal to (\S+)", r"it must be \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"it must be \1 or less"),
    (r"Input should be\b", "it must be"),
    (r"\. Did you mean", ": did you mean"),
    (r"\(Possible options: ", "(possible options: "),
)
"""What pydantic says, of which typer makes use."""


def say_wrong_usage(error: Any) -> None:
    """Say what was wrong on the command line, and where to look it up.

    Args:
        error: a usage error of the parser's.
    """
    if type(error).__name__ == "NoArgsIsHelpError":  # none of the names typer exports; its message is the help
        error.show()
        return
    say(f"error: {in_our_words(error.format_message())}", "error", indent=len("error: "))
    command = "nxcdr" if error.ctx is None else error.ctx.command_path
    say(f"  {command} --help tells how it is used", "error", indent=2)


def in_our_words(message: str) -> str:
    """Return a message of the parser's in our words and in our spelling."""
    for theirs, ours in _IN_OUR_WORDS:
        message = re.sub(theirs, ours, message)
    return message[:1].lower() + message[1:].removesuffix(".")
