"""Node: upload encoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...pipeline.delivery import deliver, url_problem
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
        return url_problem(urls, allow_private)

    def upload(
        self, encoded: Sequence[EncodedAudio], urls: str, allow_private: bool, timeout: float
    ) -> tuple[Sequence[EncodedAudio]]:
        targets = urls.split()
        if len(targets) != len(encoded):
            raise ValueError(f"{len(targets)} URLs for {len(encoded)} songs; give one URL per song, one per line")
        policy = Policy(allow_private=allow_private, total_timeout=timeout)
        for song, url in zip(encoded, targets, strict=True):
            deliver(put(url, song.data, song.media_type, policy), policy)
        return (encoded,)
