"""Which URLs a transfer may use, and its limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from .addresses import forbidden_kind, parse_address
from .errors import Refused

MAX_URL_LENGTH = 8000
# RFC 3986, appendix B, with the two slashes required. Everything after the authority is sent unchanged.
URL_PATTERN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)", re.ASCII)
AUTHORITY_PATTERN = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?", re.ASCII)
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME_PATTERN = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
# Ports of other protocols: those from 1024 on that the WHATWG Fetch standard blocks in browsers.
BLOCKED_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)


@dataclass(frozen=True)
class Policy:
    """The limits of one transfer.

    allow_private: also connect to this machine and private networks. allow_http: also without TLS. max_bytes: of a
    fetched body. connect_timeout: seconds for one connection, including name resolution. total_timeout: seconds for
    everything, including redirects. max_redirects: how many a fetch follows. media_types: the declared types that a
    fetched body may have, such as "audio/wav" or "audio/*"; empty for any.
    """

    allow_private: bool = False
    allow_http: bool = True
    max_bytes: int = 64 * 2**20
    connect_timeout: float = 10.0
    total_timeout: float = 60.0
    max_redirects: int = 5
    media_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        minimums = {"max_bytes": 1, "connect_timeout": 0.001, "total_timeout": 0.001, "max_redirects": 0}
        problems = [
            f"{name} is {getattr(self, name)}, it must be {minimum} or more"
            for name, minimum in minimums.items()
            if not getattr(self, name) >= minimum
        ]
        if problems:
            raise ValueError(f"invalid transfer policy: {'; '.join(problems)}")


def check_url(url: str, policy: Policy) -> str | None:
    """Why `url` may not be used under `policy`, None if it may. Resolves no names."""
    try:
        parse_url(url, policy)
    except Refused as refused:
        return refused.reason
    return None


def parse_url(url: str, policy: Policy) -> URL:
    """The URL to connect to: its host in ASCII or as a canonical IP address, the rest unchanged.

    Raises Refused for a malformed URL, a scheme other than http or https, credentials, a port of another protocol, or
    an IP address that the policy forbids. Names are checked when they are resolved.
    """
    try:
        return _parse(url, policy)
    except ValueError as error:
        raise Refused(url, str(error)) from None


def _parse(url: str, policy: Policy) -> URL:
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"the URL has {len(url)} characters; at most {MAX_URL_LENGTH} are allowed")
    if re.search(r"[\s\\]", url) or not url.isprintable():
        raise ValueError("a URL contains no spaces, backslashes or control characters; percent-encode them")
    parts = URL_PATTERN.match(url)
    if parts is None:
        raise ValueError("this is not an absolute URL; it must look like https://host/path")
    scheme = parts["scheme"].lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"the scheme {scheme[:20]!r} is not allowed, only https and http")
    if scheme == "http" and not policy.allow_http:
        raise ValueError("http is not allowed here, only https")
    if "@" in parts["authority"]:
        raise ValueError(
            "a URL with a user name or password is not allowed; use a presigned URL or a token in its query"
        )
    authority = AUTHORITY_PATTERN.fullmatch(parts["authority"])
    if authority is None:
        raise ValueError("the URL has no valid host and port")
    host = _parse_host(authority["host"], policy)
    port = _parse_port(authority["port"])
    rest = quote(parts["rest"], safe="".join(map(chr, range(0x21, 0x7F))))
    # Marked as encoded, or yarl would rewrite the part that a signature covers.
    return URL(f"{scheme}://{host}{port}{rest if rest.startswith('/') else '/' + rest}", encoded=True)


def _parse_host(text: str, policy: Policy) -> str:
    """The host to connect to: a canonical IP address, or an ASCII name in lower case."""
    try:
        # The IDNA mapping also folds full-width digits and dots, as resolvers do.
        host = text.lower() if text.isascii() else URL.build(scheme="http", host=text).raw_host or ""
    except ValueError:
        raise ValueError("the host is not a valid international domain name") from None
    address = parse_address(host)
    if address is None:
        if not NAME_PATTERN.fullmatch(host) or len(host) > 253:
            raise ValueError("the host is not a valid domain name")
        if not policy.allow_private and re.search(r"(^|\.)localhost\.?$", host):
            raise ValueError("localhost is this machine, which is not allowed")
        return host
    if kind := forbidden_kind(address, policy.allow_private):
        raise ValueError(f"{address} is {kind}, which is not allowed")
    return f"[{address}]" if address.version == 6 else str(address)


def _parse_port(text: str | None) -> str:
    """`:port`, or an empty string without one."""
    if not text:
        return ""
    port = int(text)
    if port not in (80, 443) and not (1024 <= port <= 65535 and port not in BLOCKED_PORTS):
        raise ValueError(f"port {port} is not allowed: use 80, 443 or one from 1024 that belongs to no other protocol")
    return f":{port}"
