"""Whom to ask and as whom: regions, credentials, and the variables of an environment that hold them."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from attrs import define, field

from nxcdr_async._util.validation import as_text
from nxcdr_async.errors import ConfigurationError

SHARED_GATEWAY = "https://api2.nxcloud.com"
"""The older gateway: serves every customer, and is the only home of DID and flash calls."""

_UNAMBIGUOUS = re.compile(r"[!-\[\]-~]*")
_HOST_AND_PORT = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]+)?", re.IGNORECASE)


class Region(Enum):
    """A service region of the vendor. An account lives in one region; its website is the one you log in to.

    >>> Region.AMER.gateway
    'https://chl-api.nxlink.ai'
    """

    HK = ("https://api-hk.nxlink.ai", "https://app.nxlink.ai")
    AMER = ("https://chl-api.nxlink.ai", "https://chl-nxlink.nxcloud.com")
    IDN = ("https://api-idn.nxlink.ai", "https://idn.nxlink.ai")
    LEGACY = (SHARED_GATEWAY, None)

    def __init__(self, gateway: str, website: str | None) -> None:
        self.gateway = gateway
        """Base URL of the call-center APIs."""
        self.website = website
        """Where people of this region log in; None for the older gateway."""

    @property
    def shared_gateway(self) -> str:
        """Base URL of the DID and flash-call APIs, the same for every region."""
        return SHARED_GATEWAY

    @classmethod
    def named(cls, name: "str | Region") -> Self:
        """Find a region by its name in any case ("HK", "idn").

        Raises:
            ConfigurationError: there is no such region.
        """
        if isinstance(name, cls):
            return name
        found = cls.__members__.get((as_text(name) or "").strip().upper())
        if found is None:
            known = ", ".join(cls.__members__)
            raise ConfigurationError(
                f"unknown region {name!r}: use one of {known}, or give the base URL of another gateway instead",
            )
        return found


def checked_gateway(url: str) -> str:
    """Return a base URL without its trailing slash, once it is one that secrets may be sent to.

    Raises:
        ConfigurationError: not a URL, not https (http is for loopback only), or with a user, query or fragment.
    """
    text = (as_text(url) or "").strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("gateway is not a URL: write it like https://api-hk.nxlink.ai") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError("gateway must be a base URL such as https://api-hk.nxlink.ai")
    if not _UNAMBIGUOUS.fullmatch(text):
        # What one program skips over another may read, and so see another host.
        raise ConfigurationError(
            "gateway holds a space, a backslash, a control or a non-ASCII character: leave them out"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            "gateway must be a bare base URL: leave out the user, password, query and fragment; "
            "secrets go into Credentials and FlashApp",
        )
    if not is_host_and_port(parts.netloc):
        raise ConfigurationError("gateway must name a host, and a port or none: https://api-hk.nxlink.ai")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"gateway {host!r} must be https: plain http is allowed to loopback only")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def is_host_and_port(text: str) -> bool:
    """Return whether a text is a host, with a port or without, and nothing else."""
    return _HOST_AND_PORT.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as its name or address says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        fault = _fault("access_key", key) or _fault("access_secret", secret)
        if chosen is None:
            fault = fault or f"algorithm {algorithm!r} is not known: use 'md5' or 'sha256'"
        if fault is not None or chosen is None:
            del self, access_key, access_secret, key, secret  # a traceback may show variables
            raise ConfigurationError(fault)
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
        fault = _fault("appkey", key) or _fault("secretkey", secret)
        if fault is not None:
            del self, appkey, secretkey, key, secret  # a traceback may show variables
            raise ConfigurationError(fault)
        self.__attrs_init__(key, secret)


@define(frozen=True)
class KeyPairs:
    """The key pairs of a session, of which each API takes one."""

    credentials: Credentials | None = None
    flash_app: FlashApp | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """Their private halves."""
        access_secret = (self.credentials.access_secret,) if self.credentials else ()
        return (*access_secret, self.flash_app.secretkey) if self.flash_app else access_secret

    def need_credentials(self) -> Credentials:
        """Return the credentials.

        Raises:
            ConfigurationError: there are none.
        """
        if self.credentials is None:
            raise ConfigurationError(
                "no credentials: give CdrSession(credentials=Credentials(access_key, access_secret)), or set "
                "NXCDR_ACCESS_KEY and NXCDR_ACCESS_SECRET and use CdrSession.from_env()",
            )
        return self.credentials

    def need_flash_app(self) -> FlashApp:
        """Return the flash-call application.

        Raises:
            ConfigurationError: there is none.
        """
        if self.flash_app is None:
            raise ConfigurationError(
                "no flash-call application: give CdrSession(flash_app=FlashApp(appkey, secretkey)), or set "
                "NXCDR_FLASH_APPKEY and NXCDR_FLASH_SECRETKEY and use CdrSession.from_env()",
            )
        return self.flash_app


def _fault(name: str, value: str) -> str | None:
    """Say, without showing it, why a value could not travel in a header or query unchanged; None if it can."""
    if not value:
        return f"{name} is empty: copy it from the vendor's console"
    if not value.isascii() or not value.isprintable() or " " in value:
        return f"{name} holds a space, a line break or a non-ASCII character: copy it again"
    return None


SECRET_VARIABLES = ("NXCDR_ACCESS_SECRET", "NXCDR_FLASH_SECRETKEY", "PGPASSWORD")
"""The variables nobody else should read, but for those that may name a proxy with a password."""


def may_hold_secret(variable: str) -> bool:
    """Return whether a variable is one that nobody else should read."""
    return variable in SECRET_VARIABLES or variable.lower().endswith("_proxy")


def settings_from(environment: Mapping[str, str], *, given: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments for a session: region, gateway, credentials and flash_app, as far as they are set.

    Args:
        environment: the variables.
        given: names of arguments that need not be looked for.

    Raises:
        ConfigurationError: half a key pair.
    """
    try:
        return _found(environment, given)
    except ConfigurationError as refused:
        del environment  # a traceback may show variables, and these hold secrets
        raise refused.with_traceback(None) from None


def _found(environment: Mapping[str, str], given: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _value(environment, variable)
        for name, variable in (("region", "NXCDR_REGION"), ("gateway", "NXCDR_GATEWAY"))
        if name not in given and environment.get(variable)
    }
    if "credentials" not in given and (pair := _pair(environment, "NXCDR_ACCESS_KEY", "NXCDR_ACCESS_SECRET")):
        found["credentials"] = Credentials(*pair)
    if "flash_app" not in given and (pair := _pair(environment, "NXCDR_FLASH_APPKEY", "NXCDR_FLASH_SECRETKEY")):
        found["flash_app"] = FlashApp(*pair)
    return found


def _value(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable, "")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ConfigurationError(
            f"{variable} begins and ends with a quotation mark, which belongs to the value: leave both out, as what "
            "set it (docker --env-file, a list under environment in a compose file) does not take them away"
        )
    return value


def _pair(environment: Mapping[str, str], first: str, second: str) -> tuple[str, str] | None:
    pair = _value(environment, first), _value(environment, second)
    if all(pair):
        return pair
    if any(pair):
        missing = second if pair[0] else first
        raise ConfigurationError(f"{missing} is not set, though its other half is: set both")
    return None
