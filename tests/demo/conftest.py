"""Fixtures of the demo training's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import training_package  # noqa: F401 - makes the folder training importable

from training import dataset, train_vae


@pytest.fixture(scope="session")
def scale() -> np.ndarray:
    return train_vae.calibrate_scale(songs=10)


@pytest.fixture(scope="session")
def vae(scale: np.ndarray) -> Any:
    return train_vae.build(scale)


@pytest.fixture(scope="session")
def responses(scale: np.ndarray) -> dataset.ImpulseResponses:
    return dataset.ImpulseResponses(scale)
