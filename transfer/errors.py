"""What a transfer can end with, and addresses that are safe to show."""

from __future__ import annotations

import re

SHOWN = 200  # characters of an address in a message


class TransferError(Exception):
    """A transfer that did not happen; `url` has no credentials and no query, `reason` is a sentence without secrets.

    status: the HTTP status where a server answered with one that is no success, else None.
    """

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        self.url, self.reason, self.status = redacted(url), reason, status
        super().__init__(f"{self.url}: {reason}")


class Refused(TransferError):  # noqa: N818 - what happened to the transfer
    """The policy forbids it; trying again changes nothing."""


class Failed(TransferError):  # noqa: N818 - likewise
    """The network or the other side failed; trying again may help."""


def redacted(url: str) -> str:
    """`url` for messages and logs: without credentials, query and fragment, printable and short."""
    head = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = head.partition(":")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return "…"
    # "data:" holds content, and what has no // may hold anything.
    if not rest.startswith("//"):
        return f"{scheme[:SHOWN]}:…"
    # Wherever the @ stands, what is before it may be a password.
    _, at, after = rest[2:].rpartition("@")
    shown = f"{scheme}://{'…@' if at else ''}{after}"
    shown = "".join(character if character.isprintable() else "?" for character in shown)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
