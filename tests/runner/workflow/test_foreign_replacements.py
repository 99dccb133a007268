"""What public workflows of other packs most often hold is pointed to what does its work here, and no more is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acestep_xl.runner.cli import main

# As those workflows hold them: the class, and what a user is told to use.
REPLACEMENTS = {
    "VHS_LoadAudioUpload": "use AceStepXLLoadAudio",
    "AudioTrim": "use the start and end of AceStepXLLoadAudio",
    "PreviewAudioCompare": "use AceStepXLPreview",
    "AceStepSFTPreviewAudio": "use AceStepXLPreview",
}


@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_what_replaces_a_node(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"1": {"class_type": kind, "inputs": {}}, "2": {"class_type": "ACEStep15NativeX"}}))
    assert main(["plan", str(path)]) == 2
    assert f"; {REPLACEMENTS[kind]}\n" in capsys.readouterr().err


def test_the_demo_network_is_no_matter_where_no_node_is_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"1": {"class_type": "ACE_STEP_SimpleMode", "inputs": {}}}))
    assert main(["plan", str(path)]) == 2
    plain = capsys.readouterr().err
    assert main(["run", "--demo", str(path)]) == 2
    assert capsys.readouterr().err == plain and "to load the demo network with" not in plain
