"""The commands of `nxcdr`: a table of what there is, and the import of the one that is asked for."""

from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from nxcdr_async._version import __version__
from nxcdr_async.cli.exit_codes import ExitCode
from nxcdr_async.cli.wrong_usage import UsageError, say_wrong_usage

HELP = """
Call detail records of the NXLink / NXCloud call center, read concurrently and proven complete.

No account yet? Try: nxcdr demo

With one, set NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET (NXCDR_REGION if it is not hk), then: nxcdr doctor

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with known gaps, 75 the store is
in use by another run (try again later), 130 stopped.
"""
COMMANDS = {
    "demo": "See it work without an account: a month of made-up calls.",
    "calls": "Write call-center calls as JSON lines.",
    "did": "Write calls over DID numbers as JSON lines.",
    "flash": "Write flash calls as JSON lines.",
    "flash-call": "Write one flash call as a JSON line.",
    "order": "Write the calls of one order as JSON lines.",
    "plan": "Estimate rows, requests, time and disk from a few samples.",
    "backfill": "Fill a store with the records of a range.",
    "sync": "Bring a store up to the present, once or every few minutes.",
    "status": "Tell how a store is: rows, completeness, gaps, last run.",
    "verify": "Compare a store with what the gateway tells now.",
    "prune": "Remove old rows from a store, for good.",
    "doctor": "Check settings, line, credentials and clock; say what to do.",
    "emulator": "Run an emulator of the vendor's gateway.",
}
"""Each command and the first line of its help, in the order of `nxcdr --help`.

The command is the function of that name in `commands/` (flash-call: `flash_call.flash_call`); what else its help says
is `DETAILS` there. Both are text, not docstrings, which `python -OO` does not have.
"""


class LazyCommands(TyperGroup):
    """Lists the commands of the table, imports the one that is asked for, and tells wrong usage as any other error."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run a command.

        Raises:
            SystemExit: with its exit code.
        """
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except UsageError as wrong:
            say_wrong_usage(wrong)
            code = ExitCode.WRONG_USAGE
        raise SystemExit(code or ExitCode.DONE)

    # Any: typer's type of a context and of a command is click's or one of its own, by its version.
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments begin with, and the rest of them."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else _imported(name), rest


app = typer.Typer(
    cls=LazyCommands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Typer's own rich help would import rich, for a quarter of a second at every --help.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's way to call it
    if wanted:
        typer.echo(f"nxcdr {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def nxcdr(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Show the version, or go on to a command."""


def _listed() -> None:
    """Stand in the list for a command that is imported when it is asked for."""


for command, first_line in COMMANDS.items():
    app.command(command, help=first_line)(_listed)


def _imported(name: str) -> Any:
    from nxcdr_async.cli.options import with_option_groups  # noqa: PLC0415 - imports the SDK, which no list needs
    from nxcdr_async.cli.run import exit_on_error, guarded  # noqa: PLC0415 - likewise

    word = name.replace("-", "_")
    with exit_on_error():
        module = import_module(f"nxcdr_async.cli.commands.{word}")
    details = getattr(module, "DETAILS", "")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name, help=f"{COMMANDS[name]}\n{details}")(guarded(with_option_groups(getattr(module, word))))
    return get_command(single)
