"""One WebSocket connection: arrays of tasks in, data and errors out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

from ..queue.task_record import PROCESSING
from ..schema.errors import ApiError, RequestError
from ..schema.request import TaskOrErrors, read_tasks
from ..schema.task import Task
from .access import bearer_key, client_name, missing_key_error
from .byte_budget import Lease
from .context import ServerContext
from .dispatch import PONG, Answer, handle, without_status
from .frame_guard import FrameGuard
from .json_scan import BodyError
from .message_writer import MessageWriter
from .sessions import PendingResults, Session, Sessions

if TYPE_CHECKING:  # it loads the engines, which the routes in ComfyUI do not need before the first task
    from ..queue.tasks import TaskState

_logger = logging.getLogger("acestep_xl")
LOGIN_SECONDS = 20.0  # a connection that has not authenticated by then is closed
MAX_WRONG_KEYS = 5  # on one connection
HEARTBEAT_SECONDS = 30.0
CLOSE_SECONDS = 2.0  # for the client's answer when the server closes
UNAUTHENTICATED_BYTES = 2**16  # of one message of a client that has not given a key
SUBPROTOCOL = "sec-websocket-protocol"
MAX_CONCURRENT = 64  # messages of one connection that are carried out at a time; pings are answered all the while
IMMEDIATE = ("authentication", "ping")  # task types that are answered before anything else of their message


async def serve(request: web.Request, context: ServerContext, sessions: Sessions) -> web.StreamResponse:
    """Serve one client until it disconnects."""
    # Without compression, so that a small message cannot expand to a large one.
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_SECONDS,
        max_msg_size=context.settings.max_body_bytes + 1,
        compress=False,
        timeout=CLOSE_SECONDS,
    )
    # Without the names of subprotocols, which some clients use for a key and aiohttp writes to its log.
    handshake = request.clone(headers=[(k, v) for k, v in request.headers.items() if k.lower() != SUBPROTOCOL])
    with context.budget.lease(client_name(request.remote)) as lease:
        connection = Connection(context, sessions, socket, handshake, lease)
        sessions.add(connection)
        try:
            await socket.prepare(handshake)
            await connection.listen()
        finally:
            sessions.remove(connection)
    return socket


class Connection:
    """Serves one client. request: the handshake, whose header may hold the API key. lease: for its messages."""

    def __init__(
        self,
        context: ServerContext,
        sessions: Sessions,
        socket: web.WebSocketResponse,
        request: web.Request,
        lease: Lease,
    ) -> None:
        self.socket = socket
        self.client = client_name(request.remote)
        self.authenticated = context.access.accepts_key(bearer_key(request.headers))
        self._context, self._sessions, self._request = context, sessions, request
        self._base_url = context.base_url(request)
        self._writer = MessageWriter(socket, request, context.part_reader)
        self._guard = self._watch_frames(request, lease)
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
                self._guard.message_handled()
                await asyncio.sleep(0)  # the next message may be here already; others get their turn first
        finally:
            login.cancel()
            for work in self._background:
                work.cancel()

    def _watch_frames(self, request: web.Request, lease: Lease) -> FrameGuard:
        """Put a guard before aiohttp's protocol. Raises HTTPBadRequest for a client that has already sent frames,
        which the guard would not see."""
        transport, protocol = request.transport, request.protocol
        if transport is None or getattr(protocol, "_message_tail", b""):
            raise web.HTTPBadRequest(reason="frames before the answer to the handshake")
        guard = FrameGuard(transport.get_protocol(), lease, self._message_limit(), self._refuse_frame)
        transport.set_protocol(guard)
        return guard

    def _message_limit(self) -> int:
        limit = self._context.settings.max_body_bytes
        return limit if self.authenticated else min(limit, UNAUTHENTICATED_BYTES)

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and a reason; before the handshake has ended, without either."""
        if self.socket.prepared:
            await self.socket.close(code=code, message=reason.encode())
        elif self._request.transport is not None:
            self._request.transport.abort()

    def _refuse_frame(self, code: int, reason: str) -> None:
        self._run_in_background(self.close(code, reason))

    async def push(self, session: Session, task_uuid: str) -> None:
        """Send the results of a task that are finished and were not sent yet."""
        async with session.lock:
            pending, now = session.pending.get(task_uuid), asyncio.get_running_loop().time()
            if pending is None or session.connection is not self or not pending.may_push(now):
                return
            state = await (await self._context.tasks()).state(task_uuid)
            if state is not None and not await self._deliver(state, pending):
                return
            if state is None or state.status != PROCESSING:
                session.pending.pop(task_uuid, None)

    async def _deliver(self, state: TaskState, pending: PendingResults) -> bool:
        """Send each result as its own message, as the hosted service does. False if the client is gone."""
        results, errors = pending.select(state.results, state.errors)
        answers = {
            name: Answer((entry if pending.polled else without_status(entry),)) for name, entry in results.items()
        }
        answers |= {name: Answer(errors=(error,)) for name, error in errors.items()}
        for name, answer in answers.items():
            if not await self._send(answer):
                return False
            pending.delivered.add(name)
        return True

    async def _receive(self, text: str) -> None:
        try:
            reader = self._context.reader
            body = await reader.parse(text)
            tasks = await reader.run(len(text), partial(read_tasks, body, self._context.policy))
        except BodyError as error:
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
            await self._send_errors(await self._context.guesses.answer(self.client))
            if self._wrong_keys >= MAX_WRONG_KEYS:
                await self.close(WSCloseCode.POLICY_VIOLATION, "too many wrong API keys")
            return
        self.authenticated = True
        self._guard.limit = self._message_limit()
        session_uuid = task.value("connectionSessionUUID")
        if self._session is None or session_uuid is not None:
            self._session = self._sessions.resume(self, session_uuid)
        await self._send(Answer(({"taskType": task.task_type, "connectionSessionUUID": self._session.uuid},)))
        for task_uuid in list(self._session.pending):
            await self.push(self._session, task_uuid)

    async def _start(self, tasks: Sequence[TaskOrErrors]) -> None:
        """Carry out tasks in the background, unless the client may not or has too many underway."""
        if not self.authenticated:
            uuids = [None if isinstance(task, tuple) else task.task_uuid for task in tasks]
            await self._send_errors(*(replace(missing_key_error(), task_uuid=task_uuid) for task_uuid in uuids))
        elif len(self._background) >= MAX_CONCURRENT:
            message = f"{MAX_CONCURRENT} messages are being worked on"
            await self._send_errors(ApiError("tooManyRequests", message))
        else:
            self._run_in_background(self._carry_out_all(tasks))

    def _run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        future = asyncio.ensure_future(work)
        self._background.add(future)
        future.add_done_callback(self._background.discard)

    async def _carry_out_all(self, tasks: Sequence[TaskOrErrors]) -> None:
        """Carry out tasks one after the other. Each is answered, whatever happens."""
        if self._session is None:
            self._session = self._sessions.resume(self, None)
        for task in tasks:
            try:
                await self._carry_out(task, self._session)
            except Exception:
                _logger.exception("a message failed")
                uuid = None if isinstance(task, tuple) else task.task_uuid
                kind = None if isinstance(task, tuple) else task.task_type
                message = "the server failed; see its log"
                await self._send_errors(ApiError("internalError", message, None, kind, uuid))

    async def _carry_out(self, task: TaskOrErrors, session: Session) -> None:
        if isinstance(task, Task) and task.task_type == "getResponse":
            await self._get_response(task, session)
            return
        answer = await handle(task, await self._context.tasks(), self._base_url)
        self._forget_lost_results(answer, session)
        if answer.data or answer.errors:
            await self._send(answer)
        if answer.awaiting is not None:
            task_uuid = answer.awaiting.lower()
            session.pending.setdefault(task_uuid, PendingResults(self))
            await self.push(session, task_uuid)

    def _forget_lost_results(self, answer: Answer, session: Session) -> None:
        """A client that sends a task again over another connection has dropped the results it got, and will poll."""
        for error in answer.errors:
            task_uuid = (error.task_uuid or "").lower()
            pending = session.pending.get(task_uuid) if error.code == "conflictTaskUUID" else None
            if pending is not None and pending.client is not self:
                del session.pending[task_uuid]

    async def _get_response(self, task: Task, session: Session) -> None:
        """Answer getResponse with everything that this session did not get yet, and push for a while what follows.

        Once a session has everything, a further getResponse is answered in full.
        """
        task_uuid = task.task_uuid.lower()
        async with session.lock:
            answer = await handle(task, await self._context.tasks(), self._base_url)
            pending = session.pending.pop(task_uuid, None) or PendingResults(self)
            results, errors = pending.select(answer.data, answer.errors)
            unfinished = tuple(entry for entry in answer.data if "audioUUID" not in entry)
            if await self._send(Answer((*results.values(), *unfinished), tuple(errors.values()))):
                pending.delivered |= results.keys() | errors.keys()
            if answer.unfinished:
                pending.note_poll(asyncio.get_running_loop().time())
                session.pending[task_uuid] = pending
        await self.push(session, task_uuid)

    async def _send(self, answer: Answer) -> bool:
        """False if the client is gone."""
        return await self._writer.send(answer.to_json())

    async def _send_errors(self, *errors: ApiError) -> None:
        await self._send(Answer(errors=errors))

    def _close_unauthenticated(self) -> None:
        if not self.authenticated:
            self._run_in_background(self.close(WSCloseCode.POLICY_VIOLATION, "no API key was given"))
