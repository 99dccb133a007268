"""Checks of addresses in requests, without any DNS lookup."""

from __future__ import annotations

import re

from ...transfer.policy import Policy, check_url

FORM_ONLY = Policy(allow_private=True)


def problem(url: str, policy: Policy | None) -> str | None:
    """Why an address is refused, without its secrets; None if it is not. policy: None checks only the form."""
    return check_url(url, FORM_ONLY if policy is None else policy)


def is_url(text: str) -> bool:
    """Whether a value that may also be a UUID or base64 is meant as an address."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None
