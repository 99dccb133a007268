"""Sending songs elsewhere: URL checks and interruptible transfers for the nodes that deliver."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from ..host import current_host
from ..transfer import blocking
from ..transfer.errors import Refused
from ..transfer.policy import Policy, check_url


def url_problem(urls: str | None, allow_private: bool | None) -> bool | str:
    """What VALIDATE_INPUTS returns for URLs, one a line; None stands for a linked widget."""
    if urls is None:
        return True
    policy = Policy(allow_private=allow_private is not False)
    lines = urls.split()
    if not lines:
        return "there is no URL; give one like https://host/path"
    problems = [(number, url, check_url(url, policy)) for number, url in enumerate(lines, start=1)]
    messages = [f"URL {number}: {problem}{_remedy(url, policy)}" for number, url, problem in problems if problem]
    return "; ".join(messages) or True


def deliver(sending: Coroutine[Any, Any, int], policy: Policy) -> int:
    """Send, stop when the user asks to, and return the HTTP status.

    Raises transfer's Failed for a network error or a status other than 200 to 299, and ValueError for what the policy
    forbids.
    """
    try:
        return blocking.run(sending, check=current_host().check_interrupted)
    except Refused as refused:
        raise ValueError(f"{refused}{_remedy(refused.url, policy)}") from None


def _remedy(url: str, policy: Policy) -> str:
    """What to do about a URL that is refused for its address alone."""
    if policy.allow_private or check_url(url, Policy(allow_private=True)):
        return ""
    return "; if it is a server of yours, switch allow_private on"
