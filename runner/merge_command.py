"""The merge command: writes a checkpoint with adapters merged in."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..host import use
from ..parameters.adapters import STRENGTH
from .terminal import FAILED, OK, PlainProgress, TerminalProgress, UsageError, print_result, print_status
from .workflow_input import create_host

DEFAULT_FORM = "bf16"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of merge."""
    command.add_argument("checkpoint", metavar="CHECKPOINT", help="a file or folder, or a name in the model folders")
    command.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help=f"an adapter and how strongly to merge it ({STRENGTH.default:g}); repeatable, merged in this order",
    )
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the file to write")
    command.add_argument(
        "--as",
        dest="form",
        default=DEFAULT_FORM,
        metavar="FORMAT",
        help="bf16, fp16, fp32, fp8 or int8 in a safetensors file, or gguf-bf16, gguf-f16, gguf-q8_0, gguf-q5_1, "
        f"gguf-q5_0, gguf-q4_1 or gguf-q4_0 ({DEFAULT_FORM})",
    )
    command.add_argument("-f", "--force", action="store_true", help="overwrite an existing OUT")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(device="cpu")


def merge(arguments: argparse.Namespace) -> int:
    """Write the checkpoint, print its name, and return the exit code. Raises UsageError before anything is written."""
    from ..nodes.table import AdapterTools

    output: Path = arguments.output
    adapters, problems = parse_adapters(arguments.adapter)
    if arguments.form in AdapterTools.FORMS:
        problems += _output_problems(output, AdapterTools.suffix_of(arguments.form), arguments.force)
    else:
        problems.append(f"--as {arguments.form} is unknown; allowed: {', '.join(AdapterTools.FORMS)}")
    if problems:
        raise UsageError(problems)
    make_bar = TerminalProgress if sys.stderr.isatty() else PlainProgress
    bar = None

    def on_tensor(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or make_bar("merge", total)
        bar.update(done)

    try:
        with use(create_host(arguments, None)):
            hints = AdapterTools.merge(arguments.checkpoint, adapters, output, arguments.form, on_tensor)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    except FileNotFoundError as error:
        raise UsageError([str(error)]) from error
    except OSError as error:
        print_status(f"error: cannot write {output}: {error.strerror or error}")
        return FAILED
    finally:
        if bar is not None:
            bar.close()
    for hint in hints:
        print_status(f"note: {hint}")
    print_result(json.dumps({"status": "ok", "file": str(output), "notes": hints}) if arguments.json else output)
    return OK


def parse_adapters(texts: list[str]) -> tuple[list[tuple[str, float]], list[str]]:
    """FILE[:STRENGTH] as pairs, and what is wrong with them. What follows a colon is a strength if it is a number."""
    pairs, problems = list[tuple[str, float]](), list[str]()
    for text in texts:
        name, colon, number = text.rpartition(":")
        try:
            strength = float(number) if colon else STRENGTH.default
        except ValueError:
            name, strength = text, STRENGTH.default  # a colon of the path, as after a drive's letter
        pairs.append((name if colon and name else text, strength))
        if not (STRENGTH.minimum or 0) <= strength <= (STRENGTH.maximum or 0):
            problems.append(f"--adapter {text}: allowed strengths are {STRENGTH.minimum:g} to {STRENGTH.maximum:g}")
    return pairs, problems


def _output_problems(output: Path, suffix: str, force: bool) -> list[str]:
    problems = []
    if output.suffix.lower() != suffix:
        problems.append(f"{output} must end in {suffix} for this format")
    if output.is_dir():
        problems.append(f"{output} is a folder; name a file")
    elif output.exists() and not force:
        problems.append(f"{output} exists; choose another name, or overwrite it with --force")
    if not output.absolute().parent.is_dir():
        problems.append(f"the folder {output.parent} does not exist; create it first")
    return problems
