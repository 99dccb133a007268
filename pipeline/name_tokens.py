"""ComfyUI's tokens in file name prefixes, which its browser side replaces for its own save nodes only."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..audio.file_names import legal_text
from ..host.submission import Submission

ALLOWED = (
    "%NODE.WIDGET% (NODE: a node's title, class or id), %date:FORMAT% (FORMAT of d, dd, M, MM, yy, yyyy, h, hh, m, mm, "
    "s, ss), %year%, %month%, %day%, %hour%, %minute%, %second%, %batch_num%"
)
# A percent sign beside a space is only a percent sign.
_TOKEN = re.compile(r"%([^%\s](?:[^%]*[^%\s])?)%")
_DATE_PARTS = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyyy|yy")
_SEARCH_NAME = "Node name for S&R"  # a node's property in saved workflows


def expand_tokens(prefix: str, submission: Submission | None, index: int = 0) -> str:
    """A prefix with its tokens replaced, for song `index` of a batch.

    submission: the graph with the nodes that tokens name. None leaves those tokens as they are. Raises ValueError with
    every token that means nothing, and what is allowed.
    """
    now = time.localtime()
    problems: list[str] = []

    def value(match: re.Match[str]) -> str:
        try:
            return _value(match[1], submission, index, now)
        except ValueError as error:
            problems.append(f"{match[0]}: {error}")
            return match[0]

    expanded = _TOKEN.sub(value, prefix)
    if problems:
        raise ValueError(f"file name prefix {prefix!r}: {'; '.join(problems)}. Allowed: {ALLOWED}")
    return expanded


def _value(token: str, submission: Submission | None, index: int, now: time.struct_time) -> str:
    if token in _WORDS:
        return time.strftime(_WORDS[token], now)
    if token == "batch_num":
        return str(index)
    if token.startswith("date:"):
        return _date(token.removeprefix("date:"), now)
    if token in ("width", "height"):
        raise ValueError("belongs to pictures and means nothing for audio")
    node, dot, widget = token.rpartition(".")
    if not (dot and node and widget):
        raise ValueError("no such token")
    return f"%{token}%" if submission is None else _widget_text(node, widget, submission)


def _date(form: str, now: time.struct_time) -> str:
    parts = {"d": now.tm_mday, "M": now.tm_mon, "h": now.tm_hour, "m": now.tm_min, "s": now.tm_sec}
    unknown = sorted(set(re.findall(r"[A-Za-z]", _DATE_PARTS.sub("", form))))
    if unknown or not _DATE_PARTS.search(form):
        letters = f"{', '.join(unknown)} in it stand for nothing" if unknown else "it has no part of a date"
        raise ValueError(f"the date format is {form!r}, but {letters}; write it like yyyy-MM-dd")
    years = {"yyyy": f"{now.tm_year}", "yy": f"{now.tm_year % 100:02}"}
    return _DATE_PARTS.sub(lambda part: years.get(part[0]) or f"{parts[part[0][0]]:0{len(part[0])}}", form)


def _widget_text(name: str, widget: str, submission: Submission) -> str:
    """The value of a node's widget as text for a name."""
    nodes = _nodes_named(name, submission)
    values: dict[str, str] = {}
    for node_id in nodes:
        inputs = _mapping(_mapping(submission.prompt[node_id]).get("inputs"))
        if widget not in inputs:
            raise ValueError(f"node {node_id} has no widget {widget!r}; it has {', '.join(inputs) or 'none'}")
        values[node_id] = _text(_literal(inputs[widget], widget, submission))
    if len(set(values.values())) > 1:
        raise ValueError(f"{name!r} is the name of nodes with different values; use one of the ids {', '.join(nodes)}")
    return next(iter(values.values()))


def _nodes_named(name: str, submission: Submission) -> list[str]:
    """Ids of the nodes with a name, by what ComfyUI looks at: the search name, the title; else the class or the id."""
    names = {node_id: _names_of(node_id, node, submission) for node_id, node in submission.prompt.items()}
    for position in range(4):
        if nodes := [node_id for node_id, own in names.items() if own[position] == name]:
            return nodes
    known = sorted({each for own in names.values() for each in own if each})
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    raise ValueError(f"no node is called {name!r}; {'did you mean' if close else 'known:'} {', '.join(close or known)}")


def _names_of(node_id: str, node: Mapping[str, Any], submission: Submission) -> tuple[str, str, str, str]:
    node = _mapping(node)
    meta = _mapping(node.get("_meta"))
    search_name = meta.get(_SEARCH_NAME) or _saved_search_name(node_id, submission.workflow)
    return str(search_name or ""), str(meta.get("title") or ""), str(node.get("class_type") or ""), node_id


def _saved_search_name(node_id: str, workflow: Mapping[str, Any] | None) -> Any:
    """The search name in the workflow as saved. A node inside subgraphs has the id "outer:inner"."""
    if workflow is None:
        return None
    subgraphs = map(_mapping, _mapping(workflow.get("definitions")).get("subgraphs") or ())
    graphs = {graph.get("id"): graph for graph in subgraphs}
    graph: Mapping[str, Any] | None = workflow
    node: Mapping[str, Any] = {}
    for own_id in node_id.split(":"):
        node = next(_with_id(own_id, graph), {})
        graph = graphs.get(node.get("type"))
    return _mapping(node.get("properties")).get(_SEARCH_NAME)


def _with_id(node_id: str, graph: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    nodes = map(_mapping, _mapping(graph).get("nodes") or ())
    return (node for node in nodes if str(node.get("id")) == node_id)


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object; other people's files may hold anything."""
    return value if isinstance(value, Mapping) else {}


def _literal(value: Any, widget: str, submission: Submission) -> Any:
    """A widget's value, or that of the primitive node that is connected to it."""
    if not isinstance(value, (list, tuple)):
        return value
    source = submission.prompt.get(str(value[0])) if len(value) == 2 else None
    constant = _mapping(_mapping(source).get("inputs")).get("value")
    if constant is None or isinstance(constant, (list, tuple)):
        raise ValueError(f"{widget} is connected, so its value is known only in the run")
    return constant


def _text(value: Any) -> str:
    """A value as the browser writes it, made legal in a name."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return legal_text("" if value is None else str(value))


# Token -> format of time.strftime.
_WORDS = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
