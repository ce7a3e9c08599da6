"""Which proxy a gateway is asked through, as its environment or an argument says."""

import base64
import traceback
from typing import Any

import pytest

from nxcdr_async import CdrSession, ConfigurationError
from nxcdr_async.transport.proxies import ProxyRules, Route

HK = "https://api-hk.nxlink.ai"
OUT = "http://proxy.example:3128"
SECRET = "pa5sw0rd-of-nobody"


def route(gateway: str, **environment: str) -> Route:
    return ProxyRules(environment=environment).route_to(gateway)


def address(gateway: str, **environment: str) -> str | None:
    proxy = route(gateway, **environment).proxy
    return None if proxy is None else proxy.url


@pytest.mark.parametrize(
    ("gateway", "environment", "expected"),
    [
        (HK, {"https": OUT}, OUT),
        (HK, {"http": OUT}, None),
        (HK, {"all": OUT}, OUT),
        (HK, {"https": OUT, "all": "http://other.example"}, OUT),
        (HK, {"https": "", "all": OUT}, OUT),
        ("http://127.0.0.1:8080", {"http": "http://localhost:3128"}, "http://localhost:3128"),
        ("http://127.0.0.1:8080", {"https": "http://localhost:3128"}, None),
    ],
)
def test_the_scheme_of_the_gateway_chooses(gateway: str, environment: dict[str, str], expected: str | None) -> None:
    assert address(gateway, **environment) == expected


@pytest.mark.parametrize(
    "no_proxy",
    [
        *("*", "api-hk.nxlink.ai", "nxlink.ai", ".nxlink.ai", "API-HK.NXLINK.AI", "api-hk.nxlink.ai:443"),
        "localhost, nxlink.ai",
    ],
)
def test_what_no_proxy_names_goes_without(no_proxy: str) -> None:
    found = route(HK, https=OUT, no=no_proxy)
    assert found == Route(None, "NO_PROXY names api-hk.nxlink.ai")


@pytest.mark.parametrize("no_proxy", ["", "nxlink.ai.example", "link.ai", "api-hk.nxlink.ai:8443", "10.0.0.0/8", ","])
def test_all_else_goes_through_it(no_proxy: str) -> None:
    assert address(HK, https=OUT, no=no_proxy) == OUT


@pytest.mark.parametrize(
    ("gateway", "no_proxy"),
    [
        ("https://10.1.2.3", "10.1.2.3"),
        ("https://10.1.2.3:8443", "10.0.0.0/8"),
        ("https://10.1.2.3", "192.168.0.0/16,10.1.2.3/8"),
        ("https://[fd00::5]", "fd00::5"),
        ("https://[fd00::5]", "[fd00::5]"),
        ("https://[fd00::5]", "[fd00::5]:443"),
        ("https://[fd00::5]:8443", "fd00::/8"),
    ],
)
def test_addresses_and_networks_are_named_too(gateway: str, no_proxy: str) -> None:
    assert route(gateway, https=OUT, no=no_proxy).proxy is None


@pytest.mark.parametrize(
    "gateway", ["http://127.0.0.1:8080", "https://localhost:8443", "http://[::1]:8080", "http://127.5.5.5"]
)
def test_a_gateway_on_this_machine_is_asked_through_a_proxy_on_it_only(gateway: str) -> None:
    far, near = (ProxyRules(environment={"all": url}).route_to(gateway) for url in (OUT, "http://127.0.0.1:3128"))
    assert far == Route(None, "the gateway is on this machine, and what ALL_PROXY names is not")
    assert near.proxy is not None
    with pytest.raises(ConfigurationError, match=f"where the proxy {OUT} cannot reach it: leave proxy out"):
        ProxyRules(OUT).route_to(gateway)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("proxy.example", ("http://proxy.example", ("proxy.example", 80))),
        ("proxy.example:3128", ("http://proxy.example:3128", ("proxy.example", 3128))),
        ("https://Proxy.Example", ("https://proxy.example", ("proxy.example", 443))),
        ("HTTP://proxy.example:3128/", ("http://proxy.example:3128", ("proxy.example", 3128))),
        ("http://[fd00::5]:3128", ("http://[fd00::5]:3128", ("fd00::5", 3128))),
        (f" {OUT}\n", (OUT, ("proxy.example", 3128))),
    ],
)
def test_an_address_is_read_as_curl_reads_it(named: str, expected: tuple[str, tuple[str, int]]) -> None:
    proxy = ProxyRules(named).route_to(HK).proxy
    assert proxy is not None
    assert (proxy.url, proxy.address) == expected
    assert proxy.authorization is None


@pytest.mark.parametrize(
    ("user", "token", "secret"),
    [
        ("clerk:pass", "clerk:pass", "pass"),
        ("clerk:p%2F5%3A%40", "clerk:p/5:@", "p/5:@"),
        ("clerk:p:p", "clerk:p:p", "p:p"),
        ("clerk:p@p", "clerk:p@p", "p@p"),
        ("gr%C3%BCn:%C3%BC", "grün:ü", "ü"),
        ("a-token", "a-token:", "a-token"),
        ("clerk:", "clerk:", "clerk"),
    ],
)
def test_user_and_password_go_into_a_header(user: str, token: str, secret: str) -> None:
    proxy = ProxyRules(OUT.replace("://", f"://{user}@")).route_to(HK).proxy
    assert proxy is not None
    assert proxy.url == OUT
    assert proxy.authorization == f"Basic {base64.b64encode(token.encode()).decode()}"
    assert secret in proxy.secrets


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("", "is not the address of a proxy"),
        (5, "is not the address of a proxy"),
        (b"http://proxy.example", "is not the address of a proxy"),
        ("http://", "is not the address of a proxy"),
        ("http://proxy.example:port", "is not the address of a proxy"),
        ("http://proxy.example:99999", "is not the address of a proxy"),
        ("http://pro xy.example", "is not the address of a proxy"),
        (f"http://clerk:{SECRET}/x@proxy.example", "percent-encoded"),
        (f"http://clerk:80/{SECRET}@proxy.example", "percent-encoded"),
        (f"http://clerk:80#{SECRET}@proxy.example", "percent-encoded"),
        (f"http://clerk:{SECRET}\x07@proxy.example", "percent-encoded"),
        (f"http://a%3Ab:{SECRET}@proxy.example", "a user with a colon"),
        (f"socks5://clerk:{SECRET}@proxy.example", "a SOCKS proxy, which is not supported"),
        ("socks4a://proxy.example", "a SOCKS proxy, which is not supported"),
        (f"ftp://clerk:{SECRET}@proxy.example", "speaks neither http nor https"),
    ],
)
def test_what_is_no_proxy_is_refused_without_being_shown(named: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^proxy .*{says}") as refused:
        CdrSession(proxy=named)
    assert says in str(refused.value)
    stack = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    assert SECRET not in "".join(
        line for frame in stack.stack if "nxcdr_async" in frame.filename for line in frame.locals or ()
    )


def test_a_variable_that_is_no_proxy_is_named_where_it_would_be_used() -> None:
    with pytest.raises(ConfigurationError, match="ALL_PROXY names a SOCKS proxy"):
        route(HK, all="socks5h://127.0.0.1:1080")
    assert address(HK, all="socks5h://127.0.0.1:1080", https=OUT) == OUT
    assert address(HK, all="socks5h://127.0.0.1:1080", no="nxlink.ai") is None


def test_why_none_is_used_is_told() -> None:
    assert route(HK).reason == "neither HTTPS_PROXY nor ALL_PROXY is set"
    assert route(HK, https=OUT).reason == "set by HTTPS_PROXY"
    assert ProxyRules(OUT).route_to(HK).reason == "given as proxy"


def test_each_gateway_of_a_region_has_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NXCDR_GATEWAY", "NXCDR_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", OUT)
    monkeypatch.setenv("NO_PROXY", "nxcloud.com")
    routes = CdrSession.from_env()._connection.routes
    assert {url: bool(found.proxy) for url, found in routes.items()} == {HK: True, "https://api2.nxcloud.com": False}


def test_no_repr_shows_a_password() -> None:
    rules = ProxyRules(f"http://clerk:{SECRET}@proxy.example", {"https": f"http://clerk:{SECRET}@proxy.example"})
    assert SECRET in rules.secrets
    for shown in (rules, rules.route_to(HK), rules.route_to(HK).proxy):
        assert SECRET not in repr(shown)
        assert base64.b64encode(f"clerk:{SECRET}".encode()).decode() not in repr(shown)
