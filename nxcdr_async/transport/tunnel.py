"""What aiohttp is given for a proxy, and what its errors mean where one is on the way."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from nxcdr_async.errors import CertificateError, NxcdrError, ProxyError
from nxcdr_async.transport.proxies import ARGUMENT, Proxy

_AUTHORIZATION = "Proxy-Authorization"
_TUNNEL = "CONNECT"
"""The method by which a proxy is asked for a way through; aiohttp reads no header of its answer beyond 8 KiB."""


def proxy_options(proxy: Proxy | None) -> dict[str, Any]:
    """Return the arguments of a request that goes through a proxy; the address among them has no password."""
    if proxy is None:
        return {}
    headers = {_AUTHORIZATION: proxy.authorization} if proxy.authorization else {}
    return {"proxy": URL(proxy.url), "proxy_headers": headers}


def forwarding_headers(proxy: Proxy | None, gateway: str) -> dict[str, str]:
    """Return the headers by which a proxy knows us that passes a request on as it is: one of plain http."""
    is_tunnelled = gateway.startswith("https:")
    return {} if proxy is None or proxy.authorization is None or is_tunnelled else {_AUTHORIZATION: proxy.authorization}


def proxy_fault(proxy: Proxy, gateway: str, error: Exception) -> NxcdrError | None:
    """Return what went wrong at a proxy, or with the certificate shown through it; None if it was anything else.

    Args:
        proxy: on the way.
        gateway: its host, with its port if that is given.
        error: of a request.
    """
    if isinstance(error, aiohttp.ClientResponseError):
        return _fault_of_answer(proxy, gateway, error)
    if not isinstance(error, aiohttp.ClientConnectorError):
        return None
    if (error.host, error.port) != proxy.address:
        if not isinstance(error, aiohttp.ClientConnectorCertificateError):
            return None
        return CertificateError(
            f"the TLS certificate shown for {gateway} through the proxy {proxy.url} was not accepted: check this "
            "machine's clock; if the proxy reads along, put its certificate into the file that SSL_CERT_FILE names"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CertificateError(
            f"the TLS certificate of the proxy {proxy.url} was not accepted: check its address in {proxy.named_by}, "
            "this machine's clock and its certificates"
        )
    way_out = f"correct it in {proxy.named_by}, {_way_around(proxy, gateway)}"
    return ProxyError(f"{_unreachable(error)} {proxy.url}: {way_out}", proxy=proxy.url)


def _fault_of_answer(proxy: Proxy, gateway: str, error: aiohttp.ClientResponseError) -> ProxyError | None:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        wanted = [] if error.headers is None else error.headers.getall("Proxy-Authenticate", [])
        return proxy_refusal(proxy, gateway, error.status, wanted)
    if error.request_info.method != _TUNNEL:
        return None
    message = f"the proxy {proxy.url} does not answer as HTTP has it, or with a header too long: check its address"
    return ProxyError(f"{message} in {proxy.named_by}, {_way_around(proxy, gateway)}", proxy=proxy.url)


def proxy_refusal(proxy: Proxy, gateway: str, status: int, wanted: Sequence[str]) -> ProxyError:
    """Return the error of a proxy that refuses to pass a request on.

    Args:
        proxy: which.
        gateway: the host that is asked, with its port if that is given.
        status: of its response.
        wanted: the values of its `Proxy-Authenticate` headers.
    """
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        message = f"the proxy {proxy.url} {_wish(proxy, wanted)}, {_way_around(proxy, gateway)}"
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        message = (
            f"the proxy {proxy.url} could not reach {gateway}: check the address, and whether the proxy knows it, "
            f"{_way_around(proxy, gateway)}"
        )
    else:
        message = (
            f"the proxy {proxy.url} refuses to connect to {gateway}: have it allowed there, "
            f"{_way_around(proxy, gateway)}"
        )
    return ProxyError(message, proxy=proxy.url, http_status=status)


def _wish(proxy: Proxy, wanted: Sequence[str]) -> str:
    if wanted and "basic" not in " ".join(wanted).lower():
        return "wants another authentication than Basic, which alone is supported: have it take that"
    if proxy.authorization is None:
        return f"wants a user and a password: write them into {proxy.named_by}, like http://user:password@host:port"
    return (
        f"does not accept the user and the password in {proxy.named_by}: correct them, with all but letters and "
        "digits percent-encoded"
    )


def _way_around(proxy: Proxy, gateway: str) -> str:
    if proxy.named_by == ARGUMENT:
        return f"or leave {ARGUMENT} out"
    return f"or name {URL(f'//{gateway}').host} in NO_PROXY to go without it"


def _unreachable(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "nobody knows the name of the proxy"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "no TLS with the proxy"
    return "cannot connect to the proxy"
