"""The commands of `nxcdr`, put together. Each is thin: it reads its options and calls the room that does the work."""

from typing import Annotated

import typer

from nxcdr_async._version import __version__
from nxcdr_async.cli.commands.backfill import backfill, sync
from nxcdr_async.cli.commands.demo import demo
from nxcdr_async.cli.commands.doctor import doctor
from nxcdr_async.cli.commands.emulator import emulator
from nxcdr_async.cli.commands.help_texts import HELP
from nxcdr_async.cli.commands.plan import plan
from nxcdr_async.cli.commands.prune import prune
from nxcdr_async.cli.commands.reading import calls, did, flash, order
from nxcdr_async.cli.commands.verify import verify
from nxcdr_async.cli.run import guarded

app = typer.Typer(
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


@app.callback(help=HELP["nxcdr"])
def nxcdr(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Call detail records of the NXLink / NXCloud call center, read concurrently and proven complete."""


for command in (demo, calls, did, flash, order, plan, backfill, sync, verify, prune, doctor, emulator):
    app.command(help=HELP[command.__name__])(guarded(command))
