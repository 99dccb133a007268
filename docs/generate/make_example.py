"""Writes the example melody that the browser plays: python docs/generate/make_example.py"""

from __future__ import annotations

from pages import ROOT

from acestep_xl import parameters
from acestep_xl.audio.encoding import encode
from acestep_xl.audio.files import write_bytes
from acestep_xl.nodes.load_audio import example

FILE = ROOT / "web" / "example.mp3"
KBPS = 96


def main() -> None:
    song = encode(example()[0], parameters.SAMPLE_RATE, format="mp3", bit_depth=16, bitrate_kbps=KBPS)
    write_bytes(FILE, song.data)


if __name__ == "__main__":
    main()
