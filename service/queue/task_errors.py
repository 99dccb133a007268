"""Why a task was refused or a result failed, in the API's shape."""

from __future__ import annotations

from ...parameters import ids
from ..engine.graph_builder import GraphError
from ..engine.protocol import OUT_OF_MEMORY, RunError
from ..schema.errors import ApiError
from ..schema.task import Task
from .jobs import ATTEMPTS, UNEXPLAINED
from .task_record import TASK_TYPE

AUDIO, REGION = "inputs.audio", ("settings.repaintingStart", "settings.repaintingEnd")
# Values that only a node can check, by its class: the error code, and the parameters to blame.
BLAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    ids.LOAD_AUDIO: ("invalidAudio", (AUDIO,)),
    ids.COVER: ("invalidAudio", (AUDIO,)),
    ids.REPAINT: ("invalidRegion", (AUDIO, *REGION)),
    ids.SCHEDULE: ("invalidSteps", ("steps",)),
    ids.RECIPE: ("invalidModularScheduler", ("advancedFeatures.modularScheduler",)),
}
# Wrong values and unreadable files; any other error of these nodes is a fault of the program or the machine.
REFUSALS = ("ValueError", "UnreadableAudio", "RecipeError")


def run_error(error: RunError, task: Task) -> ApiError:
    """For a node that failed."""
    if error.kind in OUT_OF_MEMORY:
        message = "the device has not enough memory for this song: make it shorter, or free memory on the device"
        reason = error.reason.partition("\n")[0][:200]
        return _error("outOfMemory", f"{message} ({reason})" if reason else message, task)
    if error.kind == "FileNotFoundError" and error.node_class == ids.LOADER:
        return _error("modelUnavailable", error.reason, task)
    if error.node_class in BLAMED and error.kind in REFUSALS:
        code, names = BLAMED[error.node_class]
        return _error(code, error.reason, task, tuple(name for name in names if task.value(name) is not None))
    return _error("inferenceFailed", str(error), task)


def graph_error(error: GraphError, task: Task) -> ApiError:
    """For a task that this installation cannot run."""
    remedy = "`acestep-xl models` lists the model files that are present, `acestep-xl download` fetches them"
    return _error("modelUnavailable", f"this server cannot run the task: {error}; {remedy}", task)


def internal_error(error: Exception, task_uuid: str) -> ApiError:
    """For a bug."""
    message = f"internal error in the server ({type(error).__name__}: {error}); its log has the details"
    return ApiError("internalError", message, None, TASK_TYPE, task_uuid)


def source_error(reason: str, task_uuid: str) -> ApiError:
    """For a source that cannot be fetched or does not exist."""
    return ApiError("invalidAudio", f"{AUDIO} cannot be used: {reason}", AUDIO, TASK_TYPE, task_uuid)


def duplicate_error(task: Task) -> ApiError:
    message = f"taskUUID {task.task_uuid} belongs to an earlier task; give each task a UUID of its own"
    return _error("conflictTaskUUID", message, task, ("taskUUID",))


def queue_full_error(limit: int, task: Task) -> ApiError:
    return _error("queueFull", f"{limit} tasks are unfinished, which is the limit; try again later", task)


def storage_full_error(error: Exception, task: Task) -> ApiError:
    return _error("storageFull", f"the task was not accepted: {error}", task)


def cancelled_error(task_uuid: str | None = None) -> ApiError:
    return ApiError("taskCancelled", "the task was cancelled", None, TASK_TYPE, task_uuid)


def expired_error(task_uuid: str) -> ApiError:
    """For a finished result whose file has been deleted."""
    message = "the audio of this result is no longer kept; request it before it expires"
    return ApiError("resultExpired", message, None, TASK_TYPE, task_uuid)


def crashed_error() -> ApiError:
    """For a result during which the process died too often."""
    message = (
        f"the server's process crashed {ATTEMPTS} times during this result, or ended {UNEXPLAINED} times during it "
        "without a sign of why, so it is not tried again"
    )
    return ApiError("taskCrashed", message, None, TASK_TYPE)


def _error(code: str, message: str, task: Task, names: tuple[str, ...] = ()) -> ApiError:
    parameter = names[0] if len(names) == 1 else names or None
    return ApiError(code, message, parameter, TASK_TYPE, task.task_uuid)
