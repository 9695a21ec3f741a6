"""Tensors on disk, in the safetensors format: read without torch, bfloat16 and float8 too."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.extras import need
from jseq.errors import FileError

PathLike = str | os.PathLike[str]
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    **{f"{kind}{bits}": f"{word}{bits}" for kind, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
HEADER_LIMIT = 100_000_000  # bytes; the limit of the safetensors library


def read_tensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads every tensor of a safetensors file, and its metadata.

    Raises:
        FileError: the file is damaged, or no safetensors file.
        ImportError: safetensors is not installed.
    """
    safetensors = need("safetensors", "io")
    data = Path(path).read_bytes()
    try:
        entries = safetensors.deserialize(data)
    except Exception as error:
        raise FileError(f"{os.fspath(path)} is damaged, or no safetensors file: {error}.") from None
    tensors: dict[str, np.ndarray] = {}
    for name, entry in entries:
        dtype = DTYPES.get(entry["dtype"])
        if dtype is None:
            raise FileError(f"{os.fspath(path)} holds {name!r} as {entry['dtype']}, which has no numpy form.")
        tensors[name] = np.frombuffer(entry["data"], jnp.dtype(dtype)).reshape(entry["shape"])
    return tensors, metadata_of(read_header(path))


def read_header(path: PathLike) -> dict[str, Any]:
    """Reads the header of a safetensors file alone: shapes, dtypes and metadata, no arrays.

    Raises:
        FileError: the file is no safetensors file.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_LIMIT):
            raise FileError(f"{os.fspath(path)} is no safetensors file: its header would be longer than the file.")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise FileError(
                f"{os.fspath(path)} is no safetensors file: {type(error).__name__} in its header."
            ) from None
    if not isinstance(header, dict):
        raise FileError(f"{os.fspath(path)} is no safetensors file: its header is no JSON object.")
    return header  # pyright: ignore[reportUnknownVariableType]


def metadata_of(header: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a header: texts by name."""
    found = header.get("__metadata__", {})
    return dict(found) if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
