"""The secrets of a session. A repr never shows them."""

from typing import Literal

from attrs import define, field

from nxcdr_async.errors import ConfigurationError


@define(frozen=True, init=False)
class Credentials:
    """The key pair that signs call-center and DID requests.

    Attributes:
        access_key: the public half, sent with each request.
        access_secret: the private half, never sent; it only goes into signatures.
        algorithm: "md5" (the vendor's default) or "sha256".

    Raises:
        ConfigurationError: empty, or with characters no header can carry.
    """

    access_key: str
    access_secret: str = field(repr=False)
    algorithm: Literal["md5", "sha256"] = "md5"

    def __init__(self, access_key: str, access_secret: str, algorithm: Literal["md5", "sha256"] = "md5") -> None:
        told = _fault("access_key", access_key) or _fault("access_secret", access_secret)
        if told is None and algorithm not in ("md5", "sha256"):
            told = f"algorithm {algorithm!r} is not known: use 'md5' or 'sha256'"
        if told is not None:
            del self, access_key, access_secret  # a traceback may show variables
            raise ConfigurationError(told)
        self.__attrs_init__(access_key, access_secret, algorithm)


@define(frozen=True, init=False)
class FlashApp:
    """The key pair of a flash-call application. The vendor wants both in the query, so they only travel by https.

    Raises:
        ConfigurationError: empty, or with characters no query should carry.
    """

    appkey: str
    secretkey: str = field(repr=False)

    def __init__(self, appkey: str, secretkey: str) -> None:
        told = _fault("appkey", appkey) or _fault("secretkey", secretkey)
        if told is not None:
            del self, appkey, secretkey  # a traceback may show variables
            raise ConfigurationError(told)
        self.__attrs_init__(appkey, secretkey)


def _fault(name: str, value: object) -> str | None:
    """Say, without showing it, why a value could not travel in a header or query unchanged; None if it can."""
    if not isinstance(value, str) or not value:
        return f"{name} is empty: copy it from the vendor's console"
    if not value.isascii() or not value.isprintable() or " " in value:
        return f"{name} holds a space, a line break or a non-ASCII character: copy it again"
    return None
