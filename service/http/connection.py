"""One WebSocket connection: arrays of tasks in, data and errors out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from ..queue.task_record import PROCESSING
from ..schema.errors import ApiError, RequestError
from ..schema.request import TaskOrErrors, read_tasks
from ..schema.task import Task
from . import json_body
from .access import bearer_key, missing_key_error, wrong_key_error
from .context import ServerContext
from .dispatch import PONG, SUCCESS, Answer, handle, without_status
from .sessions import PendingResults, Session, Sessions

if TYPE_CHECKING:  # it loads the engines, which the routes in ComfyUI do not need before the first task
    from ..queue.tasks import TaskState

LOGIN_SECONDS = 20.0  # a connection that has not authenticated by then is closed
MAX_WRONG_KEYS = 5  # on one connection
HEARTBEAT_SECONDS = 30.0
CLOSE_SECONDS = 2.0  # for the client's answer when the server closes
MAX_CONCURRENT = 64  # messages of one connection that are carried out at a time; pings are answered all the while
IMMEDIATE = ("authentication", "ping")  # task types that are answered before anything else of their message


async def serve(request: web.Request, context: ServerContext, sessions: Sessions) -> web.StreamResponse:
    """Serve one client until it disconnects."""
    # Without compression, so that a small message cannot expand to a large one.
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS,
        max_msg_size=context.settings.max_body_bytes,
        compress=False,
        timeout=CLOSE_SECONDS,
    )
    connection = Connection(context, sessions, socket, request)
    sessions.add(connection)
    try:
        await socket.prepare(request)
        await connection.listen()
    finally:
        sessions.remove(connection)
    return socket


class Connection:
    """Serves one client. request: the handshake, whose header may hold the API key."""

    def __init__(
        self, context: ServerContext, sessions: Sessions, socket: web.WebSocketResponse, request: web.Request
    ) -> None:
        self.socket = socket
        self._context, self._sessions = context, sessions
        self._base_url = context.base_url(request)
        self._authenticated = context.access.accepts_key(bearer_key(request.headers))
        self._wrong_keys = 0
        self._session: Session | None = None
        self._background: set[asyncio.Future[Any]] = set()

    async def listen(self) -> None:
        """Read messages until the client disconnects."""
        login = asyncio.get_running_loop().call_later(LOGIN_SECONDS, self._close_unauthenticated)
        try:
            async for message in self.socket:
                if message.type == WSMsgType.TEXT:
                    await self._receive(message.data)
                elif message.type == WSMsgType.BINARY:
                    await self._send_errors(ApiError("invalidRequest", "messages are JSON text, not binary"))
        finally:
            login.cancel()
            for work in self._background:
                work.cancel()

    async def push(self, session: Session, task_uuid: str) -> None:
        """Send the results of a task that are finished and were not sent yet."""
        async with session.lock:
            pending = session.pending.get(task_uuid)
            if pending is None or session.connection is not self:
                return
            state = await (await self._context.tasks()).state(task_uuid)
            if state is not None and not await self._deliver(state, pending):
                return
            if state is None or state.status != PROCESSING:
                session.pending.pop(task_uuid, None)

    async def _deliver(self, state: TaskState, pending: PendingResults) -> bool:
        """Send each result as its own message, as the hosted service does. False if the client is gone."""
        messages: list[tuple[str | int, Answer]] = []
        for result in state.results:
            audio_uuid = result.get("audioUUID")
            if result.get("status") == SUCCESS and audio_uuid is not None:
                messages.append((audio_uuid, Answer((result if pending.polled else without_status(result),))))
        messages += [(index, Answer(errors=(error,))) for index, error in enumerate(state.errors)]
        for key, answer in messages:
            if key not in pending.delivered:
                if not await self._send(answer):
                    return False
                pending.delivered.add(key)
        return True

    async def _receive(self, text: str) -> None:
        try:
            tasks = read_tasks(json_body.parse(text), self._context.policy)
        except json_body.BodyError as error:
            await self._send_errors(ApiError("invalidRequest", str(error)))
        except RequestError as error:
            await self._send_errors(*error.errors)
        else:
            # The key decides about what follows, and pings must not wait for other work.
            for task in tasks:
                if isinstance(task, Task) and task.task_type in IMMEDIATE:
                    await self._handle_immediately(task)
            rest = [task for task in tasks if isinstance(task, tuple) or task.task_type not in IMMEDIATE]
            if rest:
                await self._start(rest)

    async def _handle_immediately(self, task: Task) -> None:
        if task.task_type == "ping":
            await self._send(Answer((PONG,)))
        else:
            await self._authenticate(task)

    async def _authenticate(self, task: Task) -> None:
        if not self._context.access.accepts_key(task.value("apiKey")):
            self._wrong_keys += 1
            await self._send_errors(wrong_key_error())
            if self._wrong_keys >= MAX_WRONG_KEYS:
                await self.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"too many wrong API keys")
            return
        self._authenticated = True
        session_uuid = task.value("connectionSessionUUID")
        if self._session is None or session_uuid is not None:
            self._session = self._sessions.resume(self, session_uuid)
        await self._send(Answer(({"taskType": task.task_type, "connectionSessionUUID": self._session.uuid},)))
        for task_uuid in list(self._session.pending):
            await self.push(self._session, task_uuid)

    async def _start(self, tasks: Sequence[TaskOrErrors]) -> None:
        """Carry out tasks in the background, unless the client may not or has too many underway."""
        if not self._authenticated:
            uuids = [None if isinstance(task, tuple) else task.task_uuid for task in tasks]
            await self._send_errors(*(replace(missing_key_error(), task_uuid=task_uuid) for task_uuid in uuids))
        elif len(self._background) >= MAX_CONCURRENT:
            message = f"{MAX_CONCURRENT} messages are being worked on"
            await self._send_errors(ApiError("tooManyRequests", message))
        else:
            self._run_in_background(self._carry_out(tasks))

    def _run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        future = asyncio.ensure_future(work)
        self._background.add(future)
        future.add_done_callback(self._background.discard)

    async def _carry_out(self, tasks: Sequence[TaskOrErrors]) -> None:
        queue = await self._context.tasks()
        if self._session is None:
            self._session = self._sessions.resume(self, None)
        session = self._session
        for task in tasks:
            if isinstance(task, Task) and task.task_type == "getResponse":
                await self._get_response(task, session)
                continue
            answer = await handle(task, queue, self._base_url)
            if answer.data or answer.errors:
                await self._send(answer)
            if answer.awaiting is not None:
                task_uuid = answer.awaiting.lower()
                session.pending.setdefault(task_uuid, PendingResults(polled=False))
                await self.push(session, task_uuid)

    async def _get_response(self, task: Task, session: Session) -> None:
        """Answer getResponse; unfinished results are pushed later, since the client does not ask again."""
        task_uuid = task.task_uuid.lower()
        async with session.lock:
            answer = await handle(task, await self._context.tasks(), self._base_url)
            pending = session.pending.pop(task_uuid, PendingResults(polled=True))
            pending.polled = True
            pending.delivered |= {entry["audioUUID"] for entry in answer.data if entry.get("status") == SUCCESS}
            pending.delivered |= set(range(len(answer.errors)))
            await self._send(answer)
            if answer.unfinished:
                session.pending[task_uuid] = pending
        await self.push(session, task_uuid)

    async def _send(self, answer: Answer) -> bool:
        """False if the client is gone."""
        try:
            await self.socket.send_str(json.dumps(answer.to_json()))
        except (ConnectionError, RuntimeError):  # aiohttp raises either, depending on when the client left
            return False
        return True

    async def _send_errors(self, *errors: ApiError) -> None:
        await self._send(Answer(errors=errors))

    def _close_unauthenticated(self) -> None:
        if not self._authenticated:
            self._run_in_background(
                self.socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"no API key was given")
            )
