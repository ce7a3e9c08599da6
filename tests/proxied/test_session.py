"""A session asks through the proxy that it is told of, and says what is wrong with it where that refuses."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
import trustme

from nxcdr_async import CdrSession, CertificateError, ConfigurationError, Credentials, NxcdrError, ProxyError
from nxcdr_async.testing import Gateway
from tests.proxied.proxy_server import (
    AUTHORITY,
    GATEWAY_HOST,
    PASSWORD,
    USER,
    ProxyServer,
    behind_tls,
    certified,
    proxying,
    run_nxcdr,
)

IN_URL = f"{USER}:{quote(PASSWORD, safe='')}@"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def emulator() -> Iterator[Gateway]:
    with Gateway(calls=250, days=1) as running:
        yield running


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process trust the authority of these tests, as SSL_CERT_FILE does when a process starts."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)


@pytest.fixture(autouse=True)
def no_proxies_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def gateway_url(emulator: Gateway) -> AsyncIterator[str]:
    async with behind_tls(emulator.url) as url:
        yield url


async def read(session: CdrSession, emulator: Gateway) -> int:
    async with session:
        return len(await session.calls(emulator.first_call, emulator.last_call).collect())


def with_user(proxy: ProxyServer) -> str:
    return proxy.url.replace("://", f"://{IN_URL}")


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["open", "with a password"])
async def test_an_https_gateway_is_asked_through_a_tunnel(
    password: str | None, is_encrypted: bool, gateway_url: str, emulator: Gateway
) -> None:
    async with proxying(ProxyServer(password), certified("127.0.0.1") if is_encrypted else None) as proxy:
        named = proxy.url if password is None else with_user(proxy)
        session = CdrSession(gateway=gateway_url, credentials=emulator.credentials, proxy=named)
        assert await read(session, emulator) == 250
        assert proxy.methods == {"CONNECT"}
        assert {seen.target for seen in proxy.seen} == {gateway_url.removeprefix("https://")}


@pytest.mark.parametrize("password", [None, PASSWORD], ids=["open", "with a password"])
async def test_a_gateway_of_plain_http_is_asked_through_a_proxy_that_passes_on(
    password: str | None, emulator: Gateway
) -> None:
    async with proxying(ProxyServer(password)) as proxy:
        named = proxy.url if password is None else with_user(proxy)
        session = CdrSession(gateway=emulator.url, credentials=emulator.credentials, proxy=named)
        assert await read(session, emulator) == 250
        assert proxy.methods == {"POST"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_session_of_the_environment_goes_through_its_proxy(
    variable: str, gateway_url: str, emulator: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying(ProxyServer(PASSWORD)) as proxy:
        monkeypatch.setenv(variable, with_user(proxy))
        session = CdrSession.from_env(gateway=gateway_url, credentials=emulator.credentials)
        assert await read(session, emulator) == 250
        assert proxy.methods == {"CONNECT"}


async def test_what_no_proxy_names_is_asked_directly(emulator: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying(ProxyServer()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        session = CdrSession.from_env(gateway=emulator.url, credentials=emulator.credentials)
        assert await read(session, emulator) == 250
        assert not proxy.seen


@pytest.mark.parametrize("given", [{}, {"proxy": None}], ids=["a session without environment", "None by hand"])
async def test_no_proxy_of_the_environment_where_none_is_wanted(
    given: dict[str, None], emulator: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying(ProxyServer()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        make = CdrSession.from_env if given else CdrSession
        assert await read(make(gateway=emulator.url, credentials=emulator.credentials, **given), emulator) == 250
        assert not proxy.seen


async def test_the_callers_own_client_keeps_its_own_proxy(
    gateway_url: str, emulator: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    async with proxying(ProxyServer()) as proxy, aiohttp.ClientSession(proxy=proxy.url) as http:
        session = CdrSession.from_env(gateway=gateway_url, credentials=emulator.credentials, http=http)
        assert await read(session, emulator) == 250
        assert proxy.methods == {"CONNECT"}
        with pytest.raises(ConfigurationError, match="are both given"):
            CdrSession(proxy=proxy.url, http=http)


async def test_no_netrc_is_read(
    gateway_url: str, emulator: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine {GATEWAY_HOST} login a password b\nmachine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with proxying(ProxyServer()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for url in (gateway_url, emulator.url):
            assert await read(CdrSession.from_env(gateway=url, credentials=emulator.credentials), emulator) == 250
        assert proxy.methods == {"CONNECT", "POST"}
        told = {name for seen in proxy.seen for name in seen.headers}
        assert not {"authorization", "proxy-authorization"} & told


@pytest.mark.parametrize("is_plain", [False, True], ids=["tunnel", "passed on"])
@pytest.mark.parametrize(
    ("given", "challenge", "says"),
    [
        ("", "Basic", "wants a user and a password: write them into proxy, like http://user:password@host:port"),
        ("clerk:wrong-password@", "Basic", "does not accept the user and the password in proxy: correct them"),
        (IN_URL, "Negotiate", "wants another authentication than Basic, which alone is supported"),
    ],
)
async def test_a_proxy_that_does_not_know_us_is_asked_once(
    given: str, challenge: str, says: str, is_plain: bool, gateway_url: str, emulator: Gateway
) -> None:
    async with proxying(ProxyServer("another", challenge=challenge)) as proxy:
        session = CdrSession(
            gateway=emulator.url if is_plain else gateway_url,
            credentials=emulator.credentials,
            proxy=proxy.url.replace("://", f"://{given}"),
        )
        with pytest.raises(ProxyError) as refused:
            await read(session, emulator)
        assert len(proxy.seen) == session.stats.requests == 1
        assert (refused.value.proxy, refused.value.http_status) == (proxy.url, 407)
        assert f"the proxy {proxy.url} {says}" in str(refused.value)
        assert "or leave proxy out" in str(refused.value)
        assert "HTTP 407" in str(refused.value)


@pytest.mark.parametrize(
    ("status", "requests", "says"),
    [
        (403, 1, "refuses to connect to gateway.example"),
        (405, 1, "refuses to connect to gateway.example"),
        (502, 3, "could not reach gateway.example"),
        (503, 3, "could not reach gateway.example"),
    ],
)
async def test_a_proxy_that_refuses_is_named_with_the_way_out(
    status: int,
    requests: int,
    says: str,
    gateway_url: str,
    emulator: Gateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with proxying(ProxyServer(PASSWORD, refuses=status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", with_user(proxy))
        session = CdrSession.from_env(gateway=gateway_url, credentials=emulator.credentials)
        session._transport.sleep = lambda _: asyncio.sleep(0)
        with pytest.raises(ProxyError) as refused:
            await read(session, emulator)
    assert session.stats.requests == requests
    assert refused.value.http_status == status
    assert f"the proxy {proxy.url} {says}" in str(refused.value)
    assert "or name gateway.example in NO_PROXY to go without it" in str(refused.value)


@pytest.mark.parametrize("challenge", ["x" * 9_000, "Basic\r\nno header"])
async def test_a_proxy_whose_answer_cannot_be_read_is_named_in_the_place_of_the_gateway(
    challenge: str, gateway_url: str, emulator: Gateway
) -> None:
    async with proxying(ProxyServer(PASSWORD, challenge=challenge)) as proxy:
        session = CdrSession(gateway=gateway_url, credentials=emulator.credentials, proxy=proxy.url)
        session._transport.sleep = lambda _: asyncio.sleep(0)
        with pytest.raises(ProxyError, match="does not answer as HTTP has it") as refused:
            await read(session, emulator)
    assert f"the proxy {proxy.url} does not" in str(refused.value)
    assert "check its address in proxy, or leave proxy out" in str(refused.value)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("http://127.0.0.1:9", "cannot connect to the proxy http://127.0.0.1:9: correct it in HTTPS_PROXY, or name"),
        ("http://proxy.invalid:3128", "nobody knows the name of the proxy http://proxy.invalid:3128: correct it in"),
        ("{plain}", "no TLS with the proxy https://127.0.0.1:"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's own, of a refused handshake
async def test_a_proxy_that_cannot_be_reached_is_named(
    named: str, says: str, emulator: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying(ProxyServer()) as plain:
        monkeypatch.setenv("HTTPS_PROXY", named.format(plain=plain.url.replace("http:", "https:")))
        session = CdrSession.from_env(gateway="https://gateway.example", credentials=emulator.credentials)
        session._transport.sleep = lambda _: asyncio.sleep(0)
        with pytest.raises(ProxyError) as failed:
            await read(session, emulator)
    assert session.stats.requests == 3
    assert failed.value.http_status is None
    assert says in str(failed.value)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
async def test_a_proxy_without_a_trusted_certificate_gets_no_request(emulator: Gateway) -> None:
    async with proxying(ProxyServer(), certified("127.0.0.1", trustme.CA())) as proxy:
        session = CdrSession(
            gateway="https://gateway.example",
            credentials=emulator.credentials,
            proxy=proxy.url.replace("://", f"://{IN_URL}"),
        )
        with pytest.raises(CertificateError, match="certificate of the proxy https://"):
            await read(session, emulator)
    assert session.stats.requests == 1
    assert not proxy.seen


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # as above
async def test_a_proxy_that_reads_along_is_found_out(emulator: Gateway) -> None:
    async with (
        behind_tls(emulator.url, certified(GATEWAY_HOST, trustme.CA())) as url,
        proxying(ProxyServer()) as proxy,
    ):
        session = CdrSession(gateway=url, credentials=emulator.credentials, proxy=proxy.url)
        with pytest.raises(CertificateError, match="put its certificate into the file that SSL_CERT_FILE names"):
            await read(session, emulator)
    assert session.stats.requests == 1


async def test_an_error_of_a_gateway_behind_a_proxy_names_both(emulator: Gateway) -> None:
    async with proxying(ProxyServer(hosts={GATEWAY_HOST: "127.0.0.1"})) as proxy:
        emulator.fail_next("close", times=3)
        session = CdrSession(gateway=emulator.url, credentials=emulator.credentials, proxy=proxy.url)
        session._transport.sleep = lambda _: asyncio.sleep(0)
        with pytest.raises(NxcdrError, match=f"through the proxy {proxy.url}: it closed the connection"):
            await read(session, emulator)


async def test_the_command_line_reads_through_a_proxy(gateway_url: str, emulator: Gateway, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    AUTHORITY.cert_pem.write_to_path(trusted)
    known = {"SSL_CERT_FILE": str(trusted), "NXCDR_ACCESS_KEY": emulator.credentials.access_key}
    known |= {"NXCDR_GATEWAY": gateway_url, "NXCDR_ACCESS_SECRET": emulator.credentials.access_secret}
    times = ("--start", "2026-01-01", "--end", "2026-01-02")
    async with proxying(ProxyServer(PASSWORD)) as proxy:
        code, out, err = await run_nxcdr(tmp_path, "calls", *times, **known, https_proxy=with_user(proxy))
        assert (code, len(out.splitlines())) == (0, 250), err
        code, _, err = await run_nxcdr(
            tmp_path,
            "calls",
            *times,
            **known,
            HTTPS_PROXY=with_user(proxy).replace("clerk", "clark"),
            NXCDR_LOG="debug",
        )
        assert code == 1
        assert f"the proxy {proxy.url} does not accept the user and the password in HTTPS_PROXY" in err
        assert not [secret for secret in (PASSWORD, quote(PASSWORD, safe="")) if secret in err]


async def test_a_socks_proxy_is_refused(emulator: Gateway) -> None:
    with pytest.raises(ConfigurationError, match="which is not supported: give an HTTP proxy"):
        CdrSession(gateway=emulator.url, credentials=Credentials("key", "secret"), proxy="socks5://127.0.0.1:1080")
