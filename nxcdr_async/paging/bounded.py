"""Reading a range of which a gateway may refuse queries: those that are too wide, and those that begin too early."""

import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Self

import anyio
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import GatewayError, RefusedRangeError
from nxcdr_async.paging.answer_limits import NARROWEST, AnswerLimits
from nxcdr_async.paging.base import Outcome, ReadResult, Split
from nxcdr_async.paging.places import Pager, WindowPlaces
from nxcdr_async.paging.planner import WindowPlanner
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import OVERLAP, Window

AskFirst = Callable[[Window], Awaitable[object]]
"""Requests the first page of a window."""


@define(frozen=True)
class RangeProbes:
    """The narrowest queries for a range, numbered in order of time, to find out which of it a gateway refuses.

    Attributes:
        whole: the range.
        count: how many there are.
        window: returns the window of one by its number.
        present: returns the window of such a query about the present.
        ask: requests the first page of a window.
        may_refuse_range: returns whether a refusal may be about the range of a query.
    """

    whole: Window
    count: int
    window: Callable[[int], Window]
    present: Callable[[], Window]
    ask: AskFirst
    may_refuse_range: Callable[[Exception], bool]

    @classmethod
    def about_range(
        cls, whole: Window, ask: AskFirst, now: Callable[[], int], may_refuse_range: Callable[[Exception], bool]
    ) -> Self:
        """Return those that may begin at any second of a range.

        Args:
            whole: the range.
            ask: see the attribute.
            now: returns the time by the gateway's clock, epoch seconds.
            may_refuse_range: see the attribute.
        """
        width = min(NARROWEST - OVERLAP, whole.seconds)

        def window(number: int) -> Window:
            return Window(whole.start + number, whole.start + number + width)

        return cls(
            whole, whole.seconds - width + 1, window, lambda: Window(now() - width, now()), ask, may_refuse_range
        )

    @property
    def newest(self) -> Window:
        """The window of the newest one that is not about the future."""
        present = self.present()
        last = self.window(self.count - 1)
        if last.end <= max(present.end, self.whole.start + 1):
            return last
        return self.at(max(self.whole.start, present.start))

    def number_at(self, moment: int) -> int:
        """Return the number of the first that begins at a moment (epoch seconds) or later, else of the last one."""
        return bisect_left(range(self.count - 1), moment, key=lambda number: self.window(number).start)

    def at(self, moment: int) -> Window:
        """Return the window of the first that begins at a moment or later, else of the last one."""
        return self.window(self.number_at(moment))

    async def is_accepted(self, window: Window) -> bool:
        """Query a window, and return whether its range is accepted.

        Raises:
            NxcdrError: the query failed for another reason.
        """
        try:
            await self.ask(window)
        except GatewayError as refused:
            if not self.may_refuse_range(refused):
                raise
            return False
        return True


@define(eq=False)
class BoundedPager:
    """Wraps a pager, and reads narrower or later windows instead of those that the gateway refuses.

    A refusal does not say what it is about. So the newest and narrowest query is sent, and then the oldest: if both are
    accepted, the refused one was too wide; if only the newest is, it began too early, and a binary search finds the
    first moment that is accepted; if neither is, it was refused for another reason. `limits` keeps what is learned.

    Attributes:
        planner: cuts the windows of the pager; None where they have a fixed width.
        on_refused_range: gets the error of what is too old, which is then left out; None to raise it.
    """

    pager: Pager
    probes: RangeProbes
    limits: AnswerLimits
    stats: PaginatorStats
    planner: WindowPlanner | None = None
    on_refused_range: Callable[[RefusedRangeError], object] | None = None
    _reported_until: int = field(init=False)
    _is_answered: bool = field(default=False, init=False)
    _refusal: GatewayError | None = field(default=None, init=False)
    _lock: anyio.Lock = field(factory=anyio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._reported_until = self.probes.whole.start

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.pager.next()

    async def read(self, window: Window, places: WindowPlaces) -> Outcome:
        """Read a window, or find what to read instead if it is refused, or known to be."""
        refused: Outcome | None = None
        if not self._is_outside(window):
            refused = await self.pager.read(window, places)
            if not self._is_refused(refused):
                return refused
        async with places.one():
            return await self._instead_of(window, refused)

    def _is_outside(self, window: Window) -> bool:
        """Return whether a window is known to be refused."""
        is_too_wide = self.planner is not None and self.limits.is_too_wide(window.seconds)
        return is_too_wide or window.start < (self.limits.retained_since or 0)

    def _is_refused(self, outcome: Outcome) -> bool:
        """Return whether a window may have been refused for its range."""
        if not isinstance(outcome, ReadResult) or outcome.error is None or outcome.records:
            return False
        return self.probes.may_refuse_range(outcome.error)

    async def _instead_of(self, window: Window, refused: Outcome | None) -> Outcome:
        """Return what to read instead of a window that was refused, or is known to be."""
        async with self._lock:
            # Another window may have found it out meanwhile.
            if not self._is_outside(window) and isinstance(refused, ReadResult):
                if not isinstance(refused.error, GatewayError) or not await self._learn_why_refused(window):
                    return refused
                self._refusal = refused.error
            if window.start < (self.limits.retained_since or 0):
                return self._skip_too_old(window, min(window.end, self.limits.retained_since or 0))
            return self._split(window)

    async def _learn_why_refused(self, window: Window) -> bool:
        """Learn why a window was refused; return whether it was for its range."""
        probes = self.probes
        if not self._is_answered:
            newest, present = probes.newest, probes.present()
            if await probes.is_accepted(newest):
                self._is_answered = True
            elif newest.end >= present.start or not await probes.is_accepted(present):
                return False
            else:
                self.limits.note_refused_before(probes.whole.end)
                return True
        oldest = probes.at(window.start)
        # Queried each time, as it may have become too old since it was accepted.
        if window.seconds > oldest.seconds and await probes.is_accepted(oldest):
            self.limits.note_refused_width(window.bounds[1] - window.bounds[0])
        else:
            await self._find_retained_since(window.start)
        return self._is_outside(window)

    async def _find_retained_since(self, refused: int) -> None:
        """Find the first moment at which a query may begin, after one at which it may not."""
        probes = self.probes
        low, high = probes.number_at(refused), probes.count - 1
        if self.limits.retained_since is None:
            while high - low > 1:
                middle = (low + high) // 2
                is_accepted = await probes.is_accepted(probes.window(middle))
                low, high = (low, middle) if is_accepted else (middle, high)
        else:
            # It moves on with the clock, so it is a little later than before.
            step = 1
            while low + step < high and not await probes.is_accepted(probes.window(low + step)):
                step *= 2
            high = min(high, low + step)
        self.limits.note_refused_before(probes.window(high).start)

    def _skip_too_old(self, window: Window, until: int) -> Outcome:
        """Leave out what is too old, and report it once for all windows."""
        start, end = self._reported_until, min(self.limits.retained_since or 0, self.probes.whole.end)
        if end > start:
            self._reported_until = end
            error = _refused_range(Window(start, end), self.probes.whole, self._refusal)
            if self.on_refused_range is None:
                return ReadResult([], error)
            self.on_refused_range(error)
        if self.planner is not None and self.planner.is_first(window):
            self.planner.begin_at(end)
            return Split([]) if until < window.end else ReadResult([])
        return ReadResult([]) if until == window.end else Split([Window(until, window.end)])

    def _split(self, window: Window) -> Split:
        self.stats.splits += 1
        if self.planner is not None and self.planner.is_first(window):
            self.planner.begin_at(window.start)
            return Split([])
        return Split(window.parts(math.ceil(window.seconds / (self.limits.max_window or window.seconds))))


def _refused_range(refused: Window, whole: Window, refusal: GatewayError | None) -> RefusedRangeError:
    start, end = (moment_at(moment) for moment in (refused.start, refused.end))
    hint = "nothing of this range is told any more"
    if refused.end < whole.end:
        hint = f"ask from {end.isoformat()} on, or take what is refused with on_refused_range"
    return RefusedRangeError(
        f"the gateway refuses what is older than {end.isoformat()}",
        start=start,
        end=end,
        code=None if refusal is None else refusal.code,
        request_id=None if refusal is None else refusal.request_id,
        http_status=None if refusal is None else refusal.http_status,
        hint=hint,
    )
