"""Calls of a method, recorded while it still runs."""

from __future__ import annotations

import inspect
from typing import Any

import pytest


def record_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[dict[str, Any]]:
    """The arguments of each call of ``owner.name`` by parameter name, ``self`` included; grows with every call."""
    calls: list[dict[str, Any]] = []
    original = getattr(owner, name)
    signature = inspect.signature(original)

    def record(*args: Any, **kwargs: Any) -> Any:
        calls.append(dict(signature.bind(*args, **kwargs).arguments))
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, record)
    return calls
