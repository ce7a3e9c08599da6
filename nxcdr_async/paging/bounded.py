"""Reading a range of which a gateway may refuse questions: those that are too wide, and those that begin too early."""

import math
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import Self

import anyio
from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import GatewayError, RefusedRangeError
from nxcdr_async.paging.answer_limits import NARROWEST, AnswerLimits
from nxcdr_async.paging.base import Outcome, Reading, ReadResult, Source, Split, Step
from nxcdr_async.paging.planner import WindowPlan
from nxcdr_async.stats import PaginatorStats
from nxcdr_async.windows import OVERLAP, Window

AskFirst = Callable[[Window], Awaitable[object]]
"""Asks for the first page of a window."""


@define(frozen=True)
class Questions:
    """The narrowest questions about a range, numbered in order of time.

    Attributes:
        whole: the range.
        count: how many there are.
        window: returns the window of one of them.
        present: returns the window of such a question about the present.
        ask: asks for the first page of a window.
        may_refuse_range: tells whether a refusal may be about the range of a question.
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
        """Return those about a range of time, which may begin at any second.

        Args:
            whole: the range.
            ask: see the attribute.
            now: tells the time by the clock of the gateway, epoch seconds.
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
        """The window of the newest of them that is not about the future."""
        present = self.present()
        last = self.window(self.count - 1)
        if last.end <= max(present.end, self.whole.start + 1):
            return last
        return self.at(max(self.whole.start, present.start))

    def place(self, moment: int) -> int:
        """Return which of them is the first that begins at a moment (epoch seconds) or later, else the last one."""
        return bisect_left(range(self.count - 1), moment, key=lambda number: self.window(number).start)

    def at(self, moment: int) -> Window:
        """Return the window of that."""
        return self.window(self.place(moment))

    async def is_accepted(self, window: Window) -> bool:
        """Ask for a window, and tell whether its range is accepted.

        Raises:
            NxcdrError: it cannot be asked for, for another reason.
        """
        try:
            await self.ask(window)
        except GatewayError as refused:
            if not self.may_refuse_range(refused):
                raise
            return False
        return True


@define(eq=False)
class BoundedSource:
    """Reads a source, whose windows are cut narrower or begin later where the gateway refuses them.

    A refusal does not say what it is about. So the newest and narrowest question is asked, and then the oldest: if
    both are accepted, the refused one was too wide; if only the newest is, it began too early, and the border is looked
    for; if none is, it was refused for another reason. What is learned of the gateway is kept in `limits`.

    Attributes:
        source: is read.
        questions: what may be asked to find out.
        limits: how far answers reach.
        stats: where splits are counted.
        plan: cuts the windows of the source; None where they are what they are.
        on_refused_range: gets the error of what lies too far back, which is left out then; None to raise it.
    """

    source: Source
    questions: Questions
    limits: AnswerLimits
    stats: PaginatorStats
    plan: WindowPlan | None = None
    on_refused_range: Callable[[RefusedRangeError], object] | None = None
    _told_until: int = field(init=False)
    _is_answered: bool = field(default=False, init=False)
    _refusal: GatewayError | None = field(default=None, init=False)
    _lock: anyio.Lock = field(factory=anyio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._told_until = self.questions.whole.start

    def next(self) -> Window | None:
        """Cut the next window."""
        return self.source.next()

    def open(self, window: Window) -> "BoundedReading":
        """Begin to read a window."""
        return BoundedReading(window, self.source.open(window), self)

    def is_outside(self, window: Window) -> bool:
        """Tell whether a window is known to be refused."""
        is_too_wide = self.plan is not None and self.limits.is_too_wide(window.seconds)
        return is_too_wide or window.start < (self.limits.oldest or 0)

    def is_refused(self, outcome: Outcome | None) -> bool:
        """Tell whether a window may have been refused for its range."""
        if not isinstance(outcome, ReadResult) or outcome.error is None or outcome.records:
            return False
        return self.questions.may_refuse_range(outcome.error)

    async def instead_of(self, window: Window, refused: Outcome | None) -> Outcome:
        """Find out what to read instead of a window that was refused, or is known to be."""
        async with self._lock:
            # Another window may have found it out meanwhile.
            if not self.is_outside(window) and isinstance(refused, ReadResult):
                if not isinstance(refused.error, GatewayError) or not await self._find_out(window):
                    return refused
                self._refusal = refused.error
            if window.start < (self.limits.oldest or 0):
                return self._later(window, min(window.end, self.limits.oldest or 0))
            return self._narrower(window)

    async def _find_out(self, window: Window) -> bool:
        """Learn why a window was refused; tell whether it is for its range."""
        questions = self.questions
        if not self._is_answered:
            newest, present = questions.newest, questions.present()
            if await questions.is_accepted(newest):
                self._is_answered = True
            elif newest.end >= present.start or not await questions.is_accepted(present):
                return False
            else:
                self.limits.refuse_before(questions.whole.end)
                return True
        oldest = questions.at(window.start)
        # Asked anew each time: the border may have passed it since it was accepted.
        if window.seconds > oldest.seconds and await questions.is_accepted(oldest):
            self.limits.refuse_width(window.bounds[1] - window.bounds[0])
        else:
            await self._find_border(window.start)
        return self.is_outside(window)

    async def _find_border(self, refused: int) -> None:
        """Find the first moment at which a question may begin, behind one at which it may not."""
        questions = self.questions
        low, high = questions.place(refused), questions.count - 1
        if self.limits.oldest is None:
            while high - low > 1:
                middle = (low + high) // 2
                is_accepted = await questions.is_accepted(questions.window(middle))
                low, high = (low, middle) if is_accepted else (middle, high)
        else:
            # It moves on with the clock, so that it lies a little later than it did.
            step = 1
            while low + step < high and not await questions.is_accepted(questions.window(low + step)):
                step *= 2
            high = min(high, low + step)
        self.limits.refuse_before(questions.window(high).start)

    def _later(self, window: Window, until: int) -> Outcome:
        """Leave out what lies too far back; tell of it, once for all windows."""
        start, end = self._told_until, min(self.limits.oldest or 0, self.questions.whole.end)
        if end > start:
            self._told_until = end
            error = _refused_range(Window(start, end), self.questions.whole, self._refusal)
            if self.on_refused_range is None:
                return ReadResult([], error)
            self.on_refused_range(error)
        if self.plan is not None and self.plan.is_first(window):
            self.plan.begin_at(end)
            return Split([]) if until < window.end else ReadResult([])
        return ReadResult([]) if until == window.end else Split([Window(until, window.end)])

    def _narrower(self, window: Window) -> Split:
        self.stats.splits += 1
        if self.plan is not None and self.plan.is_first(window):
            self.plan.begin_at(window.start)
            return Split([])
        return Split(window.parts(math.ceil(window.seconds / (self.limits.window_seconds or window.seconds))))


@define(eq=False)
class BoundedReading:
    """One window while it is read, and what is read instead if it is refused.

    Attributes:
        window: the window.
        reading: reads it.
        source: knows what is refused.
    """

    window: Window
    reading: Reading
    source: BoundedSource
    _has_begun: bool = field(default=False, init=False)
    _is_negotiated: bool = field(default=False, init=False)
    _instead: Outcome | None = field(default=None, init=False)

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it is not over."""
        if self._is_negotiated:
            return self._instead
        outcome = self.reading.outcome
        return None if self.source.is_refused(outcome) else outcome

    @property
    def forecast(self) -> float:
        """Calls it is going to hold."""
        return self.reading.forecast

    @property
    def held(self) -> int:
        """About how many calls it holds already."""
        return self.reading.held

    def next_step(self) -> Step | None:
        """Give what is to do next."""
        if self._is_negotiated:
            return None
        is_outside = not self._has_begun and self.source.is_outside(self.window)
        if is_outside or self.source.is_refused(self.reading.outcome):
            self._is_negotiated = True
            return self._negotiate
        self._has_begun = True
        return self.reading.next_step()

    def next_guess(self) -> Step | None:
        """Give what will probably be to do soon."""
        return None if self._is_negotiated or not self._has_begun else self.reading.next_guess()

    async def _negotiate(self) -> None:
        self._instead = await self.source.instead_of(self.window, self.reading.outcome)


def _refused_range(refused: Window, whole: Window, refusal: GatewayError | None) -> RefusedRangeError:
    start, end = (moment_at(moment) for moment in (refused.start, refused.end))
    way_out = "nothing of this range is told any more"
    if refused.end < whole.end:
        way_out = f"ask from {end.isoformat()} on, or take what is refused with on_refused_range"
    return RefusedRangeError(
        f"the gateway refuses what is older than {end.isoformat()}",
        start=start,
        end=end,
        code=None if refusal is None else refusal.code,
        request_id=None if refusal is None else refusal.request_id,
        http_status=None if refusal is None else refusal.http_status,
        hint=way_out,
    )
