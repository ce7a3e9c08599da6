"""What of the pushes that came lately is known when they come again."""

import tracemalloc

from hypothesis import given, strategies as st

from nxcdr_async.protocol.signed_headers import SignedHeaders
from nxcdr_async.webhook.dedupe import MOST_PUSHES_OF_A_CALL, SeenPushes


def signed(ts: int, signature: str = "a") -> SignedHeaders:
    return SignedHeaders("AK", str(ts), "8", "callback", signature, "md5")


TOLD = frozenset([b"caller 1", b"ended  2"])
MORE = TOLD | {b"price  3"}
LESS = frozenset([b"caller 1"])
OTHER = frozenset([b"caller 1", b"ended  4"])


def test_a_call_is_no_news_for_a_while() -> None:
    memory = SeenPushes(600.0)
    assert not memory.contains("a", TOLD, None, now=0.0)
    memory.add("a", TOLD, None, now=0.0)
    assert memory.contains("a", TOLD, None, now=599.0)
    assert not memory.contains("b", TOLD, None, now=599.0)
    assert not memory.contains("a", TOLD, None, now=600.0)


def test_only_what_another_push_told_whole_is_no_news() -> None:
    memory = SeenPushes(600.0)
    memory.add("a", TOLD, None, now=0.0)
    assert [memory.contains("a", told, None, now=1.0) for told in (TOLD, LESS, MORE, OTHER)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_push_that_comes_again_after_a_fuller_or_another_one_is_known() -> None:
    memory = SeenPushes(600.0)
    for told in (TOLD, OTHER, MORE):
        memory.add("a", told, None, now=0.0)
    assert all(memory.contains("a", told, None, now=1.0) for told in (LESS, TOLD, OTHER, MORE))
    assert not memory.contains("a", OTHER | MORE, None, now=1.0)


def test_what_each_push_told_is_known_for_a_while_of_its_own() -> None:
    memory = SeenPushes(600.0)
    memory.add("a", OTHER, None, now=0.0)
    memory.add("a", TOLD, None, now=500.0)
    assert memory.contains("a", OTHER, None, now=599.0)
    assert not memory.contains("a", OTHER, None, now=601.0)
    assert memory.contains("a", TOLD, None, now=601.0)


def test_the_values_that_are_remembered_are_bounded_whatever_pushes_tell() -> None:
    memory = SeenPushes(600.0, most_values=1_000)
    for number in range(50):
        told = frozenset(f"{number:04}{value:04}".encode() for value in range(300))
        memory.add("one call", told, None, now=0.0)
        memory.add(f"{number}", told, None, now=0.0)
        assert memory._bytes == sum(len(each.digests) for known in memory._calls.values() for each in known) <= 8_000
    assert not memory.contains("0", told, None, now=1.0)
    assert memory.contains("49", told, None, now=1.0)


def test_of_a_call_that_is_told_ever_anew_the_last_pushes_are_known() -> None:
    memory = SeenPushes(600.0)
    pushes = [frozenset([b"caller 1", f"{number:08}".encode()]) for number in range(MOST_PUSHES_OF_A_CALL + 20)]
    for told in pushes:
        memory.add("a", told, None, now=0.0)
    assert [memory.contains("a", told, None, now=1.0) for told in pushes] == [False] * 20 + [
        True
    ] * MOST_PUSHES_OF_A_CALL
    assert memory._bytes == 2 * 8 * MOST_PUSHES_OF_A_CALL


def test_the_while_begins_with_the_last_success() -> None:
    memory = SeenPushes(600.0)
    for now in (0.0, 700.0):
        memory.add("a", TOLD, None, now=now)
    assert memory.contains("a", TOLD, None, now=1_299.0)


def test_without_a_while_only_the_very_same_push_is_known() -> None:
    memory = SeenPushes(0.0)
    memory.add("a", TOLD, signed(100_000), now=100.0)
    assert memory.contains("a", TOLD, signed(100_000), now=100.0)
    assert not memory.contains("a", TOLD, signed(100_000, "b"), now=100.0)
    assert not memory.contains("a", TOLD, signed(100_001), now=100.0)
    assert not memory.contains("a", TOLD, None, now=100.0)


@given(st.integers(-60_000, 60_000), st.integers(0, 200_000))
def test_a_signature_is_known_as_long_as_its_timestamp_could_be_accepted(skew_ms: int, later_ms: int) -> None:
    memory, ts = SeenPushes(0.0), 1_000_000
    memory.add("a", TOLD, signed(ts), now=(ts + skew_ms) / 1000)
    now_ms = ts + skew_ms + later_ms
    assert memory.contains("a", TOLD, signed(ts), now=now_ms / 1000) == (int(now_ms / 1000 * 1000) - ts <= 60_000)


def test_what_is_over_is_forgotten() -> None:
    memory = SeenPushes(600.0)
    for number in range(50):
        memory.add(str(number), TOLD, signed(number), now=0.0)
    memory.add("new", TOLD, signed(700_000), now=700.0)
    assert len(memory) == 2


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1e6)), max_size=100), st.integers(1, 10))
def test_memory_is_bounded_and_forgets_the_oldest_first(pushes: list[tuple[int, float]], most: int) -> None:
    memory = SeenPushes(1e9, most)
    taken: list[str] = []
    for number, now in pushes:
        memory.add(str(number), TOLD, signed(int(now * 1000), str(number)), now=now)
        taken = [call for call in taken if call != str(number)] + [str(number)]
        assert len(memory) <= 2 * most
    last = pushes[-1][1] if pushes else 0.0
    assert [call for call in taken if memory.contains(call, TOLD, None, now=last)] == taken[-most:]


def test_a_clock_that_was_set_back_for_a_while_makes_no_signature_new() -> None:
    memory = SeenPushes(0.0)
    memory.add("a", TOLD, signed(10_000_000), now=10_000.0)
    memory.add("b", TOLD, None, now=9_000.0)
    assert memory.contains("a", TOLD, signed(10_000_000), now=10_001.0)


def test_long_ids_take_no_more_memory_than_short_ones() -> None:
    memory = SeenPushes(600.0)
    tracemalloc.start()
    try:
        for number in range(100):
            memory.add(f"{number}".rjust(60_000), TOLD, None, now=0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100_000


def test_a_clock_that_was_set_back_does_not_hide_a_call_for_long() -> None:
    memory = SeenPushes(600.0)
    memory.add("a", TOLD, None, now=10_000.0)
    assert memory.contains("a", TOLD, None, now=9_999.0)
    assert not memory.contains("a", TOLD, None, now=5_000.0)
