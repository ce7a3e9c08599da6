import math

from nxcdr_async.limits.probing import (
    LONGEST_TO_PROBE,
    PAUSES_TO_PROBE,
    RESPONSES_TO_PROBE,
    SECONDS_TO_PROBE,
    ProbeSchedule,
)


def after(schedule: ProbeSchedule, replies: int) -> ProbeSchedule:
    for _ in range(replies):
        schedule.count_response()
    return schedule


def test_schedule_lasts_for_seconds_and_for_replies() -> None:
    schedule = ProbeSchedule()
    schedule.after_throttle(10.0, 0.0)
    after(schedule, RESPONSES_TO_PROBE[0] - 1)
    assert not schedule.is_due(1_000.0)
    after(schedule, 1)
    assert not schedule.is_due(10.0 + SECONDS_TO_PROBE - 0.01)
    assert schedule.is_due(10.0 + SECONDS_TO_PROBE)


def test_each_try_that_failed_doubles_the_replies_up_to_the_most() -> None:
    schedule = ProbeSchedule()
    for _ in range(10):
        schedule.after_throttle(0.0, 0.0)
    assert not after(schedule, RESPONSES_TO_PROBE[1] - 1).is_due(1e9)
    assert after(schedule, 1).is_due(1e9)


def test_a_pause_that_was_asked_for_makes_schedule_longer_but_not_endless() -> None:
    schedule, endless = after(ProbeSchedule(), 0), ProbeSchedule()
    schedule.after_throttle(0.0, 3.0)
    endless.after_throttle(0.0, math.inf)
    after(schedule, RESPONSES_TO_PROBE[0])
    after(endless, RESPONSES_TO_PROBE[0])
    assert not schedule.is_due(3 * PAUSES_TO_PROBE - 0.01)
    assert schedule.is_due(3 * PAUSES_TO_PROBE)
    assert endless.is_due(LONGEST_TO_PROBE)
