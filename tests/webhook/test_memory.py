import tracemalloc

from hypothesis import given, strategies as st

from nxcdr_async.webhook.memory import PushMemory
from nxcdr_async.wire import SignedHeaders


def signed(ts: int, signature: str = "a") -> SignedHeaders:
    return SignedHeaders("AK", str(ts), "8", "callback", signature, "md5")


def test_a_call_is_no_news_for_a_while() -> None:
    memory = PushMemory(600.0)
    assert not memory.knows("a", None, now=0.0)
    memory.take("a", None, now=0.0)
    assert memory.knows("a", None, now=599.0)
    assert not memory.knows("b", None, now=599.0)
    assert not memory.knows("a", None, now=600.0)


def test_the_while_begins_with_the_last_success() -> None:
    memory = PushMemory(600.0)
    for now in (0.0, 700.0):
        memory.take("a", None, now=now)
    assert memory.knows("a", None, now=1_299.0)


def test_without_a_while_only_the_very_same_push_is_known() -> None:
    memory = PushMemory(0.0)
    memory.take("a", signed(100_000), now=100.0)
    assert memory.knows("a", signed(100_000), now=100.0)
    assert not memory.knows("a", signed(100_000, "b"), now=100.0)
    assert not memory.knows("a", signed(100_001), now=100.0)
    assert not memory.knows("a", None, now=100.0)


@given(st.integers(-60_000, 60_000), st.integers(0, 200_000))
def test_a_signature_is_known_as_long_as_its_timestamp_could_be_accepted(skew_ms: int, later_ms: int) -> None:
    memory, ts = PushMemory(0.0), 1_000_000
    memory.take("a", signed(ts), now=(ts + skew_ms) / 1000)
    now_ms = ts + skew_ms + later_ms
    assert memory.knows("a", signed(ts), now=now_ms / 1000) == (int(now_ms / 1000 * 1000) - ts <= 60_000)


def test_what_is_over_is_forgotten() -> None:
    memory = PushMemory(600.0)
    for number in range(50):
        memory.take(str(number), signed(number), now=0.0)
    memory.take("new", signed(700_000), now=700.0)
    assert len(memory) == 2


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1e6)), max_size=100), st.integers(1, 10))
def test_memory_is_bounded_and_forgets_the_oldest_first(pushes: list[tuple[int, float]], most: int) -> None:
    memory = PushMemory(1e9, most)
    taken: list[str] = []
    for number, now in pushes:
        memory.take(str(number), signed(int(now * 1000), str(number)), now=now)
        taken = [call for call in taken if call != str(number)] + [str(number)]
        assert len(memory) <= 2 * most
    last = pushes[-1][1] if pushes else 0.0
    assert [call for call in taken if memory.knows(call, None, now=last)] == taken[-most:]


def test_a_clock_that_was_set_back_for_a_while_makes_no_signature_new() -> None:
    memory = PushMemory(0.0)
    memory.take("a", signed(10_000_000), now=10_000.0)
    memory.take("b", None, now=9_000.0)
    assert memory.knows("a", signed(10_000_000), now=10_001.0)


def test_long_ids_take_no_more_memory_than_short_ones() -> None:
    memory = PushMemory(600.0)
    tracemalloc.start()
    try:
        for number in range(100):
            memory.take(f"{number}".rjust(60_000), None, now=0.0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100_000


def test_a_clock_that_was_set_back_does_not_hide_a_call_for_long() -> None:
    memory = PushMemory(600.0)
    memory.take("a", None, now=10_000.0)
    assert memory.knows("a", None, now=9_999.0)
    assert not memory.knows("a", None, now=5_000.0)
