import pytest
from hypothesis import given, strategies as st

from nxcdr_async import ConfigurationError, Region
from nxcdr_async.config import checked_gateway


@pytest.mark.parametrize(
    ("region", "gateway", "website"),
    [
        (Region.HK, "https://api-hk.nxlink.ai", "https://app.nxlink.ai"),
        (Region.AMER, "https://chl-api.nxlink.ai", "https://chl-nxlink.nxcloud.com"),
        (Region.IDN, "https://api-idn.nxlink.ai", "https://idn.nxlink.ai"),
        (Region.LEGACY, "https://api2.nxcloud.com", None),
    ],
)
def test_a_region_knows_its_gateway_and_website(region: Region, gateway: str, website: str | None) -> None:
    assert (region.gateway, region.website) == (gateway, website)


@pytest.mark.parametrize("region", Region)
def test_did_and_flash_calls_live_on_the_older_gateway(region: Region) -> None:
    assert region.shared_gateway == "https://api2.nxcloud.com"


@pytest.mark.parametrize("name", ["HK", "hk", " Hk ", Region.HK])
def test_a_region_is_found_by_its_name_in_any_case(name: str | Region) -> None:
    assert Region.named(name) is Region.HK


def test_an_unknown_region_names_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'moon'.*HK, AMER, IDN, LEGACY.*another gateway"):
        Region.named("moon")


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://api-westus.nxlink.ai/", "https://api-westus.nxlink.ai"),
        ("https://proxy.example:8443/nx/", "https://proxy.example:8443/nx"),
        ("  https://api-hk.nxlink.ai  ", "https://api-hk.nxlink.ai"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_a_gateway_of_ones_own_is_kept_without_its_last_slash(given_url: str, kept: str) -> None:
    assert checked_gateway(given_url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://api-hk.nxlink.ai",
        "HTTP://API-HK.NXLINK.AI",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://localhost.",
        "http://127.0.0.1.",
        "http://[::ffff:8.8.8.8]",
        "http://0x7f.1",
        "http://127.1",
        "http://2130706433",
    ],
)
def test_plain_http_is_for_loopback_only(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be https"):
        checked_gateway(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api-hk.nxlink.ai",
        "ftp://api-hk.nxlink.ai",
        "https://",
        "https:///path",
        "https://host:99999",
        "https://host:port",
        "https://[::1",
        "https://host/?a=b",
        "https://host/#part",
        "https://user@host",
        "https://@host",
        "http://127.0.0.1@evil.example",
        "http://127.0.0.1:80@evil.example",
        "http://127.0.0.1\\@evil.example",
        "http://127.0.0.1\\.evil.example",
        "http://127.0.0.1#@evil.example",
        "http://127.0.0.1?@evil.example",
        "http://127.0.0.1\t.evil.example",
        "http://127.0.0.1%2eevil.example",
        "http://127.0.0.1%00.evil.example",
        "http://127.0.0.1;.evil.example",
        "http://[::1].evil.example",
        "http://[::1]evil.example",
        "http://[::1%25eth0]",
        "http://local\nhost",
        "ht\ntp://127.0.0.1",
        "http://127。0。0。1",
        "https://gateway .example",
        "https://gateway.example/a b",
        "https://gateway.example/\x1b[31m",
        "https://gateway.example/\x9b",
        "https://gateway.example/\u202e",
        "https://g\u0430teway.example",
        "https:\\\\gateway.example",
        "http:127.0.0.1",
        "//127.0.0.1",
        "https://host:",
        b"https://host",
    ],
)
def test_what_is_no_bare_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked_gateway(url)
    assert str(refused.value).isprintable()


def test_a_refused_gateway_never_shows_the_password_in_it() -> None:
    with pytest.raises(ConfigurationError) as refused:
        checked_gateway("https://user:hunter2@host?secretkey=hunter3")
    assert "hunter" not in str(refused.value)


@given(st.text() | st.none() | st.integers())
def test_no_gateway_raises_anything_but_a_configuration_error(url: str) -> None:
    try:
        kept = checked_gateway(url)
    except ConfigurationError:
        return
    assert kept.startswith(("https://", "http://"))
