"""`python -m jseq FILE`: the model, the arrays and their sizes, read from the header of a file."""

import argparse
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jseq._interop.extras import need
from jseq._interop.files import read_header
from jseq._tools.config import from_config
from jseq.errors import FileError

TORCH_ENDINGS = (".pt", ".pth", ".bin", ".ckpt")
LEFT = "<<>>>"  # how the columns of the table are aligned


class Row(NamedTuple):
    """One array of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int  # bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what a file holds; returns the exit code: 0, or 1 for a file that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m jseq",
        description="Shows the model, the arrays and their sizes in a safetensors file. Only its header is read, so "
        "the arrays are not loaded and the checksum is not checked.",
    )
    parser.add_argument("file", metavar="FILE", help="a file that jseq.save wrote, or any other safetensors file")
    parser.add_argument("--torch", action="store_true", help="FILE is a state dict that torch.save wrote; needs torch")
    options = parser.parse_args(arguments)
    try:
        lines = list((torch_lines if options.torch else lines_of)(options.file))
    except (FileError, OSError, ImportError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"python -m jseq: {plain(' '.join(reason.split()))}", file=sys.stderr)
        return 1
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def lines_of(path: str) -> Iterator[str]:
    """What is shown of a safetensors file."""
    try:
        header = read_header(path)
    except FileError as error:
        if path.endswith(TORCH_ENDINGS):
            raise FileError(f"{error} For a file of torch's: python -m jseq --torch {path}.") from None
        raise
    ours = header.metadata.get("jseq")
    kind = f"written by jseq, format {ours}" if ours is not None else "safetensors, not written by jseq"
    yield f"{plain(path)}: {kind}, {os.path.getsize(path):,} bytes"
    if "model" in header.metadata and ours is not None:
        yield from ["", *model_lines(header.metadata["model"])]
    for name, text in header.metadata.items():
        if ours is None:
            yield f"{plain(name)}: {plain(text[:200])}"
    rows = [Row(name, t.dtype, t.shape, t.size) for name, t in header.tensors.items()]
    yield from table(rows, ["params", "state"] if ours is not None else [])


def model_lines(text: str) -> Iterator[str]:
    """The printed tree of a model, or why there is none."""
    try:
        shown = str(from_config(json.loads(text)))
    except Exception as error:
        shown = f"the model cannot be shown: {str(error) or type(error).__name__}"
    for line in shown.splitlines():
        yield plain(line)


def table(rows: list[Row], roots: list[str]) -> Iterator[str]:
    """One line an array, and the sums: for each tree, each dtype, and all."""
    lines = [("array", "dtype", "shape", "values", "bytes")]
    for row in sorted(rows, key=in_order):
        shape = "(" + ", ".join(str(n) for n in row.shape) + (",)" if len(row.shape) == 1 else ")")
        lines.append((plain(row.name), plain(row.dtype), shape, f"{math.prod(row.shape):,}", f"{row.size:,}"))
    sums: dict[str, list[Row]] = {root: [row for row in rows if row.name.partition(".")[0] == root] for root in roots}
    dtypes = Counter(row.dtype for row in rows)
    sums |= {f"all {dtype}": [row for row in rows if row.dtype == dtype] for dtype in dtypes if len(dtypes) > 1}
    sums["total"] = rows
    lines += [("", "", "", "", "")]
    for name, group in sums.items():
        values, size = sum(math.prod(row.shape) for row in group), sum(row.size for row in group)
        lines.append((plain(name), "", f"{len(group):,} array{'s' * (len(group) != 1)}", f"{values:,}", f"{size:,}"))
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    yield ""
    for line in lines:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(line, LEFT, widths, strict=True))
        yield "  ".join(cells).rstrip()


def in_order(row: Row) -> list[tuple[int, int, str]]:
    """Sorts `layers.10` behind `layers.9`."""
    return [(0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part) for part in row.name.split(".")]


def plain(text: str) -> str:
    """Text as any terminal takes it: a file may hold escape sequences in its names."""
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


def torch_lines(path: str) -> Iterator[str]:
    """What is shown of a state dict of torch's: the tensors are made without their memory."""
    size = os.path.getsize(path)
    torch = need("torch", "torch")
    try:
        found = torch.load(Path(path), map_location="meta", weights_only=True)
    except Exception as error:  # torch's own message advises to run the code
        raise FileError(f"{path} is no state dict that torch can read without running its code "
                        f"({type(error).__name__}): torch.save(module.state_dict(), path) writes one."
                        ) from None  # fmt: skip
    rows, others = list[Row](), list[str]()
    for name, value in flat(found, ""):
        if isinstance(value, torch.Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            rows.append(Row(name, dtype, tuple(value.shape), value.numel() * value.element_size()))
        else:
            others.append(f"{plain(name)}: {plain(repr(value)[:60])}")
    yield f"{plain(path)}: written by torch, {size:,} bytes"
    yield from others
    yield from table(rows, [])


def flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The values within dicts and lists by their dotted paths."""
    if isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in items:
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
