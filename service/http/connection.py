"""One open WebSocket: arrays of tasks in, data and errors out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from ..schema.errors import ApiError, RequestError
from ..schema.request import read_tasks
from ..schema.task import Task
from . import json_body
from .access import bearer
from .context import ServerContext
from .dispatch import DONE, PONG, Answer, answer, envelope, missing_key, without_status, wrong_key
from .sessions import Owed, Session, Sessions

if TYPE_CHECKING:
    from ..queue.tasks import State
    from ..schema.request import TaskOrErrors

LOGIN_SECONDS = 20.0  # a connection without a key is closed after so long
MOST_GUESSES = 5  # wrong keys on one connection
HEARTBEAT_SECONDS = 30.0
CLOSING_SECONDS = 2.0  # for the client's answer when the server closes
AT_ONCE = 64  # messages of one connection carried out at a time; its pings are answered all the while


async def serve(request: web.Request, context: ServerContext, sessions: Sessions) -> web.StreamResponse:
    """Speak with one client until it leaves."""
    # Without compression, so that a small message can't become a large one.
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS,
        max_msg_size=context.settings.max_body_bytes,
        compress=False,
        timeout=CLOSING_SECONDS,
    )
    admitted = context.door.opens(bearer(request.headers))
    connection = Connection(context, sessions, socket, context.base_url(request), admitted)
    sessions.add(connection)
    try:
        await socket.prepare(request)
        await connection.listen()
    finally:
        sessions.remove(connection)
    return socket


class Connection:
    """Speaks with one client, who may ask once `admitted`: by a header, an authentication task, or where no key is
    set."""

    def __init__(
        self,
        context: ServerContext,
        sessions: Sessions,
        socket: web.WebSocketResponse,
        base_url: str,
        admitted: bool,
    ) -> None:
        self.socket = socket
        self._context, self._sessions = context, sessions
        self._base_url, self._admitted = base_url, admitted
        self._guesses = 0
        self._session: Session | None = None
        self._working: set[asyncio.Future[Any]] = set()

    async def listen(self) -> None:
        """Read messages until the client leaves."""
        login = asyncio.get_running_loop().call_later(LOGIN_SECONDS, self._expire)
        try:
            async for message in self.socket:
                if message.type == WSMsgType.TEXT:
                    await self._receive(message.data)
                elif message.type == WSMsgType.BINARY:
                    await self._refuse(ApiError(code="invalidRequest", message="messages are JSON text, not binary"))
        finally:
            login.cancel()
            for work in self._working:
                work.cancel()

    async def push(self, session: Session, task_uuid: str) -> None:
        """Send what is finished of a task and was not sent yet."""
        async with session.turn:
            owed = session.owed.get(task_uuid)
            if owed is None or session.connection is not self:
                return
            state = await (await self._context.tasks()).state(task_uuid)
            if state is not None and not await self._deliver(state, owed):
                return
            if state is None or state.status != "processing":
                session.owed.pop(task_uuid, None)

    async def _deliver(self, state: State, owed: Owed) -> bool:
        """One message per result, as the hosted service does. False where the client is gone."""
        for result in state.results:
            mark = result.get("audioUUID")
            if result.get("status") == DONE and mark is not None and mark not in owed.delivered:
                shown = result if owed.polled else without_status(result)
                if not await self._send(Answer((shown,))):
                    return False
                owed.delivered.add(mark)
        for place, error in enumerate(state.errors):
            if place not in owed.delivered:
                if not await self._send(Answer(errors=(error,))):
                    return False
                owed.delivered.add(place)
        return True

    async def _receive(self, text: str) -> None:
        try:
            reads = read_tasks(json_body.parse(text), self._context.policy)
        except json_body.BodyError as error:
            return await self._refuse(ApiError(code="invalidRequest", message=str(error)))
        except RequestError as error:
            return await self._refuse(*error.errors)
        # At once and in order: the key decides about what follows, and pings must not wait for other work.
        for read in reads:
            if isinstance(read, Task) and read.task_type == "authentication":
                await self._authenticate(read)
            elif isinstance(read, Task) and read.task_type == "ping":
                await self._send(Answer((PONG,)))
        rest = [read for read in reads if isinstance(read, tuple) or read.task_type not in ("authentication", "ping")]
        if rest and not self._admitted:
            refused = missing_key()
            uuids = [None if isinstance(read, tuple) else read.task_uuid for read in rest]
            await self._refuse(*(replace(refused, task_uuid=task_uuid) for task_uuid in uuids))
        elif rest and len(self._working) >= AT_ONCE:
            await self._refuse(ApiError(code="tooManyRequests", message=f"{AT_ONCE} messages are being worked on"))
        elif rest:
            work = asyncio.ensure_future(self._work(rest))
            self._working.add(work)
            work.add_done_callback(self._working.discard)
        return None

    async def _authenticate(self, task: Task) -> None:
        if not self._context.door.opens(task.value("apiKey")):
            self._guesses += 1
            await self._refuse(wrong_key())
            if self._guesses >= MOST_GUESSES:
                await self.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many wrong API keys")
            return
        self._admitted = True
        resumed = task.value("connectionSessionUUID")
        if self._session is None or resumed is not None:
            self._session = self._sessions.session_for(self, resumed)
        known = {"taskType": task.task_type, "connectionSessionUUID": self._session.uuid}
        await self._send(Answer((known,)))
        for task_uuid in list(self._session.owed):
            await self.push(self._session, task_uuid)

    async def _work(self, reads: Sequence[TaskOrErrors]) -> None:
        tasks = await self._context.tasks()
        if self._session is None:
            self._session = self._sessions.session_for(self, None)
        session = self._session
        for read in reads:
            if isinstance(read, Task) and read.task_type == "getResponse":
                await self._report(read, session)
                continue
            found = await answer(read, tasks, self._base_url)
            if found.data or found.errors:
                await self._send(found)
            if found.awaited is not None:
                awaited = found.awaited.lower()
                session.owed.setdefault(awaited, Owed(polled=False))
                await self.push(session, awaited)

    async def _report(self, read: Task, session: Session) -> None:
        """Answer getResponse; what is still to come follows by itself, for the client waits for it."""
        task_uuid = read.task_uuid.lower()
        async with session.turn:
            found = await answer(read, await self._context.tasks(), self._base_url)
            owed = session.owed.pop(task_uuid, Owed(polled=True))
            owed.polled = True
            owed.delivered |= {entry["audioUUID"] for entry in found.data if entry.get("status") == DONE}
            owed.delivered |= set(range(len(found.errors)))
            await self._send(found)
            if found.unfinished:
                session.owed[task_uuid] = owed
        await self.push(session, task_uuid)

    async def _send(self, found: Answer) -> bool:
        try:
            await self.socket.send_str(json.dumps(envelope(found)))
        except (ConnectionError, RuntimeError):  # aiohttp raises either, by when the client left
            return False
        return True

    async def _refuse(self, *errors: ApiError) -> None:
        await self._send(Answer(errors=errors))

    def _expire(self) -> None:
        if not self._admitted:
            closing = self.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no API key was given")
            self._working.add(asyncio.ensure_future(closing))
