"""When to ask again, and how long to wait first; all numbers of it. Pure: chance and time are arguments."""

from attrs import define

from nxcdr_async.errors import (
    CertificateError,
    ClockSkewError,
    GatewayError,
    MalformedReplyError,
    NxcdrError,
    ProxyError,
    ServerError,
    ThrottledError,
    TransportError,
)
from nxcdr_async.protocol.codes import PROXY_MAY_PASS
from nxcdr_async.protocol.responses import LONGEST_RETRY_AFTER

MOST_ATTEMPTS = 12
"""Attempts of one request, the first included, at a gateway that has answered before."""

MOST_ATTEMPTS_THROTTLED = 40
"""Attempts where the gateway only asks for less: some five minutes, as it may have a quota for each of them."""

MOST_ATTEMPTS_UNHEARD = 3
"""Attempts at a gateway that never answered: most likely the address is wrong, and the user should hear of it soon."""

MOST_ATTEMPTS_WHOLE = 3
"""Attempts where a whole response is no answer: most likely it is made so, but it may have been bent on its way."""

MOST_CLOCK_REFUSALS = 3
"""Refused timestamps of one request where nothing suggests that another would be accepted."""

LONGEST_OUTAGE = 90.0
"""Seconds a request is tried while the gateway answers no other request either; less than two timeouts are too few."""

LONGEST_PAUSED = 600.0
"""Seconds a request is tried at a gateway that answers nobody, but goes on asking for pauses."""

FIRST_DELAY = 0.25
"""Seconds, the ceiling of the first wait; each further ceiling is twice the last."""

LONGEST_DELAY = 20.0
"""Seconds, the highest ceiling of a wait."""

FAILURE_REMEMBERED = 60.0
"""Seconds after a failure in which an answer without rows is not believed at once."""

BUDGET_RESERVE = 40.0
"""Retries a session may make after short waits before any request has succeeded."""

BUDGET_PER_RESPONSE = 0.5
"""Retries earned by each good response. In a lasting storm the budget is soon spent, and then each retry waits long."""


@define(eq=False)
class RetryQuota:
    """The retries a whole session may still make after short waits.

    Once it is spent, every retry waits under the longest ceiling, so that a storm of failures does not become a storm
    of requests.
    """

    left: float = BUDGET_RESERVE

    def earn(self) -> None:
        """Count a good response."""
        self.left = min(BUDGET_RESERVE, self.left + BUDGET_PER_RESPONSE)

    def spend(self) -> bool:
        """Take one retry out of the budget; False when there is none left, so that the longest wait is due."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


@define(eq=False)
class Attempts:
    """The attempts at one question.

    Attributes:
        count: the number of the attempt under way.
        clock_refusals: timestamps that were refused.
        failing_since: when the first attempt failed, epoch seconds; None before.
        last_fault: why the last one failed.
    """

    count: int = 1
    clock_refusals: int = 0
    failing_since: float | None = None
    last_fault: NxcdrError | None = None

    def note(self, fault: NxcdrError, now: float) -> None:
        """Note that the attempt under way failed."""
        fault.attempts = self.count
        self.last_fault = fault
        if isinstance(fault, ClockSkewError):
            self.clock_refusals += 1
        self.failing_since = now if self.failing_since is None else self.failing_since

    def are_over(self, fault: NxcdrError, *, is_heard: bool) -> bool:
        """Return whether there were enough, at a gateway that has answered before or not."""
        if not is_heard:
            return self.count >= MOST_ATTEMPTS_UNHEARD
        if isinstance(fault, MalformedReplyError) and fault.is_whole:
            return self.count >= MOST_ATTEMPTS_WHOLE
        return self.count >= (MOST_ATTEMPTS_THROTTLED if asks_for_less(fault) else MOST_ATTEMPTS)

    def circuit_open(self, failed: float, *, alive: float, paused_until: float, timeout: float) -> bool:
        """Return whether all has failed for so long that no further attempt is due.

        Args:
            failed: when any request at the gateway last failed, epoch seconds.
            alive: when it last answered any question, or what failed there failed for the first time.
            paused_until: until when it asked us to wait.
            timeout: seconds one attempt may take.
        """
        if self.failing_since is None:
            return False
        return failed > outage_until(max(self.failing_since, alive), paused_until=paused_until, timeout=timeout)


def outage_until(dead_since: float, *, paused_until: float, timeout: float) -> float:
    """Return up to when a gateway is asked again that answers nothing, epoch seconds.

    Args:
        dead_since: since when it answers nothing.
        paused_until: until when it asked us to wait.
        timeout: seconds one attempt may take.
    """
    return min(max(dead_since, paused_until) + max(LONGEST_OUTAGE, 2 * timeout), dead_since + LONGEST_PAUSED)


def should_retry(fault: NxcdrError, attempts: Attempts, *, is_heard: bool, may_be_accepted: bool) -> bool:
    """Decide whether a question is asked again.

    Args:
        fault: why the last attempt failed, which knows whether that is an outage.
        attempts: those made so far, the last one noted.
        is_heard: whether the gateway has ever answered.
        may_be_accepted: whether it may accept another timestamp, where it refused one.
    """
    if isinstance(fault, ClockSkewError):
        is_hopeless = attempts.clock_refusals >= MOST_CLOCK_REFUSALS and not may_be_accepted
        return is_due_at_once(fault, attempts) or not (is_hopeless or attempts.count >= MOST_ATTEMPTS)
    return not fault.is_outage and not attempts.are_over(fault, is_heard=is_heard) and is_worth_retrying(fault)


def is_due_at_once(fault: NxcdrError, attempts: Attempts) -> bool:
    """Return whether nothing is to be waited for: the first refusal of a timestamp showed the clock to go by."""
    return isinstance(fault, ClockSkewError) and attempts.clock_refusals == 1


def is_worth_retrying(error: NxcdrError) -> bool:
    """Return whether the same request may succeed later: broken lines, broken bodies, 408, 425, 429, most 5xx, 88, 99.

    Refusals of a key, a signature or a parameter never are, nor those of a proxy that wants another password or does
    not let the gateway be reached, nor a pause longer than we would sleep through.
    """
    if isinstance(error, CertificateError):
        return False
    if isinstance(error, ProxyError):
        return error.http_status is None or error.http_status in PROXY_MAY_PASS
    if isinstance(error, ThrottledError | ServerError):
        return error.retry_after is None or error.retry_after <= LONGEST_RETRY_AFTER
    return isinstance(error, TransportError | MalformedReplyError)


def asks_for_less(error: NxcdrError) -> bool:
    """Return whether a response refused a request as one too many: 429, 503, 99, flash codes 3 and 6."""
    if isinstance(error, ServerError):
        return error.http_status == 503 or error.code == 99  # noqa: PLR2004 - codes of HTTP and the vendor
    return isinstance(error, ThrottledError)


def pause_asked_for(error: NxcdrError) -> float:
    """Return the seconds for which a response asked to be left in peace, 0 if it did not."""
    return (error.retry_after or 0.0) if isinstance(error, GatewayError) else 0.0


def delay_before(attempt: int, *, chance: float, within_budget: bool = True) -> float:
    """Return the seconds to wait before an attempt (2 is the first retry): full jitter under a doubling ceiling.

    Args:
        attempt: the number of the attempt to come.
        chance: a random number in [0, 1).
        within_budget: whether the session's budget had a retry left; without, the longest ceiling applies at once.
    """
    ceiling = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 2)) if within_budget else LONGEST_DELAY
    return ceiling * chance
