"""What `nxcdr doctor` tells of a proxy, and checks through it."""

from pathlib import Path
from typing import Any

import pytest

from nxcdr_async.testing import Gateway
from tests.proxied.proxy_server import AUTHORITY, PASSWORD, USER, ProxyServer, behind_tls, proxying, run_nxcdr


def marks(out: str) -> dict[str, str]:
    rows = [line.split("  ") for line in out.splitlines() if not line.startswith(" ")]
    return {row[1].strip(): row[0] for row in rows}


async def examined(folder: Path, url: str, **variables: str) -> tuple[int, str]:
    known = {"NXCDR_GATEWAY": url, "NXCDR_ACCESS_KEY": "emulatorKey01"}
    known |= {"NXCDR_ACCESS_SECRET": "emulator-secret-of-no-value"}
    code, out, err = await run_nxcdr(folder, "doctor", **known, **variables)
    assert not err
    assert PASSWORD not in out
    return code, out


async def test_all_is_checked_through_the_proxy(tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    AUTHORITY.cert_pem.write_to_path(trusted)
    with Gateway(calls=10) as gateway:
        async with behind_tls(gateway.url) as url, proxying(ProxyServer(PASSWORD)) as proxy:
            named = f"http://{USER}:p%2F5s%3Aw%40rd%2B%26%3D~%22Q1w2E3r4T5y6U7i8@127.0.0.1:{proxy.port}"
            code, out = await examined(tmp_path, url, HTTPS_PROXY=named, SSL_CERT_FILE=str(trusted))
            assert code == 0, out
            checks = ("gateway", "proxy", "name", "connection", "credentials", "signed request", "clock")
            assert marks(out) == {**dict.fromkeys(checks, "✓"), "flash app": "·"}
            assert f"{proxy.url}, with a user, set by HTTPS_PROXY" in out
            assert "127.0.0.1 is 127.0.0.1" in out
            assert "through the proxy, it answers (HTTP 404)" in out
            assert proxy.methods == {"CONNECT"}


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ({"password": "another"}, "wants a user and a password"),
        ({"refuses": 403}, "refuses to connect to gateway.example"),
        ({"refuses": 502}, "could not reach gateway.example"),
    ],
)
async def test_a_proxy_that_refuses_is_told(proxy: dict[str, Any], says: str, tmp_path: Path) -> None:
    async with proxying(ProxyServer(**proxy)) as server:
        code, out = await examined(tmp_path, "https://gateway.example", HTTPS_PROXY=server.url)
    assert code == 1
    assert marks(out) == {"gateway": "✓", "proxy": "✓", "name": "✓", "connection": "✗"}
    assert f"the proxy {server.url} {says}" in out


async def test_a_proxy_that_nobody_knows_is_told(tmp_path: Path) -> None:
    code, out = await examined(tmp_path, "https://gateway.example", HTTPS_PROXY="http://proxy.invalid:3128")
    assert code == 1
    assert marks(out) == {"gateway": "✓", "proxy": "✓", "name": "✗"}
    assert "proxy.invalid is not known" in out
    assert "Is the proxy written right in HTTPS_PROXY?" in out


async def test_what_is_no_proxy_is_told(tmp_path: Path) -> None:
    code, out = await examined(tmp_path, "https://gateway.example", all_proxy="socks5://127.0.0.1:1080")
    assert code == 1
    assert marks(out) == {"settings": "✗"}
    assert "ALL_PROXY names a SOCKS proxy, which is not supported" in out


@pytest.mark.first_of
@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "none: neither HTTP_PROXY nor ALL_PROXY is set"),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}, "none: NO_PROXY names 127.0.0.1"),
        ({"HTTP_PROXY": "http://proxy.example"}, "none: the gateway is on this machine, and what HTTP_PROXY names is"),
    ],
)
async def test_why_no_proxy_is_used_is_told(variables: dict[str, str], says: str, tmp_path: Path) -> None:
    with Gateway(calls=10) as gateway:
        code, out = await examined(tmp_path, gateway.url, **variables)
    assert code == 0
    assert marks(out)["proxy"] == "·"
    assert says in out


async def test_a_proxy_to_the_shared_gateway_alone_is_told(tmp_path: Path) -> None:
    variables = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "api-hk.nxlink.ai", "NXCDR_REGION": "hk"}
    _, out = await examined(tmp_path, "", **variables)
    assert "none: NO_PROXY names api-hk.nxlink.ai" in out
    assert marks(out)["proxy to api2.nxcloud.com"] == "✓"
