"""Both routes to OGG Vorbis: PyAV and a program."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_files import sine
from encoded_audio import OGG_ROWS, encode_bytes, uniform_noise

from acestep_xl.audio import vorbis
from acestep_xl.audio.decoding import read


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), OGG_ROWS)
def test_ogg_keeps_the_length_and_the_sound(
    route: str, tmp_path: Path, name: str, channels: int, rate: int, low: int, high: int
) -> None:
    source = sine(rate, 1.7, channels)
    path = tmp_path / "song.ogg"
    path.write_bytes(encode_bytes(source, rate, format="ogg", bit_depth=16))
    decoded, decoded_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert (decoded_rate, decoded.shape) == (rate, source.T.shape)
    error = (torch.from_numpy(decoded.T) - source).square().mean() / source.square().mean()
    assert error < 1e-3, "30 dB below the tone"
    assert abs(read(path)[0].shape[-1] - source.shape[1]) <= 256


@pytest.mark.parametrize("samples", [1, 2, 63, 4096, 65536, 65537])
def test_ogg_of_odd_lengths(route: str, samples: int) -> None:
    data = encode_bytes(uniform_noise(2, samples), 48000, format="ogg", bit_depth=16)
    assert len(soundfile.read(io.BytesIO(data))[0]) == samples


def test_ogg_does_not_mix_the_two_sides(route: str) -> None:
    left = torch.stack([sine(48000, 1, 1)[0], torch.zeros(48000)])
    decoded = soundfile.read(io.BytesIO(encode_bytes(left, 48000, format="ogg", bit_depth=16)))[0]
    assert np.abs(decoded[1000:-1000, 0]).max() > 0.45 and np.abs(decoded[1000:-1000, 1]).max() < 0.02


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither PyAV nor a program can encode Vorbis."""
    monkeypatch.setattr(vorbis, "in_pyav", lambda: False)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(vorbis.shutil, "which", lambda name: None)
    vorbis._program.cache_clear()


def test_without_an_encoder_the_error_says_what_to_install(no_encoder: None) -> None:
    with pytest.raises(vorbis.MissingEncoder, match=r"pip install imageio-ffmpeg \(the extra acestep-xl\[ogg\]\)"):
        encode_bytes(uniform_noise(2, 100), 48000, format="ogg", bit_depth=16)
    with pytest.raises(vorbis.MissingEncoder):
        vorbis.route()
    assert len(encode_bytes(uniform_noise(2, 100), 48000, format="mp3", bit_depth=16)) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_a_program_without_libvorbis_is_reported_with_its_messages(
    no_encoder: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\ncat > /dev/null\necho \"Unknown encoder 'libvorbis'\" >&2\nexit 8\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(vorbis.shutil, "which", lambda name: str(program))
    with pytest.raises(vorbis.MissingEncoder, match=r"ffmpeg cannot encode Vorbis.*: Unknown encoder 'libvorbis'"):
        encode_bytes(uniform_noise(2, 100), 48000, format="ogg", bit_depth=16)
    vorbis._program.cache_clear()


def test_the_route_is_reported(route: str) -> None:
    name = vorbis.route()
    assert (name == "PyAV (libvorbis)") if route == "PyAV" else Path(name).name.startswith("ffmpeg")
