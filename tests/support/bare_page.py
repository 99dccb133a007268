"""The browser widgets on a bare page in Chromium, without ComfyUI."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from browser import chromium, wait
from web_files import ROOT, WEB


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server without a log."""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


PAGE = """<!doctype html><meta charset="utf-8"><title>bare</title>
<link rel="stylesheet" href="/web/acestep_xl.css">
<style>
  body { margin: 20px; --input-text: #ddd; --descrip-text: #999; --p-primary-color: #60a5fa; background: #333;
    --component-node-widget-background: #222; --error-text: #f44 }
  .acestep { width: 600px; height: 160px; margin-bottom: 20px }
</style>
<script type="module">
  import { Player } from "/web/lib/player.js";
  import { RegionPicker } from "/web/lib/picker.js";
  import { learn } from "/web/lib/words.js";
  learn((await (await fetch("/locales/en/main.json")).json()).acestep_xl);
  window.edits = [];
  window.player = new Player("nothing yet");
  window.Player = Player;
  window.picker = new RegionPicker((text) => edits.push(text), () => {});
  document.body.append(player.element, picker.element);
  window.ready = true;
</script>"""


@contextmanager
def bare_page(folder: Path, profile: Path) -> Iterator[Any]:
    """A driver on the page, with songs of 4, 6 and 5 seconds and a broken one. folder: becomes the site."""
    (folder / "web").symlink_to(WEB)
    (folder / "locales").symlink_to(ROOT / "locales")
    (folder / "index.html").write_text(PAGE)
    for name, seconds in (("one", 4), ("two", 6), ("three", 5)):
        tone = 0.5 * np.sin(np.arange(seconds * 48000) * 0.03)
        soundfile.write(folder / f"{name}.wav", tone, 48000)
    (folder / "broken.wav").write_text("no sound")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium(profile) as driver:
            driver.get(f"http://127.0.0.1:{server.server_port}/index.html")
            wait(driver, "window.ready")
            yield driver
    finally:
        server.shutdown()


def show_songs(page: Any) -> None:
    """Three songs of a batch in the player, stopped at the start of the first."""
    page.execute_script(
        "player.stop(); player.show([]); player.choose(0);"
        "player.show(['one', 'two', 'three'].map((name, index) => "
        "({ url: `/${name}.wav`, name: `${name}.wav`, seed: `seed ${index + 7}` })))"
    )
    wait(page, "document.querySelector('.acestep-player .acestep-clock').textContent.endsWith('/ 0:04')")
