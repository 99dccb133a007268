"""Delivery URLs, checked before the run."""

from __future__ import annotations

import pytest

from acestep_xl.nodes.delivery.notify_webhook import Webhook
from acestep_xl.nodes.delivery.upload_audio import Upload


@pytest.mark.parametrize(
    ("urls", "problem"),
    [
        ("", "there is no URL"),
        ("ftp://a.example/b", "URL 1: the scheme 'ftp' is not allowed"),
        ("https://a.example/1\nfile:///etc/passwd", "URL 2: "),
        ("https://user:word@a.example/", "password is not allowed"),
        (None, None),
        ("https://a.example/1?b=c", None),
    ],
)
def test_urls_are_checked_before_the_run(urls: str | None, problem: str | None) -> None:
    for result in (Upload.VALIDATE_INPUTS(urls, False), Webhook.VALIDATE_INPUTS(urls, "{}", False)):
        assert result is True if problem is None else problem in str(result)
        assert "switch allow_private" not in str(result)
