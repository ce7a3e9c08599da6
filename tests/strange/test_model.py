"""A strange gateway whose ways change between queries and while they are read: complete and right, or an error."""

from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.examples import examples
from tests.strange.gateway import HOUR, PAGE, Kind, StrangeWorld, Trick, small_pages
from tests.strange.story import KINDS, TRICKS, play

OFFSETS = st.one_of(
    st.lists(st.integers(0, HOUR * 1000 - 1), max_size=80),
    st.lists(st.integers(0, 3_000).map(lambda offset: 1_800_000 + offset), max_size=30),
    st.lists(st.sampled_from([0, 1, 999, 1000, 1001, 59_000, 3_599_999]), max_size=30),
)
BETWEEN_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "order_seed": st.integers(0, 5),
        "overlap": st.integers(0, PAGE - 1),
        "ignores_filter": st.booleans(),
        "is_generous": st.booleans(),
    },
)
AT_ANY_TIME = st.fixed_dictionaries(
    {},
    optional={
        "repeats_last_page": st.booleans(),
        "ignores_page": st.booleans(),
        "lies": st.integers(-1, 2),
        "arrivals": st.integers(0, 2),
        "writes_plainly": st.booleans(),
    },
)
TRICK = st.sampled_from([None] * 12 + TRICKS)


class StrangeServer(RuleBasedStateMachine):
    """Rules of what may happen next; `StrangeWorld` checks each query as it ends."""

    world: StrangeWorld

    def __init__(self) -> None:
        super().__init__()
        self.small_pages = small_pages()
        self.small_pages.__enter__()

    @initialize(offsets=OFFSETS, cap=st.sampled_from([PAGE, PAGE, PAGE, 1, 2, 3]), readers=st.integers(1, 8))
    def begin(self, offsets: list[int], cap: int, readers: int) -> None:
        self.world = StrangeWorld(readers=readers)
        self.world.behave(cap=cap)
        for offset in offsets:
            self.world.gateway.add(offset)

    @precondition(lambda self: self.world.query is None)
    @rule(offsets=OFFSETS, gone=st.integers(0, 10), ways=BETWEEN_QUERIES, arrivals=st.integers(0, 20))
    def change_between_queries(self, offsets: list[int], gone: int, ways: dict[str, Any], arrivals: int) -> None:
        gateway = self.world.gateway
        del gateway.rows[:gone]
        for offset in offsets[:20]:
            gateway.add(offset)
        gateway.left_to_arrive = arrivals
        self.world.behave(**ways)

    @precondition(lambda self: self.world.query is None)
    @rule(kind=st.sampled_from(KINDS))
    def ask(self, kind: Kind) -> None:
        self.world.ask(kind)

    @rule(ways=AT_ANY_TIME)
    def change_at_any_time(self, ways: dict[str, Any]) -> None:
        self.world.behave(**ways)

    @precondition(lambda self: self.world.query is not None)
    @rule(answers=st.lists(st.tuples(st.integers(0, 20), TRICK), min_size=1, max_size=12))
    def answer(self, answers: list[tuple[int, Trick | None]]) -> None:
        for place, trick in answers:
            if self.world.query is not None:
                self.world.answer(place, trick)

    @precondition(lambda self: self.world.query is not None)
    @rule()
    def finish(self) -> None:
        self.world.finish()

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.finish()
        finally:
            self.small_pages.__exit__(None, None, None)
            if hasattr(self, "world"):
                self.world.close()


TestStrangeServer = StrangeServer.TestCase
TestStrangeServer.settings = settings(examples(40), stateful_step_count=25)


@pytest.mark.first_of
@pytest.mark.parametrize("block", range(2))
def test_no_story_of_a_strange_gateway_ends_with_a_loss(block: int) -> None:
    with small_pages():
        ends = [end for seed in range(20) for end in play(10**6 + block * 20 + seed)]
    assert "complete" in ends
