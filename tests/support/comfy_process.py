"""Code in a process of its own that has ComfyUI imported, for what a running server does not show."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

from comfy_server import COMFYUI

PRELUDE = """
import sys
arguments, sys.argv = sys.argv[1:], ["main.py", "--cpu", *{options!r}]
sys.path.insert(0, {comfyui!r})
import comfy.options
comfy.options.enable_args_parsing()
"""

# ComfyUI sees a GPU of gpu["size"] bytes. cpu:0 is not equal to cpu, so what ComfyUI moves there is copied and counts
# as loaded.
FAKE_GPU = """
import torch
import comfy.model_management as management

GPU, gpu = torch.device("cpu", 0), {"size": 2**40}
management.get_torch_device = lambda: GPU
management.text_encoder_device = management.vae_device = management.get_torch_device
management.is_device_cpu = lambda device: False
management.vram_state = management.VRAMState.NORMAL_VRAM
management.lowvram_available = True
management.MIN_WEIGHT_MEMORY_RATIO = 0.0  # as on NVIDIA GPUs

def loaded_bytes():
    return sum(model.loaded_size() for model in management.loaded_models())

def free_memory(device=None, torch_free_too=False):
    free = gpu["size"] - loaded_bytes()
    return (free, free) if torch_free_too else free

management.get_free_memory = free_memory
"""

END = "\nreached the end\n"


def run(code: str, *arguments: str, fake_gpu: bool = False, options: tuple[str, ...] = ()) -> str:
    """Run code that must reach its end, and return what it printed. options: ComfyUI's own, on its command line."""
    assert COMFYUI is not None
    prelude = PRELUDE.format(comfyui=COMFYUI, options=options) + (FAKE_GPU if fake_gpu else "")
    program = f"{prelude}{textwrap.dedent(code)}\nprint({END!r}, end='')\n"
    command = [os.environ.get("COMFYUI_PYTHON", sys.executable), "-c", program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stdout.endswith(END), result.stdout[-1000:] + result.stderr[-6000:]
    return result.stdout.removesuffix(END)
