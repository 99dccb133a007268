"""Songs that cannot be sent are kept, and what will keep them from being sent is found out before the run."""

from __future__ import annotations

from typing import Any

import pytest
from delivery_samples import SECRET, encode_noise
from receiver import Receiver

from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.host.submission import Submission, check
from acestep_xl.nodes.delivery.notify_webhook import Webhook
from acestep_xl.nodes.delivery.upload_audio import Upload
from acestep_xl.pipeline.delivery import NotDelivered
from acestep_xl.pipeline.sampler_chain import song_count

TWO = "https://a.example/1\nhttps://a.example/2"


def graph(urls: str = TWO, **makers: Any) -> dict[str, Any]:
    """A graph that uploads. makers: nodes by id in place of the usual ones."""
    return {
        "1": {"class_type": "AceStepXLEmptyLatent", "inputs": {"seconds": 30, "batch_size": 3}},
        "2": {"class_type": "AceStepXLSampler", "inputs": {"latent": ["1", 0]}},
        "3": {"class_type": "AceStepXLDecode", "inputs": {"latent": ["2", 0]}},
        "4": {"class_type": "AceStepXLEncodeAudio", "inputs": {"audio": ["3", 0]}},
        "5": {"class_type": "AceStepXLWebhook", "inputs": {"encoded": ["4", 0]}},
        "6": {"class_type": "AceStepXLUpload", "inputs": {"encoded": ["5", 0], "urls": urls}},
        **makers,
    }


def edit(kind: str, songs: Any) -> dict[str, Any]:
    return {"1": {"class_type": kind, "inputs": {"batch_size": songs}}}


@pytest.mark.parametrize(
    ("makers", "songs"),
    [
        ({}, 3),
        ({"1": {"class_type": "EmptyAceStep1.5LatentAudio", "inputs": {"batch_size": 5}}}, 5),
        ({"2": {"class_type": "KSampler", "inputs": {"latent_image": ["1", 0]}}}, 3),
        (edit("AceStepXLCover", 4), 4),
        (edit("AceStepXLRepaint", 1), None),
        (edit("AceStepXLEmptyLatent", ["9", 0]), None),
        ({"2": {"class_type": "LatentBatch", "inputs": {"latent": ["1", 0]}}}, None),
        ({"3": {"class_type": "AceStepXLDecode", "inputs": {"latent": ["3", 0]}}}, None),
        ({"3": {"class_type": "AceStepXLDecode", "inputs": {}}}, None),
        ({"4": {"class_type": "AceStepXLEncodeAudio", "inputs": {"audio": ["99", 0]}}}, None),
    ],
)
def test_the_number_of_songs_as_far_as_the_graph_tells(makers: dict[str, Any], songs: int | None) -> None:
    nodes = graph(**makers)
    assert song_count(nodes, nodes["6"]["inputs"]["encoded"]) == songs


@pytest.mark.parametrize(
    ("urls", "songs", "refused"), [(TWO, 3, True), (TWO, 2, False), ("https://a.example/1", 1, False)]
)
def test_the_number_of_urls_is_checked_before_the_run(urls: str, songs: int, refused: bool) -> None:
    nodes = graph(urls, **edit("AceStepXLEmptyLatent", songs))
    with check(Submission(nodes)):
        answer = Upload.VALIDATE_INPUTS(urls, False)
    assert answer == (f"2 URLs for {songs} songs; give one URL per song, one per line" if refused else True)
    assert Upload.VALIDATE_INPUTS(urls, False) is True, "without a graph nothing is known"
    assert Upload.VALIDATE_INPUTS(None, False) is True, "a linked widget"


def test_what_fails_is_kept_and_the_rest_is_sent(headless_host: HeadlessHost, receiver: Receiver) -> None:
    songs = encode_noise(3, "wav")
    urls = f"{receiver.url}/a\nhttp://127.0.0.1:9/b?{SECRET}\n{receiver.url}/c"
    with pytest.raises(NotDelivered, match=r"1 of 3 songs were not sent: http://127\.0\.0\.1:9/b: ") as caught:
        Upload().upload(songs, urls, True, 30.0)
    assert [request.path for request in receiver.got] == ["/a", "/c"] and SECRET not in str(caught.value)
    (path,) = headless_host.output_directory().rglob("*.wav")
    assert path.read_bytes() == songs[1].data and str(path) in str(caught.value)


def test_nothing_is_overwritten(headless_host: HeadlessHost) -> None:
    songs = encode_noise(1, "wav")
    for _ in range(3):
        with pytest.raises(NotDelivered):
            Upload().upload(songs, "http://127.0.0.1:9/a", True, 30.0)
    assert len(list(headless_host.output_directory().rglob("*.wav"))) == 3


def test_a_webhook_that_carries_songs_keeps_them_too(headless_host: HeadlessHost, receiver: Receiver) -> None:
    receiver.status = 500
    songs = encode_noise(2, "wav")
    with pytest.raises(NotDelivered, match=r"2 of 2 songs were not sent: .*status 500"):
        Webhook().notify(songs, f"{receiver.url}/hook", "{}", "base64", True, 30.0)
    kept = sorted(headless_host.output_directory().rglob("*.wav"))
    assert [path.read_bytes() for path in kept] == [song.data for song in songs]


def test_an_interruption_keeps_what_had_failed_before(
    headless_host: HeadlessHost, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    songs = encode_noise(2, "wav")
    receiver.delay = 30.0

    def check_interrupted() -> None:
        if receiver.got:
            raise Interrupted("stop")

    headless_host.check_interrupted = check_interrupted
    with pytest.raises(Interrupted):
        Upload().upload(songs, f"http://127.0.0.1:9/a\n{receiver.url}/b", True, 60.0)
    (path,) = headless_host.output_directory().rglob("*.wav")
    assert path.read_bytes() == songs[0].data and str(path) in caplog.text
