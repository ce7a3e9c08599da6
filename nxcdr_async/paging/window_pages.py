"""Requesting the pages of a window, and asking again where an answer cannot be right."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any

from attrs import define, field

from nxcdr_async.errors import GatewayError, IncompleteError, ServerError
from nxcdr_async.paging.base import in_words
from nxcdr_async.paging.page_reader import MOST_PAGES, ROWS_DUE, PageReader, PageSize
from nxcdr_async.paging.page_rows import AmbiguousRows
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Page, column_of
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import Window

MOST_PAGES_IN_VAIN = 2 * MOST_PAGES
"""Pages requested since a window was last read whole, beyond which rows seem to arrive faster than they are read.

Honest windows, read side by side and split on the way, take some hundred.
"""


@define(eq=False)
class GrowthGuard:
    """Notices a range in which ever more rows arrive, so that reading it would never end."""

    stats: PaginatorStats
    _pages_before: int = field(default=0, init=False)

    def note_window(self) -> None:
        """Note that a window was read whole."""
        self.stats.windows += 1
        self._pages_before = self.stats.pages

    def check(self, window: Window) -> None:
        """Check the pages read, before one more is requested.

        Raises:
            IncompleteError: very many since a window was last read whole.
        """
        in_vain = self.stats.pages - self._pages_before
        if in_vain >= MOST_PAGES_IN_VAIN:
            raise IncompleteError(
                f"{in_vain} pages were read and no part of {in_words(window)} whole: rows come faster than they "
                "can be read, or the gateway makes them up; ask again later",
            )


@define(eq=False)
class WindowPageReader:
    """Requests the pages of windows, and asks again where an answer cannot be right.

    Attributes:
        parameters: returns those of the request for a page of a window.
        row_key: returns the id of a raw row, None without one.
        id_key: the vendor's key of the id, in a raw row and in a request.
        start_key: the vendor's key of the start, in a raw row.
        may_be_empty: the range of which an empty answer may be believed at once, all that is read; parts of it are cut
            to hold calls. None if no empty answer is to be believed before it came twice.
        filters: by which the calls are narrowed; None for all of them.
        is_look_up: whether they are asked for by id, which nothing is an ordinary answer to.
    """

    reader: PageReader
    parameters: Callable[[Window, int], Mapping[str, Any]]
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    id_key: str = "callId"
    start_key: str = "startTime"
    may_be_empty: Window | None = None
    filters: Hashable = None
    is_look_up: bool = False

    async def first(self, window: Window) -> Page:
        """Request the first page of a window; twice if it is empty, unless that is an ordinary answer there."""
        expected = self._expected(window)
        page = await self.reader.page(self.parameters(window, 1), window, 1, expected=expected)
        page = await self._probe_page_cap(window, page)
        if window == self.may_be_empty and not self.is_look_up:
            calls = math.inf if self.is_full(page) else len(page.rows)
            self.reader.empty_answers.note_range(window, self.filters, calls)
        return page

    async def page(self, window: Window, number: int, *, expected: float | None = None) -> Page:
        """Request a page of a window.

        One that is refused each time, while the first page is answered, counts as empty.

        Args:
            window: the window.
            number: that of the page.
            expected: as for `PageReader.page`.

        Raises:
            GatewayError: the first page is refused by now, too, as its start has become too old.
        """
        parameters = self.parameters(window, number)
        try:
            return await self.reader.page(parameters, window, number, expected=expected)
        except GatewayError as refused:
            may_be_hidden = is_final(refused) or (isinstance(refused, ServerError) and not refused.is_outage)
            if number == 1 or not may_be_hidden:
                raise
            is_for_good = is_final(refused)
        await self.reader.page(self.parameters(window, 1), window, 1)
        if not is_for_good:
            with suppress(ServerError):  # the gateway is well, and fails at this page alone
                return await self.reader.page(parameters, window, number, expected=expected)
        return Page([])

    async def page_with_ambiguous(self, window: Window, ambiguous: AmbiguousRows) -> Page:
        """Request the page that had a row twice or, where different rows stood on two pages, all rows of their id."""
        if ambiguous.page is not None:
            return await self.page(window, ambiguous.page, expected=ROWS_DUE)
        second = int(ambiguous.start_ms // 1000)
        around = Window(second, second + 2)
        parameters = {**self.parameters(around, 1), self.id_key: ambiguous.identity}
        return await self.reader.page(parameters, around, 1, expected=ROWS_DUE)

    def keys(self, page: Page) -> list[Hashable]:
        """Return what distinguishes the rows of a page, as several may share an id; None for a row without one."""
        identities, starts = column_of(page.rows, self.id_key), column_of(page.rows, self.start_key)
        are_plain = {str} == set(map(type, identities)) and {int} == set(map(type, starts)) and all(identities)
        keys: list[Hashable] = list(zip(identities, starts, strict=True) if are_plain else map(self._key, page.rows))
        are_distinct = len(set(identities if are_plain else keys)) == len(keys)
        return keys if are_distinct else _numbered(keys)

    def is_full(self, page: Page) -> bool:
        """Return whether a page has as many rows as a page can have."""
        return self.page_size.is_full(len(page.rows))

    def _expected(self, window: Window) -> float:
        """Return how many calls to expect in a window; infinity in part of a range, as parts are cut to hold calls."""
        if self.is_look_up:
            return 0.0
        if window != self.may_be_empty:
            return math.inf
        return self.reader.empty_answers.expected(window, self.filters)

    def _key(self, row: Any) -> Hashable:
        identity = self.row_key(row)
        if identity is None:
            return None
        (start,) = column_of([row], self.start_key)
        return identity, start if isinstance(start, int) else str(start)

    async def _probe_page_cap(self, window: Window, page: Page) -> Page:
        """Request what follows a short first page, in case the gateway caps its pages lower than it should.

        Rows there mean that it does, unless the first page is longer by now: then they just arrived. A first page that
        changed and did not grow means it too. A first page that comes unchanged as the second page is the last one.

        Reading goes on from the longest first page that came. Even if rows arrive, it holds those that were there, or
        the next pages do, as they are requested after it; a later one that is shorter may have been cut off.
        """
        count = len(page.rows)
        if self.page_size.is_full(count) or not self.page_size.may_be_capped(count):
            return page
        behind = await self.page(window, 2, expected=ROWS_DUE)
        if not behind.rows:
            return page
        again = await self.page(window, 1, expected=ROWS_DUE)
        if len(again.rows) > count:
            return await self._probe_page_cap(window, again)
        known = set(map(self.row_key, page.rows))
        if known == set(map(self.row_key, again.rows)) and known.issuperset(map(self.row_key, behind.rows)):
            return page
        self.page_size.note_cap(count)
        return page


def _numbered(keys: list[Hashable]) -> list[Hashable]:
    """Return keys with equal ones numbered, as rows that stand on one page together are different rows."""
    seen: Counter[Hashable] = Counter()
    numbered: list[Hashable] = []
    for key in keys:
        numbered.append((key, seen[key]) if key is not None and seen[key] else key)
        seen[key] += 1
    return numbered
