"""Hypothesis strategies of recipes: valid, nearly valid, and junk."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.sampler.recipe_reader import RecipeError, parse
from acestep_xl.sampler.recipe_spec import GUIDANCE, MODIFIER, SCHEDULE, SOLVER

NOISY = {"euler_ancestral", "sde", "dpmpp_2m_sde"}


def problems(value: object) -> dict[str, str]:
    """The messages of an invalid recipe by path."""
    with pytest.raises(RecipeError) as caught:
        parse(value)
    messages = {problem.path: problem.message for problem in caught.value.problems}
    assert len(messages) == len(caught.value.problems)
    for path, message in messages.items():
        assert message.startswith(path) and message in str(caught.value)
    return messages


def value_of(parameter: str) -> st.SearchStrategy[Any]:
    """Any value that a parameter allows."""
    entry = parameters.get(parameter)
    if entry.choices:
        return st.sampled_from(entry.choices)
    assert entry.minimum is not None and entry.maximum is not None
    if entry.kind == "INT":
        return st.integers(int(entry.minimum), int(entry.maximum))
    return st.floats(entry.minimum, entry.maximum)


LEVELS = st.lists(st.floats(0.001, 1), min_size=1, max_size=6, unique=True).map(lambda ts: [*sorted(ts)[::-1], 0.0])


def strategy(parameter: str) -> st.SearchStrategy[Any]:
    return LEVELS if parameter == "custom_sigmas" else value_of(parameter)


@st.composite
def objects_of(draw_, union) -> dict[str, Any]:
    """One variant of a union, with the required and some of the optional settings."""
    name = draw_(st.sampled_from(list(union.variants)))
    required = {key: s for key, s in union.variants[name].items() if s.required}
    optional = {key: s for key, s in union.variants[name].items() if not s.required}
    fields = st.fixed_dictionaries(
        {k: strategy(s.parameter) for k, s in required.items()},
        optional={k: strategy(s.parameter) for k, s in optional.items()},
    )
    return {union.selector: name} | draw_(fields)


OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just(1),
        "schedule": objects_of(SCHEDULE),
        "solver": objects_of(SOLVER),
        "guidance": objects_of(GUIDANCE),
        "modifiers": st.lists(objects_of(MODIFIER), max_size=3, unique_by=lambda entry: entry["type"]),
        "retake": st.fixed_dictionaries(
            {"seed": value_of("retake_seed")}, optional={"variance": value_of("retake_variance")}
        ),
    },
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["type", "linear"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CAREFUL = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def nearly_valid(draw_) -> dict[str, Any]:
    """A valid object with one value replaced, added or removed."""
    value = json.loads(json.dumps(draw_(OBJECTS)))
    containers: list[Any] = [value, *(v for v in value.values() if isinstance(v, dict)), *value.get("modifiers", [])]
    container = draw_(st.sampled_from(containers))
    keys = [*container, "type", "eta", "steps", "sigmas", "endScale", "seed", "mode", "retake", "x"]
    key = draw_(st.sampled_from(keys))
    if draw_(st.booleans()):
        container[key] = draw_(JUNK | st.sampled_from(["sde", "wavelet", "custom", 0, 0.5, 1.0, 400]))
    else:
        container.pop(key, None)
    return value
