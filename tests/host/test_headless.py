"""The hosts: where models are found, what is resident, stops; and ComfyUI's own, when COMFYUI_PATH is set."""

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
from paper_card import PaperCard, home
from torch import nn

from acestep_xl import host as host_package
from acestep_xl.host import model_folders
from acestep_xl.host.headless import HeadlessHost, Interrupted, SilentProgress, pick_device
from acestep_xl.host.offload.accelerator import RESERVE, MemoryInfo


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


def test_names_are_found_in_every_root_with_forward_slashes(host: HeadlessHost) -> None:
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


def test_a_missing_name_says_where_it_looked_and_what_is_there(host: HeadlessHost, roots: list[Path]) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        host.model_path("diffusion_models", "gone.safetensors")
    for word in ("gone.safetensors", str(roots[0] / "diffusion_models"), str(roots[1] / "unet"), "b.safetensors"):
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["../vae/v.safetensors", "/etc/passwd", ""])
def test_names_stay_inside_their_folder(name: str, host: HeadlessHost) -> None:
    with pytest.raises(FileNotFoundError):
        host.model_path("diffusion_models", name)


def test_unknown_kind_lists_the_known_ones(host: HeadlessHost) -> None:
    with pytest.raises(ValueError, match=r"loras.*checkpoints, diffusion_models"):
        host.model_names("loras")


def test_searched_and_tokenizers(host: HeadlessHost, roots: list[Path]) -> None:
    assert host.search_folders()["vae"] == [root / "vae" for root in roots]
    assert host.tokenizer_bundles() == [roots[0] / "text_encoders" / "qwen"]


def test_search_roots_in_order_each_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACESTEP_XL_MODELS", os.pathsep.join(["/env/one", "/given", ""]))
    monkeypatch.setenv("COMFYUI_PATH", "/comfy")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setattr(sys, "platform", "linux")
    roots = model_folders.search_roots([Path("/given"), Path("mine")])
    assert roots == [Path("/given"), tmp_path / "mine", Path("/env/one"), Path("/comfy/models"), tmp_path / "models",
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
def card() -> PaperCard:
    return PaperCard()


@pytest.fixture
def carded(card: PaperCard, tmp_path: Path) -> HeadlessHost:
    """A host on a card of paper, whose size counts beside the reserve."""
    return HeadlessHost([], tmp_path, machine=card)


def part(card: PaperCard) -> nn.Module:
    """4000 bytes of weights, too small to stream."""
    module = nn.Linear(1000, 1, bias=False).requires_grad_(False)
    card.modules.append(module)
    return module


def there(*modules: nn.Module) -> list[bool]:
    """Which of them have a copy on the card."""
    return [bool(home(module)) for module in modules]


def test_resident_makes_room_on_a_full_card(carded: HeadlessHost, card: PaperCard) -> None:
    card.size = RESERVE + 4000
    text, network = part(card), part(card)
    with carded.resident([text], 0) as device:
        assert device == card.device and there(text, network) == [True, False]
    weights = text.get_parameter("weight").data_ptr()
    with carded.resident([network], 0):
        assert there(text, network) == [False, True]
    with carded.resident([network], 0):
        assert there(text, network) == [False, True]
    assert text.get_parameter("weight").data_ptr() != weights, "it is what it was before, not a copy of the copy"


def test_weights_have_a_home_that_nothing_copies(carded: HeadlessHost, card: PaperCard) -> None:
    module, before = part(card), {}
    before = {name: value.data_ptr() for name, value in module.named_parameters()}
    for _ in range(2):
        with carded.resident([module], 0):
            assert {name: value.data_ptr() for name, value in module.named_parameters()} != before
        carded.reclaim()
        assert {name: value.data_ptr() for name, value in module.named_parameters()} == before
    assert card.log == ["reclaim"] * 2 and not card.pinned


def test_resident_lets_modules_stay_while_they_fit(carded: HeadlessHost, card: PaperCard) -> None:
    first, second, third = (part(card) for _ in range(3))
    card.size = RESERVE + 12000 + 500
    for module in (first, second, third):
        with carded.resident([module], 500):
            pass
    assert there(first, second, third) == [True, True, True]
    with carded.resident([first], 501):
        pass
    assert there(first, second, third) == [True, False, True], "the least recently used goes first"
    assert carded.memory_info() == MemoryInfo(card.size, card.size)


def test_nested_blocks_keep_the_outer_modules(carded: HeadlessHost, card: PaperCard) -> None:
    outer, inner, third = (part(card) for _ in range(3))
    card.size = 0
    with carded.resident([outer], 0):
        with pytest.raises(RuntimeError), carded.resident([inner], 0):
            raise RuntimeError
        with carded.resident([third, outer], 0):
            assert there(outer, inner, third) == [True, False, True]
        carded.reclaim()
        assert there(outer, third) == [True, False]
    with carded.resident([inner], 0):
        assert there(outer, inner) == [False, True], "after its block a module may go"


def test_the_host_does_not_keep_modules_alive(carded: HeadlessHost, card: PaperCard) -> None:
    module = nn.Linear(2, 2)
    with carded.resident([module], 0):
        pass
    reference = weakref.ref(module)
    del module
    gc.collect()
    assert reference() is None
    with carded.resident([part(card)], 0):
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


def test_interruption_is_outside_exception_and_counts_once(host: HeadlessHost) -> None:
    host.check_interrupted()
    threading.Thread(target=host.interrupt).run()
    assert not issubclass(Interrupted, Exception)
    with pytest.raises(Interrupted):
        host.check_interrupted()
    host.check_interrupted()


def test_a_stop_is_heard_between_two_blocks_of_a_network(host: HeadlessHost) -> None:
    class Asked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            host.interrupt()
            return x

    blocks = nn.ModuleList([nn.Identity(), Asked(), nn.Identity()])
    ran: list[int] = []
    with pytest.raises(Interrupted), host.resident([blocks], 0, "text"):
        for number, block in enumerate(blocks):
            block(torch.zeros(1))
            ran.append(number)
    assert ran == [0, 1]
    blocks[2](torch.zeros(1))


def test_bars_come_from_the_factory(tmp_path: Path) -> None:
    asked: list[int] = []

    def factory(total: int) -> SilentProgress:
        asked.append(total)
        return SilentProgress()

    with HeadlessHost([], tmp_path, factory).progress(7) as bar:
        bar.update(3)
    with HeadlessHost([], tmp_path).progress(2) as bar:
        bar.update(2, preview=None)
    assert asked == [7]


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


def test_use_is_undone_and_nests(host: HeadlessHost, tmp_path: Path) -> None:
    other = HeadlessHost([], tmp_path)
    with pytest.raises(KeyError), host_package.use(host):
        assert host_package.current_host() is host
        with host_package.use(other):
            assert host_package.current_host() is other
        assert host_package.current_host() is host
        raise KeyError
    assert host_package.current_host() is not host


def test_use_is_seen_by_its_own_thread_only(host: HeadlessHost) -> None:
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


def test_importing_the_host_brings_neither_torch_nor_comfyui() -> None:
    code = """
        import sys
        import acestep_xl.host, acestep_xl.host.protocol, acestep_xl.host.model_folders, acestep_xl.host.headless
        acestep_xl.host.current_host().model_names("vae")
        print([name for name in ("torch", "comfy", "folder_paths") if name in sys.modules])
    """
    assert run_python(code).strip() == "[]"


@pytest.mark.skipif(not os.environ.get("COMFYUI_PATH"), reason="COMFYUI_PATH does not name a ComfyUI folder")
def test_comfy_host_in_a_real_comfyui(tmp_path: Path) -> None:
    for name in ("vae/sub/v.safetensors", "vae/old.pt", "diffusers/official/config.json", "text_encoders/q/vocab.json"):
        touch(tmp_path / "models" / name)
    code = """
        import os, sys, weakref, gc
        comfy_path, base = os.environ["COMFYUI_PATH"], sys.argv[1]
        sys.argv = ["main.py", "--cpu", "--base-directory", base, "--disable-metadata"]
        sys.path.insert(0, comfy_path)
        import comfy.options
        comfy.options.enable_args_parsing()
        import comfy.model_management as management
        import folder_paths, torch
        from torch import nn
        from acestep_xl import host
        from pathlib import Path

        place = current_host()
        assert type(place).__name__ == "ComfyHost" and current_host() is place
        assert place.model_names("vae") == ["sub/v.safetensors"], place.model_names("vae")
        assert place.model_names("diffusers") == ["official"]
        assert place.model_path("vae", "sub/v.safetensors") == Path(base, "models/vae/sub/v.safetensors")
        try:
            place.model_path("vae", "gone")
        except FileNotFoundError as error:
            assert "sub/v.safetensors" in str(error)
        else:
            raise AssertionError
        assert [path.name for path in place.tokenizer_bundles()] == ["q", "qwen25_tokenizer"]
        assert place.output_directory() == Path(folder_paths.get_output_directory())
        assert not place.metadata_enabled()

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
                self.scale = nn.Parameter(torch.ones(1))

            @property
            def device(self):
                return self.scale.device

        net, second = Net(), nn.Linear(2, 2)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        with place.resident([net], 2**20) as device:
            assert device == torch.device("cpu") and net.device == device
            assert [m.model.network for m in management.loaded_models()] == [net]
            with place.resident([second], 0):
                assert {m.model.network for m in management.loaded_models()} == {net, second}
        with place.resident([net], 0):
            assert len([m for m in management.loaded_models() if m.model.network is net]) == 1
        management.unload_all_models()
        with place.resident([net], 0):
            pass
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        assert list(net.state_dict()) == list(before)

        shown = []
        comfy.utils.set_progress_bar_global_hook(lambda *event, **more: shown.append(event[:2]))
        with place.progress(4) as bar:
            bar.update(4)
        assert shown == [(4, 4)]

        management.interrupt_current_processing()
        try:
            place.check_interrupted()
        except management.InterruptProcessingException:
            pass
        else:
            raise AssertionError
        place.check_interrupted()

        reference = weakref.ref(net)
        del net, before
        gc.collect()
        management.cleanup_models_gc()
        assert reference() is None, "the patcher must not keep the network alive"
        print("ok")
    """
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", textwrap.dedent(code), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("ok")
