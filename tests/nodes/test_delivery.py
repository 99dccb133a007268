"""Songs leave: saved, encoded, as text, uploaded, announced; and no secret leaves with them."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import graphs
import pytest
import soundfile
import torch
from comfy_server import ComfyServer, needs_comfyui
from hypothesis import given
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.oggvorbis import OggVorbis
from receiver import Receiver, receiving

from acestep_xl import host
from acestep_xl.audio import vorbis
from acestep_xl.audio.encoding import EncodedAudio
from acestep_xl.audio.formats import FORMATS
from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.nodes.delivery.audio_text import AudioText
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio
from acestep_xl.nodes.delivery.notify_webhook import Webhook, message
from acestep_xl.nodes.delivery.save_encoded import SaveEncoded
from acestep_xl.nodes.delivery.upload_audio import Upload
from acestep_xl.nodes.save_audio import Save
from acestep_xl.pipeline import metadata, output
from acestep_xl.transfer.errors import Failed

SECRET = "X-Amz-Signature=abc123"
GRAPH = {
    "1": {"class_type": "AceStepXLSampler", "inputs": {"seed": 7, "latent": ["2", 0]}},
    "2": {"class_type": "AceStepXLEmptyLatent", "inputs": {"seconds": 2.0, "batch_size": 2}},
    "3": {"class_type": "AceStepXLDecode", "inputs": {"latent": ["1", 0], "peak_db": -1.0}},
    "4": {"class_type": "AceStepXLSave", "inputs": {"audio": ["3", 0], "format": "flac"}},
    "5": {"class_type": "AceStepXLSampler", "inputs": {"seed": 99}},
    "6": {
        "class_type": "AceStepXLUpload",
        "inputs": {"urls": f"https://store.example/a?{SECRET}\nhttp://u:p@b.example/c"},
    },
}
WORKFLOW = {
    "nodes": [{"type": "AceStepXLUpload", "widgets_values": [f"https://store.example/a?{SECRET}", False, 300.0]}]
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[HeadlessHost]:
    with host.use(HeadlessHost([], tmp_path, device="cpu")) as made:
        assert isinstance(made, HeadlessHost)
        yield made


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def audio(songs: int = 2, channels: int = 2, samples: int = 4800, rate: int = 48000) -> dict[str, Any]:
    waveform = torch.rand(songs, channels, samples, generator=torch.Generator().manual_seed(1)) * 0.5
    return {"waveform": waveform, "sample_rate": rate}


def encoded(songs: int = 2, format: str = "flac", title: str = "") -> list[EncodedAudio]:
    return EncodeAudio().encode(audio(songs), format, "16", 0, "auto", "auto", title)[0]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flac_tags(path: Path) -> dict[str, str]:
    tags: Any = FLAC(path).tags
    return {key.lower(): value for key, value in tags}


# Saving


@pytest.mark.parametrize("format", ["flac", "wav", "mp3", "ogg"])
def test_every_song_of_a_batch_is_saved(place: HeadlessHost, tmp_path: Path, format: str) -> None:
    shown = Save().save(audio(3), "audio/song", format, "16")
    assert [entry["filename"] for entry in shown["ui"]["audio"]] == [f"song_0000{n}_.{format}" for n in (1, 2, 3)]
    assert {(entry["subfolder"], entry["type"]) for entry in shown["ui"]["audio"]} == {("audio", "output")}
    lengths = [len(soundfile.read(tmp_path / name)[0]) for name in names(tmp_path)]
    assert len(lengths) == 3 and all(abs(length - 4800) <= 1152 for length in lengths)


def test_a_graph_from_before_these_options_still_saves(tmp_path: Path) -> None:
    run = graphs.run(tmp_path, {"save.format": "flac"})
    assert [path.name for path in run.files] == ["song_00001_.flac"]
    assert soundfile.info(run.files[0]).samplerate == 48000 and soundfile.info(run.files[0]).subtype == "PCM_24"


def test_rate_channels_and_bitrate_are_those_asked_for(place: HeadlessHost, tmp_path: Path) -> None:
    Save().save(audio(1, samples=96000), "song", "ogg", "24", 64, "24000", "1")
    info: Any = OggVorbis(tmp_path / "song_00001_.ogg").info
    assert (info.sample_rate, info.channels, info.bitrate) == (24000, 1, 64000)
    assert soundfile.info(tmp_path / "song_00001_.ogg").frames == 48000
    Save().save(audio(1, channels=1, rate=8000), "song", "wav", "32", 0, "48000", "2")
    samples, rate = soundfile.read(tmp_path / "song_00002_.wav")
    assert (rate, samples.shape) == (48000, (6 * 4800, 2)) and (samples[:, 0] == samples[:, 1]).all()


def test_surround_is_mixed_where_asked(place: HeadlessHost, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mp3 holds up to 2 channels, not 6"):
        Save().save(audio(1, channels=6), "song", "mp3", "16")
    Save().save(audio(1, channels=6), "song", "mp3", "16", channels="2")
    assert soundfile.info(tmp_path / "song_00001_.mp3").channels == 2


def test_the_file_says_what_made_it(place: HeadlessHost, tmp_path: Path) -> None:
    Save().save(
        audio(2), "song", "flac", "24", title="Grüße", prompt=GRAPH, extra_pnginfo={"workflow": WORKFLOW}, unique_id="4"
    )
    found = flac_tags(tmp_path / "song_00002_.flac")
    assert (found["title"], found["seed"], found["tracknumber"]) == (
        "Grüße",
        "7",
        "2/2",
    )
    assert json.loads(found["parameters"]) == {
        "AceStepXLDecode": {"peak_db": -1.0},
        "AceStepXLSampler": {"seed": 7},
        "AceStepXLEmptyLatent": {"seconds": 2.0, "batch_size": 2},
    }
    assert json.loads(found["prompt"]).keys() == GRAPH.keys()
    assert json.loads(found["workflow"])["nodes"][0]["type"] == "AceStepXLUpload"


def test_a_sidecar_lies_beside_the_file(place: HeadlessHost, tmp_path: Path) -> None:
    Save().save(
        audio(1, samples=24000), "a/song", "mp3", "24", 96, sidecar=True, title="12", prompt=GRAPH, unique_id="4"
    )
    assert names(tmp_path) == ["a/song_00001_.json", "a/song_00001_.mp3"]
    told = json.loads((tmp_path / "a/song_00001_.json").read_text("utf-8"))
    assert told | {"prompt": None, "parameters": None} == {
        "file": "song_00001_.mp3",
        "media_type": "audio/mpeg",
        "sample_rate": 48000,
        "channels": 2,
        "seconds": 0.5,
        "bit_depth": None,
        "bitrate_kbps": 96,
        "title": "12",
        "seed": 7,
        "parameters": None,
        "prompt": None,
    }
    assert told["parameters"]["AceStepXLSampler"] == {"seed": 7}
    Save().save(audio(1), "a/song", "flac", "24")
    assert names(tmp_path)[-1] == "a/song_00002_.flac"


def test_metadata_can_be_switched_off(place: HeadlessHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "metadata_enabled", lambda: False)
    Save().save(audio(1), "song", "flac", "24", sidecar=True, title="Mine", prompt=GRAPH, unique_id="4")
    assert flac_tags(tmp_path / "song_00001_.flac").keys() <= {"title", "encoder"}
    told = json.loads((tmp_path / "song_00001_.json").read_text("utf-8"))
    assert told["title"] == "Mine" and not {"prompt", "seed", "parameters"} & told.keys()


def test_comfyui_s_variables_in_names_are_filled(place: HeadlessHost, tmp_path: Path) -> None:
    Save().save(audio(2), "%year%/%month%%day%/take%batch_num%", "wav", "16")
    folder = time.strftime("%Y/%m%d")
    assert names(tmp_path) == [f"{folder}/take0_00001_.wav", f"{folder}/take1_00001_.wav"]


def test_a_stop_between_songs_keeps_those_that_are_done(place: HeadlessHost, tmp_path: Path) -> None:
    asked = iter([None, None, Interrupted("stop")])

    def check() -> None:
        if error := next(asked):
            raise error

    place.check_interrupted = check
    with pytest.raises(Interrupted):
        Save().save(audio(3), "song", "wav", "16")
    assert names(tmp_path) == ["song_00001_.wav", "song_00002_.wav"]


# What ComfyUI shows before a run


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (("ogg", "16", 0, "auto", "auto"), True),
        (("mp3", "24", 320, "auto", "auto"), True),
        (("wav", "32", 0, "8000", "1"), True),
        (("ogg", "16", 224, "48000", "1"), True),
        ((None, "16", 0, "auto", "auto"), True),
        (("flac", None, None, None, None), True),
        (("mp3", "16", None, None, None), True),
        # Some rate or number of channels that may come takes it.
        (("mp3", "16", 24, "auto", "auto"), True),
        (("ogg", "16", 40, "48000", "auto"), True),
        (("mp3", "16", 24, "48000", "auto"), "mp3 at 48000 Hz with 2 channels takes 32 to 320 kbps, not 24"),
        (("ogg", "16", 256, "48000", "1"), "ogg at 48000 Hz with 1 channel takes 32 to 224 kbps, not 256"),
        (("ogg", "16", 0, "44100", "auto"), "ogg holds 8000, 12000, 16000, 24000, 48000 Hz, not 44100"),
        (("flac", "24", 128, "auto", "auto"), "flac is lossless and has no bitrate"),
        (("flac", "32", 0, "auto", "auto"), "flac holds 16, 24 bits per sample, not 32"),
        (("mp3", "16", 321, "auto", "auto"), "not 321"),
        (("aiff", "16", 0, "auto", "auto"), "format is 'aiff', allowed: flac, wav, mp3, ogg"),
        (("flac", "8", 0, "auto", "3"), "bit_depth is '8', allowed: 16, 24, 32; channels is '3', allowed: auto, 1, 2"),
        (("flac", "16", 0, "1000", "auto"), "sample_rate is '1000'"),
    ],
)
def test_wrong_settings_are_told_before_the_run(values: tuple[Any, ...], says: bool | str) -> None:
    for node in (Save, EncodeAudio):
        answer = node.VALIDATE_INPUTS(*values)
        assert answer is True if says is True else str(says) in str(answer)


def test_ogg_without_an_encoder_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> str:
        raise vorbis.MissingEncoder("install one")

    monkeypatch.setattr(output.vorbis, "route", nothing)
    assert Save.VALIDATE_INPUTS("ogg", "16") == "install one"
    assert Save.VALIDATE_INPUTS("flac", "16") is True


# Encoded songs


def test_saving_encoded_songs_writes_their_bytes(place: HeadlessHost, tmp_path: Path) -> None:
    songs = encoded(2, "mp3", "Mine")
    shown = SaveEncoded().save(songs, "song", True)
    assert [entry["filename"] for entry in shown["ui"]["audio"]] == ["song_00001_.mp3", "song_00002_.mp3"]
    assert [(tmp_path / f"song_0000{n}_.mp3").read_bytes() for n in (1, 2)] == [song.data for song in songs]
    assert json.loads((tmp_path / "song_00002_.json").read_text())["title"] == "Mine"


def test_text_is_one_line_per_song_and_holds_the_file(place: HeadlessHost) -> None:
    songs = encoded(3, "ogg")
    for form, head in (("base64", ""), ("data URI", "data:audio/ogg;base64,")):
        lines = AudioText().convert(songs, form)[0].split("\n")
        assert all(line.startswith(head) for line in lines)
        assert [base64.b64decode(line[len(head) :], validate=True) for line in lines] == [song.data for song in songs]


# Upload


def test_each_song_is_put_to_its_url(place: HeadlessHost, server: Receiver) -> None:
    songs = encoded(2, "mp3")
    urls = f"{server.url}/a?{SECRET}&x=%2F\n\n  {server.url}/b  \n"
    (passed,) = Upload().upload(songs, urls, True, 30.0)
    assert passed == songs
    assert [(got.method, got.path) for got in server.got] == [("PUT", f"/a?{SECRET}&x=%2F"), ("PUT", "/b")]
    assert [got.body for got in server.got] == [song.data for song in songs]
    assert {got.headers["Content-Type"] for got in server.got} == {"audio/mpeg"}


def test_it_works_inside_a_running_event_loop(place: HeadlessHost, server: Receiver) -> None:
    """As ComfyUI calls a node."""

    async def comfyui() -> None:
        Upload().upload(encoded(1), f"{server.url}/a", True, 30.0)

    asyncio.run(comfyui())
    assert len(server.got) == 1


@pytest.mark.parametrize("status", [301, 307, 403, 500])
def test_what_is_no_success_is_an_error_without_the_secret(place: HeadlessHost, server: Receiver, status: int) -> None:
    server.status = status
    with pytest.raises(Failed, match=f"status {status}") as caught:
        Upload().upload(encoded(1), f"{server.url}/a?{SECRET}", True, 30.0)
    assert SECRET not in str(caught.value) and len(server.got) == 1


def test_private_addresses_are_refused_unless_allowed(place: HeadlessHost, server: Receiver) -> None:
    for url in (f"{server.url}/a?{SECRET}", f"{server.url.replace('127.0.0.1', 'localhost')}/a"):
        with pytest.raises(ValueError, match="switch allow_private on") as caught:
            Upload().upload(encoded(1), url, False, 30.0)
        assert SECRET not in str(caught.value)
        with pytest.raises(ValueError, match="switch allow_private on"):
            Webhook().notify(encoded(1), url, "{}", "nothing", False, 30.0)
        assert "switch allow_private on" in str(Upload.VALIDATE_INPUTS(url, False))
        assert Upload.VALIDATE_INPUTS(url, True) is True
    assert server.got == []


@pytest.mark.parametrize(
    "urls", ["", "https://a.example/1", "https://a.example/1\nhttps://a.example/2\nhttps://a.example/3"]
)
def test_as_many_urls_as_songs_are_needed(place: HeadlessHost, urls: str) -> None:
    with pytest.raises(ValueError, match=f"{len(urls.split())} URLs for 2 songs; give one URL per song, one per line"):
        Upload().upload(encoded(2), urls, False, 30.0)


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        ("", "there is no URL"),
        ("ftp://a.example/b", "URL 1: the scheme 'ftp' is not allowed"),
        ("https://a.example/1\nfile:///etc/passwd", "URL 2: "),
        ("https://user:word@a.example/", "password is not allowed"),
        (None, None),
        ("https://a.example/1?b=c", None),
    ],
)
def test_urls_are_checked_before_the_run(urls: str | None, says: str | None) -> None:
    for node in (lambda: Upload.VALIDATE_INPUTS(urls, False), lambda: Webhook.VALIDATE_INPUTS(urls, "{}", False)):
        answer = node()
        assert answer is True if says is None else says in str(answer)
        assert "switch allow_private" not in str(answer)


def test_a_stop_ends_an_upload_that_hangs(place: HeadlessHost, server: Receiver) -> None:
    server.delay = 30.0
    begun = time.monotonic()

    def check() -> None:
        if server.got:
            raise Interrupted("stop")

    songs = encoded(1)
    place.check_interrupted = check
    with pytest.raises(Interrupted):
        Upload().upload(songs, f"{server.url}/a", True, 60.0)
    assert time.monotonic() - begun < 10


def test_a_server_that_hangs_is_given_up(place: HeadlessHost, server: Receiver) -> None:
    server.delay = 30.0
    with pytest.raises(Failed):
        Upload().upload(encoded(1), f"{server.url}/a", True, 1.0)


# Webhook


def test_each_song_is_announced(place: HeadlessHost, server: Receiver) -> None:
    origin = {"prompt": GRAPH, "unique_id": "4"}
    songs = EncodeAudio().encode(audio(2, samples=24000), "mp3", "16", 64, "auto", "1", "Waltz", **origin)[0]
    (passed,) = Webhook().notify(
        songs, f"{server.url}/hook?token=x", '{"job": 7, "status": "done"}', "nothing", True, 30.0
    )
    assert passed == songs
    assert {(got.method, got.path) for got in server.got} == {("POST", "/hook?token=x")}
    assert {got.headers["Content-Type"] for got in server.got} == {"application/json"}
    assert [json.loads(got.body) for got in server.got] == [
        {
            "status": "done",
            "index": index,
            "numberResults": 2,
            "outputFormat": "MP3",
            "mediaType": "audio/mpeg",
            "sampleRate": 48000,
            "channels": 1,
            "duration": 0.5,
            "size": len(songs[index].data),
            "title": "Waltz",
            "seed": 7,
            "job": 7,
        }
        for index in range(2)
    ]


@pytest.mark.parametrize(("attach", "field"), [("data URI", "audioDataURI"), ("base64", "audioBase64Data")])
def test_the_file_comes_with_the_message_where_asked(
    place: HeadlessHost, server: Receiver, attach: str, field: str
) -> None:
    songs = encoded(1)
    Webhook().notify(songs, server.url, "{}", attach, True, 30.0)
    told = json.loads(server.got[0].body)
    assert base64.b64decode(told[field].removeprefix("data:audio/flac;base64,"), validate=True) == songs[0].data


@pytest.mark.parametrize(
    ("fields", "says"),
    [("{", "not valid JSON"), ("[1]", "not a JSON object"), ('{"a": NaN}', "not valid JSON"), ("", True), (None, True)],
)
def test_added_fields_are_a_json_object(fields: str | None, says: str | bool) -> None:
    answer = Webhook.VALIDATE_INPUTS("https://a.example", fields, False)
    assert answer is True if says is True else str(says) in str(answer)
    assert "one URL is expected, not 2" in str(
        Webhook.VALIDATE_INPUTS("https://a.example https://b.example", "{}", False)
    )


# A whole graph


def delivery_graph(server: Receiver, format: str) -> dict[str, dict[str, Any]]:
    """The test graph with every node of this file behind it."""
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["batch_size"] = 2
    settings = {
        "format": format,
        "bit_depth": "16",
        "bitrate": 96,
        "sample_rate": "24000",
        "channels": "2",
        "title": "T",
    }
    url = f"{server.url}/hook?{SECRET}"
    added = {
        "encode": ("EncodeAudio", {"audio": ["decode", 0], **settings}),
        "file": ("SaveEncoded", {"encoded": ["encode", 0], "filename_prefix": "sent", "sidecar": True}),
        "string": ("AudioText", {"encoded": ["encode", 0], "form": "data URI"}),
        "upload": (
            "Upload",
            {
                "encoded": ["encode", 0],
                "urls": f"{server.url}/1?{SECRET}\n{server.url}/2?{SECRET}",
                "allow_private": True,
                "timeout": 30.0,
            },
        ),
        "hook": (
            "Webhook",
            {
                "encoded": ["upload", 0],
                "url": url,
                "fields": "{}",
                "attach": "nothing",
                "allow_private": True,
                "timeout": 30.0,
            },
        ),
    }
    for name, (kind, inputs) in added.items():
        graph[name] = {"class_type": f"AceStepXL{kind}", "inputs": inputs}
    graph["save"]["inputs"]["format"] = "flac"
    return graph


def check_delivery(server: Receiver, files: list[Path], format: str) -> None:
    assert [(got.method, got.path.split("?")[0]) for got in server.got] == [
        ("PUT", "/1"),
        ("PUT", "/2"),
        ("POST", "/hook"),
        ("POST", "/hook"),
    ]
    sent = [path for path in files if path.suffix == f".{format}"]
    assert [path.read_bytes() for path in sent] == [got.body for got in server.got[:2]]
    assert [json.loads(got.body)["seed"] for got in server.got[2:]] == [7, 7]
    assert len(files) == 4
    for path in [*files, *(path.with_suffix(".json") for path in sent)]:
        assert SECRET.encode() not in path.read_bytes(), path
    with av.open(str(sent[0])) as container:
        # FFmpeg gives an OGG's tags to its stream.
        tags = {**container.metadata, **container.streams.audio[0].metadata}
    assert json.loads(tags["prompt"])["upload"]["inputs"]["urls"] == f"{server.url}/1\n{server.url}/2"
    assert json.loads(tags["parameters"])["AceStepXLEncode"]["caption"] == "slow waltz"
    assert soundfile.info(sent[0]).samplerate == 24000


def test_the_whole_delivery_without_comfyui(tmp_path: Path, server: Receiver) -> None:
    run = graphs.run(tmp_path, graph=delivery_graph(server, "ogg"), probes=("string",))
    check_delivery(server, sorted(run.files), "ogg")
    lines = run.kept["string"].split("\n")
    assert [base64.b64decode(line.partition(",")[2]) for line in lines] == [got.body for got in server.got[:2]]


@needs_comfyui
@pytest.mark.slow
def test_the_whole_delivery_in_comfyui(tmp_path: Path, server: Receiver) -> None:
    with ComfyServer(tmp_path) as comfy:
        entry = comfy.run(delivery_graph(server, "mp3"))
        check_delivery(server, sorted(comfy.files(entry)), "mp3")
        assert SECRET not in comfy.log()


# Metadata


def test_the_seed_is_the_one_that_is_used() -> None:
    seeds: Any = {
        "a": {"class_type": "Sampler", "inputs": {"seed": 1, "noise": ["b", 0]}},
        "b": {"class_type": "Noise", "inputs": {"noise_seed": 2}},
        "end": {"class_type": "Save", "inputs": {"audio": ["a", 0]}},
    }
    assert metadata.tags(seeds, None, "end", "", 0, 1)["seed"] == "2"
    seeds["a"]["inputs"]["other"] = seeds["a"]["inputs"].pop("noise")
    assert "seed" not in metadata.tags(seeds, None, "end", "", 0, 1)
    seeds["end"]["inputs"]["audio"] = ["b", 0]
    assert metadata.tags(seeds, None, "end", "", 0, 1)["seed"] == "2"
    assert "seed" not in metadata.tags(seeds, None, None, "", 0, 1)


def test_circles_twins_and_gaps_in_a_graph_do_no_harm() -> None:
    graph: Any = {
        "1": {"class_type": "A", "inputs": {"x": ["2", 0], "y": 1}},
        "2": {"class_type": "A", "inputs": {"x": ["1", 0], "z": ["9", 0], "w": ["end", 0], "y": 2}},
        "end": {"class_type": "Save", "inputs": {"audio": ["1", 0], "format": "flac"}},
    }
    found = metadata.tags(graph, None, "end", "", 0, 1)
    assert json.loads(found["parameters"]) == {"A 1": {"y": 1}, "A 2": {"y": 2}}
    assert metadata.tags(None, None, "end", "", 0, 1) == {}


def test_only_urls_lose_their_queries() -> None:
    graph: Any = {
        "1": {
            "class_type": "Encode",
            "inputs": {"lyrics": "who? me?\nhttps://a.example/?b", "url": "https://a.example/b?c=d#e", "n": 3},
        }
    }
    kept = json.loads(metadata.tags(graph, None, None, "", 0, 1)["prompt"])["1"]["inputs"]
    assert kept == {"lyrics": "who? me?\nhttps://a.example/?b", "url": "https://a.example/b", "n": 3}
    models = {"nodes": [{"properties": {"models": [{"url": "https://a.example/m?download=true"}]}, "mode": 0}]}
    assert json.loads(metadata.tags(None, {"workflow": models}, None, "", 0, 1)["workflow"]) == models


values = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.just(f"https://a.example/b?{SECRET}")
    | st.just(f"HTTP://k:{SECRET}@b/"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(values)
def test_no_secret_of_a_url_is_kept(value: Any) -> None:
    graph: Any = {"1": {"class_type": "A", "inputs": {"x": value}}}
    found = metadata.tags(graph, {"workflow": value}, "1", "", 0, 1)
    assert SECRET not in json.dumps(found)
    bare = re.sub(r"\?X-Amz[^\"]*|k:X-Amz[^@]*", "", json.dumps(value))
    assert json.loads(found["workflow"]) == json.loads(bare.replace("HTTP://@b/", "HTTP://…@b/"))


# The page about all this

PAGE = (Path(__file__).parents[2] / "docs/audio-files.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the page's table that begins with a heading."""
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def test_the_page_s_formats_are_the_formats() -> None:
    told = {row[0].strip("`"): row[1:] for row in table("Format")}
    assert set(told) == set(FORMATS)
    for name, (media_type, _, bits, channels, tags) in told.items():
        known = FORMATS[name]
        assert media_type == f"`{known.media_type}`"
        assert bits == ", ".join(str(depth) for depth in known.encoders if depth)
        assert int(channels.split()[-1]) == known.max_channels
        assert (tags == "any name") == known.free_tags


def test_the_page_s_bitrates_are_the_bitrates() -> None:
    told: dict[tuple[str, int, int], str] = {}
    for rate, mp3, mono, stereo in table("Hz"):
        for key, text in {("mp3", 1): mp3, ("mp3", 2): mp3, ("ogg", 1): mono, ("ogg", 2): stereo}.items():
            told |= {(*key, int(rate)): text} if text else {}
    known = {
        (name, channels, rate): f"{low} to {high}"
        for name, target in FORMATS.items()
        for channels, ranges in (target.bitrates or {}).items()
        for rate, (low, high) in ranges.items()
    }
    assert told == known


def test_the_page_s_examples_are_what_is_written(place: HeadlessHost) -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    song = EncodeAudio().encode(audio(2), "mp3", "16", 0, "auto", "auto", "Slow waltz", prompt=GRAPH, unique_id="4")[0][
        0
    ]
    assert list(json.loads(shown[1])) == list(message(song, 0, 2, "nothing"))
    facts = output.facts(song, Path("song.mp3"))
    tags = {name for row in table("Tag") for name in re.findall(r"`(\w+)`", row[0])}
    assert facts.keys() - song.metadata.keys() == set(
        re.findall(r"`(\w+)`", PAGE.split("the tags as JSON, and")[1].split("\n\n")[0])
    )
    assert song.metadata.keys() == tags - {"workflow"}
