"""Core's text encode node and ours on the same texts; core's VAE in our nodes and our VAE in core's."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy_process import run
from comfy_server import needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]
SUPPORT = str(Path(__file__).parents[1] / "support")

TEXTS = """
import torch
import comfy.sd
import comfy.text_encoders.ace15 as ace15
from comfy_extras.nodes_ace import TextEncodeAceStepAudio15
from pathlib import Path
from acestep_xl.model.qwen3 import build_text_model, qwen3_config, text_state
from acestep_xl.model.text import TextEncoder
from acestep_xl.model.tokenizer import load_tokenizer
from acestep_xl.host import current_host
from acestep_xl.pipeline import conditioning
from acestep_xl.nodes.encode_prompt import Encode

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2,
         "num_key_value_heads": 1}

class Target:
    params = {}
    clip = ace15.te(lm_model="absent")
    tokenizer = ace15.ACE15Tokenizer

clip = comfy.sd.CLIP(Target, model_options={"_model_config": SIZES, "dtype": torch.float32})
core_model = clip.cond_stage_model.qwen3_06b.transformer
generator = torch.Generator().manual_seed(0)
state = {name: torch.randn(value.shape, generator=generator) * 0.5 / value.shape[-1] ** 0.5 + (value.ndim == 1)
         for name, value in core_model.state_dict().items()}
core_model.load_state_dict(state)
ours = build_text_model(qwen3_config({name: tuple(value.shape) for name, value in state.items()}, None))
ours.load_state_dict(text_state(state), strict=True, assign=True)
encoder = TextEncoder(ours, load_tokenizer(Path(ace15.__file__).parent / "qwen25_tokenizer"))
encoder = current_host().sockets.make_clip(encoder)

def encode_core(tags, lyrics, bpm, seconds, beats, language, key):
    off = dict(seed=0, generate_audio_codes=False, cfg_scale=2.0, temperature=0.85, top_p=0.9, top_k=0, min_p=0.0)
    output = TextEncodeAceStepAudio15.execute(clip, tags=tags, lyrics=lyrics, bpm=bpm, duration=seconds,
                                              timesignature=beats, language=language, keyscale=key, **off)
    return conditioning.read(output.result[0], "core's")

def encode_ours(tags, lyrics, bpm, seconds, beats, language, key, task="cover"):
    (encoded,) = Encode().encode(encoder, tags, lyrics, language, bpm, key, beats, seconds, task, "")
    return conditioning.read(encoded, "ours")
"""


def test_core_and_ours_encode_the_same_text_to_the_same_states() -> None:
    """Core always uses the instruction of a cover. It masks the caption's closing tokens while encoding, which changes
    the states of those tokens only."""
    run(
        TEXTS
        + """
texts = [("slow waltz, strings", "[Verse]\\nla la la", 90, 20.0, "3", "en", "A minor"),
         ("エレキギター、明るい", "[Verse 1]\\n夜が明ける\\n\\n[Chorus]\\nああ", 300, 600.0, "6", "ja", "F# major"),
         ("x", "[Instrumental]", 30, 1.0, "2", "unknown", "Bb minor")]
with torch.inference_mode():
    for text in texts:
        a, b = encode_core(*text), encode_ours(*text)
        assert a.text.shape == b.text.shape and a.text_mask.all() and b.text_mask.all()
        torch.testing.assert_close(a.text[:, :-3], b.text[:, :-3], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(a.lyrics, b.lyrics, atol=0, rtol=0)
        other = encode_ours(*text, task="text2music")
        assert a.text.shape != other.text.shape or not torch.allclose(a.text, other.text, atol=1e-2)
"""
    )


SOUND = """
import sys
sys.path.insert(0, arguments[0])
import tiny
import torch
import comfy.sd
from comfy_extras.nodes_audio import VAEDecodeAudio, VAEDecodeAudioTiled, VAEEncodeAudio
from acestep_xl.model import random_network
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.nodes.decode import Decode
from acestep_xl.pipeline.vae_socket import AudioVAE, encode

torch.manual_seed(0)
"""


def test_core_vae_and_ours_are_interchangeable() -> None:
    run(
        SOUND
        + """
oobleck = random_network.fill(Oobleck(VAEConfig()), random_network.VAE_GAIN).eval()
state = tiny.with_weight_norm(oobleck.state_dict())
core, ours = comfy.sd.VAE(sd=tiny.stable_audio_names(state)), AudioVAE(oobleck)
assert core.audio_sample_rate == ours.audio_sample_rate == 48000
latents = torch.randn(2, 64, 6)
with torch.inference_mode():
    a, b = core.decode(latents), ours.decode(latents)
    assert a.shape == b.shape == (2, 6 * 1920, 2)
    torch.testing.assert_close(a.float(), b, atol=2e-3 * float(b.abs().max()), rtol=0)
    options = dict(normalize=True, peak_db=-1.0, fade_in=0.0, fade_out=0.0)
    song, = Decode().decode({"samples": latents, "type": "audio"}, core, **options)
    same, = Decode().decode({"samples": latents, "type": "audio"}, ours, **options)
    torch.testing.assert_close(song["waveform"], same["waveform"], atol=1e-2, rtol=0)
    tone = torch.sin(torch.arange(4 * 1920) / 30).expand(1, 2, -1)
    for vae in (core, ours):
        assert encode(vae, tone).shape == (1, 64, 4)
""",
        SUPPORT,
    )


def test_core_audio_nodes_take_our_vae_at_any_rate_and_channel_count() -> None:
    run(
        SOUND
        + """
ours = AudioVAE(random_network.vae())
with torch.inference_mode():
    for channels in (1, 2, 6):
        for rate in (48000, 44100, 22050):
            audio = {"waveform": 0.3 * torch.randn(2, channels, rate), "sample_rate": rate}
            latent = VAEEncodeAudio.execute(ours, audio).result[0]
            assert latent["samples"].shape == (2, 64, 25), latent["samples"].shape
    whole = VAEDecodeAudio.execute(ours, latent).result[0]
    tiled = VAEDecodeAudioTiled.execute(ours, latent, 64, 16).result[0]
    assert whole["sample_rate"] == 48000 and whole["waveform"].shape == (2, 2, 48000)
    assert torch.equal(whole["waveform"], tiled["waveform"])
""",
        SUPPORT,
    )
