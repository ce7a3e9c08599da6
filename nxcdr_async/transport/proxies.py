"""Which proxy a gateway is asked through: one that was given, or one of the environment. Pure: both are arguments.

The variables are read as curl and requests read them: `HTTPS_PROXY` or `HTTP_PROXY` by the scheme of the gateway, else
`ALL_PROXY`, and `NO_PROXY` for what goes without; lower case wins. One thing is different: a gateway on this machine is
asked through a proxy only where that is on it too, as no other can reach it, and plain http goes nowhere else.
"""

from base64 import b64encode
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import define, field

from nxcdr_async._util.validation import as_text
from nxcdr_async.config import is_host_and_port, is_loopback
from nxcdr_async.errors import ConfigurationError

ARGUMENT = "proxy"
"""What names a proxy that was given by hand."""

_PORTS = {"http": 80, "https": 443}


@define(frozen=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        url: its address, without user and password.
        named_by: the variable or argument that names it.
        authorization: the value of the header by which it knows us; None where no user was given.
        secrets: what nobody else may see: the password, and the header it goes into.
    """

    url: str
    named_by: str
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return _address(urlsplit(self.url))


@define(frozen=True)
class Route:
    """How a gateway is reached.

    Attributes:
        proxy: what it is asked through; None to ask it directly.
        reason: what says so.
    """

    proxy: Proxy | None
    reason: str


@define(frozen=True)
class ProxyRules:
    """Says through which proxy a gateway is asked.

    Attributes:
        given: the address of a proxy for everything; None to go by the environment.
        environment: addresses by scheme, with those of "all" and "no", as `urllib.request.getproxies_environment` has
            them.
    """

    given: object = field(default=None, repr=False)
    environment: Mapping[str, str] = field(factory=dict, repr=False)

    @classmethod
    def of(cls, proxy: "str | ProxyRules | None") -> Self:
        """Return the rules that an argument stands for. It is looked at later, where no variable holds a password."""
        return proxy if isinstance(proxy, cls) else cls(proxy)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody else may see of all that is named, whether it is used or not."""
        named = [self.given, *(url for scheme, url in self.environment.items() if scheme != "no")]
        read = [_read(url, ARGUMENT) for url in named if url is not None]
        return tuple(secret for proxy in read if isinstance(proxy, Proxy) for secret in proxy.secrets)

    def route_to(self, gateway: str) -> Route:
        """Return how a gateway is reached.

        Args:
            gateway: its base URL.

        Raises:
            ConfigurationError: through something that is no proxy, or none that is supported.
        """
        found = self._by_environment(urlsplit(gateway)) if self.given is None else self._as_given(urlsplit(gateway))
        if isinstance(found, str):
            raise ConfigurationError(found)
        return found

    def _as_given(self, gateway: SplitResult) -> Route | str:
        proxy = _read(self.given, ARGUMENT)
        if isinstance(proxy, str):
            return proxy
        if is_loopback(gateway.hostname or "") and not is_loopback(proxy.address[0]):
            return f"the gateway is on this machine, where the proxy {proxy.url} cannot reach it: leave {ARGUMENT} out"
        return Route(proxy, f"given as {ARGUMENT}")

    def _by_environment(self, gateway: SplitResult) -> Route | str:
        schemes = [scheme for scheme in (gateway.scheme, "all") if self.environment.get(scheme)]
        if not schemes:
            return Route(None, f"neither {gateway.scheme.upper()}_PROXY nor ALL_PROXY is set")
        host, port = _address(gateway)
        if _is_named(host, port, self.environment.get("no", "")):
            return Route(None, f"NO_PROXY names {host}")
        url, name = self.environment[schemes[0]], f"{schemes[0].upper()}_PROXY"
        if is_loopback(host) and not is_loopback(_host_of(url)):
            return Route(None, f"the gateway is on this machine, and what {name} names is not")
        proxy = _read(url, name)
        return proxy if isinstance(proxy, str) else Route(proxy, f"set by {name}")


def _read(url: object, name: str) -> Proxy | str:
    """Read the address of a proxy; returns what is wrong with it, without showing it, if it is none."""
    example = "http://proxy.example:3128"
    try:
        parts = _parts(url)
        address, user, password = _address(parts), parts.username, parts.password
    except ValueError:
        return (
            f"{name} is not the address of a proxy: write it like {example}, or like http://user:password@… with all "
            "but letters and digits of both percent-encoded"
        )
    if parts.scheme.startswith("socks"):
        return f"{name} names a SOCKS proxy, which is not supported: give an HTTP proxy, like {example}, or none"
    if parts.scheme not in _PORTS:
        return f"{name} names a proxy that speaks neither http nor https: write it like {example}"
    if ":" in unquote(user or ""):
        return f"{name} names a user with a colon, which no proxy can be told: give another"
    netloc = parts.netloc.rpartition("@")[2].lower()
    shown = f"{parts.scheme}://{netloc}" if address[0] else ""
    if user is None:
        return Proxy(shown, name)
    token = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
    # A user without a password is a token, most likely.
    return Proxy(shown, name, f"Basic {token}", (unquote(password or user), token))


def _parts(url: object) -> SplitResult:
    """Split an address, which is of http if it names no scheme.

    Raises:
        ValueError: it is none.
    """
    text = (as_text(url) or "").strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    # Where a password has a slash or such in it, its end would be taken for a path, and its begin for a port.
    is_cut = "@" in f"{parts.path}{parts.query}{parts.fragment}"
    if not text.isprintable() or is_cut or not is_host_and_port(parts.netloc.rpartition("@")[2]):
        raise ValueError
    return parts


def _address(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _host_of(url: str) -> str:
    try:
        return _parts(url).hostname or ""
    except ValueError:
        return ""


def _is_named(host: str, port: int, no_proxy: str) -> bool:
    """Return whether a host is among those that go without a proxy: by name, as part of a domain, or by address."""
    # Slow to import, and not known to the types of the standard library.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 - as told above

    names: Any = {"no": no_proxy}
    with_port = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if proxy_bypass_environment(host, names) or proxy_bypass_environment(with_port, names):
        return True
    return any(_is_within(host, entry.strip()) for entry in no_proxy.split(",") if "/" in entry)


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
