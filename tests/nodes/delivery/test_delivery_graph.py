"""A graph with every delivery node, without ComfyUI and inside it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import av
import graphs
import pytest
import soundfile
from comfy_server import ComfyServer, needs_comfyui
from delivery_samples import SECRET
from receiver import Receiver


def delivery_graph(receiver: Receiver, format: str) -> dict[str, dict[str, Any]]:
    """Text to music, followed by every delivery node."""
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["batch_size"] = 2
    encoding = {"format": format, "bit_depth": "16", "bitrate": 96, "sample_rate": "24000", "channels": "2"}
    sending = {"allow_private": True, "timeout": 30.0}
    urls = [f"{receiver.url}/{path}?{SECRET}" for path in ("1", "2", "hook")]
    nodes = {
        "encode": ("EncodeAudio", {"audio": ["decode", 0], "title": "T", **encoding}),
        "file": ("SaveEncoded", {"encoded": ["encode", 0], "filename_prefix": "sent", "sidecar": True}),
        "string": ("AudioText", {"encoded": ["encode", 0], "form": "data URI"}),
        "upload": ("Upload", {"encoded": ["encode", 0], "urls": "\n".join(urls[:2]), **sending}),
        "hook": (
            "Webhook",
            {"encoded": ["upload", 0], "url": urls[2], "fields": "{}", "attach": "nothing", **sending},
        ),
    }
    for name, (kind, inputs) in nodes.items():
        graph[name] = {"class_type": f"AceStepXL{kind}", "inputs": inputs}
    graph["save"]["inputs"]["format"] = "flac"
    return graph


def check_delivery(receiver: Receiver, files: list[Path], format: str) -> None:
    assert [(request.method, request.path.split("?")[0]) for request in receiver.got] == [
        ("PUT", "/1"),
        ("PUT", "/2"),
        ("POST", "/hook"),
        ("POST", "/hook"),
    ]
    encoded = [path for path in files if path.suffix == f".{format}"]
    assert [path.read_bytes() for path in encoded] == [request.body for request in receiver.got[:2]]
    assert [json.loads(request.body)["seed"] for request in receiver.got[2:]] == [7, 7]
    assert len(files) == 4
    for path in [*files, *(path.with_suffix(".json") for path in encoded)]:
        assert SECRET.encode() not in path.read_bytes(), path
    with av.open(str(encoded[0])) as container:
        # FFmpeg attaches an OGG's tags to its stream.
        tags = {**container.metadata, **container.streams.audio[0].metadata}
    assert json.loads(tags["prompt"])["upload"]["inputs"]["urls"] == f"{receiver.url}/1\n{receiver.url}/2"
    assert json.loads(tags["parameters"])["AceStepXLEncode"]["caption"] == "slow waltz"
    assert soundfile.info(encoded[0]).samplerate == 24000


def test_a_delivery_without_comfyui(tmp_path: Path, receiver: Receiver) -> None:
    run = graphs.run(tmp_path, graph=delivery_graph(receiver, "ogg"), probes=("string",))
    check_delivery(receiver, sorted(run.files), "ogg")
    lines = run.outputs["string"].split("\n")
    assert [base64.b64decode(line.partition(",")[2]) for line in lines] == [
        request.body for request in receiver.got[:2]
    ]


@needs_comfyui
@pytest.mark.slow
def test_a_delivery_in_comfyui(tmp_path: Path, receiver: Receiver) -> None:
    with ComfyServer(tmp_path) as comfy:
        entry = comfy.run(delivery_graph(receiver, "mp3"))
        check_delivery(receiver, sorted(comfy.files(entry)), "mp3")
        assert SECRET not in comfy.log()
