"""Whose request is the next to start: askers take turns, and the requests of one asker follow one another.

A paginator is one asker, however many of its requests wait; so is a single question.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from attrs import define, field

_Line = OrderedDict[asyncio.Future[None], None]
"""The requests of an asker that wait, first come first; one that is cancelled leaves it at no cost."""


@define(eq=False)
class Turns:
    """One turn that goes round: whoever takes it has it until it is passed on.

    An asker that begins to wait is put behind all others, and so is one whose turn is over while more of its requests
    wait. So between asking and being served, each other asker is served once at most.
    """

    # The first asker has the turn, even if nothing of it waits; without askers the turn is free.
    _askers: OrderedDict[Hashable, _Line] = field(factory=OrderedDict, init=False)

    @property
    def is_free(self) -> bool:
        """Whether nobody has the turn, nor waits for it."""
        return not self._askers

    async def take(self, asker: Hashable) -> None:
        """Wait for the turn. Who is cancelled meanwhile does not have it."""
        if not self._askers:
            self._askers[asker] = OrderedDict()
            return
        turn = asyncio.get_running_loop().create_future()
        self._askers.setdefault(asker, OrderedDict())[turn] = None
        try:
            await turn
        except BaseException:
            self._give_up(asker, turn)
            raise

    def pass_on(self) -> None:
        """End the turn; the next one begins in the same step."""
        asker, line = next(iter(self._askers.items()))
        if line:
            self._askers.move_to_end(asker)
        else:
            del self._askers[asker]
        while self._askers:
            asker, line = next(iter(self._askers.items()))
            while line:
                turn, _ = line.popitem(last=False)
                # One that was cancelled a moment ago has not yet had the chance to leave.
                if not turn.done():
                    turn.set_result(None)
                    return
            del self._askers[asker]

    def _give_up(self, asker: Hashable, turn: "asyncio.Future[None]") -> None:
        if not turn.cancelled() and turn.done():
            # Cancelled in the very step in which the turn came.
            self.pass_on()
            return
        line = self._askers.get(asker)
        if line is None:
            return
        line.pop(turn, None)
        if not line and asker != next(iter(self._askers)):
            del self._askers[asker]
