"""WebSocket sessions: what each client is still owed, kept for a while when its connection breaks."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web

from .auth import bearer
from .connection import Connection, Owed

if TYPE_CHECKING:
    from .app import Server

KEPT_SECONDS = 120.0
HEARTBEAT_SECONDS = 30.0
CLOSING_SECONDS = 2.0  # for the client's answer when the server closes


@dataclass
class Session:
    """A client, by the connectionSessionUUID it was given. owed: by the task's UUID in lower case."""

    uuid: str
    connection: Connection | None
    owed: dict[str, Owed] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while results are looked up and sent
    forgetting: asyncio.TimerHandle | None = None


class Sessions:
    """The sessions of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._sessions: dict[str, Session] = {}
        self._connections: set[Connection] = set()
        self._pushes: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._connections) >= self.server.settings.max_websockets

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Speak with one client until it leaves."""
        # Without compression, so that a small message can't become a large one.
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=self.server.settings.max_body_bytes,
            compress=False,
            timeout=CLOSING_SECONDS,
        )
        admitted = self.server.door.opens(bearer(request.headers))
        connection = Connection(self, socket, self.server.base_url(request), admitted)
        self._connections.add(connection)
        try:
            await socket.prepare(request)
            await connection.listen()
        finally:
            self._connections.discard(connection)
            self._part(connection)
        return socket

    def session_for(self, connection: Connection, wanted: str | None) -> Session:
        """The session of UUID `wanted`, taken over by this connection, or a new one where there is none."""
        session = self._sessions.get(wanted or "")
        if session is None:
            session = Session(str(uuid.uuid4()), connection)
            self._sessions[session.uuid] = session
        if session.forgetting is not None:
            session.forgetting.cancel()
        session.connection = connection
        return session

    def notify(self, task_uuid: str) -> None:
        """Something of this task is finished: send it to those who wait for it."""
        task_uuid = task_uuid.lower()
        for session in self._sessions.values():
            if task_uuid in session.owed and session.connection is not None:
                push = asyncio.ensure_future(session.connection.push(session, task_uuid))
                self._pushes.add(push)
                push.add_done_callback(self._pushes.discard)

    async def close(self) -> None:
        """Ask every client to come back. Clients reconnect by themselves after the code 1012, and not after 1001."""
        closing = (one.socket.close(code=WSCloseCode.SERVICE_RESTART, message=b"stopping") for one in self._connections)
        await asyncio.gather(*closing, return_exceptions=True)
        for session in self._sessions.values():
            if session.forgetting is not None:
                session.forgetting.cancel()

    def _part(self, connection: Connection) -> None:
        """Keep the sessions of a connection that is gone, for a while and only where something is owed."""
        for session in [one for one in self._sessions.values() if one.connection is connection]:
            session.connection = None
            if session.owed:
                loop = asyncio.get_running_loop()
                session.forgetting = loop.call_later(KEPT_SECONDS, self._sessions.pop, session.uuid, None)
            else:
                del self._sessions[session.uuid]
