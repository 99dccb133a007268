"""The golden material of the planner, in the folder that `--golden` names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DEFAULT = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def prompts(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.config, "prompts.json")


@pytest.fixture(scope="session")
def parse(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.config, "parse.json")


def read(config: pytest.Config, name: str) -> dict[str, Any]:
    """A golden file; the repository's own if the folder has none of the planner."""
    folder: Path = config.getoption("golden")  # pyright: ignore[reportAssignmentType]
    path = folder / "planner" / name
    return json.loads((path if path.is_file() else DEFAULT / "planner" / name).read_text("utf-8"))
