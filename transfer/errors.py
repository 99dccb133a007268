"""Errors of transfers, and URLs that are safe to show."""

from __future__ import annotations

import re

MAX_SHOWN = 200  # characters of a URL in a message


class TransferError(Exception):
    """A failed transfer. url: without credentials and query. reason: a sentence without secrets.

    status: the HTTP status if the server responded with an unsuccessful one, else None.
    """

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        self.url, self.reason, self.status = redacted(url), reason, status
        super().__init__(f"{self.url}: {reason}")


class Refused(TransferError):  # noqa: N818 - what happened to the transfer
    """The policy forbids the transfer; retrying is pointless."""


class Failed(TransferError):  # noqa: N818 - likewise
    """The network or the server failed; retrying may help."""


def redacted(url: str) -> str:
    """A URL for messages and logs: without credentials, query and fragment, printable and short."""
    base = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = base.partition(":")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return "…"
    # "data:" contains the content itself; anything without // is opaque.
    if not rest.startswith("//"):
        return f"{scheme[:MAX_SHOWN]}:…"
    # Anything before an @ may contain a password, even in an invalid place.
    _, at, after = rest[2:].rpartition("@")
    shown = f"{scheme}://{'…@' if at else ''}{after}"
    shown = "".join(character if character.isprintable() else "?" for character in shown)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 1]}…"
