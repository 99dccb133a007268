"""Numbers of ComfyUI's own classes and of those that carry them out without it, for inputs drawn at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfy_process import run
from comfy_server import needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]
SUPPORT = str(Path(__file__).parents[1] / "support")

COMPARE = """
import random
import torch
from comfy_extras import nodes_ace, nodes_audio, nodes_mask, nodes_post_processing, nodes_latent
import nodes
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS as OURS
from acestep_xl.parameters import native

def core_class(name):
    if name in nodes.NODE_CLASS_MAPPINGS:
        return nodes.NODE_CLASS_MAPPINGS[name]
    classes = [value for module in (nodes_audio, nodes_ace, nodes_latent, nodes_mask)
               for value in vars(module).values() if hasattr(value, "GET_SCHEMA")]
    return next(value for value in classes if value.GET_SCHEMA().node_id == name)

def outcome(call):
    try:
        return call(), ""
    except Exception as error:
        return None, str(error) or type(error).__name__

def compare(name, **inputs):
    \"\"\"Both refuse, or both give the same.\"\"\"
    theirs_class, ours_class = core_class(name), OURS[name]
    def core():
        if hasattr(theirs_class, "execute"):
            return theirs_class.execute(**inputs).result
        return getattr(theirs_class(), theirs_class.FUNCTION)(**inputs)
    theirs, refusal = outcome(core)
    ours, reason = outcome(lambda: getattr(ours_class(), ours_class.FUNCTION)(**inputs))
    assert (theirs is None) == (ours is None), (name, inputs.keys(), refusal, reason)
    if theirs is not None:
        equal(ours, theirs, name)
    return ours is not None

def equal(ours, theirs, name):
    if isinstance(theirs, torch.Tensor):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, (name, ours.shape, theirs.shape)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5, msg=lambda text: f"{name}: {text}")
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), (name, ours.keys(), theirs.keys())
        for key in theirs:
            equal(ours[key], theirs[key], f"{name} {key}")
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), name
        for a, b in zip(ours, theirs):
            equal(a, b, name)
    else:
        assert ours == theirs, (name, ours, theirs)

def pick(name):
    \"\"\"A value of each widget of a class.\"\"\"
    values = {}
    for key, (kind, options) in native.INPUTS[name].items():
        low, high = options.get("min"), options.get("max")
        if kind == "COMBO":
            values[key] = random.choice(options["options"])
        elif kind == "INT":
            values[key] = random.randint(low, min(high, low + 60 if low >= 0 else high))
        elif kind == "FLOAT":
            values[key] = random.uniform(low, high)
    return values

random.seed(1)
torch.manual_seed(1)
"""


def test_audio_tools_give_the_same_numbers() -> None:
    run(
        COMPARE
        + """
def sound(channels=None, songs=None):
    shape = (songs or random.choice((1, 1, 2)), channels or random.choice((1, 2)), random.randint(2000, 9000))
    return {"waveform": torch.randn(shape) * random.choice((0.05, 0.6)),
            "sample_rate": random.choice((48000, 48000, 44100, 22050, 16000))}

done = 0
with torch.inference_mode():
    for _ in range(60):
        a, b = sound(), sound()
        done += compare("AudioConcat", audio1=a, audio2=b, **pick("AudioConcat"))
        done += compare("AudioMerge", audio1=a, audio2=b, **pick("AudioMerge"))
        done += compare("AudioAdjustVolume", audio=a, volume=random.randint(-40, 40))
        compare("SplitAudioChannels", audio=a)
        done += compare("JoinAudioChannels", audio_left=sound(1, 1), audio_right=sound(1, 1))
        compare("JoinAudioChannels", audio_left=a, audio_right=b)
        done += compare("AudioEqualizer3Band", audio=sound(), **pick("AudioEqualizer3Band"))
        seconds = a["waveform"].shape[-1] / a["sample_rate"]
        compare("TrimAudioDuration", audio=a, start_index=random.uniform(-1.5, 1.5) * seconds,
                duration=random.choice((0.0, random.uniform(0, 1.5 * seconds))))
        done += compare("EmptyAudio", duration=random.uniform(0, 2), sample_rate=random.randint(8000, 96000),
                        channels=random.choice((1, 2)))
    # Beyond 2^22 samples, where a length in float32 loses its fraction.
    for samples in (5704211, 3821463):
        long, short = ({"waveform": torch.zeros(1, 2, n), "sample_rate": rate} for n, rate in
                       ((samples, 44100), (48000, 48000)))
        compare("AudioConcat", audio1=long, audio2=short, direction="after")
assert done > 300, done
"""
    )


def test_latent_tools_give_the_same_numbers() -> None:
    run(
        COMPARE
        + """
def latent(like=None):
    shape = like or (random.randint(1, 3), 64, random.randint(3, 30))
    made = {"samples": torch.randn(shape)}
    if random.random() < 0.5:
        made["type"] = "audio"
    if random.random() < 0.4:
        made["noise_mask"] = torch.rand(random.randint(1, shape[0]), 1, 1, shape[-1])
    if random.random() < 0.4:
        made["batch_index"] = [random.randint(0, 9) for _ in range(shape[0])]
    return made

done = 0
for _ in range(80):
    a = latent()
    b = latent(tuple(a["samples"].shape)) if random.random() < 0.8 else latent()
    same = a["samples"].shape == b["samples"].shape
    for name in ("LatentFromBatch", "RepeatLatentBatch", "LatentBatchSeedBehavior", "LatentMultiply", "LatentCut"):
        values = pick(name)
        if name == "LatentCut":
            values |= {"index": random.randint(-40, 40)}
        if name == "RepeatLatentBatch":
            values["amount"] = random.randint(1, 4)
        done += compare(name, samples=a, **values)
    if same:
        for name in ("LatentBatch", "LatentConcat", "LatentAdd", "LatentSubtract", "LatentBlend"):
            done += compare(name, samples1=a, samples2=b, **pick(name))
    done += compare("EmptyAceStep1.5LatentAudio", seconds=random.uniform(1, 30), batch_size=random.randint(1, 3))
    mask = torch.rand(random.choice(((1, 20), (20, 4), (2, 3, 20))))
    compare("SetLatentNoiseMask", samples=a, mask=mask)
    compare("InvertMask", mask=mask)
    compare("SolidMask", value=random.random(), width=random.randint(1, 90), height=random.randint(1, 5))
assert done > 700, done
"""
    )


VAE = """
import sys
sys.path.insert(0, arguments[0])
import tiny
import comfy.sd
from acestep_xl.model import random_network
from acestep_xl.model.vae.config import VAEConfig
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.pipeline.vae_socket import AudioVAE

oobleck = random_network.fill(Oobleck(VAEConfig()), random_network.VAE_GAIN).eval()
state = tiny.with_weight_norm(oobleck.state_dict())
core, ours = comfy.sd.VAE(sd=tiny.stable_audio_names(state), dtype=torch.float32), AudioVAE(oobleck)
core.first_stage_model.bottleneck.encode = lambda x: x.chunk(2, dim=1)[0]  # the mean: core adds noise of no seed
"""


def test_the_vae_nodes_give_the_same_numbers() -> None:
    run(
        COMPARE
        + VAE
        + """
def both(name, **inputs):
    ours_class = OURS[name]
    theirs = core_class(name).execute(vae=core, **inputs).result[0]
    mine, = getattr(ours_class(), ours_class.FUNCTION)(vae=ours, **inputs)
    return mine, theirs

with torch.inference_mode():
    for scale in (0.1, 30.0):
        samples = {"samples": scale * torch.randn(2, 64, 5), "type": "audio"}
        mine, theirs = both("VAEDecodeAudio", samples=samples)
        assert mine.keys() == theirs.keys() and mine["sample_rate"] == theirs["sample_rate"]
        torch.testing.assert_close(mine["waveform"], theirs["waveform"], atol=1e-4, rtol=1e-4)
    for channels, rate, samples in ((1, 48000, 5760), (2, 48000, 6761), (2, 44100, 7000), (6, 22050, 4000)):
        audio = {"waveform": 0.3 * torch.randn(2, channels, samples), "sample_rate": rate}
        mine, theirs = both("VAEEncodeAudio", audio=audio)
        assert mine["samples"].shape == theirs["samples"].shape and mine.keys() == theirs.keys()
        torch.testing.assert_close(mine["samples"], theirs["samples"], atol=1e-4, rtol=1e-4)
""",
        SUPPORT,
    )
