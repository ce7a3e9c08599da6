"""Who is next: every request is served, sessions and clients in turn, whoever gives up on the way."""

from collections import Counter

import pytest
from attrs import Factory, define
from hypothesis import given, strategies as st

from nxcdr_async.limits.fair_queue import FairQueue


@define
class Line:
    """Requests named after their session and client, as `Aa`, and numbered."""

    queue: FairQueue[str, int] = Factory(FairQueue)
    names: list[str] = Factory(list)
    served: list[int] = Factory(list)

    def join(self, names: str) -> None:
        for name in names.split():
            self.queue.add(name[0], name[1], len(self.names))
            self.names.append(name)

    def give_up(self, number: int) -> None:
        session, client = self.names[number]
        self.queue.remove(session, client, number)

    def serve(self, times: int = 1) -> None:
        for _ in range(times):
            self.served.append(self.queue.pop(next(iter(self.queue))))

    @property
    def order(self) -> str:
        """Who was served until nobody waited."""
        while self.queue:
            self.serve()
        return " ".join(self.names[number] for number in self.served)


@pytest.fixture
def line() -> Line:
    return Line()


def test_clients_take_turns(line: Line) -> None:
    line.join("Aa Aa Aa Aa Ab Ab Ab Ac")
    assert line.order == "Aa Ab Ac Aa Ab Aa Ab Aa"


def test_sessions_take_turns(line: Line) -> None:
    line.join("Aa Ab Ac Ba Ba Cc")
    assert line.order == "Aa Ba Cc Ab Ba Ac"


def test_one_client_is_served_in_order(line: Line) -> None:
    line.join("Aa " * 6)
    assert line.order
    assert line.served == list(range(6))


def test_many_clients_are_served_in_order(line: Line) -> None:
    line.join("Aa Ab Ac Ad")
    assert line.order == "Aa Ab Ac Ad"


def test_a_late_client_waits_one_turn(line: Line) -> None:
    line.join("Aa Aa Aa Ab Ab Ab")
    line.serve(3)
    line.join("Ac")
    assert line.order == "Aa Ab Aa Ab Aa Ac Ab"


def test_a_session_passed_over_keeps_its_turn(line: Line) -> None:
    line.join("Aa Aa Ba Ba Ca")
    assert list(line.queue) == ["A", "B", "C"]
    line.served.append(line.queue.pop("B"))
    assert list(line.queue) == ["A", "C", "B"]
    assert line.order == "Ba Aa Ca Ba Aa"


def test_who_gives_up_is_passed_over(line: Line) -> None:
    line.join("Aa Ab Aa Ab")
    line.give_up(1)
    line.order  # noqa: B018 - it serves
    assert line.served == [0, 3, 2]


def test_who_gave_up_is_forgotten(line: Line) -> None:
    line.join("Aa Ba Bb")
    line.give_up(2)
    line.give_up(1)
    assert list(line.queue) == ["A"]
    assert "B" not in line.queue
    line.give_up(0)
    assert not line.queue


def test_to_give_up_twice_does_nothing(line: Line) -> None:
    line.join("Aa Aa")
    line.serve()
    line.give_up(0)
    line.give_up(0)
    assert line.order == "Aa Aa"


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("AB"), st.sampled_from("abc")).map("".join),
        st.just("serve"),
        st.integers(0, 9),  # which of those that wait gives up
    ),
    max_size=60,
)


@given(ACTIONS)
def test_all_are_served_in_order_and_in_turn(actions: list[str | int]) -> None:
    line = Line()
    came_after: dict[int, int] = {}  # a request to how many were served before it came
    gave_up: set[int] = set()
    for action in actions:
        if isinstance(action, int):
            waiting = [number for number in came_after if number not in {*line.served, *gave_up}]
            if waiting:
                gave_up.add(waiting[action % len(waiting)])
                line.give_up(waiting[action % len(waiting)])
        elif action == "serve":
            line.serve(bool(line.queue))
        else:
            came_after[len(line.names)] = len(line.served)
            line.join(action)
    assert line.order.count("A") + line.order.count("B") == len(line.served)

    assert sorted(line.served) == sorted(set(came_after) - gave_up)
    for name in set(line.names):
        own = [number for number in line.served if line.names[number] == name]
        assert own == sorted(own)
        for before, number in zip([None, *own], own, strict=False):
            since = max(came_after[number], 0 if before is None else line.served.index(before) + 1)
            between = [line.names[other] for other in line.served[since : line.served.index(number)]]
            # Each other client of the session, and each other session as often as this one, once at most.
            clients = Counter(other for other in between if other[0] == name[0])
            assert all(count <= 1 for count in clients.values())
            sessions = Counter(other[0] for other in between)
            assert all(count <= sessions[name[0]] + 1 for count in sessions.values())
