"""The interface in other languages: made from the node definitions, complete, without leftovers."""

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

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "locales"
LANGUAGES = ("en", "es", "ja", "zh")
TRANSLATED = LANGUAGES[1:]
# What a translation must keep as it is: section tags, places for values, file name tokens, code, names of values.
KEPT = re.compile(r"`[^`]+`|\[[A-Z][^\]]*\]|\{\w+\}|%\w+%|https?:\S+|\d+(?:[.:]\d+)+|\b\w+_\w+\b|\b[a-z]+[A-Z]\w+\b")
# Identifiers of inputs are translated as a whole; in the middle of a sentence they stay.
IDENTIFIER = re.compile(r"[a-z]\w*")


def translated(language: str) -> Any:
    """The words of a language, after all of our texts have been asked of them."""
    words = translation.Words(language)
    make_help.files(words)
    make_locales.files(words)
    return words


def read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / f"{name}.json").read_text("utf-8"))


def spoken(message: str) -> str:
    """A message as ComfyUI's interface shows it."""
    return re.sub(r"\{'(.)'\}", r"\1", message)


def test_these_are_the_languages() -> None:
    assert tuple(sorted(folder.name for folder in LOCALES.iterdir())) == LANGUAGES
    assert tuple(sorted(translation.languages())) == LANGUAGES


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_none_is_left_over(language: str) -> None:
    words = translated(language)
    assert list(words.missing) == [], f"docs/words/{language}.json lacks these texts"
    assert words.unused() == [], f"docs/words/{language}.json has texts that nobody uses"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_are_fresh(language: str) -> None:
    for path, text in make_locales.files(translation.Words(language)).items():
        assert path.read_text("utf-8") == text, "run python docs/generate/make_locales.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_is_there(language: str, tmp_path: Path) -> None:
    """From the classes themselves, not through the script that makes the files."""
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
                    assert entry.get(key, "said").strip(), (name, key, entry)


def test_english_says_what_the_nodes_say(tmp_path: Path) -> None:
    texts = read("en", "nodeDefs")
    with host.use(HeadlessHost([], tmp_path)):
        for name, node_class in NODE_CLASS_MAPPINGS.items():
            node: Any = node_class
            assert spoken(texts[name]["display_name"]) == NODE_DISPLAY_NAME_MAPPINGS[name]
            assert spoken(texts[name]["description"]) == node.DESCRIPTION
            for group in ("required", "optional"):
                for key, entry in node.INPUT_TYPES().get(group, {}).items():
                    assert spoken(texts[name]["inputs"][key]["tooltip"]) == entry[1]["tooltip"], (name, key)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_tags_numbers_and_names(language: str) -> None:
    table = json.loads((ROOT / "docs" / "words" / f"{language}.json").read_text("utf-8"))
    for text, said in table.items():
        if not IDENTIFIER.fullmatch(text):
            lost = [part for part in KEPT.findall(text) if part not in said]
            assert lost == [], (text, said)


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_words_of_the_widgets_are_complete(language: str) -> None:
    english, said = (read(tongue, "main")["acestep_xl"] for tongue in ("en", language))
    assert list(said) == list(english)
    for key, text in english.items():
        places = re.compile(r"\{\w+\}")
        assert sorted(places.findall(text)) == sorted(places.findall(said[key])), key
        assert said[key].strip()


def test_no_text_is_read_as_code_by_the_interface() -> None:
    """ComfyUI's interface reads { } @ and | in a message as its own language; quoted, they are themselves."""
    for language in LANGUAGES:
        text = json.dumps(read(language, "nodeDefs"), ensure_ascii=False)
        messages = re.findall(r'": "((?:[^"\\]|\\.)*)"', text)
        assert len(messages) > 300
        for message in messages:
            assert not re.search(r"[{}@|]", re.sub(r"\{'[{}@|]'\}", "", message)), message
    assert spoken(read("en", "nodeDefs")["AceStepXLRecipe"]["inputs"]["recipe"]["tooltip"]).count('{"solver"') == 1


def test_a_text_that_changes_asks_for_a_new_translation() -> None:
    words = translation.Words("zh")
    assert words("For the sampler.") != "For the sampler."
    assert words("For the new sampler.") == "For the new sampler."
    assert list(words.missing) == ["For the new sampler."]
    assert "For the sampler." not in words.unused()
