"""Writes the example melody as the file the browser plays: python docs/make_example.py"""

from __future__ import annotations

from pathlib import Path

from acestep_xl import parameters
from acestep_xl.audio.files import write
from acestep_xl.nodes.load_audio import example

FILE = Path(__file__).parent.parent / "web" / "example.mp3"
KBPS = 96


def main() -> None:
    write(FILE, example()[0], parameters.SAMPLE_RATE, format="mp3", bit_depth=16, bitrate_kbps=KBPS)


if __name__ == "__main__":
    main()
