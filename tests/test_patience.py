import math

from nxcdr_async.limits.probing import LONGEST_TO_TRY, PAUSES_TO_TRY, REPLIES_TO_TRY, SECONDS_TO_TRY, Patience


def after(patience: Patience, replies: int) -> Patience:
    for _ in range(replies):
        patience.count_reply()
    return patience


def test_patience_lasts_for_seconds_and_for_replies() -> None:
    patience = Patience()
    patience.after_refusal(10.0, 0.0)
    after(patience, REPLIES_TO_TRY[0] - 1)
    assert not patience.is_over(1_000.0)
    after(patience, 1)
    assert not patience.is_over(10.0 + SECONDS_TO_TRY - 0.01)
    assert patience.is_over(10.0 + SECONDS_TO_TRY)


def test_each_try_that_failed_doubles_the_replies_up_to_the_most() -> None:
    patience = Patience()
    for _ in range(10):
        patience.after_refusal(0.0, 0.0)
    assert not after(patience, REPLIES_TO_TRY[1] - 1).is_over(1e9)
    assert after(patience, 1).is_over(1e9)


def test_a_pause_that_was_asked_for_makes_patience_longer_but_not_endless() -> None:
    patience, endless = after(Patience(), 0), Patience()
    patience.after_refusal(0.0, 3.0)
    endless.after_refusal(0.0, math.inf)
    after(patience, REPLIES_TO_TRY[0])
    after(endless, REPLIES_TO_TRY[0])
    assert not patience.is_over(3 * PAUSES_TO_TRY - 0.01)
    assert patience.is_over(3 * PAUSES_TO_TRY)
    assert endless.is_over(LONGEST_TO_TRY)
