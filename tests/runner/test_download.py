"""Downloads from a local hub that speaks the real one's protocol."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acestep_xl.runner import download as module
from acestep_xl.runner.download import DownloadError, download
from acestep_xl.runner.model_bundles import BUNDLES, Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves files by "repo/path", and .safetensors and .pt as large files behind a redirect."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.swapped: dict[str, bytes] = {}  # sent in place of a file, with that file's headers
        self.gets: list[tuple[str, str | None]] = []
        self.tokens: set[tuple[str, str | None]] = set()  # (first folder of the path, Authorization) of every request
        self.pause_at: int | None = None  # bytes of a large file sent before the connection stalls
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def cdn(self) -> str:
        """Where large files are: on another host, as at the real hub."""
        return f"http://localhost:{self.server_address[1]}"

    def body(self, name: str) -> bytes:
        return self.swapped.get(name, self.files[name])


class Handler(BaseHTTPRequestHandler):
    server: Hub  # type: ignore[assignment]  # http.server declares its own base class
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.server.tokens.add((self.path.split("/")[1], self.headers.get("Authorization")))
        if self.path.startswith("/cdn/"):
            self.send_file(self.path.removeprefix("/cdn/"), {}, with_body)
            return
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        name = f"{repo}/{rest.partition('/')[2]}"
        if name not in self.server.files:
            self.send_empty(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        data = self.server.files[name]
        if name.endswith((".safetensors", ".pt")):
            metadata = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self.send_empty(302, {"X-Repo-Commit": COMMIT, "Location": f"{self.server.cdn}/cdn/{name}"} | metadata)
        else:
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self.send_file(name, {"X-Repo-Commit": COMMIT, "ETag": f'"{blob}"'}, with_body)

    def send_empty(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

    def send_file(self, name: str, headers: dict[str, str], with_body: bool) -> None:
        data = self.server.body(name)
        requested = self.headers.get("Range")
        start = int(requested.removeprefix("bytes=").partition("-")[0]) if requested else 0
        if with_body:
            self.server.gets.append((name, requested))
        self.send_response(206 if requested else 200)
        if requested:
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        for key, value in (headers | {"Content-Length": str(len(data) - start), "Accept-Ranges": "bytes"}).items():
            self.send_header(key, value)
        self.end_headers()
        if not with_body:
            return
        rest = data[start:]
        pause = self.server.pause_at
        if pause is not None and len(rest) > pause:
            self.wfile.write(rest[:pause])
            self.wfile.flush()
            self.server.stalled.set()
            self.server.go_on.wait(300)
            self.close_connection = True
            return
        self.wfile.write(rest)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    server.server_close()
    thread.join()


LARGE = Source("org/models", "split/net.safetensors", "diffusion_models/net.safetensors")
SMALL = Source("org/words", "tokenizer.json", "text_encoders/net/tokenizer.json")
CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def sources(hub: Hub) -> list[Source]:
    hub.files = {"org/models/split/net.safetensors": CONTENT, "org/words/tokenizer.json": b'{"a": 1}'}
    return [LARGE, SMALL]


def quiet(text: str) -> None:
    pass


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_files_arrive_complete_in_their_folders(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    messages: list[str] = []
    paths = download(sources, tmp_path / "m", messages.append, hub.url)
    assert [path.read_bytes() for path in paths] == [CONTENT, b'{"a": 1}']
    assert names(tmp_path / "m") == ["diffusion_models/net.safetensors", "text_encoders/net/tokenizer.json"]
    assert any("fetching net.safetensors (0.3 MB)" in line for line in messages)


def test_a_second_run_fetches_nothing(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    download(sources, tmp_path, quiet, hub.url)
    hub.gets.clear()
    messages: list[str] = []
    download(sources, tmp_path, messages.append, hub.url)
    assert hub.gets == []
    assert sum(line.startswith("have ") for line in messages) == 2


def test_a_damaged_file_is_fetched_again(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    large, small = download(sources, tmp_path, quiet, hub.url)
    large.write_bytes(b"\xff" + CONTENT[1:])
    small.write_bytes(b"{}")
    download(sources, tmp_path, quiet, hub.url)
    assert large.read_bytes() == CONTENT and small.read_bytes() == b'{"a": 1}'


def test_a_partial_file_is_resumed(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    part = tmp_path / f"diffusion_models/net.safetensors.{hashlib.sha256(CONTENT).hexdigest()[:12]}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:100_000])
    messages: list[str] = []
    (path, _) = download(sources, tmp_path, messages.append, hub.url)
    assert hub.gets[0] == ("org/models/split/net.safetensors", "bytes=100000-")
    assert path.read_bytes() == CONTENT and not part.exists()
    assert any("0.1 MB already here" in line for line in messages)


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_a_part_as_long_as_the_file(length: int, hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    part = tmp_path / f"diffusion_models/net.safetensors.{hashlib.sha256(CONTENT).hexdigest()[:12]}.part"
    part.parent.mkdir()
    part.write_bytes((CONTENT + b"extra")[:length])
    assert download(sources, tmp_path, quiet, hub.url)[0].read_bytes() == CONTENT


def test_a_part_of_another_version_is_not_mixed_in(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    part = tmp_path / "diffusion_models/net.safetensors.abcdefabcdef.part"
    part.parent.mkdir()
    part.write_bytes(b"older")
    assert download(sources, tmp_path, quiet, hub.url)[0].read_bytes() == CONTENT
    assert hub.gets[0][1] is None


@pytest.mark.parametrize("name", ["org/models/split/net.safetensors", "org/words/tokenizer.json"])
def test_altered_content_is_refused(name: str, hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    hub.swapped[name] = b"\x01" + hub.files[name][1:]
    with pytest.raises(DownloadError, match="damaged"):
        download(sources, tmp_path, quiet, hub.url)
    assert not any(name.endswith(file.rpartition("/")[2]) or file.endswith(".part") for file in names(tmp_path))
    hub.swapped.clear()
    assert download(sources, tmp_path, quiet, hub.url)[0].read_bytes() == CONTENT


def test_missing_files_are_all_named_before_any_is_fetched(hub: Hub, sources: list[Source], tmp_path: Path) -> None:
    missing = [Source("org/models", "gone.pt", "a/gone.pt"), Source("org/words", "lost.json", "b/lost.json")]
    with pytest.raises(DownloadError) as caught:
        download([*sources, *missing], tmp_path, quiet, hub.url)
    assert "org/models has no file gone.pt (404" in str(caught.value)
    assert "org/words has no file lost.json (404" in str(caught.value)
    assert hub.gets == [] and names(tmp_path) == []


def test_disk_space_is_checked_first(
    hub: Hub, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=len(CONTENT) + 7))
    with pytest.raises(DownloadError, match=r"needs 0\.3 MB more.*--models"):
        download(sources, tmp_path / "not" / "yet", quiet, hub.url)
    assert hub.gets == []
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=len(CONTENT) + 8))
    download(sources, tmp_path, quiet, hub.url)


def test_a_hub_without_checksums_is_refused(
    hub: Hub, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashlib, "sha1", lambda data: hashlib.md5(data))
    with pytest.raises(DownloadError, match="no size and checksum"):
        download([SMALL], tmp_path, quiet, hub.url)


def test_a_token_stays_with_the_hub(
    hub: Hub, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_made_up")
    download(sources, tmp_path, quiet, hub.url)
    assert ("org", "Bearer hf_made_up") in hub.tokens
    assert {token for folder, token in hub.tokens if folder == "cdn"} == {None}


def test_no_hub_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with pytest.raises(DownloadError, match="the hub request for"):
        download([SMALL], tmp_path, quiet, "http://127.0.0.1:9")


def test_each_bundle_has_the_files_of_its_own_variant() -> None:
    assert list(BUNDLES) == ["xl-sft", "xl-base", "xl-turbo"]
    for name, bundle in BUNDLES.items():
        variant = name.removeprefix("xl-")
        targets = [source.target for source in bundle]
        assert len(set(targets)) == 6
        assert f"diffusion_models/acestep_v1.5_xl_{variant}_bf16.safetensors" in targets
        assert f"diffusion_models/acestep_v1.5_xl_{variant}_bf16.silence_latent.pt" in targets
        assert sum(target.startswith("text_encoders/qwen_0.6b_ace15/") for target in targets) == 2


def start(hub: Hub, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "acestep_xl.runner.cli", "download", "xl-sft", "--models", str(root)],
        # On a slow machine the hub library's timeout would retry a stalled request before the signal arrives.
        env=os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell without job control lets what it runs in the background ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_ctrl_c_and_again_with_the_real_command(hub: Hub, tmp_path: Path) -> None:
    """The command is interrupted in the middle of the large file and resumes it when called again."""
    for source in BUNDLES["xl-sft"]:
        hub.files[f"{source.repo}/{source.path}"] = source.target.encode() * 3
    large = BUNDLES["xl-sft"][0]
    content = CONTENT * 96  # more than two of the hub library's 10 MiB chunks
    hub.files[f"{large.repo}/{large.path}"] = content
    hub.pause_at = 12 * 2**20
    first = start(hub, tmp_path)
    assert hub.stalled.wait(120)
    for _ in range(1200):
        if any(path.stat().st_size >= 10 * 2**20 for path in tmp_path.rglob("*.part")):
            break
        threading.Event().wait(0.05)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=120)
    hub.go_on.set()
    assert first.returncode == 130, errors
    (part,) = tmp_path.rglob("*.part")
    assert part.stat().st_size == 10 * 2**20
    assert names(tmp_path / "diffusion_models") == [part.name]

    hub.pause_at = None
    hub.gets.clear()
    second = start(hub, tmp_path)
    output, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert hub.gets[0] == (f"{large.repo}/{large.path}", f"bytes={10 * 2**20}-")
    assert (tmp_path / large.target).read_bytes() == content
    assert output.splitlines() == [str(tmp_path / source.target) for source in BUNDLES["xl-sft"]]
    assert names(tmp_path) == sorted([*(s.target for s in BUNDLES["xl-sft"]), *hub_files(tmp_path)])


def hub_files(root: Path) -> list[str]:
    """What the hub library itself leaves in HF_HOME, which is in the same temporary folder."""
    return [name for name in names(root) if name.startswith("hf/")]
