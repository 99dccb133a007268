"""Node: upload encoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...parameters import ids
from ...pipeline.delivery import count_problem, deliver, deliver_all, keep, mismatch, url_problem
from ...pipeline.input_checks import join_answers
from ...pipeline.output import ENCODED_AUDIO
from ...transfer.policy import Policy
from ...transfer.send import put


class Upload:
    """Sends encoded songs to URLs by HTTP PUT."""

    CATEGORY = "audio/ACE-Step XL/delivery"
    DESCRIPTION = (
        "Uploads each song to its URL by HTTP PUT, as presigned cloud storage URLs expect. Follows no redirects, "
        "and connects to private addresses only if allowed."
    )
    FUNCTION = "upload"
    OUTPUT_NODE = True
    RETURN_TYPES = (ENCODED_AUDIO,)
    RETURN_NAMES = ("encoded",)
    OUTPUT_TOOLTIPS = ("The same songs, once all of them are uploaded.",)
    SEARCH_ALIASES: ClassVar = ["http put", "upload audio", "presigned url", "s3 upload"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "encoded": (ENCODED_AUDIO, {"tooltip": "From Encode Audio."}),
                "urls": parameters.widget("upload_urls"),
                "allow_private": parameters.widget("allow_private"),
                "timeout": parameters.widget("transfer_timeout"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, urls: str | None, allow_private: bool | None) -> bool | str:
        return join_answers(url_problem(urls, allow_private), count_problem(urls, ids.UPLOAD))

    def upload(
        self, encoded: Sequence[EncodedAudio], urls: str, allow_private: bool, timeout: float
    ) -> tuple[Sequence[EncodedAudio]]:
        targets = urls.split()
        if len(targets) != len(encoded):
            raise keep(encoded, len(encoded), mismatch(len(targets), len(encoded)))
        policy = Policy(allow_private=allow_private, total_timeout=timeout)

        def send(index: int) -> int:
            song = encoded[index]
            return deliver(put(targets[index], song.data, song.media_type, policy), policy)

        deliver_all(encoded, send)
        return (encoded,)
