"""The command line as a user sees it: usage, help, exit codes, output streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clean_interpreter import help_and_imports

from acestep_xl.runner import cli, download_command

pytestmark = pytest.mark.usefixtures("no_models_from_this_machine")


def test_unknown_option_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["run"])
    assert caught.value.code == 2
    assert "WORKFLOW" in capsys.readouterr().err


def test_ctrl_c_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(download_command, "download", press_ctrl_c)
    assert cli.main(["download", "xl-sft"]) == 130


def test_models_lists_files_and_folders(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--models", str(models)]) == 0
    out = capsys.readouterr().out
    assert "  xl.safetensors" in out
    assert f"looked in {models / 'diffusion_models'}\n" in out
    assert f"looked in {models / 'vae'} (no such folder)" in out
    assert out.count("(none)") == 5


def test_download_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["download", "--list"]) == 0
    out = capsys.readouterr().out
    assert "diffusion_models/acestep_v1.5_xl_sft_bf16.safetensors" in out
    assert "ACE-Step/acestep-v15-xl-turbo/silence_latent.pt" in out


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "acestep_xl.runner.cli", *arguments], capture_output=True, text=True,
                          check=False)  # fmt: skip


def test_exit_codes_of_the_real_command() -> None:
    assert command("--help").returncode == 0
    assert command("run", "no-such-workflow").returncode == 2
    assert command("models").returncode == 0


def test_a_closed_pipe_is_not_a_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "acestep_xl.runner.cli", "models"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    result = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, env=buffered, check=False)
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "huggingface_hub", "numpy", "tqdm")
    text, imported = help_and_imports("acestep_xl.runner.cli", [], heavy)
    assert "COMMAND" in text and imported == set()
