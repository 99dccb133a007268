"""Parts of recordings."""

from __future__ import annotations

import pytest
import torch

from acestep_xl.audio.trim import problems, trim

SONG = torch.arange(48000.0 * 4)[None, None]


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        (0, 0, 0, 192000),
        (1, 0, 48000, 192000),
        (0, 1.5, 0, 72000),
        (1.25, 2, 60000, 96000),
        (0, 4.05, 0, 192000),
        (3.999999, 4, 191999, 192000),
    ],
)
def test_a_part_has_exactly_its_samples(start: float, end: float, first: int, last: int) -> None:
    assert torch.equal(trim(SONG, 48000, start, end), SONG[..., first:last])


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (2, 1, "end is 1 s and start is 2 s: set end after start, or to 0"),
        (2, 2, "set end after start"),
        (4, 0, "start is 4 s, but the recording is 4.00 s long"),
        (5, 9, "start is 5 s, .*; end is 9 s, but the recording is 4.00 s long"),
        (1, 4.2, "end is 4.2 s, .* at most that, or to 0 for its end"),
        (0, float("nan"), "set end after start"),
    ],
)
def test_a_part_that_the_recording_does_not_have_is_refused(start: float, end: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trim(SONG, 48000, start, end)


def test_what_can_be_said_without_the_length() -> None:
    assert problems(3, 0) == [] and problems(3, 1000) == []
    assert len(problems(3, 2)) == 1
