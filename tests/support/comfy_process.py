"""Code in a process of its own that has ComfyUI imported, for what no running server shows."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from comfy_server import COMFYUI

PRELUDE = """
import sys
arguments, sys.argv = sys.argv[1:], ["main.py", "--cpu"]
sys.path.insert(0, {comfyui!r})
import comfy.options
comfy.options.enable_args_parsing()
"""

# A graphics card on paper. cpu:0 is not equal to cpu, so what ComfyUI moves to it is copied and counts as loaded.
CARD = """
import torch
import comfy.model_management as management

CARD, card = torch.device("cpu", 0), {"size": 2**40}
management.get_torch_device = lambda: CARD
management.text_encoder_device = management.vae_device = management.get_torch_device
management.is_device_cpu = lambda device: False
management.vram_state = management.VRAMState.NORMAL_VRAM
management.lowvram_available = True
management.MIN_WEIGHT_MEMORY_RATIO = 0.0  # as on cards of NVIDIA

def loaded():
    return sum(model.loaded_size() for model in management.loaded_models())

def free(device=None, torch_free_too=False):
    left = card["size"] - loaded()
    return (left, left) if torch_free_too else left

management.get_free_memory = free
"""


def run(code: str, *arguments: str, card: bool = False) -> str:
    """What the code prints. card: ComfyUI believes in a graphics card of ``card["size"]`` bytes, CARD."""
    assert COMFYUI is not None
    whole = PRELUDE.format(comfyui=COMFYUI) + (CARD if card else "") + textwrap.dedent(code)
    command = [os.environ.get("COMFYUI_PYTHON", sys.executable), "-c", whole, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-6000:]
    return result.stdout
