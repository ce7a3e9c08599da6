"""What aiohttp's errors mean, in words that quote none of theirs, as these may hold an address with a secret."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong

from nxcdr_async.errors import CertificateError, MalformedReplyError, NxcdrError, TimedOutError, TransportError

LARGEST_HEADER = 64 * 1024
"""Bytes of one header of a response, or of its status line."""

MOST_HEADERS = 1_000
"""Headers of a response."""


def fault_of(error: Exception, host: str, timeout: float) -> NxcdrError:
    """Return the error that a user gets in place of one of aiohttp, of the system, or of reading a response.

    Args:
        error: what ended an exchange.
        host: who was asked, and through what.
        timeout: seconds that it might take.
    """
    if isinstance(error, MalformedReplyError):
        return error.with_traceback(None)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(
            f"the TLS certificate of {host} was not accepted: {_missing_certificates() or _CHECK_CERTIFICATE}"
        )
    if isinstance(error, TimeoutError):
        return timed_out(host, timeout)
    if isinstance(error, aiohttp.ClientResponseError) and not isinstance(error, aiohttp.ClientHttpProxyError):
        return _unreadable(host, error)
    return TransportError(f"no whole reply from {host}: {_reason(error)}")


def timed_out(host: str, timeout: float) -> TimedOutError:
    """Return the error of a response that did not come in time."""
    return TimedOutError(f"no whole reply from {host} within {timeout:g} s")


def seal(error: BaseException) -> None:
    """Have an error that goes on as it is lead to none of aiohttp's, which quote headers, and to no variables.

    Reports of errors show the variables of each frame, and do so for all that an error came of.
    """
    left, seen = [error], set[int]()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        if isinstance(one.__cause__, aiohttp.ClientError):
            one.__cause__ = None
        if isinstance(one.__context__, aiohttp.ClientError):
            one.__context__ = None
        left += filter(None, (one.__cause__, one.__context__))
        left += one.exceptions if isinstance(one, BaseExceptionGroup) else ()


def _missing_certificates() -> str | None:
    """Say which variable names no certificates, in whose place there are none then and nobody is trusted."""
    file = os.environ.get("SSL_CERT_FILE")
    if not file or Path(file).is_file():
        return None
    return f"SSL_CERT_FILE names {file!r}, which is no file"


def _unreadable(host: str, error: aiohttp.ClientResponseError) -> NxcdrError:
    """Return the error of a response of which not even the head can be read."""
    causes = list(_causes(error))
    if any(isinstance(cause, LineTooLong) for cause in causes) or "Too many headers" in error.message:
        return MalformedReplyError(
            f"a header of the reply of {host} is longer than {LARGEST_HEADER // 1024} KiB, or there are more than "
            f"{MOST_HEADERS:,}",
            is_whole=True,
        )
    if any(isinstance(cause, ContentEncodingError) for cause in causes):
        return MalformedReplyError(
            f"the reply of {host} is packed in a way that was not asked for: something in front of the gateway does so",
            is_whole=True,
        )
    return TransportError(f"no whole reply from {host}: what it sent is not HTTP as it should be")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(error: BaseException) -> str:
    """Say what went wrong without quoting the error's own text, which may hold the address."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _REASONS_BY_NUMBER:
        return _REASONS_BY_NUMBER[number]
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__


_CHECK_CERTIFICATE = "check the address, this machine's clock and its certificates"

_TOO_MANY_FILES = "this process may open no more files; raise its limit (ulimit -n), or lower concurrency"

_REASONS_BY_NUMBER: dict[int | None, str] = {
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    socket.EAI_AGAIN: "its name cannot be looked up now; is this machine online?",
}

_REASONS: dict[type[BaseException], str] = {
    aiohttp.ClientProxyConnectionError: "cannot connect to the proxy of the aiohttp.ClientSession",
    aiohttp.ClientHttpProxyError: "the proxy of the aiohttp.ClientSession refuses to pass it on",
    aiohttp.ClientConnectorDNSError: "its name is not known; is the gateway written right?",
    aiohttp.ClientConnectorSSLError: "it does not speak TLS as it should; is this an https address?",
    aiohttp.ClientConnectorError: "cannot connect; is it running, and are the address and the port right?",
    aiohttp.ServerDisconnectedError: "it closed the connection",
    aiohttp.ClientPayloadError: "the body was cut off or is not what its headers say",
}
"""From the most special kind to the most general."""
