"""What may be transferred from where and to where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from .addresses import problem, read_literal
from .errors import Refused

LONGEST_URL = 8000
# RFC 3986, appendix B, with the two slashes required. Everything after the authority is sent as it stands.
SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)", re.ASCII)
AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{0,5}))?", re.ASCII)
LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
# Other protocols answer there: the ports from 1024 on that the Fetch standard of the WHATWG blocks for browsers.
BLOCKED_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)


@dataclass(frozen=True)
class Policy:
    """The bounds of one transfer.

    allow_private: also connect to the own machine and to private networks. allow_http: also without TLS. max_bytes: of
    a fetched body. connect_timeout: seconds for one connection, looking up its name included. total_timeout: seconds
    for everything, redirects included. max_redirects: how many are followed when fetching. media_types: the types that
    a fetched body may be declared as, such as "audio/wav" or "audio/*"; empty for any.
    """

    allow_private: bool = False
    allow_http: bool = True
    max_bytes: int = 64 * 2**20
    connect_timeout: float = 10.0
    total_timeout: float = 60.0
    max_redirects: int = 5
    media_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = {"max_bytes": 1, "connect_timeout": 0.001, "total_timeout": 0.001, "max_redirects": 0}
        wrong = [
            f"{name} is {getattr(self, name)}, but must be {value} or more"
            for name, value in least.items()
            if not getattr(self, name) >= value
        ]
        if wrong:
            raise ValueError(f"a transfer policy cannot be kept: {'; '.join(wrong)}")


def check_url(url: str, policy: Policy) -> str | None:
    """What keeps `url` from being used under `policy`, in words; None if nothing does. Looks up no name."""
    try:
        admit(url, policy)
    except Refused as refused:
        return refused.reason
    return None


def admit(url: str, policy: Policy) -> URL:
    """The address to connect to for `url`: its host in ASCII or as a canonical IP address, the rest as it stands.

    Raises Refused for a URL that is malformed, has another scheme than http or https, credentials, a port of another
    service, or an IP address that the policy forbids. Names are judged when they are looked up.
    """
    try:
        return _admitted(url, policy)
    except ValueError as error:
        raise Refused(url, str(error)) from None


def _admitted(url: str, policy: Policy) -> URL:
    if len(url) > LONGEST_URL:
        raise ValueError(f"the URL has {len(url)} characters; at most {LONGEST_URL} are allowed")
    if re.search(r"[\s\\]", url) or not url.isprintable():
        raise ValueError("a URL holds no spaces, backslashes or control characters; percent-encode them")
    shape = SHAPE.match(url)
    if shape is None:
        raise ValueError("this is no absolute URL; it must look like https://host/path")
    scheme = shape["scheme"].lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"the scheme {scheme[:20]!r} is not allowed, only https and http")
    if scheme == "http" and not policy.allow_http:
        raise ValueError("http is not allowed here, only https")
    if "@" in shape["authority"]:
        raise ValueError(
            "a URL with a user name or password is not allowed; use a presigned URL or a token in its query"
        )
    authority = AUTHORITY.fullmatch(shape["authority"])
    if authority is None:
        raise ValueError("the URL has no valid host and port")
    host = _host(authority["host"], policy)
    port = _port(authority["port"])
    rest = quote(shape["rest"], safe="".join(map(chr, range(0x21, 0x7F))))
    # Encoded, or yarl would rewrite what a signature was computed over.
    return URL(f"{scheme}://{host}{port}{rest if rest.startswith('/') else '/' + rest}", encoded=True)


def _host(text: str, policy: Policy) -> str:
    """The host as it is connected to: an IP address in its canonical spelling, or an ASCII name in lower case."""
    try:
        # The mapping of international names also folds full-width digits and dots, as every resolver would.
        host = text.lower() if text.isascii() else URL.build(scheme="http", host=text).raw_host or ""
    except ValueError:
        raise ValueError("the host is no valid international domain name") from None
    address = read_literal(host)
    if address is None:
        if not NAME.fullmatch(host) or len(host) > 253:
            raise ValueError("the host is no valid domain name")
        if not policy.allow_private and re.search(r"(^|\.)localhost\.?$", host):
            raise ValueError("localhost is this machine, which is not allowed")
        return host
    if kind := problem(address, policy.allow_private):
        raise ValueError(f"{address} is {kind}, which is not allowed")
    return f"[{address}]" if address.version == 6 else str(address)


def _port(text: str | None) -> str:
    """`:port`, or nothing where the URL states none."""
    if not text:
        return ""
    port = int(text)
    if port not in (80, 443) and not (1024 <= port <= 65535 and port not in BLOCKED_PORTS):
        raise ValueError(f"port {port} is not allowed: only 80, 443 and those from 1024 that no other protocol owns")
    return f":{port}"
