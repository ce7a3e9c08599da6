"""What the vendor's result codes mean: the error each becomes, and what to do about it."""

from collections.abc import Mapping

from nxcdr_async.errors import (
    AuthenticationError,
    ClockSkewError,
    GatewayError,
    InvalidRequestError,
    ServerError,
    ThrottledError,
)

WRONG_PARAMETER, FIRST_OF_RANGES, WRONG_FLASH_DATE = 1002, 41000, 7

CodeMeaning = tuple[type[GatewayError], str]
"""The error of a code, and a hint for it."""

SLOWER = "ask for less at once: lower concurrency, or set rate"
_SUPPORT = "the vendor's support can look it up by the request id"
_PARAMETERS = "check what you asked for: the range, the filters, the order and its tenant"

CODES: dict[int, CodeMeaning] = {
    88: (ServerError, _SUPPORT),
    99: (ServerError, _SUPPORT),
    -1: (ServerError, _SUPPORT),
    1001: (AuthenticationError, "a header got lost on the way: a proxy may drop it"),
    1002: (InvalidRequestError, _PARAMETERS),
    1003: (AuthenticationError, "check the access secret, and that no proxy changes the body"),
    1004: (ClockSkewError, "set this machine's clock, or tell the vendor that its gateway's is wrong"),
    1005: (AuthenticationError, "the access key is unknown in this region or has no right to this API: check both"),
    41000: (InvalidRequestError, _PARAMETERS),
}
"""Call center and DID: the pages of each API, and "API interface call convention"."""

FLASH_CODES: dict[int, CodeMeaning] = {
    **CODES,
    1: (AuthenticationError, "check appkey and secretkey of the flash-call application"),
    2: (AuthenticationError, "the flash-call application is disabled: enable it in the vendor's console"),
    3: (ThrottledError, SLOWER),
    4: (GatewayError, "the account's balance does not suffice"),
    5: (InvalidRequestError, "a number was refused"),
    6: (ThrottledError, SLOWER),
    7: (InvalidRequestError, "the gateway could not read the times of the range"),
    8: (GatewayError, "the country is not available to this application"),
}
"""Flash calls have failures of their own besides."""


def may_refuse_range(error: Exception, codes: Mapping[int, CodeMeaning]) -> bool:
    """Tell whether a refusal may be about the range asked for: one that is too wide, or begins too early.

    Args:
        error: the refusal.
        codes: what the result codes of the API mean.
    """
    if not isinstance(error, GatewayError) or error.code is None:
        return False
    is_wrong = error.code == WRONG_PARAMETER or (error.code == WRONG_FLASH_DATE and codes is FLASH_CODES)
    return is_wrong or error.code >= FIRST_OF_RANGES


def is_final(error: Exception) -> bool:
    """Tell whether to ask again would bring the same refusal: of what was asked for, not of who asks, or when."""
    return isinstance(error, InvalidRequestError) or type(error) is GatewayError
