"""Node: notify a webhook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...pipeline import metadata
from ...pipeline.delivery import deliver, deliver_all, url_problem
from ...pipeline.output import ENCODED_AUDIO
from ...transfer.policy import Policy
from ...transfer.send import post_json


class Webhook:
    """Notifies a URL of finished songs."""

    CATEGORY = "audio/ACE-Step XL/delivery"
    DESCRIPTION = (
        "Sends a JSON message by HTTP POST for every song: status, index in the batch, format and, optionally, the "
        "file. Connect the upload node's output to notify after the upload."
    )
    FUNCTION = "notify"
    OUTPUT_NODE = True
    RETURN_TYPES = (ENCODED_AUDIO,)
    RETURN_NAMES = ("encoded",)
    OUTPUT_TOOLTIPS = ("The same songs, once all messages are delivered.",)
    SEARCH_ALIASES: ClassVar = ["webhook", "http post", "notify", "callback url"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "encoded": (ENCODED_AUDIO, {"tooltip": "From Encode Audio or Upload."}),
                "url": parameters.widget("webhook_url"),
                "fields": parameters.widget("webhook_fields"),
                "attach": parameters.widget("webhook_attach"),
                "allow_private": parameters.widget("allow_private"),
                "timeout": parameters.widget("transfer_timeout"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, url: str | None, fields: str | None, allow_private: bool | None) -> bool | str:
        answers = [url_problem(url, allow_private)]
        if url is not None and len(url.split()) > 1:
            answers.append(f"one URL is expected, not {len(url.split())}")
        try:
            _object(fields or "{}")
        except ValueError as error:
            answers.append(str(error))
        return "; ".join(answer for answer in answers if isinstance(answer, str)) or True

    def notify(
        self,
        encoded: Sequence[EncodedAudio],
        url: str,
        fields: str,
        attach: str,
        allow_private: bool,
        timeout: float,
    ) -> tuple[Sequence[EncodedAudio]]:
        policy = Policy(allow_private=allow_private, total_timeout=timeout)
        added = _object(fields)

        def send(index: int) -> int:
            body = json.dumps(message(encoded[index], index, len(encoded), attach) | added).encode()
            return deliver(post_json(url.strip(), body, policy), policy)

        if attach == "nothing":
            for index in range(len(encoded)):
                send(index)
        else:
            deliver_all(encoded, send)
        return (encoded,)


def message(song: EncodedAudio, index: int, count: int, attach: str) -> dict[str, Any]:
    """The message about one song, in the task API's field names where it has one."""
    properties = metadata.read(song.metadata)
    attached = {"data URI": ("audioDataURI", song.data_uri), "base64": ("audioBase64Data", song.base64)}
    name, content = attached.get(attach, ("", None))
    return {
        "status": "success",
        "index": index,
        "numberResults": count,
        "outputFormat": song.format.upper(),
        "mediaType": song.media_type,
        "sampleRate": song.sample_rate,
        "channels": song.channels,
        "duration": song.seconds,
        "size": len(song.data),
        **{key: properties[key] for key in ("title", "seed") if key in properties},
        **({name: content()} if content else {}),
    }


def _object(text: str) -> dict[str, Any]:
    """The JSON object in a text. Raises ValueError."""
    try:
        fields = json.loads(text)
        json.dumps(fields, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"fields is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError('fields is not a JSON object; write one like {"job": 7}')
    return fields
