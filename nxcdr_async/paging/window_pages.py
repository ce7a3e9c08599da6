"""The pages of a window, asked for one by one, and doubted where they cannot be right."""

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Any

from attrs import define

from nxcdr_async.errors import GatewayError, ServerError
from nxcdr_async.paging.page_reader import PageReader, PageSize
from nxcdr_async.paging.page_rows import Company
from nxcdr_async.protocol.codes import is_final
from nxcdr_async.protocol.responses import Page
from nxcdr_async.windows import Window

AskPage = Callable[[Mapping[str, Any], Window, int], Awaitable[Page]]

_identity_and_start = attrgetter("identity", "start_ms")


@define(eq=False)
class WindowPageReader:
    """Asks for the pages of windows, doubting answers that cannot be right.

    Attributes:
        reader: asks for pages.
        parameters: of the request for a page of a window.
        row_key: the id of a raw row, None without one.
        page_size: how many rows fill a page.
        id_key: the vendor's key of the id, of a raw row and of a request.
        start_key: the vendor's key of the time of a raw row.
    """

    reader: PageReader
    parameters: Callable[[Window, int], Mapping[str, Any]]
    row_key: Callable[[Any], Hashable]
    page_size: PageSize
    id_key: str = "callId"
    start_key: str = "startTime"

    async def first(self, window: Window) -> Page:
        """Ask for the first page of a window; twice if it is empty, as windows are cut to hold calls."""
        return await self._look_behind(window, await self.page_with_rows(window, 1))

    async def page(self, window: Window, number: int) -> Page:
        """Ask for a page of a window; one that the gateway does not show is empty."""
        return await self._shown(self.reader.page, window, number)

    async def page_with_rows(self, window: Window, number: int) -> Page:
        """Ask for a page of a window that should have rows; twice if it has none."""
        return await self._shown(self.reader.page_with_rows, window, number)

    async def page_of_company(self, window: Window, company: Company) -> Page:
        """Ask for the page where a row stood twice; or, where different ones stood on two, for those of their id."""
        if company.page is not None:
            return await self.page_with_rows(window, company.page)
        second = int(company.start_ms // 1000)
        around = Window(second, second + 2)
        parameters = {**self.parameters(around, 1), self.id_key: company.identity}
        return await self.reader.page_with_rows(parameters, around, 1)

    def keys(self, page: Page) -> list[Hashable]:
        """Return what tells the rows of a page apart, None for a row without an id: several may have one id."""
        key = _identity_and_start if page.is_typed else self._key
        keys: list[Hashable] = list(map(key, page.rows))
        return keys if len(set(keys)) == len(keys) else _numbered(keys)

    def is_full(self, page: Page) -> bool:
        """Tell whether a page has as many rows as it may have."""
        return self.page_size.is_full(len(page.rows))

    def _key(self, row: Any) -> Hashable:
        identity = self.row_key(row)
        if identity is None:
            return None
        start = row.get(self.start_key) if isinstance(row, dict) else getattr(row, "start_ms", None)
        return identity, start if isinstance(start, int) else str(start)

    async def _shown(self, ask: AskPage, window: Window, number: int) -> Page:
        """Ask for a page; one that is refused each time, while the first one is answered, is not shown.

        Raises:
            GatewayError: the first one is refused by now, too, as the border of what is told has passed its start.
        """
        try:
            return await ask(self.parameters(window, number), window, number)
        except GatewayError as refused:
            may_be_hidden = is_final(refused) or (isinstance(refused, ServerError) and not refused.is_outage)
            if number == 1 or not may_be_hidden:
                raise
            is_for_good = is_final(refused)
        await self.reader.page(self.parameters(window, 1), window, 1)
        if not is_for_good:
            with suppress(ServerError):  # the gateway is well, and fails at this page alone
                return await ask(self.parameters(window, number), window, number)
        return Page([])

    async def _look_behind(self, window: Window, page: Page) -> Page:
        """Look behind a short first page, in case the gateway caps its pages lower than it should.

        More rows mean that it does, unless its first page is longer by now: then they just arrived. So does a first
        page that changed and did not grow. One that is the same, and comes as the second page too, is the last one.

        The page to read on from is the longest that came. Even if rows arrive, it holds those that were there, or the
        next pages do, as they are asked for after it; a later one that is shorter may have been cut off.
        """
        came = len(page.rows)
        if self.page_size.is_full(came) or not self.page_size.is_doubtful(came):
            return page
        behind = await self.page_with_rows(window, 2)
        if not behind.rows:
            return page
        again = await self.page_with_rows(window, 1)
        if len(again.rows) > came:
            return await self._look_behind(window, again)
        known = set(map(self.row_key, page.rows))
        if known == set(map(self.row_key, again.rows)) and known.issuperset(map(self.row_key, behind.rows)):
            return page
        self.page_size.cap(came)
        return page


def _numbered(keys: list[Hashable]) -> list[Hashable]:
    """Return keys that stand on one page together as different ones."""
    seen: Counter[Hashable] = Counter()
    numbered: list[Hashable] = []
    for key in keys:
        numbered.append((key, seen[key]) if key is not None and seen[key] else key)
        seen[key] += 1
    return numbered
