"""Whether an adapter fits a network."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import Config, Training
from .adapter import Adapter, AdapterError
from .describe import mismatches
from .sizes import parameter_shapes

SHOWN = 3


def check_fit(adapters: Sequence[Adapter], config: Config, name: str) -> None:
    """Raise AdapterError if an adapter was made for a network of other sizes; lists every such adapter.

    name: of the model, for the message.
    """
    problems = [problem for adapter in adapters if (problem := _problem(adapter, config, name))]
    if problems:
        raise AdapterError("\n".join(problems))


def training_hint(adapter: Adapter, training: Training) -> str:
    """What to expect of an adapter on a model that was trained otherwise than its own; empty if nothing is known."""
    if "unknown" in (adapter.trained_on, training) or adapter.trained_on == training:
        return ""
    return (
        f"{adapter.path.name} was trained on {adapter.trained_on} and the model is {training}: adapters of base work "
        "on sft and turbo, others are weak or rough on another model; try another strength, or its own model"
    )


def _problem(adapter: Adapter, config: Config, name: str) -> str:
    wrong = mismatches(adapter.entries, parameter_shapes(config))
    if not wrong:
        return ""
    sizes = " and ".join(adapter.sizes)
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return (
        f"{adapter.path} is for {sizes or 'a model of another size'}, and the model is {name}: {len(wrong)} of its "
        f"{len(adapter.entries)} updates don't fit ({'; '.join(wrong[:SHOWN])}{more}). Choose a model that it fits, or "
        "an adapter for this one"
    )
