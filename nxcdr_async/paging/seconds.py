"""Reading one second that an answer cannot show whole, by bounds that leave its neighbours out."""

from collections.abc import Awaitable, Callable

from attrs import define, field

from nxcdr_async._util.moments import moment_at
from nxcdr_async.errors import SaturatedSecondError
from nxcdr_async.protocol.responses import Dated

AskBetween = Callable[[tuple[int, int]], Awaitable[tuple[list[Dated], bool]]]
"""Asks for what lies between two seconds; gives it, and whether there may be more than was shown."""


@define(eq=False)
class RangeEnds:
    """Which ends of a range count, as far as rows have shown it: no document says so.

    Attributes:
        in_seconds: whether the times of rows are whole seconds, so that a row at an end stands for all of that second.
    """

    in_seconds: bool
    start_is_inclusive: bool = field(default=False, init=False)
    end_is_inclusive: bool = field(default=False, init=False)

    def learn(self, bounds: tuple[int, int], records: list[Dated]) -> None:
        """Take in what came for a range."""
        start, end = bounds
        at_end = of_second(records, end)
        self.start_is_inclusive = self.start_is_inclusive or bool(of_second(records, start))
        has_end = any(self.in_seconds or dated.start_ms % 1000 for dated in at_end)
        self.end_is_inclusive = self.end_is_inclusive or has_end


async def read_second(
    second: int, seen: list[Dated], ask: AskBetween, ends: RangeEnds
) -> tuple[list[Dated], list[Dated] | None]:
    """Read one second by narrower bounds, as its neighbours may have filled the answer.

    Which bounds hold the whole second depends on whether the ends of a range count. It is known once a call at an end
    was given; else an answer must hold some. In any case it must hold every call seen of that second.

    Args:
        second: the second, epoch seconds.
        seen: what came for it with its neighbours.
        ask: asks for what lies between two seconds.
        ends: which ends of a range count.

    Returns:
        All that was found of it, and what is surely all of it; None if nothing is.
    """
    known = of_second(seen, second)
    for start, end in ((second, second + 1), (second - 1, second), (second, second)):
        found, may_be_more = await ask((start, end))
        held = of_second(found, second)
        holds_second = (start < second or ends.start_is_inclusive) and (end > second or ends.end_is_inclusive)
        # Of finer times, a range that ends with the second may hold its first moment only.
        is_likely = bool(held) and (ends.in_seconds or end > second)
        if not may_be_more and not without(known, held) and (holds_second or is_likely):
            return known, found
        known += without(held, known)
    return known, None


def of_second(records: list[Dated], second: int) -> list[Dated]:
    """Return those of the calls that start in a second."""
    return [dated for dated in records if dated.start_ms // 1000 == second]


def without(records: list[Dated], others: list[Dated]) -> list[Dated]:
    """Return the calls that are not among others: by their ids and times, those without an id as a whole."""
    keys = {(dated.identity, dated.start_ms) for dated in others}
    nameless = [dated for dated in others if dated.identity is None]
    return [
        dated
        for dated in records
        if (dated.identity, dated.start_ms) not in keys or (dated.identity is None and dated not in nameless)
    ]


def saturated(second: int, rows: int, noun: str) -> SaturatedSecondError:
    """Return the error of a second that holds more calls than a gateway shows."""
    moment = moment_at(second)
    return SaturatedSecondError(
        f"the second {moment.isoformat()} holds {rows} {noun} or more, as many as the gateway shows of one question: "
        "ask the vendor for the rest of that second, and read on from the next one",
        second=moment,
    )
