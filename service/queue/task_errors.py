"""Why a result was not made, in the API's shape."""

from __future__ import annotations

from ...parameters import ids
from ..engine.graphs import GraphError
from ..engine.protocol import RunError
from ..schema.errors import ApiError
from ..schema.task import Task
from .jobs import ATTEMPTS

TASK_TYPE = "audioInference"
AUDIO, REGION = "inputs.audio", ("settings.repaintingStart", "settings.repaintingEnd")
# What the nodes refuse that only they can know, by the node: code, and the parameters to blame.
BLAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    ids.LOAD_AUDIO: ("invalidAudio", (AUDIO,)),
    ids.COVER: ("invalidAudio", (AUDIO,)),
    ids.REPAINT: ("invalidRegion", (AUDIO, *REGION)),
    ids.SCHEDULE: ("invalidSteps", ("steps",)),
    ids.RECIPE: ("invalidModularScheduler", ("advancedFeatures.modularScheduler",)),
}
# Wrong values and unreadable files; any other error of these nodes is a fault of the program or the machine.
REFUSALS = ("ValueError", "UnreadableAudio", "RecipeError")


def of_run(error: RunError, task: Task) -> ApiError:
    """The error of a run that failed in a node."""
    if error.kind == "OutOfMemoryError":
        words = "the device has not enough memory for this song: make it shorter, or free memory on the device"
        return _error("outOfMemory", f"{words} ({error.reason.splitlines()[0][:200]})", task)
    if error.kind == "FileNotFoundError" and error.node_class == ids.LOADER:
        return _error("modelUnavailable", error.reason, task)
    if error.node_class in BLAMED and error.kind in REFUSALS:
        code, names = BLAMED[error.node_class]
        given = tuple(name for name in names if task.value(name) is not None)
        return _error(code, error.reason, task, given)
    return _error("inferenceFailed", str(error), task)


def of_graph(error: GraphError, task: Task) -> ApiError:
    """The error of a request that this installation cannot run."""
    remedy = "acestep-xl models says which model files are there, acestep-xl download fetches them"
    return _error("modelUnavailable", f"this server cannot run the task: {error}; {remedy}", task)


def of_program(error: Exception, task_uuid: str) -> ApiError:
    """The error of a fault in the program itself."""
    words = f"something went wrong in the server ({type(error).__name__}: {error}); its log says where"
    return ApiError("internalError", words, None, TASK_TYPE, task_uuid)


def of_source(reason: str, task_uuid: str) -> ApiError:
    """The error of a source that cannot be had."""
    return ApiError("invalidAudio", f"{AUDIO} cannot be used: {reason}", AUDIO, TASK_TYPE, task_uuid)


def duplicate(task: Task) -> ApiError:
    words = f"taskUUID {task.task_uuid} was given to an earlier task; give each task a UUID of its own"
    return _error("conflictTaskUUID", words, task, ("taskUUID",))


def full(most: int, task: Task) -> ApiError:
    return _error("queueFull", f"{most} tasks are unfinished, which is the limit; try again later", task)


def no_room(error: Exception, task: Task) -> ApiError:
    return _error("storageFull", f"the task was not accepted: {error}", task)


def cancelled(task_uuid: str | None = None) -> ApiError:
    return ApiError("taskCancelled", "the task was cancelled", None, TASK_TYPE, task_uuid)


def crashed() -> ApiError:
    """For a result during which the process ended again and again."""
    words = f"the server's process died {ATTEMPTS} times while it worked on this result, so it is not tried again"
    return ApiError("taskCrashed", words, None, TASK_TYPE)


def _error(code: str, message: str, task: Task, names: tuple[str, ...] = ()) -> ApiError:
    parameter = names[0] if len(names) == 1 else names or None
    return ApiError(code, message, parameter, TASK_TYPE, task.task_uuid)
