"""The README and the handwritten pages of docs/ are true: commands, names, tables, messages, links, pictures."""

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
from acestep_xl.runner.settings import apply_settings, parse_assignment, resolve_assignments
from acestep_xl.runner.shipped import SHIPPED
from acestep_xl.runner.workflow.read import read_workflow
from acestep_xl.service.serve_command import SERVE

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
PAGES = {name: (ROOT / name).read_text("utf-8") for name in DOCUMENTS}
README, MODELS, COMMAND_LINE = PAGES["README.md"], PAGES["docs/models.md"], PAGES["docs/command-line.md"]
CODE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
README_BLOCKS = [block.strip() for block in CODE.findall(README)]
# The generated pages have tests of their own.
GUIDES = [PAGES[name] for name in DOCUMENTS if "Written by docs/generate" not in PAGES[name]]


def section(title: str) -> str:
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return text


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of all tables with this first heading, cell by cell."""
    tables = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert tables, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for table in tables for line in table.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    (commands,) = [a for a in cli.build_parser((SERVE,))._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(commands.choices)


def commands() -> list[list[str]]:
    """The arguments of every acestep-xl command in a code block."""
    lines = [line for text in GUIDES for block in CODE.findall(text) for line in block.splitlines()]
    parts = [shlex.split(part, comments=True) for line in lines if "acestep-xl " in line for part in line.split("&&")]
    return [arguments for first, *arguments in parts if Path(first).name == "acestep-xl"]


def test_the_node_tables_list_every_node() -> None:
    titles = {names(row[0])[0]: row[1] for row in rows(section("Nodes"), "Node")}
    assert titles == NODE_DISPLAY_NAME_MAPPINGS
    assert list(titles) == list(NODE_CLASS_MAPPINGS)


def test_the_page_of_nodes_names_every_socket_and_output() -> None:
    table = NodeTable.shipped()
    texts = {re.findall(r"^`(\w+)`", text, re.MULTILINE)[0]: text for text in PAGES["docs/nodes.md"].split("\n## ")[1:]}
    assert list(texts) == list(NODE_CLASS_MAPPINGS)
    for node, text in texts.items():
        spec = table.spec(node)
        assert spec is not None
        inputs = {names(row[0])[0]: row for row in rows(text, "Input")}
        assert list(inputs) == list(spec.inputs), node
        sockets = [name for name, row in inputs.items() if not row[2]]
        assert sockets == [entry.name for entry in spec.inputs.values() if not entry.is_widget], node
        outputs = [names(row[0])[0] for row in rows(text, "Output")] if spec.returns else []
        assert outputs == list(getattr(spec.node_class, "RETURN_NAMES", spec.returns)), node


def test_the_tasks_are_those_of_the_encoder() -> None:
    tasks = [task for row in rows(section("Tasks"), "Task") for task in names(row[2]) if task != "codes"]
    assert sorted(tasks) == sorted(parameters.get("task").choices)


def test_all_shipped_workflows_are_named() -> None:
    workflows = [name for row in rows(section("Tasks"), "Task") for name in names(row[3])]
    assert sorted(workflows) == sorted(SHIPPED)


def test_the_menu_of_the_nodes() -> None:
    assert {"/".join(node.CATEGORY.split("/")[:2]) for node in NODE_CLASS_MAPPINGS.values()} == {"audio/ACE-Step XL"}
    assert "**audio / ACE-Step XL**" in README


def test_the_two_lines_are_those_of_ci() -> None:
    demo, tests = README_BLOCKS[:2]
    assert "\n" not in demo and "\n" not in tests
    assert demo.startswith("python3 -m venv .venv && ") and demo.endswith("run text_to_music --demo --output out")
    ci = [line for line in (ROOT / ".ci/run").read_text("utf-8").splitlines() if line]
    assert demo in ci and ci[-1] == tests


def test_every_command_parses() -> None:
    assert {"run", "download", "plan", "serve"} <= {arguments[0] for arguments in commands()}
    for words in commands():
        arguments = cli.build_parser((SERVE,)).parse_args(words)
        if arguments.command == "download":
            assert arguments.name in BUNDLES
        if arguments.command == "run":
            assert arguments.workflow in SHIPPED


def test_every_setting_fits_the_workflow() -> None:
    table = NodeTable.shipped()
    graph = read_workflow(json.loads(SHIPPED["text_to_music"].read_text("utf-8")), table).graph
    texts = [value for words in commands() for flag, value in pairwise(words) if flag == "--set"]
    assert len(texts) >= 4
    settings, problems = resolve_assignments(graph, map(parse_assignment, texts), table)
    assert problems + apply_settings(graph, settings, table) == []


def test_the_commands_and_options_are_those_of_the_parser() -> None:
    parsers = command_parsers()
    assert [names(row[0])[0].split()[1] for row in rows(COMMAND_LINE, "Command")] == list(parsers)
    options = {names(row[0])[0].split()[0] for row in rows(COMMAND_LINE, "Option of `run`")}
    assert options == {a.option_strings[0] for a in parsers["run"]._actions if a.option_strings} - {"-h"}


def test_every_option_mentioned_exists() -> None:
    known = {option for parser in command_parsers().values() for option in parser._option_string_actions}
    in_blocks = {option for words in commands() for option in words if option.startswith("--")}
    pages = [README, MODELS, COMMAND_LINE, PAGES["docs/memory.md"], PAGES["docs/troubleshooting.md"]]
    in_text = set(re.findall(r"`(?:acestep-xl \w+ )?(--[a-z-]+)", CODE.sub("", "\n".join(pages))))
    assert in_blocks | in_text <= known and "--list" in in_text


def test_the_exit_codes_are_those_of_the_program() -> None:
    codes = [int(row[0]) for row in rows(COMMAND_LINE, "Exit code")]
    assert codes == [terminal.OK, terminal.FAILED, terminal.BAD_USAGE, terminal.INTERRUPTED]


def test_the_files_are_those_that_download_fetches() -> None:
    block = next(block for block in CODE.findall(MODELS) if block.startswith("diffusion_models/"))
    assert block.splitlines() == sorted(source.target for source in BUNDLES["xl-sft"])
    assert "the six files" in MODELS and len(BUNDLES["xl-sft"]) == 6
    for page in (README, MODELS):
        assert all(f"`{name}`" in page or f"download {name}" in page for name in BUNDLES)


def test_the_model_folders_and_precisions_are_those_of_the_code() -> None:
    folders = {name.split("/")[0] for row in rows(MODELS, "Layout") for name in names(row[1]) if "/" in name}
    assert {"diffusion_models", "text_encoders", "vae", "checkpoints", "diffusers"} <= folders
    kinds = {"diffusion_models", "text_encoders", "vae", "checkpoints", "diffusers", "loras"}
    assert set(model_folders.KINDS) == kinds and "`loras`" in MODELS
    precisions = [names(row[0])[0] for row in rows(MODELS, "`precision`")]
    assert tuple(precisions) == parameters.get("precision").choices


def test_the_search_order_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order = [word for word in names(MODELS) if word in ("--models", "ACESTEP_XL_MODELS", "./models")]
    assert order[:3] == ["--models", "ACESTEP_XL_MODELS", "./models"]
    monkeypatch.setenv("ACESTEP_XL_MODELS", "/second")
    monkeypatch.setenv("COMFYUI_PATH", "/third")
    monkeypatch.chdir(tmp_path)
    roots = model_folders.search_roots([Path("/first")])
    expected = [Path("/first"), Path("/second"), Path("/third/models"), tmp_path / "models"]
    assert roots == [*expected, model_folders.data_directory() / "models"]


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
    messages = [names(row[0])[0] for row in rows(PAGES["docs/troubleshooting.md"], "Message")]
    assert len(messages) > 10
    assert [message for message in messages if message not in texts] == []


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", PAGES[document]))
    for link in links:
        file, _, anchor = link.partition("#")
        if not file.startswith(("http:", "https:")):
            path = (ROOT / document).parent / file if file else ROOT / document
            assert path.exists(), link
            assert not anchor or anchor in anchors(path.read_text("utf-8")), link


def test_the_index_lists_every_page() -> None:
    index = PAGES["docs/README.md"]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    benchmarks = {f"benchmarks/{path.name}" for path in (ROOT / "docs/benchmarks").glob("*.md")}
    assert [page for page in sorted(pages | benchmarks) if f"]({page})" not in index] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_source_file_mentioned_exists(document: str) -> None:
    folders = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
    mentioned = re.findall(
        rf"`(?:python )?((?:{folders})/(?:[\w./*]*(?:/|\.py|\.js|\.json|\.md))?)[` ]", PAGES[document]
    )
    files = [file for file in mentioned if not re.search(r"\b(NAME|ID|LANGUAGE)\b", file)]
    assert [file for file in files if not any(ROOT.glob(file.rstrip("/")))] == []


def test_the_layout_in_contributing_is_that_of_the_tree() -> None:
    (layout, *_) = CODE.findall(PAGES["CONTRIBUTING.md"])
    listed, folders = set(), []
    for indent, name in re.findall(r"^( *)(\w+)/", layout, re.MULTILINE):
        folders = [*folders[: len(indent) // 2], name]  # two spaces a level
        listed.add("/".join(folders))
    packages = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/**/__init__.py")}
    outside = ("tests", "benchmarks", "training", "build")
    expected = {name for name in packages if not name.startswith((".", *outside))}
    assert expected <= listed, expected - listed
    assert [name for name in sorted(listed) if not (ROOT / name).is_dir()] == []


def test_the_picture_shows_the_current_workflow() -> None:
    for path, svg in draw_workflow.files().items():
        assert path.read_text("utf-8") == svg, "run python docs/generate/draw_workflow.py"
        assert f"]({path.relative_to(ROOT).as_posix()})" in README


def test_the_page_of_nodes_is_current() -> None:
    for path, text in make_node_docs.files().items():
        assert path.read_text("utf-8") == text, f"run python docs/generate/make_node_docs.py: {path.name} is stale"


def test_the_pre_commit_hooks_are_the_linters_of_ci() -> None:
    hooks = re.findall(r"entry: (.+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    ci = (ROOT / ".ci/run").read_text("utf-8").splitlines()
    linters = [line.removeprefix(".venv/bin/") for line in ci if re.match(r"\.venv/bin/(ruff|pyright)", line)]
    assert hooks == [line.removesuffix(" --pythonpath .venv/bin/python") for line in linters]
