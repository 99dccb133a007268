"""The files of web/: their imports, the nodes and texts they name, nothing from other sites."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from web_files import MODULES, ROOT, WEB

from acestep_xl.nodes.load_audio import example
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS


def test_nothing_is_loaded_from_other_sites() -> None:
    for path in [*MODULES, *WEB.glob("*.css")]:
        text = path.read_text("utf-8").replace('"http://www.w3.org/2000/svg"', "")
        assert not re.search(r"""https?:|["'`]//""", text), path
        assert "@import" not in text and "url(" not in text, path


def test_imports_resolve() -> None:
    assert len(MODULES) >= 8
    for path in MODULES:
        for target in re.findall(r'from "([^"]+)"', path.read_text("utf-8")):
            module = (path.parent / target).resolve()
            assert module in MODULES or "/scripts/" in target, (path.name, target)


def test_files_and_lines_are_short() -> None:
    for path in MODULES:
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 350, path
        assert max(map(len, lines)) <= 120, path


def test_other_nodes_and_prototypes_are_left_alone() -> None:
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    assert "prototype" not in text
    assert "beforeRegisterNodeDef" not in text
    nodes = re.findall(r"^  (\w+): add\w+,$", (WEB / "acestep_xl.js").read_text("utf-8"), re.MULTILINE)
    assert len(nodes) >= 4 and set(nodes) <= set(NODE_CLASS_MAPPINGS)


def test_every_node_that_saves_songs_has_a_player() -> None:
    """Every other output node is listed as one without audio to play."""
    silent = {"AceStepXLPlot", "AceStepXLUpload", "AceStepXLWebhook"}
    outputs = {name for name, node in NODE_CLASS_MAPPINGS.items() if getattr(node, "OUTPUT_NODE", False)}
    text = (WEB / "acestep_xl.js").read_text("utf-8")
    assert outputs - silent == set(re.findall(r"(\w+): addPlayer", text))


def test_the_example_file_matches_the_example() -> None:
    file, rate = soundfile.read(WEB / "example.mp3", dtype="float32")
    melody = example()[0].numpy().T
    assert rate == 48000
    assert len(file) == pytest.approx(len(melody), abs=3000)
    count = min(len(file), len(melody))
    first, second = (abs(np.fft.rfft(sound[:count].mean(axis=1))) for sound in (file, melody))
    assert np.corrcoef(first, second)[0, 1] > 0.99


def used_keys() -> set[str]:
    """The keys of the texts that the scripts show."""
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    sides = {f"region_{side}" for side in ("start", "end")}
    return set(re.findall(r'\bt\("(\w+)"', text)) | set(re.findall(r'\? "(\w+)" : "', text)) & {"pause"} | sides


def test_the_locale_has_exactly_the_texts_in_use() -> None:
    words = json.loads((ROOT / "locales" / "en" / "main.json").read_text("utf-8"))["acestep_xl"]
    text = "\n".join(path.read_text("utf-8") for path in MODULES)
    assert used_keys() <= set(words)
    assert [key for key in words if f'"{key}"' not in text and key not in used_keys()] == []
