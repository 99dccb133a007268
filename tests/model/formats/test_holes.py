"""Space inside a weight that a resumed download left out is found; pruned, padded and sparse weights are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from acestep_xl.model import demo
from acestep_xl.model.formats.holes import SHORTEST, Hole, find_holes
from acestep_xl.model.formats.safetensors import open_safetensors
from acestep_xl.model.formats.tensors import CheckpointError, Entry
from acestep_xl.model.formats.weights import check_weights
from acestep_xl.model.layouts import open_text_encoder, open_vae, recognise

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float8_e4m3fn)
GOLDEN = Path(__file__).parents[2] / "golden"


def saved(state: dict[str, Tensor], path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def matrix(rows: int, columns: int, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> Tensor:
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02
    return values.to(dtype)


def entries(path: Path) -> dict[str, Entry]:
    return open_safetensors(path).entries()


def punch(path: Path, start: int, end: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(end - start))


def holes(path: Path) -> list[Hole]:
    return find_holes(path, [entry for entry in entries(path).values() if len(entry.shape) > 1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [2**16, 2**18, 2**20])
def test_a_part_of_a_download_inside_a_matrix_of_the_published_size(
    size: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Parts start at multiples of their size in the file, which a header moves away from the rows."""
    state = {f"layers.{index}.self_attn.q_proj.weight": matrix(1024, 2560, dtype, index) for index in range(2)}
    path = saved(state, tmp_path / "m.safetensors")
    whole = open_safetensors(path)
    check_weights(path, whole)
    entry = whole.entry("layers.1.self_attn.q_proj.weight")
    start = (entry.span[0] // size + 1) * size
    punch(path, start, start + size)
    share = f"{size / (entry.span[1] - entry.span[0]):.1%}"
    with pytest.raises(CheckpointError, match="only partly there: bytes ") as caught:
        check_weights(path, open_safetensors(path))
    message = str(caught.value)
    assert "m.safetensors are zeros in the middle of layers.1.self_attn.q_proj.weight" in message
    assert f"({share} of it)" in message and message.endswith("fetch it again")
    [hole] = holes(path)
    assert abs(hole.start - start) < 8 and abs(hole.end - start - size) < 8


def test_holes_in_several_weights_are_counted(tmp_path: Path) -> None:
    path = saved({f"l.{index}.weight": matrix(512, 512, seed=index) for index in range(3)}, tmp_path / "m.safetensors")
    for entry in entries(path).values():
        punch(path, entry.span[0] + 100_002, entry.span[0] + 200_000)
    with pytest.raises(CheckpointError, match="and 2 more weights have such holes"):
        check_weights(path, open_safetensors(path))


def test_a_hole_over_the_border_of_two_weights_is_found(tmp_path: Path) -> None:
    path = saved({f"l.{index}.weight": matrix(256, 256, seed=index) for index in range(2)}, tmp_path / "m.safetensors")
    border = entries(path)["l.1.weight"].span[0]
    punch(path, border - 40_002, border + 30_002)
    assert {hole.entry.key for hole in holes(path)} == {"l.0.weight", "l.1.weight"}


def test_networks_text_encoders_and_vaes_are_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "diffusers" / tiny.write("shards", tmp_path)
    shard = folder / "model-00001-of-00002.safetensors"
    punch_largest(shard)
    with pytest.raises(CheckpointError, match=rf"only partly there: bytes .* of {shard.name}"):
        recognise(folder)
    text = saved(tiny.text_state(), tmp_path / "t.safetensors")
    punch_largest(text)
    with pytest.raises(CheckpointError, match=r"only partly there: bytes .* embed_tokens.weight"):
        open_text_encoder(text)
    vae = saved(tiny.vae_state(), tmp_path / "v.safetensors")
    punch_largest(vae)
    with pytest.raises(CheckpointError, match=r"only partly there: bytes .* encoder.block.4.conv1.weight_v"):
        open_vae(vae)


def punch_largest(path: Path) -> None:
    """Punch a hole into the file's largest matrix that starts in the middle of a row."""
    matrices = [entry for entry in entries(path).values() if len(entry.shape) > 1]
    entry = max(matrices, key=lambda entry: entry.span[1] - entry.span[0])
    row = (entry.span[1] - entry.span[0]) // entry.shape[0]
    start = entry.span[0] + entry.shape[0] // 4 * row + row // 8 * 4
    punch(path, start, start + 2 * max(SHORTEST, row))


@pytest.mark.parametrize("layout", tiny.LAYOUTS)
def test_whole_checkpoints_of_every_layout_are_accepted(layout: str, tmp_path: Path) -> None:
    tiny.write(layout, tmp_path)
    assert [hole for path in tmp_path.rglob("*.safetensors") for hole in holes(path)] == []


def test_the_networks_here_are_accepted() -> None:
    for folder in (*GOLDEN.glob("*_tiny"), demo.FOLDER):
        recognise(folder)


def prune(weight: Tensor, kind: str, first: int, count: int) -> None:
    rows, columns = weight.shape
    if kind == "rows":
        weight[first % rows : first % rows + count] = 0
    elif kind == "last rows":
        weight[-count:] = 0
    elif kind == "columns":
        weight[:, first % columns : first % columns + count] = 0
    elif kind == "block":
        weight[: first % rows, : count % columns] = 0
    elif kind == "block diagonal":
        half = rows // 2, columns // 2
        weight[: half[0], half[1] :] = 0
        weight[half[0] :, : half[1]] = 0
    elif kind == "triangle":
        weight.copy_(weight.float().tril().to(weight.dtype))
    elif kind == "all but a row":
        weight[: rows // 2] = 0
        weight[rows // 2 + 1 :] = 0


KINDS = ("rows", "last rows", "columns", "block", "block diagonal", "triangle", "all but a row")


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(2, 300),
    columns=st.integers(2, 600),
    dtype=st.sampled_from(DTYPES),
    scale=st.sampled_from([1.0, 1e-2, 1e-4]),  # the smallest vanish in float8
    kept=st.sampled_from([1.0, 0.5, 0.05, 0.001]),
    pruning=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 600), st.integers(1, 300)), max_size=3),
    seed=st.integers(0, 2**20),
)
def test_no_false_alarm_for_pruned_padded_or_sparse_weights(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    columns: int,
    dtype: torch.dtype,
    scale: float,
    kept: float,
    pruning: list[tuple[str, int, int]],
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, columns, generator=generator) * scale
    weight = (values * (torch.rand(rows, columns, generator=generator) < kept)).to(dtype)
    for kind, first, count in pruning:
        prune(weight, kind, first, count)
    path = saved({"a.weight": weight}, tmp_path_factory.mktemp("pruned") / "m.safetensors")
    assert holes(path) == []


@settings(deadline=None, max_examples=100)
@given(
    rows=st.integers(100, 400),
    columns=st.integers(100, 600),
    dtype=st.sampled_from(DTYPES),
    position=st.floats(0, 1),
    length=st.integers(2 * SHORTEST, 6 * SHORTEST),
    seed=st.integers(0, 2**20),
)
def test_every_hole_of_whole_rows_and_a_part_of_one_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    columns: int,
    dtype: torch.dtype,
    position: float,
    length: int,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("holes") / "m.safetensors"
    weight = matrix(rows, columns, dtype, seed)
    saved({"a.weight": weight}, path)
    first, end = entries(path)["a.weight"].span
    row = (end - first) // rows
    start = first + int(position * (end - first) * 0.5)
    stop = start + max(length, 2 * row)
    places = {(place - first) % row // weight.dtype.itemsize for place in (start, stop)}
    assume(stop < end - row and any(4 <= place <= columns - 4 for place in places))
    punch(path, start, stop)
    assert [hole.entry.key for hole in holes(path)] == ["a.weight"]
