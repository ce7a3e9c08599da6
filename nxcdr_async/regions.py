"""The vendor's regions and the addresses of their gateways."""

import ipaddress
import re
from enum import Enum
from typing import Self
from urllib.parse import urlsplit

from nxcdr_async.arguments import as_text
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
    """Tell whether a text is a host, with a port or without, and nothing else."""
    return _HOST_AND_PORT.fullmatch(text) is not None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, as its name or address says."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
