"""The files of the browser side."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
MODULES = sorted(WEB.rglob("*.js"))
