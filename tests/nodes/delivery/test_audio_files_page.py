"""docs/audio-files.md agrees with the code: formats, bitrates, tags, messages and sidecars."""

from __future__ import annotations

import json
import re
from pathlib import Path

from delivery_samples import GRAPH, noise_audio

from acestep_xl.audio.formats import FORMATS
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio
from acestep_xl.nodes.delivery.notify_webhook import message
from acestep_xl.pipeline import output

PAGE = (Path(__file__).parents[3] / "docs/audio-files.md").read_text("utf-8")


def table_rows(heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    match = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert match, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in match[1].splitlines()]


def test_the_formats_of_the_page() -> None:
    documented = {row[0].strip("`"): row[1:] for row in table_rows("Format")}
    assert set(documented) == set(FORMATS)
    for name, (media_type, _, bits, channels, tags) in documented.items():
        target = FORMATS[name]
        assert media_type == f"`{target.media_type}`"
        assert bits == ", ".join(str(depth) for depth in target.encoders if depth)
        assert int(channels.split()[-1]) == target.max_channels
        assert (tags == "any name") == target.free_tags


def test_the_bitrates_of_the_page() -> None:
    documented: dict[tuple[str, int, int], str] = {}
    for rate, mp3, mono, stereo in table_rows("Hz"):
        for key, text in {("mp3", 1): mp3, ("mp3", 2): mp3, ("ogg", 1): mono, ("ogg", 2): stereo}.items():
            documented |= {(*key, int(rate)): text} if text else {}
    expected = {
        (name, channels, rate): f"{low} to {high}"
        for name, target in FORMATS.items()
        for channels, ranges in (target.bitrates or {}).items()
        for rate, (low, high) in ranges.items()
    }
    assert documented == expected


def test_the_examples_of_the_page(headless_host: HeadlessHost) -> None:
    example = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    song = EncodeAudio().encode(
        noise_audio(2), "mp3", "16", 0, "auto", "auto", "Slow waltz", prompt=GRAPH, unique_id="4"
    )[0][0]
    assert list(json.loads(example[1])) == list(message(song, 0, 2, "nothing"))
    sidecar = output.sidecar_of(song, Path("song.mp3"))
    tags = {name for row in table_rows("Tag") for name in re.findall(r"`(\w+)`", row[0])}
    assert sidecar.keys() - song.metadata.keys() == set(
        re.findall(r"`(\w+)`", PAGE.split("the tags as JSON, and")[1].split("\n\n")[0])
    )
    assert song.metadata.keys() == tags - {"workflow"}
