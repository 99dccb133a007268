"""Settings of the server. Ranges and defaults are in `parameters.service`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .. import parameters

# Python types of each kind of parameter, and what errors call it.
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "INT": ((int,), "a whole number"),
    "FLOAT": ((int, float), "a number"),
    "STRING": ((str,), "text"),
    "BOOLEAN": ((bool,), "true or false"),
}


def _default(field: str) -> Any:
    return parameters.get(f"service_{field}").default


@dataclass(frozen=True)
class ServiceSettings:
    """How the server runs. Raises ValueError with everything that is out of range.

    api_keys: accepted keys; without any, anyone who can reach the server may use it. allowed_origins: other sites whose
    pages may use it. demo: use the tiny built-in network. model: checkpoint by its name in the loader, empty for
    that of the workflows. models: folders with ComfyUI's subfolders, searched first. device: a torch device name, None
    for the best one present. The others are described in `parameters.service`.
    """

    host: str = _default("host")
    port: int = _default("port")
    public_url: str = _default("public_url")
    api_keys: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allow_private: bool = _default("allow_private")
    price_per_hour: float = _default("price_per_hour")
    max_queue: int = _default("max_queue")
    max_connections: int = _default("max_connections")
    max_websockets: int = _default("max_websockets")
    sync_timeout: float = _default("sync_timeout")
    media_mib: int = _default("media_mib")
    media_seconds: float = _default("media_seconds")
    media_hours: float = _default("media_hours")
    media_gib: float = _default("media_gib")
    fetch_timeout: float = _default("fetch_timeout")
    webhook_timeout: float = _default("webhook_timeout")
    upload_timeout: float = _default("upload_timeout")
    delivery_hours: float = _default("delivery_hours")
    keep_hours: float = _default("keep_hours")
    demo: bool = False
    model: str = ""
    models: tuple[Path, ...] = ()
    device: str | None = None

    def __post_init__(self) -> None:
        problems = [problem for field in fields(self) if (problem := _problem(field.name, getattr(self, field.name)))]
        if any(not key for key in self.api_keys):
            problems.append("an API key is empty; give each at least one character")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def max_media_bytes(self) -> int:
        """Largest accepted recording."""
        return self.media_mib * 2**20

    @property
    def max_body_bytes(self) -> int:
        """Largest accepted request: a recording in base64, and 1 MiB for the rest."""
        return self.max_media_bytes * 4 // 3 + 2**20

    @property
    def base_url(self) -> str:
        """Where clients reach the server, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def _problem(field: str, value: Any) -> str | None:
    """Why a value is not allowed, None if it is or if `parameters` has no such setting."""
    parameter = parameters.PARAMETERS.get(f"service_{field}")
    if parameter is None:
        return None
    types, type_name = KINDS[parameter.kind]
    if not isinstance(value, types) or (parameter.kind != "BOOLEAN" and isinstance(value, bool)):
        return f"{field} is {value!r}; it must be {type_name}"
    if parameter.minimum is None or parameter.maximum is None or parameter.minimum <= value <= parameter.maximum:
        return None
    shown = "not a number" if isinstance(value, float) and math.isnan(value) else value
    return f"{field} is {shown}; allowed are {parameter.minimum:g} to {parameter.maximum:g}"
