"""The locales: generated from the node definitions, complete, nothing unused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import make_help
import make_locales
import pytest
import translation

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from acestep_xl.runner.shipped import SHIPPED

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "locales"
LANGUAGES = ("en", "es", "ja", "zh")
TRANSLATED = LANGUAGES[1:]
# What a translation must keep verbatim: section tags, placeholders, file name tokens, code, names of values.
KEPT = re.compile(r"`[^`]+`|\[[A-Z][^\]]*\]|\{\w+\}|%\w+%|https?:\S+|\d+(?:[.:]\d+)+|\b\w+_\w+\b|\b[a-z]+[A-Z]\w+\b")
# Input names are translated on their own, and kept within a sentence.
IDENTIFIER = re.compile(r"[a-z]\w*")


def translated(language: str) -> Any:
    """The words of a language after every text has been looked up."""
    words = translation.Words(language)
    make_help.translated(words)
    make_locales.translated(words)
    return words


def read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / f"{name}.json").read_text("utf-8"))


def displayed(message: str) -> str:
    """A message as ComfyUI's interface displays it."""
    return re.sub(r"\{'(.)'\}", r"\1", message)


def test_the_languages() -> None:
    assert tuple(sorted(folder.name for folder in LOCALES.iterdir())) == LANGUAGES
    assert tuple(sorted(translation.languages())) == LANGUAGES


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_none_is_unused(language: str) -> None:
    words = translated(language)
    assert list(words.missing) == [], f"docs/words/{language}.json lacks these texts"
    assert words.unused() == [], f"docs/words/{language}.json has unused texts"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_are_current(language: str) -> None:
    for path, text in make_locales.translated(translation.Words(language)).items():
        assert path.read_text("utf-8") == text, "run python docs/generate/make_locales.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_is_covered(language: str, tmp_path: Path) -> None:
    """Read from the classes, not through the script that writes the files."""
    texts = read(language, "nodeDefs")
    assert set(texts) == set(NODE_CLASS_MAPPINGS)
    with host.use(HeadlessHost([], tmp_path)):
        for name, node_class in NODE_CLASS_MAPPINGS.items():
            node: Any = node_class
            declared = node.INPUT_TYPES()
            inputs = {**declared.get("required", {}), **declared.get("optional", {})}
            assert set(texts[name]["inputs"]) == set(inputs), name
            assert set(texts[name].get("outputs", {})) == {str(i) for i in range(len(node.RETURN_TYPES))}, name
            entries = [texts[name], *texts[name]["inputs"].values(), *texts[name].get("outputs", {}).values()]
            for entry in entries:
                for key in ("display_name", "description", "name", "tooltip"):
                    assert entry.get(key, "absent").strip(), (name, key, entry)


def test_english_equals_the_node_definitions(tmp_path: Path) -> None:
    texts = read("en", "nodeDefs")
    with host.use(HeadlessHost([], tmp_path)):
        for name, node_class in NODE_CLASS_MAPPINGS.items():
            node: Any = node_class
            assert displayed(texts[name]["display_name"]) == NODE_DISPLAY_NAME_MAPPINGS[name]
            assert displayed(texts[name]["description"]) == node.DESCRIPTION
            for group in ("required", "optional"):
                for key, entry in node.INPUT_TYPES().get(group, {}).items():
                    assert displayed(texts[name]["inputs"][key]["tooltip"]) == entry[1]["tooltip"], (name, key)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_tags_numbers_and_names(language: str) -> None:
    table = json.loads((ROOT / "docs" / "words" / f"{language}.json").read_text("utf-8"))
    for text, translated_text in table.items():
        if not IDENTIFIER.fullmatch(text):
            lost = [part for part in KEPT.findall(text) if part not in translated_text]
            assert lost == [], (text, translated_text)


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_widget_texts_are_complete(language: str) -> None:
    english, translated_texts = (read(tongue, "main")["acestep_xl"] for tongue in ("en", language))
    assert list(translated_texts) == list(english)
    for key, text in english.items():
        placeholders = re.compile(r"\{\w+\}")
        assert sorted(placeholders.findall(text)) == sorted(placeholders.findall(translated_texts[key])), key
        assert translated_texts[key].strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_notes_and_groups_of_every_workflow_are_translated(language: str) -> None:
    texts = read(language, "main")["acestep_xl_workflows"]
    workflows = {name: json.loads(path.read_text("utf-8")) for name, path in SHIPPED.items()}
    assert set(texts["notes"]) == set(workflows)
    titles = {group["title"] for workflow in workflows.values() for group in workflow["groups"]}
    assert set(texts["groups"]) == titles
    assert len(set(texts["groups"].values())) == len(titles), "a title leads back to its key"
    english = {
        name: next(node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote")
        for name, workflow in workflows.items()
    }
    if language == "en":
        assert texts["notes"] == english and all(key == title for key, title in texts["groups"].items())
    for name, note in texts["notes"].items():
        assert "`" not in note and note.count("**") == english[name].count("**"), name
        assert note.count("\n- ") == english[name].count("\n- "), name
        assert language == "en" or note != english[name], name


def test_message_syntax_is_quoted() -> None:
    """ComfyUI's interface interprets { } @ and | in a message unless they are quoted."""
    for language in LANGUAGES:
        text = json.dumps(read(language, "nodeDefs"), ensure_ascii=False)
        messages = re.findall(r'": "((?:[^"\\]|\\.)*)"', text)
        assert len(messages) > 300
        for message in messages:
            assert not re.search(r"[{}@|]", re.sub(r"\{'[{}@|]'\}", "", message)), message
    assert displayed(read("en", "nodeDefs")["AceStepXLRecipe"]["inputs"]["recipe"]["tooltip"]).count('{"solver"') == 1


def test_a_changed_text_needs_a_new_translation() -> None:
    words = translation.Words("zh")
    assert words("For the sampler.") != "For the sampler."
    assert words("For the new sampler.") == "For the new sampler."
    assert list(words.missing) == ["For the new sampler."]
    assert "For the sampler." not in words.unused()
