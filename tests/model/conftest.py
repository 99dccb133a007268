"""Fixtures of the text encoder's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_qwen3


@pytest.fixture(scope="session")
def qwen3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small text encoder in the official layout, with the demo tokenizer."""
    folder = tmp_path_factory.mktemp("text") / "Qwen3-Embedding-0.6B"
    small_qwen3.write_official(folder)
    return folder
