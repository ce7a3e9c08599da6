"""Pages read in any order, while rows arrive anywhere at any time: what is called complete is complete."""

import random
from collections.abc import Hashable, Iterable

import pytest
from attrs import define, field
from hypothesis import given, strategies as st

from nxcdr_async.paging.completeness import CompletenessCheck, Verdict
from tests.examples import examples

MOST_STEPS = 2_000
SIZE = 3


@define
class Model:
    """A list with pages, read by a proof as a window reads it; each step is a choice of chance.

    Attributes:
        rows: what the gateway has.
        chance: chooses.
        arrivals: how many rows turn up at most.
        ignores_page: whether each page is the first one.
        repeats_last: whether a page behind the last one is the last one.
        ahead: how far out of turn pages are asked for.
        empties: how many full pages come empty at most, none of them twice running.
        has_ids: whether rows have ids.
    """

    rows: list[int]
    chance: random.Random
    arrivals: int = 0
    ignores_page: bool = False
    repeats_last: bool = False
    ahead: int = 8
    empties: int = 0
    has_ids: bool = True
    proof: CompletenessCheck = field(factory=CompletenessCheck)
    got: dict[int, list[int]] = field(factory=dict)
    rereads: int = 0
    confirms: int = 0
    _there: list[int] = field(factory=list, init=False)
    _asked: list[int] = field(factory=list, init=False)
    _answered: list[tuple[int, list[int]]] = field(factory=list, init=False)
    _came_empty: set[int] = field(factory=set, init=False)
    _arrived: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._there = list(self.rows)

    def run(self) -> Verdict:
        """Read to the end, and check that nothing is missing then."""
        for _ in range(MOST_STEPS):
            verdict = self._step()
            if verdict is Verdict.COMPLETE:
                self._check_complete()
            if verdict in {Verdict.COMPLETE, Verdict.REPEATING}:
                return verdict
        raise AssertionError("it does not end")

    def _step(self) -> Verdict | None:
        """Do one of the things that can be done; give the verdict once it ends the reading."""
        can = []
        if self.proof.pages_to_ask(ahead=self.ahead):
            can.append(self._ask)
        if self._asked:
            can.append(self._answer)
        if self._answered:
            can.append(self._deliver)
        if self._arrived < self.arrivals:
            can.append(self._arrive)
        assert can, "nothing can be done, and it is not at its end"
        return self.chance.choice(can)()

    def _ask(self) -> None:
        number = self.proof.asked + 1
        self.proof.note_asked(number)
        self._asked.append(number)

    def _answer(self) -> None:
        number = self._asked.pop(self.chance.randrange(len(self._asked)))
        page = self._page(number)
        if not page and self.proof.was_asked_in_order(number):
            # Rows are due on a page that is asked for in turn, so it is asked for twice.
            page = self._page(number)
        self._answered.append((number, page))

    def _deliver(self) -> Verdict | None:
        number, rows = self._answered.pop(self.chance.randrange(len(self._answered)))
        self.proof.add_page(number, list(rows), self._keys(rows), is_full=len(rows) >= SIZE)
        self.got[number] = rows
        is_over = not (self._asked or self._answered) or self.proof.is_gathered
        return self._decide() if is_over else None

    def _decide(self) -> Verdict | None:
        while self.proof.verdict() is Verdict.UNCONFIRMED:
            for _ in range(self.chance.randrange(3)):
                self._arrive()
            number = self.proof.last or self.proof.asked
            # As a page on which rows are due: if it came empty, it is asked for twice.
            rows = self._page(number) or self._page(number)
            self.confirms += 1
            self.proof.confirm(list(rows), self._keys(rows), is_full=len(rows) >= SIZE)
            self.got[number] = rows
            if len(rows) >= SIZE:
                # As a window does: what was asked for behind this page is not taken any more.
                self._asked, self._answered = [], []
        if self.proof.verdict() is Verdict.MOVED:
            # As a window does: all pages again, in turn. What is under way for the old proof is none of the new one's.
            self.proof, self.got, self._asked, self._answered = CompletenessCheck(is_sequential=True), {}, [], []
            self.rereads += 1
            return None
        return self.proof.verdict()

    def _page(self, number: int) -> list[int]:
        last = max(1, -(-len(self.rows) // SIZE))
        number = 1 if self.ignores_page else min(number, last) if self.repeats_last else number
        page = self.rows[(number - 1) * SIZE : number * SIZE]
        if self.empties and page and number not in self._came_empty and self.chance.random() < 0.3:
            self.empties -= 1
            self._came_empty.add(number)
            return []
        self._came_empty.discard(number)
        return page

    def _arrive(self) -> None:
        if self._arrived < self.arrivals:
            self._arrived += 1
            self.rows.insert(self.chance.randint(0, len(self.rows)), 1_000 + self._arrived)

    def _keys(self, rows: list[int]) -> list[Hashable]:
        return [row if self.has_ids else None for row in rows]

    def _check_complete(self) -> None:
        assert self.proof.last is not None
        found = {row for number in range(1, self.proof.last + 1) for row in self.got[number]}
        assert set(self._there) <= found


chances = st.integers(0, 2**32).map(random.Random)


@examples(400)
@given(st.integers(0, 40), st.integers(0, 20), st.integers(1, 12), chances)
def test_what_is_complete_misses_no_row_that_was_there(
    rows: int, arrivals: int, ahead: int, chance: random.Random
) -> None:
    verdict = Model(list(range(rows)), chance, arrivals=arrivals, ahead=ahead).run()
    # A whole page of rows that arrived in front makes a page seem repeated; narrower windows tell the two apart.
    assert verdict is Verdict.COMPLETE or arrivals >= SIZE


@examples(200)
@given(st.integers(0, 40), st.integers(0, 20), st.integers(0, 8), chances)
def test_pages_that_come_empty_though_rows_follow_cost_none(
    rows: int, arrivals: int, empties: int, chance: random.Random
) -> None:
    Model(list(range(rows)), chance, arrivals=arrivals, empties=empties).run()


@given(st.integers(0, 40), chances)
def test_pages_of_a_list_that_stands_still_are_never_read_again(rows: int, chance: random.Random) -> None:
    model = Model(list(range(rows)), chance)
    assert model.run() is Verdict.COMPLETE
    assert model.rereads == 0
    assert model.confirms <= 1


@examples(200)
@given(st.integers(0, 40), chances)
def test_a_last_page_repeated_for_ever_ends(rows: int, chance: random.Random) -> None:
    model = Model(list(range(rows)), chance, repeats_last=True)
    verdict = model.run()
    assert verdict is (Verdict.COMPLETE if not rows or rows % SIZE else Verdict.REPEATING)


@given(st.integers(SIZE, 40), chances)
def test_a_page_number_that_is_ignored_is_noticed(rows: int, chance: random.Random) -> None:
    assert Model(list(range(rows)), chance, ignores_page=True).run() is Verdict.REPEATING


@given(st.integers(SIZE, 40), st.integers(0, 2), chances)
def test_rows_without_ids_are_never_proven_out_of_turn(rows: int, arrivals: int, chance: random.Random) -> None:
    model = Model(list(range(rows)), chance, arrivals=arrivals, has_ids=False)
    verdict = model.run()
    assert verdict is Verdict.COMPLETE
    assert model.proof._was_sequential


@examples(200)
@given(st.integers(0, 40), st.integers(0, 100), chances)
def test_a_careful_proof_needs_no_other_whatever_arrives(rows: int, arrivals: int, chance: random.Random) -> None:
    model = Model(list(range(rows)), chance, arrivals=arrivals, proof=CompletenessCheck(is_sequential=True))
    verdict = model.run()
    assert model.rereads == model.confirms == 0
    assert verdict is Verdict.COMPLETE or arrivals >= SIZE


def took(proof: CompletenessCheck, *pages: tuple[int, Iterable[int]]) -> CompletenessCheck:
    """Have pages come, in this order; they were asked for from the first one up."""
    for number, found in pages:
        rows = list(found)
        proof.add_page(number, rows, list(rows), is_full=len(rows) == SIZE)
    return proof


def asked(pages: int) -> CompletenessCheck:
    """Return a proof that was asked for so many pages at once."""
    proof = CompletenessCheck()
    for number in range(1, 1 + proof.pages_to_ask(ahead=pages)):
        proof.note_asked(number)
    return proof


def test_pages_are_asked_for_from_the_first_one_up_as_far_ahead_as_is_said() -> None:
    proof = asked(3)
    assert proof.asked == 3
    assert proof.pages_to_ask(ahead=3) == 0
    assert proof.pages_to_ask(ahead=5) == 2


def test_a_page_is_asked_for_alone_if_all_before_it_are_there() -> None:
    proof = asked(2)
    assert proof.was_asked_in_order(1)
    assert not proof.was_asked_in_order(2)
    took(proof, (1, [1, 2, 3]), (2, [4, 5, 6]))
    proof.note_asked(3)
    assert proof.was_asked_in_order(3)


def test_full_pages_leave_it_open() -> None:
    assert took(asked(2), (1, [1, 2, 3]), (2, [4, 5, 6])).verdict() is Verdict.OPEN


def test_a_last_page_that_was_asked_for_too_early_is_asked_for_again() -> None:
    proof = took(asked(2), (2, [4]), (1, [1, 2, 3]))
    assert proof.verdict() is Verdict.UNCONFIRMED
    proof.confirm([4], [4], is_full=False)
    assert proof.verdict() is Verdict.COMPLETE


def test_rows_that_came_to_the_end_of_the_last_page_meanwhile_do_no_harm() -> None:
    proof = took(asked(2), (2, [4]), (1, [1, 2, 3]))
    proof.confirm([4, 5], [4, 5], is_full=False)
    assert proof.verdict() is Verdict.COMPLETE


@pytest.mark.parametrize("again", [[3, 4], [5, 4], []])
def test_a_last_page_that_changed_otherwise_shows_that_rows_moved(again: list[int]) -> None:
    proof = took(asked(2), (2, [4]), (1, [1, 2, 3]))
    proof.confirm(again, list(again), is_full=False)
    assert proof.verdict() is Verdict.MOVED


def test_a_row_on_two_pages_shows_that_rows_moved() -> None:
    proof = took(asked(2), (1, [1, 2, 3]), (2, [3, 4, 5]))
    proof.note_asked(3)
    assert took(proof, (3, [6])).verdict() is Verdict.MOVED


def test_a_last_page_that_is_full_by_now_is_gone_on_from_in_turn() -> None:
    proof = took(asked(3), (1, [1, 2, 3]), (2, []), (3, []))
    proof.confirm([4, 5, 6], [4, 5, 6], is_full=True)
    assert proof.verdict() is Verdict.OPEN
    assert (proof.asked, proof.pages_to_ask(ahead=10)) == (2, 1)
    proof.note_asked(3)
    assert proof.pages_to_ask(ahead=10) == 0
    assert took(proof, (3, [7])).verdict() is Verdict.COMPLETE


def test_a_page_behind_the_last_one_need_not_be_waited_for() -> None:
    proof = took(asked(3), (1, [1, 2, 3]), (2, [4]))
    assert proof.is_waiting
    assert proof.is_gathered
    assert proof.is_at_end
