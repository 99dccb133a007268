"""Tags of every format, read by FFmpeg and by mutagen."""

from __future__ import annotations

import io
import json
import struct

import av
import mutagen
import pytest
import soundfile
import torch
from audio_files import sine, write
from encoded_audio import TAGS, encode_bytes, uniform_noise
from folders import file_names
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from mutagen.oggvorbis import OggVorbis

from acestep_xl.audio import formats


def read_tags(name: str, data: bytes) -> dict[str, str]:
    """Tags by lower-case name, read by mutagen; of a WAV those in its comment tag."""
    file = io.BytesIO(data)
    if name in ("flac", "ogg"):
        tags = (FLAC if name == "flac" else OggVorbis)(file).tags
        assert tags is not None
        return {key.lower(): value for key, value in tags}  # pyright: ignore[reportGeneralTypeIssues]  # mutagen has no types
    if name == "mp3":
        tags = ID3(file)
        custom = {frame.desc.lower(): frame.text[0] for frame in tags.getall("TXXX")}
        return custom | ({"title": tags["TIT2"].text[0]} if "TIT2" in tags else {})
    return {key.lower(): value for key, value in json.loads(riff_info(data)["ICMT"]).items()}


def riff_info(data: bytes) -> dict[str, str]:
    """The INFO list of a WAV file."""
    start = data.index(b"INFO") + 4
    end = start - 4 + struct.unpack("<I", data[start - 8 : start - 4])[0]
    info = {}
    while start < end:
        key, size = data[start : start + 4].decode(), struct.unpack("<I", data[start + 4 : start + 8])[0]
        info[key] = data[start + 8 : start + 8 + size].rstrip(b"\0").decode("utf-8")
        start += 8 + size + size % 2
    return info


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_mutagen_reads_the_tags(name: str) -> None:
    tags = read_tags(name, encode_bytes(uniform_noise(2, 5000), 48000, format=name, bit_depth=16, metadata=TAGS))
    assert {key.lower(): value for key, value in TAGS.items()}.items() <= tags.items()


def test_ogg_tags_on_every_route(route: str) -> None:
    large = TAGS | {"workflow": json.dumps({"text": "x" * 1_000_000})}
    data = encode_bytes(sine(48000, 1, 2), 48000, format="ogg", bit_depth=16, metadata=large)
    assert {key.lower(): value for key, value in large.items()}.items() <= read_tags("ogg", data).items()
    assert len(soundfile.read(io.BytesIO(data))[0]) == 48000


def test_a_wav_has_its_title_in_its_info_list() -> None:
    data = encode_bytes(uniform_noise(2, 100), 48000, format="wav", bit_depth=16, metadata={"title": "Grüße 東京"})
    assert riff_info(data)["INAM"] == "Grüße 東京"


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_mutagen_reads_the_same_properties(name: str) -> None:
    info = mutagen.File(io.BytesIO(encode_bytes(uniform_noise(2, 48000), 24000, format=name, bit_depth=16)))
    assert info is not None
    assert info.info.length == pytest.approx(2, abs=0.1)
    assert (info.info.sample_rate, info.info.channels) == (24000, 2)
    if name == "ogg":
        assert info.info.bitrate == 160_000


tag_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(list(formats.FORMATS)), tag_texts)
def test_any_text_is_preserved(name: str, text: str) -> None:
    data = encode_bytes(torch.zeros(1, 1200), 48000, format=name, bit_depth=16, metadata={"parameters": text})
    assert read_tags(name, data)["parameters"] == text


METADATA = {"prompt": '{"1": {"inputs": {"text": "na\\u00efve"}}}', "workflow": '{"nodes": []}', "title": "Grüße 東京"}


def tags(path) -> dict[str, str]:
    with av.open(str(path)) as container:
        # FFmpeg gives an OGG's tags to its stream.
        return {**container.metadata, **container.streams.audio[0].metadata}


@pytest.mark.parametrize(("format", "bits"), [("flac", 24), ("flac", 16), ("mp3", 16), ("ogg", 16)])
def test_flac_mp3_and_ogg_keep_tags_of_any_name(tmp_path, format, bits):
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=bits, metadata=METADATA)
    assert METADATA.items() <= tags(path).items()


def test_flac_tags_are_where_comfyui_looks_for_a_workflow(tmp_path):
    path = write(tmp_path / "song.flac", sine(48000, 0.1), 48000, format="flac", bit_depth=24, metadata=METADATA)
    start = path.read_bytes()
    for name in ("prompt", "workflow"):
        entry = f"{name}={METADATA[name]}".encode()
        assert struct.pack("<I", len(entry)) + entry in start


def test_wav_carries_all_tags_as_json_in_its_comment(tmp_path):
    metadata = METADATA | {"comment": "mine"}
    path = write(tmp_path / "song.wav", sine(48000, 0.1), 48000, format="wav", bit_depth=16, metadata=metadata)
    assert json.loads(tags(path)["comment"]) == metadata
    assert tags(path)["title"] == METADATA["title"]
    assert json.loads(soundfile.SoundFile(path).comment) == metadata


@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_without_metadata_there_are_no_tags(tmp_path, format):
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=16)
    assert set(tags(path)) <= {"encoder"}


@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_a_large_workflow_fits(tmp_path, format):
    large = {"workflow": json.dumps({"text": "x" * 1_000_000})}
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=16, metadata=large)
    stored = tags(path)
    assert (json.loads(stored["comment"]) if format == "wav" else stored)["workflow"] == large["workflow"]


@pytest.mark.parametrize("bad", [{"a=b": "x"}, {"": "x"}, {"naïve": "x"}, {"title": "a\0b"}])
def test_tags_that_would_be_truncated_are_rejected(tmp_path, bad):
    with pytest.raises(ValueError, match="tag"):
        write(tmp_path / "song.flac", sine(48000, 0.1), 48000, format="flac", bit_depth=16, metadata=bad)
    assert file_names(tmp_path) == []
