"""WebSocket sessions: the undelivered results of each client, kept for a while after a disconnect."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import WSCloseCode, web

from ..schema.errors import ApiError
from .context import ServerContext

MAX_UNKNOWN = 32  # connections of one client that have not given a key
RESUME_SECONDS = 120.0  # a disconnected client can resume its session for so long
# The hosted service's client waits 30 seconds for what follows a poll, and drops what comes between then and its next
# poll, so results are pushed only well before; one that polls more often gets them with its polls.
PUSH_SECONDS = 20.0
EAGER_SECONDS = 25.0
EXPIRED = "resultExpired"


@dataclass
class PendingResults:
    """The results of one task that a client waits for, each of which it gets once.

    client: the connection that asked. polled: it asked with getResponse, whose results have a status. delivered: audio
    UUIDs of results, and errors with their number, that it got. push_until: the loop's time, None without an end.
    """

    client: object
    polled: bool = False
    delivered: set[str] = field(default_factory=set)
    push_until: float | None = None
    _last_poll: float = -math.inf

    def note_poll(self, now: float) -> None:
        """The client has polled, at the loop's time."""
        eager = now - self._last_poll < EAGER_SECONDS
        self.polled, self._last_poll, self.push_until = True, now, now if eager else now + PUSH_SECONDS

    def may_push(self, now: float) -> bool:
        return self.push_until is None or now < self.push_until

    def select(
        self, results: Sequence[dict[str, Any]], errors: Sequence[ApiError]
    ) -> tuple[dict[str, dict[str, Any]], dict[str, ApiError]]:
        """The finished results and the errors that the client did not get, by the names for `delivered`.

        A result that the client got and that has expired since is no error.
        """
        finished = {result["audioUUID"]: result for result in results if "audioUUID" in result}
        counts: Counter[str] = Counter()
        failed: dict[str, ApiError] = {}
        for error in errors:
            counts[error.message] += 1
            failed[f"{error.message} {counts[error.message]}"] = error
        gone = len([name for name in self.delivered if name not in finished and name not in failed])
        expired = [name for name, error in failed.items() if error.code == EXPIRED]
        omitted = self.delivered | set(expired[:gone])
        return (
            {name: result for name, result in finished.items() if name not in omitted},
            {name: error for name, error in failed.items() if name not in omitted},
        )


class Client(Protocol):
    """An open connection, as its session sees it. client: its address. authenticated: whether it may do anything."""

    client: str
    authenticated: bool

    async def close(self, code: int, reason: str) -> None:
        """End the connection."""
        ...

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
        self._connections: dict[Client, None] = {}  # the oldest first
        self._background: set[asyncio.Future[Any]] = set()

    @property
    def full(self) -> bool:
        return len(self._connections) >= self._context.settings.max_websockets

    def make_room(self, client: str) -> None:
        """Before another connection of a client is added, close the oldest one that gave no key: that client's if it
        has too many of them, anyone's if there is no room at all."""
        unknown = [one for one in self._connections if not one.authenticated]
        if not self.full:
            unknown = [one for one in unknown if one.client == client]
        if unknown and (self.full or len(unknown) >= MAX_UNKNOWN):
            del self._connections[unknown[0]]
            self._run(unknown[0].close(WSCloseCode.TRY_AGAIN_LATER, "too many connections"))

    def add(self, connection: Client) -> None:
        self._connections[connection] = None

    def remove(self, connection: Client) -> None:
        """Forget a closed connection. Its sessions with pending results stay for RESUME_SECONDS, the others end."""
        self._connections.pop(connection, None)
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
                self._run(session.connection.push(session, task_uuid))

    async def close(self) -> None:
        """Close all connections with the code 1012, after which clients reconnect; after 1001 they do not."""
        closing = (one.close(WSCloseCode.SERVICE_RESTART, "stopping") for one in self._connections)
        await asyncio.gather(*closing, return_exceptions=True)
        for session in self._sessions.values():
            if session.expiry is not None:
                session.expiry.cancel()

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        future = asyncio.ensure_future(work)
        self._background.add(future)
        future.add_done_callback(self._background.discard)


SESSIONS = web.AppKey("acestep_xl_sessions", Sessions)
