"""The records the vendor's APIs answer with.

An attribute is the vendor's key in snake_case (`agentNickName` → `agent_nick_name`). Times are aware, in UTC; money is
an exact `Decimal`; what the vendor writes as 0 or "" to mean "none" is None. Unknown keys are kept in `extra`.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any, Literal, Self

from attrs import Attribute, define, field, fields

from nxcdr_async._util.moments import with_true_times
from nxcdr_async.records.hangup import Hangup, HangupParty, explain_hangup

SourceName = Literal["calls", "did", "flash"]
"""What records are read from: the calls of the call center, calls over DID numbers, flash calls."""


class Direction(IntEnum):
    """Which way a call went. Numbers the vendor adds later become members named UNKNOWN_n.

    The values are those of a reply; a request of cdr/page counts one higher, which is done for you.
    """

    INBOUND = 0
    OUTBOUND = 1
    AICC = 2
    """A robot call, possibly transferred to a person."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown

    def __reduce_ex__(self, _protocol: object) -> tuple[type[Self], tuple[int]]:
        # By the number: the first versions of Python 3.11 go by the name, which members of our own making have not.
        return type(self), (self._value_,)


@define(frozen=True, kw_only=True, field_transformer=with_true_times)
class CallRecord:
    """One call of the call center (cdr/page, cdr/queryByOrderId, and the call push).

    Times are aware, in UTC, with milliseconds. The durations `call_duration`, `ring_duration` and `queue_duration` are
    the vendor's raw numbers; `queue_duration` is seconds in some rows and milliseconds in others, so use `queue_wait`.
    `hangup_by` is raw too and contradicts `hangup_code`, so use `hangup_party`. `total_customer_price` is exact; it and
    the URLs may be filled in by the vendor some time after the call first appears.

    >>> call = CallRecord(call_id="63b0", start_time=datetime(2026, 1, 1, 9, tzinfo=UTC), hangup_code=1103)
    >>> call.hangup.meaning, call.hangup_party.value
    ('user left the queue', 'user')
    """

    call_id: str
    start_time: datetime
    end_time: datetime | None = None
    answer_time: datetime | None = None
    ring_time: datetime | None = None
    in_queue_time: datetime | None = None
    out_queue_time: datetime | None = None
    direction: Direction | None = None
    answered: bool | None = None
    caller: str | None = None
    callee: str | None = None
    agent_name: str | None = None
    """The agent's account; may be an e-mail address."""
    agent_nick_name: str | None = None
    call_duration: int | None = None
    """Seconds, as the vendor counts them."""
    ring_duration: int | None = None
    """Seconds, as the vendor counts them."""
    queue_duration: int | None = None
    """Raw; seconds in some rows, milliseconds in others."""
    hangup_by: int | None = None
    """Raw; 0 agent, 1 user, 2 unknown by the vendor's documentation, the opposite in its samples."""
    hangup_code: int | None = None
    hangup_reason: str | None = None
    """The vendor's words, in the language of the account."""
    call_status: str | None = None
    """The vendor's words, in the language of the account."""
    order_id: str | None = None
    task_id: str | None = None
    """The robot-call task, for AICC calls."""
    dtmf_keys: str | None = None
    intent: str | None = None
    other: str | None = None
    """What was passed to the vendor's API that made the call."""
    record_url: str | None = None
    leave_msg_url: str | None = None
    total_customer_price: Decimal | None = None
    line_ip: str | None = None
    media_ip: str | None = None
    term_sip_code: int | None = None
    hangup_cause: str | None = None
    mos: Decimal | None = None
    """Mean opinion score of the audio, 1 to 5."""
    extra: dict[str, Any] = field(factory=dict, hash=False)

    @property
    def queue_wait(self) -> timedelta | None:
        """How long the caller waited in the queue, by the times of the queue.

        None if the call was in no queue, or the two times contradict each other.
        """
        if self.in_queue_time is None or self.out_queue_time is None or self.out_queue_time < self.in_queue_time:
            return None
        return self.out_queue_time - self.in_queue_time

    @property
    def hangup(self) -> Hangup | None:
        """What `hangup_code` means, None without a code."""
        return None if self.hangup_code is None else explain_hangup(self.hangup_code)

    @property
    def hangup_party(self) -> HangupParty:
        """Who ended the call, derived from `hangup_code`."""
        return HangupParty.UNKNOWN if self.hangup is None else self.hangup.party


@define(frozen=True, kw_only=True, field_transformer=with_true_times)
class DidCallRecord:
    """One call over a rented (DID) number (did/cdr).

    Times are aware, in UTC, to the second: the vendor sends local ones without an offset, read in the `naive_zone` of
    the session. Amounts are exact.
    """

    id: int | None = None
    start_time: datetime
    end_time: datetime | None = None
    number: str | None = None
    """The DID number; missing from the vendor's own sample."""
    call_number: str | None = None
    call_type: Direction | None = None
    country_name: str | None = None
    call_duration: int | None = None
    """Seconds."""
    fee_type: int | None = None
    """0 bills by started minutes (60+60), 1 by seconds (1+1)."""
    fee_duration_minute: Decimal | None = None
    """Minutes billed."""
    call_price_unit: Decimal | None = None
    """Yuan a minute."""
    call_price: Decimal | None = None
    """Yuan."""
    end_direction: int | None = None
    """Who hung up (0 caller, 1 callee, anything else other)."""
    end_reason: str | None = None
    end_reason_name: str | None = None
    caller_ip: str | None = None
    callee_ip: str | None = None
    extra: dict[str, Any] = field(factory=dict, hash=False)


@define(frozen=True, kw_only=True, field_transformer=with_true_times)
class FlashCallRecord:
    """One flash call (otp/call/list).

    Times are aware, in UTC, to the second: the vendor sends local ones without an offset, read in the `naive_zone` of
    the session. `price` is exact.
    """

    id: int
    gmt_create: datetime
    """When the flash call was asked for; the list is filtered and continued by this time, in whole seconds."""
    gmt_modified: datetime | None = None
    call_start_at: datetime | None = None
    call_end_at: datetime | None = None
    callback_at: datetime | None = None
    customer_id: int | None = None
    app_id: int | None = None
    msisdn: str | None = None
    """The number called, exactly as the vendor stores it, even with a leading space."""
    calling_number: str | None = None
    token: str | None = None
    """The digits the user has to recognise."""
    request_id: str | None = None
    ip: str | None = None
    price: Decimal | None = None
    call_status: int | None = None
    extra: dict[str, Any] = field(factory=dict, hash=False)


def vendor_key(attribute: str) -> str:
    """Return the vendor's key of an attribute.

    >>> vendor_key("agent_nick_name")
    'agentNickName'
    """
    head, *rest = attribute.split("_")
    return head + "".join(part.capitalize() for part in rest)


def vendor_fields(record_class: type[Any]) -> "dict[str, Attribute[Any]]":
    """Return the vendor's keys of a record class with their attributes, without `extra`."""
    return {vendor_key(attribute.name): attribute for attribute in fields(record_class) if attribute.name != "extra"}
