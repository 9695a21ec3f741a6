"""The header of a safetensors file: what it says of the tensors, checked before any of them is read.

A file is the length of the header (8 bytes, little-endian), the header (JSON: the dtype, shape and place of every
tensor, and texts under `__metadata__`), and the bytes of the tensors, one after the other without gaps.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    **{f"{kind}{bits}": f"{word}{bits}" for kind, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, **{name: 8 * jnp.dtype(dtype).itemsize for name, dtype in DTYPES.items()}}
HEADER_LIMIT = 16 * 2**20  # bytes. JSON takes up to 25 times its length in memory; 16 MiB name 100 000 tensors.
RANK_LIMIT = 32  # that of numpy 1


class Tensor(NamedTuple):
    """Where a tensor stands in a file: its dtype in the words of the format, its shape, its first and last byte."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The dtype in numpy's words."""
        return DTYPES.get(self.dtype, self.dtype)


class Header(NamedTuple):
    """What a file says of itself: its tensors in the order of their bytes, and its texts."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


class Misformed(Exception):
    """What is wrong with a header."""


def parsed(file: BinaryIO, size: int) -> Header:
    """Reads and checks the header of a file of this size."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise Misformed("its header would be longer than the file")
    if length > HEADER_LIMIT:
        raise Misformed(f"its header has {length} bytes, more than the {HEADER_LIMIT} that are read")
    try:
        header: Any = json.loads(file.read(length).decode(), object_pairs_hook=without_repetition)
    except (ValueError, RecursionError) as error:
        raise Misformed(f"{type(error).__name__} in its header") from None
    if not isinstance(header, dict):
        raise Misformed("its header is no JSON object")
    metadata: Any = header.pop("__metadata__", {})  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Misformed("its metadata are no texts")
    tensors = {name: tensor_of(name, entry) for name, entry in header.items()}
    ordered = dict(sorted(tensors.items(), key=lambda item: item[1][2:]))
    end = 0
    for name, tensor in ordered.items():
        if tensor.start != end:
            raise Misformed(f"{name!r:.200} begins at byte {tensor.start}, and {end} is free")
        end = tensor.stop
    if end != size - 8 - length:
        raise Misformed(f"its tensors have {end} bytes, and the file {size - 8 - length}")
    return Header(ordered, metadata)


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; refuses a name that comes twice, which readers understand differently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Misformed("a name comes twice in its header")
    return found


def tensor_of(name: str, entry: Any) -> Tensor:
    """Reads one entry of the header."""
    parts: dict[str, Any] = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (parts.get(part, ()) for part in ("dtype", "shape", "data_offsets"))
    if not (are_counts(shape) and are_counts(place) and len(place) == 2 and len(parts) == 3):
        raise Misformed(f"{name!r:.200} has no dtype, shape and place")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Misformed(f"{name!r:.200} has the dtype {dtype!r:.40}, which is unknown")
    if len(shape) > RANK_LIMIT:
        raise Misformed(f"{name!r:.200} has {len(shape)} axes")
    bits = BITS[dtype] * math.prod(shape)
    if bits != 8 * (place[1] - place[0]) or BITS[dtype] * math.prod(n or 1 for n in shape) >= 2**63:
        raise Misformed(f"{name!r:.200} is {dtype}{shape!r:.80}, and has {place[1] - place[0]} bytes")
    return Tensor(dtype, tuple(shape), *place)


def are_counts(value: Any) -> bool:
    """Whether this is a list of sizes or places."""
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)


def checksum(header: Header, hashes: Mapping[str, str]) -> str:
    """SHA-256 over the texts, and over names, dtypes, shapes and bytes of the tensors; their order plays no part."""
    texts = [[name, text] for name, text in sorted(header.metadata.items()) if name != "sha256"]
    tensors = [[name, header.tensors[name].dtype, header.tensors[name].shape, hashes[name]]
               for name in sorted(header.tensors)]  # fmt: skip
    return hashlib.sha256(json.dumps([texts, tensors]).encode()).hexdigest()
