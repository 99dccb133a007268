"""Reading audio files that other programs wrote."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from audio_files import UNDECODABLE, UNREADABLE, noise, sine, write, write_mp4
from media_samples import understated_flac

from acestep_xl.audio.containers import UnreadableAudio
from acestep_xl.audio.decoding import read


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        (format, subtype)
        for format in ("WAV", "AIFF", "FLAC", "W64", "CAF", "AU")
        for subtype in ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
        if soundfile.check_format(format, subtype)
    ],
)
def test_lossless_files_are_read_exactly(tmp_path: Path, format: str, subtype: str) -> None:
    samples = noise(2, 3000).T
    path = tmp_path / f"song.{format.lower()}"
    soundfile.write(path, samples, 44100, format=format, subtype=subtype)
    expected = soundfile.read(path, dtype="float32")[0]
    waveform, rate = read(path)
    assert rate == 44100
    assert np.array_equal(waveform[0].numpy(), expected.T)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (192000, 2), (48000, 6), (11025, 10)])
@pytest.mark.parametrize("samples", [1, 2, 1000])
def test_unusual_rates_channels_and_lengths(tmp_path: Path, rate: int, channels: int, samples: int) -> None:
    data = np.random.default_rng(1).uniform(-1, 1, (samples, channels)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", data, rate, subtype="FLOAT")
    waveform, read_rate = read(tmp_path / "song.wav")
    assert read_rate == rate
    assert np.array_equal(waveform[0].numpy(), data.T)


@pytest.mark.parametrize(
    ("format", "bits"), [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24), ("mp3", 16), ("ogg", 16)]
)
def test_one_sample_makes_a_file(tmp_path: Path, format: str, bits: int) -> None:
    waveform, rate = read(write(tmp_path / "x", torch.tensor([[0.25]]), 48000, format=format, bit_depth=bits))
    assert rate == 48000 and waveform.shape[-1] >= 1
    if format not in ("mp3", "ogg"):
        assert waveform.tolist() == [[[0.25]]]


@pytest.mark.parametrize(("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_lossy_files_of_another_encoder(tmp_path: Path, format: str, subtype: str | None) -> None:
    samples = sine(48000, 1.0)
    path = tmp_path / "song.bin"  # the content decides, not the name
    soundfile.write(path, samples.T.numpy(), 48000, format=format, subtype=subtype)
    waveform, rate = read(path)
    assert (rate, waveform.shape[:2]) == (48000, (1, 2))
    assert abs(waveform.shape[-1] - 48000) <= 256  # FFmpeg ends some Vorbis files a short block early
    assert np.corrcoef(waveform[0, 0, 500:47500], samples[0, 500:47500])[0, 1] > 0.99


def test_m4a(tmp_path: Path) -> None:
    samples = sine(48000, 1.0)
    write_mp4(tmp_path / "song.m4a", samples)
    waveform, rate = read(tmp_path / "song.m4a")
    assert rate == 48000
    assert abs(waveform.shape[-1] - 48000) <= 1024
    assert np.corrcoef(waveform[0, 0, 3000:40000], samples[0, 3000:40000])[0, 1] > 0.99


def test_a_wav_from_a_pipe_states_no_length(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(2, 1000).T, 48000, subtype="PCM_16")
    data = bytearray((tmp_path / "song.wav").read_bytes())
    for unknown in (0, 0x7FFFFFFF, 0xFFFFFFFF):
        data[4:8] = data[40:44] = struct.pack("<I", unknown)
        (tmp_path / "pipe.wav").write_bytes(data)
        assert torch.equal(read(tmp_path / "pipe.wav")[0], read(tmp_path / "song.wav")[0])


def test_tags_in_an_old_encoding_are_ignored(tmp_path: Path) -> None:
    path = write(
        tmp_path / "song.wav", torch.ones(1, 5), 48000, format="wav", bit_depth=32, metadata={"title": "Grease"}
    )
    path.write_bytes(path.read_bytes().replace(b"Grease", "Gr\u00fc\u00dfe\0".encode("latin-1")))
    assert read(path)[0].tolist() == [[[1.0] * 5]]


def test_stray_bytes_after_an_mp3_are_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "song.mp3", sine(48000, 1.0), 48000, format="mp3", bit_depth=16)
    path.write_bytes(path.read_bytes() + bytes(4000))
    waveform, _ = read(path)
    assert 48000 <= waveform.shape[-1] <= 48000 + 1152
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_truncated_mp3_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "song.mp3", sine(48000, 4.0), 48000, format="mp3", bit_depth=16)
    assert read(path)[0].shape[-1] == 4 * 48000 and not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert read(path)[0].shape[-1] < 2.1 * 48000
    assert "of about 4.0" in caplog.text and "complete" in caplog.text


@pytest.mark.parametrize(("make", "message"), (UNREADABLE | UNDECODABLE).values(), ids=UNREADABLE | UNDECODABLE)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_files_are_rejected(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "song.wav"
    make(path)
    with pytest.raises(UnreadableAudio, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_flac_cut_between_frames_states_the_samples(tmp_path: Path) -> None:
    UNREADABLE["a FLAC cut between frames"][0](tmp_path / "song.flac")
    with pytest.raises(UnreadableAudio, match=r"truncated: \d+ of 48000 samples decode"):
        read(tmp_path / "song.flac")


def test_only_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    write_mp4(tmp_path / "film.mp4", sine(48000, 1.0), film=True)
    assert read(tmp_path / "film.mp4")[0].shape[:2] == (1, 2)


def test_colons_in_a_name_are_not_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("http:song.wav", torch.ones(1, 5), 48000, format="wav", bit_depth=32)
    assert read("http:song.wav")[0].tolist() == [[[1.0] * 5]]


def test_a_change_of_channels_is_rejected(tmp_path: Path) -> None:
    """Two ADTS streams, one after the other."""
    file = io.BytesIO()
    for layout in ("mono", "stereo"):
        with av.open(part := io.BytesIO(), "w", format="adts") as container:
            stream = container.add_stream("aac", rate=48000, layout=layout)
            frame = av.AudioFrame.from_ndarray(
                np.zeros((len(av.AudioLayout(layout).channels), 4096), np.float32), format="fltp", layout=layout
            )
            frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
        file.write(part.getvalue())
    (tmp_path / "song.aac").write_bytes(file.getvalue())
    with pytest.raises(UnreadableAudio, match="changes from 1 channels at 48000 Hz to 2 at 48000 Hz; convert it first"):
        read(tmp_path / "song.aac")


def test_packets_that_decode_to_far_more_than_they_state_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "song.mp4").write_bytes(understated_flac(60))
    with pytest.raises(UnreadableAudio, match=r"decodes to 10\.\d seconds where its packets state 0\.\d+; export"):
        read(tmp_path / "song.mp4")


def test_packets_that_understate_a_short_file_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "song.mp4").write_bytes(understated_flac(9))
    assert read(tmp_path / "song.mp4")[0].shape[-1] == 9 * 8000
