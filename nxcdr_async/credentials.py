"""The secrets of a session. A repr never shows them."""

from typing import Literal

import attrs
from attrs import define, field

from nxcdr_async.errors import ConfigurationError


def _header_safe(_instance: object, attribute: "attrs.Attribute[str]", value: str) -> None:
    """Refuse what could not travel in a header or query unchanged; the value itself is never shown."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{attribute.name} is empty: copy it from the vendor's console")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(
            f"{attribute.name} holds a space, a line break or a non-ASCII character: copy it again"
        )


def _known_algorithm(_instance: object, _attribute: "attrs.Attribute[str]", value: str) -> None:
    if value not in ("md5", "sha256"):
        raise ConfigurationError(f"algorithm {value!r} is not known: use 'md5' or 'sha256'")


@define(frozen=True)
class Credentials:
    """The key pair that signs call-center and DID requests.

    Attributes:
        access_key: the public half, sent with each request.
        access_secret: the private half, never sent; it only goes into signatures.
        algorithm: "md5" (the vendor's default) or "sha256".

    Raises:
        ConfigurationError: empty, or with characters no header can carry.
    """

    access_key: str = field(validator=_header_safe)
    access_secret: str = field(validator=_header_safe, repr=False)
    algorithm: Literal["md5", "sha256"] = field(default="md5", validator=_known_algorithm)


@define(frozen=True)
class FlashApp:
    """The key pair of a flash-call application. The vendor wants both in the query, so they only travel by https.

    Raises:
        ConfigurationError: empty, or with characters no query should carry.
    """

    appkey: str = field(validator=_header_safe)
    secretkey: str = field(validator=_header_safe, repr=False)
