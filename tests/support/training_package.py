"""Makes the folder `training`, which is no part of the installed pack, importable under its own name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent.parent / "training"


def load() -> None:
    """Afterwards `import training` works; the root of the project does not go onto sys.path for it."""
    if "training" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "training", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["training"] = module
    spec.loader.exec_module(module)


load()
