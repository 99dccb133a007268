"""Hashes of the songs that every shipped workflow makes with the demo network, to see which of them a change alters.

    python benchmarks/song_hashes.py > before.txt
    python benchmarks/song_hashes.py > after.txt    # on the other revision, on the same machine

Each line is a workflow, a file and the SHA-256 of its decoded samples. Tags are left out because they contain the
graph. Two machines give different hashes where their processors round differently.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av

from acestep_xl.runner.shipped import SHIPPED

ONLY_COMFYUI = {"core_nodes"}  # uses ComfyUI's own nodes


def audio_files(workflow: str, output: Path) -> list[Path]:
    """Run a workflow; returns the audio files that it writes. Raises CalledProcessError if the run fails."""
    command = [sys.executable, "-m", "acestep_xl", "run", workflow, "--demo", "--device", "cpu", "--json"]
    result = subprocess.run([*command, "--output", str(output)], check=True, stdout=subprocess.PIPE, text=True)
    files = [Path(name) for name in json.loads(result.stdout)["files"]]
    return sorted(file for file in files if file.suffix in (".flac", ".wav", ".mp3", ".ogg"))


def sample_hash(file: Path) -> str:
    """SHA-256 of the decoded samples, with their rate and layout."""
    digest = hashlib.sha256()
    with av.open(str(file)) as container:
        for frame in container.decode(audio=0):
            digest.update(f"{frame.sample_rate} {frame.layout.name}".encode())
            digest.update(frame.to_ndarray().tobytes())
    return digest.hexdigest()


def main() -> None:
    for workflow in SHIPPED:
        if workflow in ONLY_COMFYUI:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for file in audio_files(workflow, Path(folder)):
                print(f"{workflow}  {file.relative_to(folder)}  {sample_hash(file)}", flush=True)


if __name__ == "__main__":
    main()
