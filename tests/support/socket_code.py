"""Code for ComfyUI's process: its tiny ACE-Step beside ours, and both packs' nodes as functions.

The song is short enough that no window of the encoders hides anything; see ``tests/comfyui/test_without_comfyui.py``.
"""

from __future__ import annotations

from pathlib import Path

SUPPORT = str(Path(__file__).parent)

SETUP = f"""
import sys
sys.path.insert(0, {SUPPORT!r})
import comfy.model_management, comfy.sd, torch, nodes
from itertools import product
from core_models import both, difference
from comfy_extras.nodes_ace import TextEncodeAceStepAudio15
from comfy_extras.nodes_model_advanced import ModelSamplingAuraFlow
from comfy_extras.nodes_model_merging import ModelMergeSimple
from comfy_extras.nodes_custom_sampler import BasicScheduler
from acestep_xl.host import current_host
from acestep_xl.nodes.encode_prompt import Encode
from acestep_xl.nodes.guidance import GuiderNode
from acestep_xl.nodes.sampler import Sampler
from acestep_xl.pipeline import model_socket

LATENT = {{"samples": torch.zeros(1, 64, 120), "type": "audio"}}
TEXT = dict(tags="slow waltz", lyrics="[Verse]\\nla la", bpm=90, duration=6.0, language="en", keyscale="A minor")
OFF = dict(seed=0, generate_audio_codes=False, cfg_scale=2.0, temperature=0.85, top_p=0.9, top_k=0, min_p=0.0)

def core_encode(clip, tags="slow waltz"):
    return TextEncodeAceStepAudio15.execute(clip, timesignature="3", **{{**TEXT, "tags": tags}}, **OFF).result[0]

def our_encode(clip):
    return Encode().encode(clip, "slow waltz", "[Verse]\\nla la", "en", 90, "A minor", "3", 6.0, "cover", "")[0]

def zeroed(positive):
    return nodes.ConditioningZeroOut().zero_out(positive)[0]

def ksampler(model, positive, cfg=3.0, negative=None):
    negative = zeroed(positive) if negative is None else negative
    (latent,) = nodes.KSampler().sample(model, 5, 6, cfg, "euler", "simple", positive, negative, LATENT, 1.0)
    return latent["samples"]

def our_sampler(model, positive, cfg=3.0):
    (guider,) = GuiderNode().make(model, positive, "cfg", cfg, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5, "standard", 1.0)
    sigmas = BasicScheduler.execute(model, "simple", 6, 1.0).result[0]
    return Sampler().sample(guider, sigmas, LATENT, 5)[0]["samples"]
"""
