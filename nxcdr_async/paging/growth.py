"""Noticing a range of which ever more rows come, so that its reading would never end."""

from attrs import define, field

from nxcdr_async.errors import IncompleteError
from nxcdr_async.paging.base import in_words
from nxcdr_async.paging.page_reader import MOST_PAGES
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

MOST_PAGES_IN_VAIN = 2 * MOST_PAGES
"""Pages asked for since a window was last read whole, beyond which rows are taken to arrive faster than they are read.

Honest windows, read side by side and split on the way, take some hundred.
"""


@define(eq=False)
class Progress:
    """How many pages were asked for since a window was last read whole, going by the counts of a stream."""

    stats: PaginatorStats
    _pages_before: int = field(default=0, init=False)

    def note_window(self) -> None:
        """Note that a window was read whole."""
        self.stats.windows += 1
        self._pages_before = self.stats.pages

    def check(self, window: Window) -> None:
        """Check it before a page of a window is asked for.

        Raises:
            IncompleteError: very many pages were read, and no window whole.
        """
        in_vain = self.stats.pages - self._pages_before
        if in_vain >= MOST_PAGES_IN_VAIN:
            raise IncompleteError(
                f"{in_vain} pages were read and no part of {in_words(window)} whole: rows come faster than they "
                "can be read, or the gateway makes them up; ask again later",
            )
