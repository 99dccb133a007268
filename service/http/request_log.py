"""The log of the HTTP server, without what clients sent: malformed requests may hold API keys."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http import HttpProcessingError

_LOGGER = logging.getLogger("acestep_xl.http")


def request_logger() -> logging.Logger:
    """The logger for aiohttp's server."""
    _LOGGER.addFilter(_leave_out_content)  # adds it only once
    return _LOGGER


def _leave_out_content(record: logging.LogRecord) -> bool:
    """Make one line with the peer and the reason of a malformed request: aiohttp's messages repeat its headers."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
        peer = record.args[0] if isinstance(record.args, tuple) and record.args else "unknown"
        record.msg, record.args = "a malformed request from %s was refused: %s", (peer, type(error).__name__)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
