"""Progress of a run, summed over its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...parameters import ids
from ...runner.graph import Graph
from .protocol import OnProgress

# Shares of a run's time: the sampler takes nearly all of it. Any other node counts as 1.
NODE_WEIGHTS = {ids.SAMPLER: 100.0, ids.DECODE: 8.0, ids.LOADER: 4.0}


class RunProgress:
    """Reports the weighted mean of the progress of nodes, 0 to 1. nodes: in the order they run."""

    def __init__(self, graph: Graph, nodes: Iterable[str], on_progress: OnProgress) -> None:
        self._weights = {node: NODE_WEIGHTS.get(graph[node].class_type, 1.0) for node in nodes}
        self._shares = dict.fromkeys(self._weights, 0.0)
        self._on_progress = on_progress
        self._current = ""

    def start(self, node: str) -> None:
        """A node starts; the ones before it have run, or came from a cache."""
        done = 1.0
        for other in self._shares:
            done = 0.0 if other == node else done
            self._shares[other] = done
        self._current = node
        self._report()

    def advance(self, share: float) -> None:
        """Progress of the node that started last."""
        self.update({self._current: share})

    def update(self, shares: Mapping[str, float]) -> None:
        """Progress of several nodes; unknown ones are ignored."""
        self._shares.update({node: share for node, share in shares.items() if node in self._shares})
        self._report()

    def _report(self) -> None:
        done = sum(self._weights[node] * share for node, share in self._shares.items())
        self._on_progress(done / sum(self._weights.values()))
