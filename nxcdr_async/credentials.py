"""The secrets of a session. A repr never shows them."""

from typing import Literal

from attrs import define, field

from nxcdr_async.arguments import as_text
from nxcdr_async.errors import ConfigurationError

Algorithm = Literal["md5", "sha256"]
"""What signs."""

ALGORITHMS: dict[str, Algorithm] = {"md5": "md5", "sha256": "sha256"}
"""By the names that the vendor gives them."""


@define(frozen=True, init=False)
class Credentials:
    """The key pair that signs call-center and DID requests.

    It can be copied and pickled, so that another process can open a session of its own: the bytes of a pickle hold the
    secret as it is, so let them pass to that process only, and store them nowhere.

    Attributes:
        access_key: the public half, sent with each request.
        access_secret: the private half, never sent; it only goes into signatures.
        algorithm: "md5" (the vendor's default) or "sha256"; "MD5" and the like are the same.

    Raises:
        ConfigurationError: empty, or with characters no header can carry.
    """

    access_key: str
    access_secret: str = field(repr=False)
    algorithm: Algorithm = "md5"

    def __init__(self, access_key: str, access_secret: str, algorithm: str = "md5") -> None:
        key, secret = as_text(access_key) or "", as_text(access_secret) or ""
        chosen = ALGORITHMS.get((as_text(algorithm) or "").lower())
        told = _fault("access_key", key) or _fault("access_secret", secret)
        if chosen is None:
            told = told or f"algorithm {algorithm!r} is not known: use 'md5' or 'sha256'"
        if told is not None or chosen is None:
            del self, access_key, access_secret, key, secret  # a traceback may show variables
            raise ConfigurationError(told)
        self.__attrs_init__(key, secret, chosen)


@define(frozen=True, init=False)
class FlashApp:
    """The key pair of a flash-call application. The vendor wants both in the query, so they only travel by https.

    It can be copied and pickled as `Credentials` can, secret and all.

    Raises:
        ConfigurationError: empty, or with characters no query should carry.
    """

    appkey: str
    secretkey: str = field(repr=False)

    def __init__(self, appkey: str, secretkey: str) -> None:
        key, secret = as_text(appkey) or "", as_text(secretkey) or ""
        told = _fault("appkey", key) or _fault("secretkey", secret)
        if told is not None:
            del self, appkey, secretkey, key, secret  # a traceback may show variables
            raise ConfigurationError(told)
        self.__attrs_init__(key, secret)


def _fault(name: str, value: str) -> str | None:
    """Say, without showing it, why a value could not travel in a header or query unchanged; None if it can."""
    if not value:
        return f"{name} is empty: copy it from the vendor's console"
    if not value.isascii() or not value.isprintable() or " " in value:
        return f"{name} holds a space, a line break or a non-ASCII character: copy it again"
    return None
