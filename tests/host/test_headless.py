"""The hosts: model folders, memory, interruption; and ComfyUI's host, if COMFYUI_PATH is set."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path

import pytest
import torch
from fake_accelerator import FakeAccelerator
from torch import nn

from acestep_xl import host as host_package
from acestep_xl.host import model_folders
from acestep_xl.host.headless import HeadlessHost, Interrupted, SilentProgress, pick_device
from acestep_xl.host.offload.accelerator import RESERVE, MemoryInfo
from acestep_xl.host.offload.weights import originals_of


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    for name in ("diffusion_models/xl.safetensors", "unet/sub/old.SafeTensors", "vae/v.safetensors",
                 "diffusion_models/xl.silence_latent.pt", "diffusion_models/.hidden/no.safetensors",
                 "text_encoders/qwen.safetensors", "text_encoders/qwen/tokenizer.json", "text_encoders/empty/readme",
                 "diffusers/official/config.json", "diffusers/group/pipe/model_index.json",
                 "diffusers/group/pipe/vae/config.json", "diffusers/junk/deep/er/config.json"):  # fmt: skip
        touch(first / name)
    for name in ("diffusion_models/xl.safetensors", "diffusion_models/b.safetensors", "clip/other.safetensors"):
        touch(second / name)
    return [first, second]


@pytest.fixture
def host(roots: list[Path], tmp_path: Path) -> HeadlessHost:
    return HeadlessHost(roots, tmp_path / "out", device="cpu")


def test_names_come_from_every_root_with_forward_slashes(host: HeadlessHost) -> None:
    assert host.model_names("diffusion_models") == ["b.safetensors", "sub/old.SafeTensors", "xl.safetensors"]
    assert host.model_names("text_encoders") == ["other.safetensors", "qwen.safetensors"]
    assert host.model_names("vae") == ["v.safetensors"]
    assert host.model_names("checkpoints") == []
    assert host.model_names("diffusers") == ["group/pipe", "official"]


def test_the_first_root_wins(host: HeadlessHost, roots: list[Path]) -> None:
    assert host.model_path("diffusion_models", "xl.safetensors") == roots[0] / "diffusion_models" / "xl.safetensors"
    assert host.model_path("diffusion_models", "b.safetensors") == roots[1] / "diffusion_models" / "b.safetensors"
    assert host.model_path("diffusion_models", "sub\\old.SafeTensors") == roots[0] / "unet" / "sub" / "old.SafeTensors"
    assert host.model_path("diffusers", "group/pipe").is_dir()


def test_the_error_for_a_missing_name_lists_folders_and_available_names(host: HeadlessHost, roots: list[Path]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        host.model_path("diffusion_models", "gone.safetensors")
    for word in ("gone.safetensors", str(roots[0] / "diffusion_models"), str(roots[1] / "unet"), "b.safetensors"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["../vae/v.safetensors", "/etc/passwd", ""])
def test_names_stay_inside_their_folder(name: str, host: HeadlessHost) -> None:
    with pytest.raises(FileNotFoundError):
        host.model_path("diffusion_models", name)


def test_the_error_for_an_unknown_kind_lists_the_known_ones(host: HeadlessHost) -> None:
    with pytest.raises(ValueError, match=r"controlnet.*checkpoints, diffusion_models"):
        host.model_names("controlnet")


def test_search_folders_and_tokenizer_bundles(host: HeadlessHost, roots: list[Path]) -> None:
    assert host.search_folders()["vae"] == [root / "vae" for root in roots]
    assert host.tokenizer_bundles() == [roots[0] / "text_encoders" / "qwen"]


def test_search_roots_are_ordered_and_unique(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACESTEP_XL_MODELS", os.pathsep.join(["/env/one", "/first", ""]))
    monkeypatch.setenv("COMFYUI_PATH", "/comfy")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setattr(sys, "platform", "linux")
    roots = model_folders.search_roots([Path("/first"), Path("mine")])
    assert roots == [Path("/first"), tmp_path / "mine", Path("/env/one"), Path("/comfy/models"), tmp_path / "models",
                     Path("/data/acestep-xl/models")]  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "variable", "inside"), [("darwin", "HOME", "Library"), ("win32", "LOCALAPPDATA", "acestep-xl")]
)
def test_data_directory_by_platform(
    platform: str, variable: str, inside: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert model_folders.data_directory().relative_to(tmp_path).parts[0] == inside


@pytest.fixture
def accelerator() -> FakeAccelerator:
    return FakeAccelerator()


@pytest.fixture
def gpu_host(accelerator: FakeAccelerator, tmp_path: Path) -> HeadlessHost:
    """A host on the fake accelerator, of whose size the reserve is a part."""
    return HeadlessHost([], tmp_path, accelerator=accelerator)


def small_module(accelerator: FakeAccelerator) -> nn.Module:
    """4000 bytes of weights, too few to stream."""
    module = nn.Linear(1000, 1, bias=False).requires_grad_(False)
    accelerator.modules.append(module)
    return module


def loaded(*modules: nn.Module) -> list[bool]:
    """Which of them have a copy on the accelerator."""
    return [bool(originals_of(module)) for module in modules]


def addresses(module: nn.Module) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in module.named_parameters()}


def test_resident_makes_room_on_a_full_accelerator(gpu_host: HeadlessHost, accelerator: FakeAccelerator) -> None:
    accelerator.size = RESERVE + 4000
    text, network = small_module(accelerator), small_module(accelerator)
    with gpu_host.resident([text], 0) as device:
        assert device == accelerator.device and loaded(text, network) == [True, False]
    copies = addresses(text)
    with gpu_host.resident([network], 0):
        assert loaded(text, network) == [False, True]
    with gpu_host.resident([network], 0):
        assert loaded(text, network) == [False, True]
    assert addresses(text) != copies, "offloading restores the original, not a copy of the copy"


def test_offloading_restores_the_originals_and_copies_nothing(
    gpu_host: HeadlessHost, accelerator: FakeAccelerator
) -> None:
    module = small_module(accelerator)
    originals = addresses(module)
    for _ in range(2):
        with gpu_host.resident([module], 0):
            assert addresses(module) != originals
        gpu_host.reclaim()
        assert addresses(module) == originals
    assert accelerator.log == ["reclaim"] * 2 and not accelerator.pinned


def test_modules_stay_loaded_while_they_fit(gpu_host: HeadlessHost, accelerator: FakeAccelerator) -> None:
    first, second, third = (small_module(accelerator) for _ in range(3))
    accelerator.size = RESERVE + 12000 + 500
    for module in (first, second, third):
        with gpu_host.resident([module], 500):
            pass
    assert loaded(first, second, third) == [True, True, True]
    with gpu_host.resident([first], 501):
        pass
    assert loaded(first, second, third) == [True, False, True], "the least recently used is offloaded first"
    assert gpu_host.memory_info() == MemoryInfo(accelerator.size, accelerator.size)


def test_nested_blocks_keep_the_outer_modules_loaded(gpu_host: HeadlessHost, accelerator: FakeAccelerator) -> None:
    outer, inner, third = (small_module(accelerator) for _ in range(3))
    accelerator.size = 0
    with gpu_host.resident([outer], 0):
        with pytest.raises(RuntimeError), gpu_host.resident([inner], 0):
            raise RuntimeError
        with gpu_host.resident([third, outer], 0):
            assert loaded(outer, inner, third) == [True, False, True]
        gpu_host.reclaim()
        assert loaded(outer, third) == [True, False]
    with gpu_host.resident([inner], 0):
        assert loaded(outer, inner) == [False, True], "after its block a module may be offloaded"


def test_the_host_does_not_keep_modules_alive(gpu_host: HeadlessHost, accelerator: FakeAccelerator) -> None:
    module = nn.Linear(2, 2)
    with gpu_host.resident([module], 0):
        pass
    reference = weakref.ref(module)
    del module
    gc.collect()
    assert reference() is None
    with gpu_host.resident([small_module(accelerator)], 0):
        pass


def test_resident_on_the_cpu(host: HeadlessHost) -> None:
    layer = nn.Linear(2, 2)
    with host.resident([layer], 10**15) as device:
        assert device == torch.device("cpu") and layer.weight.device == device


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(None).type in ("cuda", "xpu", "mps", "cpu")
    with pytest.raises(ValueError, match=r"'toaster'.*this machine has.*cpu"):
        pick_device("toaster")
    with pytest.raises(ValueError, match="'hpu'"):
        pick_device("hpu")


def test_interruption_is_not_an_exception_and_happens_once(host: HeadlessHost) -> None:
    host.check_interrupted()
    threading.Thread(target=host.interrupt).run()
    assert not issubclass(Interrupted, Exception)
    with pytest.raises(Interrupted):
        host.check_interrupted()
    host.check_interrupted()


def test_a_network_stops_between_two_of_its_blocks(host: HeadlessHost) -> None:
    class Interrupting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            host.interrupt()
            return x

    blocks = nn.ModuleList([nn.Identity(), Interrupting(), nn.Identity()])
    ran: list[int] = []
    with pytest.raises(Interrupted), host.resident([blocks], 0, "text"):
        for number, block in enumerate(blocks):
            block(torch.zeros(1))
            ran.append(number)
    assert ran == [0, 1]
    blocks[2](torch.zeros(1))


def test_bars_come_from_the_factory(tmp_path: Path) -> None:
    totals: list[int] = []

    def factory(total: int) -> SilentProgress:
        totals.append(total)
        return SilentProgress()

    with HeadlessHost([], tmp_path, factory).progress(7) as bar:
        bar.update(3)
    with HeadlessHost([], tmp_path).progress(2) as bar:
        bar.update(2, preview=None)
    assert totals == [7]


def test_directories_and_hints(host: HeadlessHost, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert host.output_directory() == tmp_path / "out" and not (tmp_path / "out").exists()
    assert host.input_directory() == Path("input").absolute()
    assert host.temp_directory().name == "acestep-xl"
    assert host.metadata_enabled()
    host.warn("lyrics were cut")
    host.advise([])
    host.advise(["too fast", "too short"])
    assert [record.getMessage() for record in caplog.records] == ["lyrics were cut", "too fast", "too short"]
    assert host.preview_size() is None


def test_use_nests_and_is_undone_after_an_error(host: HeadlessHost, tmp_path: Path) -> None:
    other = HeadlessHost([], tmp_path)
    with pytest.raises(KeyError), host_package.use(host):
        assert host_package.current_host() is host
        with host_package.use(other):
            assert host_package.current_host() is other
        assert host_package.current_host() is host
        raise KeyError
    assert host_package.current_host() is not host


def test_use_affects_its_own_thread_only(host: HeadlessHost) -> None:
    seen: list[object] = []
    with host_package.use(host):
        thread = threading.Thread(target=lambda: seen.append(host_package.current_host()))
        thread.start()
        thread.join()
    assert seen[0] is not host


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
                            env=os.environ | environment, check=False)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_the_host_imports_neither_torch_nor_comfyui() -> None:
    code = """
        import sys
        import acestep_xl.host, acestep_xl.host.protocol, acestep_xl.host.model_folders, acestep_xl.host.headless
        acestep_xl.host.current_host().model_names("vae")
        print([name for name in ("torch", "comfy", "folder_paths") if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"
