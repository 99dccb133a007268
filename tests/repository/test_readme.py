"""What README.md tells is true: commands, names, tables, messages, links, the picture."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import draw_workflow
import make_node_docs
import pytest
from house_rules import RULES

from acestep_xl import parameters
from acestep_xl.host import model_folders
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from acestep_xl.runner import cli, terminal
from acestep_xl.runner.model_bundles import BUNDLES
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.read import read_workflow
from acestep_xl.runner.settings import apply_settings, parse_assignment, resolve_assignments
from acestep_xl.service.serve_command import SERVE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
CODE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
BLOCKS = [block.strip() for block in CODE.findall(README)]
LINES = [line for block in BLOCKS for line in block.splitlines()]


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return found


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of all tables whose first heading is given, cell by cell."""
    tables = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert tables, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = [a for a in cli.build_parser((SERVE,))._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(commands.choices)


def commands() -> list[list[str]]:
    """Every acestep-xl command in a code block, as arguments."""
    parts = [part.strip() for line in LINES for part in line.split("&&")]
    words = [shlex.split(part) for part in parts]
    return [rest for first, *rest in words if Path(first).name == "acestep-xl"]


def test_the_node_table_is_the_node_table() -> None:
    told = {names(row[0])[0]: row[1:] for row in rows(section("Nodes"), "Node")}
    assert list(told) == list(NODE_CLASS_MAPPINGS)
    table = NodeTable.shipped()
    for node, (title, _, sockets, outputs) in told.items():
        spec = table.spec(node)
        assert spec is not None and title == NODE_DISPLAY_NAME_MAPPINGS[node]
        assert names(sockets) == [entry.name for entry in spec.inputs.values() if not entry.is_widget], node
        assert names(outputs) == list(getattr(spec.node_class, "RETURN_NAMES", spec.returns)), node


def test_the_tasks_are_the_encoder_s() -> None:
    told = [task for row in rows(section("Tasks"), "Task") for task in names(row[2]) if task != "codes"]
    assert sorted(told) == sorted(parameters.get("task").choices)


def test_all_shipped_workflows_are_named() -> None:
    told = [name for row in rows(section("Tasks"), "Task") for name in names(row[3])]
    assert sorted(told) == sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))


def test_the_menu_is_the_one_told() -> None:
    assert {"/".join(node.CATEGORY.split("/")[:2]) for node in NODE_CLASS_MAPPINGS.values()} == {"audio/ACE-Step XL"}
    assert "**audio / ACE-Step XL**" in README


def test_two_lines_are_enough_and_ci_runs_them() -> None:
    demo, tests = BLOCKS[:2]
    assert "\n" not in demo and "\n" not in tests
    assert demo.startswith("python3 -m venv .venv && ") and demo.endswith("run text_to_music --demo --output out")
    ci = [line for line in (ROOT / ".ci/run").read_text("utf-8").splitlines() if line]
    assert demo in ci and ci[-1] == tests


def test_every_command_parses() -> None:
    found = commands()
    assert {"run", "download"} <= {words[0] for words in found}
    for words in found:
        arguments = cli.build_parser((SERVE,)).parse_args(words)
        if arguments.command == "download":
            assert arguments.name in BUNDLES
        if arguments.command == "run":
            assert (ROOT / "workflows" / f"{arguments.workflow}.json").is_file()


def test_every_setting_fits_the_workflow() -> None:
    table = NodeTable.shipped()
    graph = read_workflow(json.loads((ROOT / "workflows/text_to_music.json").read_text("utf-8")), table).graph
    texts = [value for words in commands() for flag, value in pairwise(words) if flag == "--set"]
    assert len(texts) >= 4
    settings, problems = resolve_assignments(graph, map(parse_assignment, texts), table)
    assert problems + apply_settings(graph, settings, table) == []


def test_sub_commands_and_options_are_the_parser_s() -> None:
    told = [names(row[0])[0].split()[1] for row in rows(section("Command line"), "Command")]
    parsers = command_parsers()
    assert told == list(parsers)
    options = {names(row[0])[0].split()[0] for row in rows(section("Command line"), "Option of `run`")}
    assert options == {a.option_strings[0] for a in parsers["run"]._actions if a.option_strings} - {"-h"}
    known = {option for parser in parsers.values() for option in parser._option_string_actions}
    used = {option for words in commands() for option in words if option.startswith("--")}
    spoken = set(re.findall(r"`(?:acestep-xl \w+ )?(--[a-z-]+)", CODE.sub("", README)))
    assert used | spoken <= known and "--list" in spoken


def test_exit_codes_are_the_program_s() -> None:
    told = [int(row[0]) for row in rows(section("Command line"), "Exit code")]
    assert told == [terminal.OK, terminal.FAILED, terminal.BAD_USAGE, terminal.INTERRUPTED]


def test_the_files_are_those_that_download_fetches() -> None:
    block = next(block for block in BLOCKS if block.startswith("diffusion_models/"))
    assert block.splitlines() == sorted(source.target for source in BUNDLES["xl-sft"])
    assert "the six files" in README and len(BUNDLES["xl-sft"]) == 6
    assert all(f"`{name}`" in README or f"download {name}" in README for name in BUNDLES)


def test_model_folders_and_precisions_are_the_code_s() -> None:
    used = {name.split("/")[0] for row in rows(section("Models"), "Layout") for name in names(row[1]) if "/" in name}
    assert {"diffusion_models", "text_encoders", "vae", "checkpoints", "diffusers"} <= used
    assert set(model_folders.KINDS) == {"diffusion_models", "text_encoders", "vae", "checkpoints", "diffusers"}
    told = [names(row[0])[0] for row in rows(section("Models"), "`precision`")]
    assert tuple(told) == parameters.get("precision").choices


def test_the_search_order_is_the_code_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order = [word for word in names(section("Models")) if word in ("--models", "ACESTEP_XL_MODELS", "./models")]
    assert order[:3] == ["--models", "ACESTEP_XL_MODELS", "./models"]
    monkeypatch.setenv("ACESTEP_XL_MODELS", "/second")
    monkeypatch.setenv("COMFYUI_PATH", "/third")
    monkeypatch.chdir(tmp_path)
    found = model_folders.search_roots([Path("/first")])
    expected = [Path("/first"), Path("/second"), Path("/third/models"), tmp_path / "models"]
    assert found == [*expected, model_folders.data_directory() / "models"]


def message_texts() -> str:
    """Every string of the pack's source, the fixed parts of f-strings joined, one per line."""
    texts = []
    for path in ROOT.glob("*/**/*.py"):
        if path.relative_to(ROOT).parts[0] in RULES:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                if isinstance(node, ast.JoinedStr):
                    texts.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
    return "\n".join(texts)


def test_every_message_in_troubleshooting_exists() -> None:
    texts = message_texts()
    told = [names(row[0])[0] for row in rows(section("Troubleshooting"), "Message")]
    assert len(told) > 10
    assert [message for message in told if message not in texts] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = CODE.sub("", (ROOT / document).read_text("utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    broken = [link for link in links if link.startswith("#") and link[1:] not in anchors]
    local = [link for link in links if not re.match(r"https?:|#", link)]
    assert broken + [link for link in local if not (ROOT / link.split("#")[0]).exists()] == []


def test_the_picture_shows_the_workflow_as_it_is() -> None:
    for path, svg in draw_workflow.files().items():
        assert path.read_text("utf-8") == svg, "run python docs/generate/draw_workflow.py"
        assert f"]({path.relative_to(ROOT).as_posix()})" in README


def test_the_page_of_nodes_is_fresh() -> None:
    for path, text in make_node_docs.files().items():
        assert path.read_text("utf-8") == text, f"run python docs/generate/make_node_docs.py: {path.name} is stale"


def test_the_pre_commit_hooks_are_ci_s_linters() -> None:
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    ci = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    linters = [line.removeprefix(".venv/bin/") for line in ci if re.match(r"\.venv/bin/(ruff|pyright)", line)]
    assert hooks == [line.removesuffix(" --pythonpath .venv/bin/python") for line in linters]
