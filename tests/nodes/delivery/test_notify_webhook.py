"""The webhook node: one message for each song, with the file where requested."""

from __future__ import annotations

import base64
import json

import pytest
from delivery_samples import GRAPH, encode_noise, noise_audio
from receiver import Receiver

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio
from acestep_xl.nodes.delivery.notify_webhook import Webhook


def test_each_song_sends_a_message(headless_host: HeadlessHost, receiver: Receiver) -> None:
    origin = {"prompt": GRAPH, "unique_id": "4"}
    songs = EncodeAudio().encode(noise_audio(2, samples=24000), "mp3", "16", 64, "auto", "1", "Waltz", **origin)[0]
    (passed,) = Webhook().notify(
        songs, f"{receiver.url}/hook?token=x", '{"job": 7, "status": "done"}', "nothing", True, 30.0
    )
    assert passed == songs
    assert {(request.method, request.path) for request in receiver.got} == {("POST", "/hook?token=x")}
    assert {request.headers["Content-Type"] for request in receiver.got} == {"application/json"}
    assert [json.loads(request.body) for request in receiver.got] == [
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
def test_the_message_contains_the_file_if_requested(
    headless_host: HeadlessHost, receiver: Receiver, attach: str, field: str
) -> None:
    songs = encode_noise(1)
    Webhook().notify(songs, receiver.url, "{}", attach, True, 30.0)
    body = json.loads(receiver.got[0].body)
    assert base64.b64decode(body[field].removeprefix("data:audio/flac;base64,"), validate=True) == songs[0].data


@pytest.mark.parametrize(
    ("fields", "problem"),
    [("{", "not valid JSON"), ("[1]", "not a JSON object"), ('{"a": NaN}', "not valid JSON"), ("", None), (None, None)],
)
def test_additional_fields_are_a_json_object(fields: str | None, problem: str | None) -> None:
    result = Webhook.VALIDATE_INPUTS("https://a.example", fields, False)
    assert result is True if problem is None else problem in str(result)
    assert "one URL is expected, not 2" in str(
        Webhook.VALIDATE_INPUTS("https://a.example https://b.example", "{}", False)
    )
