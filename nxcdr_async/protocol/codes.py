"""What the vendor's result codes and the statuses of HTTP mean: the error each becomes, and what to do. Pure."""

from collections.abc import Mapping
from http import HTTPStatus

from nxcdr_async.errors import (
    AuthenticationError,
    ClockSkewError,
    GatewayError,
    InvalidRequestError,
    ServerError,
    ThrottledError,
)

WRONG_PARAMETER, FIRST_OF_RANGES, WRONG_FLASH_DATE = 1002, 41000, 7

Meaning = tuple[type[GatewayError], str]
"""The error that a code or a status becomes, and a hint what to do."""

SLOWER = "ask for less at once: lower concurrency, or set rate"
_SUPPORT = "the vendor's support can look it up by the request id"
_PARAMETERS = "check what you asked for: the range, the filters, the order and its tenant"

CODES: dict[int, Meaning] = {
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

FLASH_CODES: dict[int, Meaning] = {
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


def may_refuse_range(error: Exception, codes: Mapping[int, Meaning]) -> bool:
    """Return whether a refusal may be about the range asked for: one that is too wide, or begins too early.

    Args:
        error: the refusal.
        codes: what the result codes of the API mean.
    """
    if not isinstance(error, GatewayError) or error.code is None:
        return False
    is_wrong = error.code == WRONG_PARAMETER or (error.code == WRONG_FLASH_DATE and codes is FLASH_CODES)
    return is_wrong or error.code >= FIRST_OF_RANGES


def is_final(error: Exception) -> bool:
    """Return whether to ask again would bring the same refusal: of what was asked for, not of who asks, or when."""
    return isinstance(error, InvalidRequestError) or type(error) is GatewayError


_ADDRESS = "is this the base URL of a gateway of the vendor?"
_REDIRECT = "a redirect is never followed: give the final address as gateway"
_PASSES = "it may pass: try again later"
_CONDITIONS = "something in front of the gateway wants conditions, not the vendor: does a proxy change requests?"
_CERTIFICATE = "something in front of the gateway wants a certificate of the client"
_CDN = "what stands in front of the gateway gets no answer from it: it may pass; if not, tell the vendor"
_LONG = "something in front of the gateway takes no headers as long as these: does a proxy add some?"

_STATUSES: dict[int, Meaning] = {
    101: (InvalidRequestError, f"nobody asked for another protocol; {_ADDRESS}"),
    304: (InvalidRequestError, "a cache answers in the gateway's place: have it let these requests pass"),
    401: (AuthenticationError, "something in front of the gateway refuses you: it wants credentials of its own"),
    402: (GatewayError, "something in front of the gateway wants to be paid: ask the vendor"),
    403: (AuthenticationError, "something in front of the gateway refuses you: may this machine's address ask there?"),
    405: (InvalidRequestError, f"no such requests are taken there; {_ADDRESS}"),
    406: (InvalidRequestError, "something in front of the gateway has no JSON to give: does a proxy change requests?"),
    407: (AuthenticationError, "a proxy on the way wants credentials of its own"),
    408: (ServerError, f"the request did not arrive in time; {_PASSES}"),
    410: (InvalidRequestError, f"what was there is gone for good; {_ADDRESS}"),
    411: (InvalidRequestError, "the length that every request has got lost: a proxy drops it"),
    412: (InvalidRequestError, _CONDITIONS),
    413: (InvalidRequestError, f"not even some hundred bytes are taken there; {_ADDRESS}"),
    414: (InvalidRequestError, "something in front of the gateway takes no addresses as long as this"),
    415: (InvalidRequestError, f"no JSON is taken there; {_ADDRESS}"),
    417: (InvalidRequestError, _CONDITIONS),
    421: (
        InvalidRequestError,
        "that server does not serve this host: check the gateway's name, and any proxy",
    ),
    425: (ServerError, f"the connection was too young; {_PASSES}"),
    426: (InvalidRequestError, "it wants another protocol: write the gateway with https://, if it is with http://"),
    428: (InvalidRequestError, _CONDITIONS),
    429: (ThrottledError, SLOWER),
    431: (InvalidRequestError, _LONG),
    451: (InvalidRequestError, "it may not be told here by law: ask the vendor for a gateway that may"),
    494: (InvalidRequestError, _LONG),
    495: (AuthenticationError, _CERTIFICATE),
    496: (AuthenticationError, _CERTIFICATE),
    497: (InvalidRequestError, "that port wants TLS: write the gateway with https://"),
    499: (ServerError, f"something in front of the gateway did not wait for it; {_PASSES}"),
    501: (InvalidRequestError, _ADDRESS),
    505: (InvalidRequestError, "something in front of the gateway does not speak HTTP/1.1"),
    510: (InvalidRequestError, _CONDITIONS),
    511: (AuthenticationError, "the network wants a login first: open some web page in a browser on this machine"),
    **dict.fromkeys((520, 521, 522, 523, 524, 527, 530), (ServerError, _CDN)),
    525: (ServerError, "what stands in front of the gateway cannot speak TLS with it: tell the vendor"),
    526: (ServerError, "what stands in front of the gateway refuses its certificate: tell the vendor"),
}
"""Those that say more than their class does."""

_STATUS_CLASSES: dict[int, Meaning] = {
    3: (InvalidRequestError, _REDIRECT),
    4: (InvalidRequestError, _ADDRESS),
    5: (ServerError, _PASSES),
}

_NO_STATUS: Meaning = (ServerError, f"that is no status of HTTP; {_ADDRESS}")
"""RFC 9110 has a number outside its classes taken for a fault of the server."""

PROXY_MAY_PASS = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a proxy, in its own name, after which the next request may pass: it had too much to do, or did not reach
the gateway. It is believed in fewer of them than a gateway, as the others of its errors are of how it is set up."""

_PARTIAL = {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.IM_USED}
_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT}

_UNOFFICIAL_NAMES = {
    494: "Request Header Too Large",
    495: "SSL Certificate Error",
    496: "SSL Certificate Required",
    497: "HTTP Request Sent to HTTPS Port",
    499: "Client Closed Request",
    520: "Web Server Returned an Unknown Error",
    521: "Web Server Is Down",
    522: "Connection Timed Out",
    523: "Origin Is Unreachable",
    524: "A Timeout Occurred",
    525: "SSL Handshake Failed",
    526: "Invalid SSL Certificate",
    527: "Railgun Error",
    530: "Origin Error",
}
"""Names that nginx and Cloudflare gave to statuses of their own."""


def is_success(status: int) -> bool:
    """Return whether a status says that the request succeeded."""
    return status // 100 == 2  # noqa: PLR2004 - HTTP's class of successes


def is_partial(status: int) -> bool:
    """Return whether a status says that there is only a part of the answer, or a difference to another one."""
    return status in _PARTIAL


def has_no_body(status: int) -> bool:
    """Return whether a status says that there is no body, and none was meant to be."""
    return status in _WITHOUT_BODY


def status_meaning(status: int) -> Meaning:
    """Return the error that a status without success becomes, and what to do about it."""
    return _STATUSES.get(status) or _STATUS_CLASSES.get(status // 100, _NO_STATUS)


def name_of(status: int) -> str | None:
    """Return what a status is called, None if it has no name."""
    known = status in HTTPStatus.__members__.values()
    return HTTPStatus(status).phrase if known else _UNOFFICIAL_NAMES.get(status)
