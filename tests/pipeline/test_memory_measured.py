"""Peak memory of a separate process, as the kernel counts it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux reports the peak of a process"),
]
GIB = 2**30
ALLOCATOR = 64 * 2**20  # freed memory that the allocator keeps; measured: 45 MiB

# clear_refs resets the peak (VmHWM) to the current resident size.
PRELUDE = """
import sys
from pathlib import Path
sys.path.insert(0, {support!r})
import torch

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def measure_peak(work):
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    result = work()
    return status("VmHWM") - before, result
"""


def run_process(code: str) -> list[float]:
    """The numbers that the code prints."""
    script = PRELUDE.format(support=str(Path(__file__).parents[1] / "support")) + textwrap.dedent(code)
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return [float(word) for word in result.stdout.split()]


def test_a_run_of_the_xl_width_stays_within_its_estimate() -> None:
    """Two layers of each kind at the XL width, float32, one minute.

    The estimate counts tensors. Added to it are freed memory that the allocator keeps and the kernels' workspace: some
    CPUs repack one operand of a product, at most the largest weight. On GPUs the reserve covers both.
    """
    peak, estimate, largest = run_process("""
        from full_size import RUNS, XL, execute
        from acestep_xl.model.network import AceStep
        from acestep_xl.pipeline.memory import estimate as memory_estimate
        from runs import make_run
        network = AceStep(XL).requires_grad_(False)
        for parameter in network.parameters():
            parameter.fill_(0.01)
        run = RUNS["1 min"]
        with torch.no_grad():
            execute(network, make_run(1, 250, 1, 10, 10), "cpu")  # loads the kernels
            peak, _ = measure_peak(lambda: execute(network, run, "cpu"))
        largest = max(weight.numel() * weight.element_size() for weight in network.parameters())
        print(peak, memory_estimate.sampling(network, run, torch.device("cpu")), largest)
    """)
    assert estimate / 3 <= peak <= estimate + ALLOCATOR + largest, (peak / GIB, estimate / GIB, largest / GIB)


def test_decoding_ten_minutes_needs_no_more_memory_than_one() -> None:
    """A narrow VAE with the real strides: memory besides weights and waveform must not grow with the song."""
    one, ten = run_process("""
        from acestep_xl.model import random_network
        from acestep_xl.model.vae.oobleck import Oobleck
        from acestep_xl.model.vae.config import VAEConfig
        from acestep_xl.pipeline.vae_socket import AudioVAE
        from acestep_xl import host
        from acestep_xl.host.headless import HeadlessHost
        vae = AudioVAE(random_network.fill(Oobleck(VAEConfig(encoder_channels=1, decoder_channels=1)), 0.8))
        with host.use(HeadlessHost([], Path("."), device="cpu")):
            vae.decode(torch.zeros(1, 64, 256))
            for seconds in (60, 600):
                latents = torch.randn(1, 64, 25 * seconds)
                peak, waveform = measure_peak(lambda: vae.decode(latents))
                print(peak - waveform.numel() * 4)
                del waveform
    """)
    assert ten - max(one, 0) < GIB / 8, (one / GIB, ten / GIB)
