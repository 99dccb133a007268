"""URLs in error messages: no secrets, no control characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.transfer.errors import Refused, redacted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://song.example/a.wav?X-Sig=SECRET#SECRET", "https://song.example/a.wav"),
        ("https://me:SECRET@song.example/a", "https://…@song.example/a"),
        ("https://me:SEC/RET@song.example/a", "https://…@song.example/a"),
        ("https://me:SECRET@[song.example", "https://…@[song.example"),
        ("data:audio/wav;base64,SECRET", "data:…"),
        ("http:\\\\me:SECRET@song.example", "http:…"),
        ("me:SECRET@song.example/a", "me:…"),
        ("SECRET", "…"),
        ("me SECRET:x", "…"),
        ("https://song.example/\r\n\x1b[31m", "https://song.example/???[31m"),
        ("https://song.example/" + "a" * 300, "https://song.example/" + "a" * 178 + "…"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert str(Refused(url, "no.")) == f"{shown}: no."


@given(st.text(max_size=40), st.sampled_from(["https://a/b?{}", "https://{}@a/b", "https://a/#{}", "data:{}", "x {}"]))
def test_no_secret_is_shown(noise: str, pattern: str) -> None:
    assert "SECRET" not in redacted(pattern.format(noise + "SECRET" + noise))
