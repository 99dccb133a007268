"""WebSocket sessions: the undelivered results of each client, kept for a while after a disconnect."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import WSCloseCode, web

from .context import ServerContext

RESUME_SECONDS = 120.0  # a disconnected client can resume its session for so long


@dataclass
class PendingResults:
    """The results of one task that a client waits for.

    polled: it asked with getResponse, whose results have a status. delivered: audio UUIDs of results and indices of
    errors that it got.
    """

    polled: bool
    delivered: set[str | int] = field(default_factory=set)


class Client(Protocol):
    """An open connection, as its session sees it."""

    socket: web.WebSocketResponse

    async def push(self, session: Session, task_uuid: str) -> None:
        """Send the results of a task that are finished and were not sent yet."""
        ...


@dataclass
class Session:
    """A client by its connectionSessionUUID.

    connection: None while it is disconnected. pending: by task UUID in lower case. lock: held while results are looked
    up and sent. expiry: the timer that ends a disconnected session.
    """

    uuid: str
    connection: Client | None
    pending: dict[str, PendingResults] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    expiry: asyncio.TimerHandle | None = None


class Sessions:
    """The sessions of one server."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._sessions: dict[str, Session] = {}
        self._connections: set[Client] = set()
        self._pushes: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._connections) >= self._context.settings.max_websockets

    def add(self, connection: Client) -> None:
        self._connections.add(connection)

    def remove(self, connection: Client) -> None:
        """Forget a closed connection. Its sessions with pending results stay for RESUME_SECONDS, the others end."""
        self._connections.discard(connection)
        for session in [session for session in self._sessions.values() if session.connection is connection]:
            session.connection = None
            if session.pending:
                loop = asyncio.get_running_loop()
                session.expiry = loop.call_later(RESUME_SECONDS, self._sessions.pop, session.uuid, None)
            else:
                del self._sessions[session.uuid]

    def resume(self, connection: Client, session_uuid: str | None) -> Session:
        """The session of this UUID, taken over by the connection; a new one if there is none."""
        session = self._sessions.get(session_uuid or "")
        if session is None:
            session = Session(str(uuid.uuid4()), connection)
            self._sessions[session.uuid] = session
        if session.expiry is not None:
            session.expiry.cancel()
        session.connection = connection
        return session

    def notify(self, task_uuid: str) -> None:
        """Push the new results of a task to the clients that wait for them."""
        task_uuid = task_uuid.lower()
        for session in self._sessions.values():
            if task_uuid in session.pending and session.connection is not None:
                push = asyncio.ensure_future(session.connection.push(session, task_uuid))
                self._pushes.add(push)
                push.add_done_callback(self._pushes.discard)

    async def close(self) -> None:
        """Close all connections with the code 1012, after which clients reconnect; after 1001 they do not."""
        closing = (one.socket.close(code=WSCloseCode.SERVICE_RESTART, message=b"stopping") for one in self._connections)
        await asyncio.gather(*closing, return_exceptions=True)
        for session in self._sessions.values():
            if session.expiry is not None:
                session.expiry.cancel()


SESSIONS = web.AppKey("acestep_xl_sessions", Sessions)
