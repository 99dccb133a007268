"""WebSocket sessions: what each client is still owed, kept for a while when its connection breaks."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import WSCloseCode, web

from .context import ServerContext

KEPT_SECONDS = 120.0


@dataclass
class Owed:
    """One task whose results a client waits for.

    polled: it asked with getResponse, whose results carry a status. delivered: audio UUIDs, and places of errors.
    """

    polled: bool
    delivered: set[str | int] = field(default_factory=set)


class Client(Protocol):
    """An open connection, as its session sees it."""

    socket: web.WebSocketResponse

    async def push(self, session: Session, task_uuid: str) -> None:
        """Send what is finished of a task and was not sent yet."""
        ...


@dataclass
class Session:
    """A client, by the connectionSessionUUID it was given. owed: by the task's UUID in lower case."""

    uuid: str
    connection: Client | None
    owed: dict[str, Owed] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while results are looked up and sent
    forgetting: asyncio.TimerHandle | None = None


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
        """Keep the sessions of a connection that is gone, for a while and only where something is owed."""
        self._connections.discard(connection)
        for session in [one for one in self._sessions.values() if one.connection is connection]:
            session.connection = None
            if session.owed:
                loop = asyncio.get_running_loop()
                session.forgetting = loop.call_later(KEPT_SECONDS, self._sessions.pop, session.uuid, None)
            else:
                del self._sessions[session.uuid]

    def session_for(self, connection: Client, wanted: str | None) -> Session:
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


SESSIONS = web.AppKey("acestep_xl_sessions", Sessions)
