"""Addresses in requests, judged by what they say; nothing is looked up."""

from __future__ import annotations

import re

from ...transfer.policy import Policy, check_url

FORM_ONLY = Policy(allow_private=True)


def problem(url: str, policy: Policy | None) -> str | None:
    """What keeps an address from being used, in words without its secrets; None if nothing does.

    policy: that of the transfer; None looks at the form alone.
    """
    return check_url(url, FORM_ONLY if policy is None else policy)


def is_url(text: str) -> bool:
    """Whether a text that may be something else too, such as a UUID or base64, is meant as an address."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None
