"""The vendor's request signature, as the page "API interface call convention" gives it. Pure: no clock, no I/O."""

import hashlib

from nxcdr_async.arguments import as_text, as_whole
from nxcdr_async.credentials import Credentials
from nxcdr_async.errors import ConfigurationError


def sign(credentials: Credentials, *, action: str, biz_type: str | int, ts: int | str, body: bytes | str = b"") -> str:
    """Return the signature of one request, for people who debug and for the wire.

    Args:
        credentials: whose secret signs, and by which algorithm.
        action: the `action` header, "cc" for call-center records.
        biz_type: the `bizType` header, "8" for call-center records.
        ts: the `ts` header, epoch milliseconds.
        body: the exact bytes sent; an empty body takes no part in the signature.

    Raises:
        ConfigurationError: an argument that can be no part of it.

    >>> sign(Credentials("fme2na3kdi3ki", "abciiiko2k3"), action="send", biz_type=1, ts=1655710885431,
    ...      body='{"id":10001,"name":"牛小信"}')
    '7750759da06333f20d0640be09355e34'
    """
    content = str.encode(body) if isinstance(body, str) else body
    signed = {"action": as_text(action), "biz_type": _written(biz_type), "ts": _written(ts)}
    wrong = next((name for name, value in signed.items() if value is None), None)
    if not isinstance(content, bytes | bytearray):
        raise ConfigurationError(f"body is of type {type(body).__name__}: give the exact bytes that are sent")
    if wrong is not None:
        raise ConfigurationError(f"{wrong} can be no part of a signature: give text or, but for action, a whole number")
    # The vendor chose MD5; as a keyed digest over a secret it is what its servers accept.
    digest = hashlib.new(credentials.algorithm, usedforsecurity=False)
    digest.update(
        f"accessKey={credentials.access_key}&action={signed['action']}&bizType={signed['biz_type']}&ts={signed['ts']}".encode()
    )
    if content:
        digest.update(b"&body=" + content)
    # No variable holds what has the secret in it: a traceback may show them.
    digest.update(f"&accessSecret={credentials.access_secret}".encode())
    return digest.hexdigest()


def _written(value: object) -> str | None:
    """Return text, or a whole number as it is written; None for what is neither."""
    whole = as_whole(value)
    return as_text(value) if whole is None else str(whole)
