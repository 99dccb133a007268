"""Sending songs elsewhere: URL checks and interruptible transfers for the nodes that deliver."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from ..audio.encoding import EncodedAudio
from ..host import current_host
from ..host.submission import current_submission
from ..transfer import blocking
from ..transfer.errors import Refused, TransferError
from ..transfer.policy import Policy, check_url
from .file_saving import OutputFile, output_path, save_files
from .sampler_chain import song_count

KEPT = "audio/not_delivered"  # prefix of songs that could not be sent


class NotDelivered(RuntimeError):  # noqa: N818 - says what happened to the songs
    """Songs were not sent; the message says why and where they are."""


def url_problem(urls: str | None, allow_private: bool | None) -> bool | str:
    """What VALIDATE_INPUTS returns for URLs, one a line; None stands for a linked widget."""
    if urls is None:
        return True
    policy = Policy(allow_private=allow_private is not False)
    lines = urls.split()
    if not lines:
        return "there is no URL; give one like https://host/path"
    problems = [(number, url, check_url(url, policy)) for number, url in enumerate(lines, start=1)]
    messages = [f"URL {number}: {problem}{_remedy(url, policy)}" for number, url, problem in problems if problem]
    return "; ".join(messages) or True


def count_problem(urls: str | None, class_type: str) -> bool | str:
    """What VALIDATE_INPUTS returns for the URLs of a node with one per song, as far as the graph tells their number."""
    submission = current_submission()
    if urls is None or submission is None:
        return True
    nodes = [node for node in submission.prompt.values() if node.get("class_type") == class_type]
    links = [node["inputs"].get("encoded") for node in nodes if node.get("inputs", {}).get("urls") == urls]
    counts = {song_count(submission.prompt, link) for link in links} - {None, len(urls.split())}
    return "; ".join(mismatch(len(urls.split()), songs) for songs in sorted(filter(None, counts))) or True


def mismatch(urls: int, songs: int) -> str:
    """In words, that the numbers of URLs and songs differ."""
    return f"{urls} URLs for {songs} songs; give one URL per song, one per line"


def deliver_all(songs: Sequence[EncodedAudio], send: Callable[[int], object]) -> None:
    """Send songs by their index. One that cannot be sent is kept in the output folder, and the others are sent all the
    same; then NotDelivered says what is where."""
    failures: dict[int, Exception] = {}
    try:
        for index in range(len(songs)):
            try:
                send(index)
            except (TransferError, ValueError) as error:
                failures[index] = error
    except BaseException:
        if failures:
            current_host().warn(str(_keep_failed(songs, failures)))
        raise
    if failures:
        raise _keep_failed(songs, failures) from next(iter(failures.values()))


def _keep_failed(songs: Sequence[EncodedAudio], failures: Mapping[int, Exception]) -> NotDelivered:
    reasons = "; ".join(dict.fromkeys(str(error) for error in failures.values()))
    return keep([songs[index] for index in failures], len(songs), reasons)


def keep(songs: Sequence[EncodedAudio], total: int, reason: str) -> NotDelivered:
    """Write songs that cannot be sent into the output folder. Returns the error that says so."""
    files = [OutputFile(song.data, song.format) for song in songs]
    try:
        paths = [str(output_path(reference)) for reference in save_files(files, KEPT, None)]
    except OSError as error:  # it says where they are instead
        return NotDelivered(f"{len(songs)} of {total} songs were not sent: {reason}. {error}")
    return NotDelivered(f"{len(songs)} of {total} songs were not sent: {reason}. Kept instead as {', '.join(paths)}")


def deliver(sending: Coroutine[Any, Any, int], policy: Policy) -> int:
    """Send, stop when the user asks to, and return the HTTP status.

    Raises transfer's Failed for a network error or a status other than 200 to 299, and ValueError for what the policy
    forbids.
    """
    try:
        return blocking.run(sending, check=current_host().check_interrupted)
    except Refused as refused:
        raise ValueError(f"{refused}{_remedy(refused.url, policy)}") from None


def _remedy(url: str, policy: Policy) -> str:
    """What to do about a URL that is refused for its address alone."""
    if policy.allow_private or check_url(url, Policy(allow_private=True)):
        return ""
    return "; if it is a server of yours, switch allow_private on"
