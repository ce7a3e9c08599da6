"""Tables for people, on stdout. Apart from plain lines for people, as rich takes a quarter of a second to import."""

from typing import NoReturn

from rich.console import Console

from nxcdr_async.cli.stdout import ReaderGoneError


class PlainConsole(Console):
    """A console that shows text as it is: no markup, no emoji, no colours of its own choice."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Tell that nobody reads any more.

        Raises:
            ReaderGoneError: always.
        """
        raise ReaderGoneError from None
