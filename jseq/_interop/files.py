"""Tensors on disk, in the safetensors format: read and written here, bfloat16 and float8 too.

A file is the length of the header (8 bytes, little-endian), the header (JSON: the dtype, shape and place of every
tensor, and texts under `__metadata__`), and the bytes of the tensors, one after the other without gaps.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jseq._interop.replacing import replacing
from jseq.errors import FileError

PathLike = str | os.PathLike[str]
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
HEADER_LIMIT = 16 * 2**20  # bytes. JSON takes up to 22 times its length in memory; 16 MiB name 100 000 tensors.
RANK_LIMIT = 32  # that of numpy 1
FORMAT = "1"
BLANK = "0" * 64  # stands for the checksum until it is known


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


def read_header(path: PathLike) -> Header:
    """Reads the header of a safetensors file alone: shapes, dtypes and metadata, no arrays.

    Raises:
        FileError: the file is no safetensors file.
        OSError: there is no such file.
    """
    with opened(path) as (_, header):
        return header


def read_tensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads every tensor of a safetensors file, and its metadata; no more than the file's size is allocated.

    The checksum of a file that jseq wrote is checked.

    Raises:
        FileError: the file is damaged, is no safetensors file, or was written by a newer jseq.
        OSError: there is no such file.
    """
    tensors: dict[str, np.ndarray] = {}
    hashes: dict[str, str] = {}
    with opened(path) as (file, header):
        version = header.metadata.get("jseq", FORMAT)
        if version != FORMAT:
            raise FileError(f"{os.fspath(path)} has the format {version!r:.20} of jseq; this jseq reads {FORMAT!r}.")
        for name, tensor in header.tensors.items():
            if tensor.dtype not in DTYPES:
                raise FileError(f"{os.fspath(path)} holds {name!r} as {tensor.dtype}, which has no numpy form.")
            try:
                tensors[name] = read_tensor(file, tensor)
            except ValueError as error:
                raise FileError(f"{os.fspath(path)} is damaged: {error} of {name!r:.200}.") from None
            if "jseq" in header.metadata:
                hashes[name] = hashlib.sha256(bytes_of(tensors[name])).hexdigest()
    if "jseq" in header.metadata and header.metadata.get("sha256") != checksum(header, hashes):
        raise FileError(f"{os.fspath(path)} is damaged: its checksum does not fit. Copy the file again, or save again.")
    return tensors, header.metadata


def read_tensor(file: BinaryIO, tensor: Tensor) -> np.ndarray:
    """Reads the tensor that comes next."""
    array = np.empty(tensor.shape, jnp.dtype(tensor.name))
    data = bytes_of(array)
    if file.readinto(data) != len(data):  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("the end is missing")
    if tensor.dtype == "BOOL" and data and max(data) > 1:
        raise ValueError("a byte is neither true nor false")
    return array


def bytes_of(array: np.ndarray) -> memoryview:
    """The memory of a C-ordered array, dtypes that numpy has not included."""
    return array.reshape(-1).view(np.uint8).data


@contextmanager
def opened(path: PathLike) -> Iterator[tuple[BinaryIO, Header]]:
    """Opens a safetensors file behind its header, which is checked against the size before anything is read."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{os.fspath(path)} is no file.")
    with open(path, "rb") as file:
        try:
            yield file, parsed(file, status.st_size)
        except Misformed as error:
            raise FileError(f"{os.fspath(path)} is damaged, or no safetensors file: {error}.") from None


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
        header: Any = json.loads(file.read(length), object_pairs_hook=without_repetition)
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
        raise ValueError("a name comes twice")
    return found


def tensor_of(name: str, entry: Any) -> Tensor:
    """Reads one entry of the header."""
    parts = entry if isinstance(entry, dict) else {}
    dtype, shape, place = (parts.get(part) for part in ("dtype", "shape", "data_offsets"))
    numbers = [*(shape if isinstance(shape, list) else [None]), *(place if isinstance(place, list) else [None])]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers) or len(place) != 2 or len(parts) != 3:
        raise Misformed(f"{name!r:.200} has no dtype, shape and place")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Misformed(f"{name!r:.200} has the dtype {dtype!r:.40}, which is unknown")
    bits = BITS[dtype] * math.prod(shape)
    if bits != 8 * (place[1] - place[0]) or BITS[dtype] * math.prod(n or 1 for n in shape) >= 2**63:
        raise Misformed(f"{name!r:.200} is {dtype}{shape!r:.80}, and has {place[1] - place[0]} bytes")
    if len(shape) > RANK_LIMIT:
        raise Misformed(f"{name!r:.200} has {len(shape)} axes")
    return Tensor(dtype, tuple(shape), *place)


def checksum(header: Header, hashes: Mapping[str, str]) -> str:
    """SHA-256 over the texts, and over names, dtypes, shapes and bytes of the tensors; their order plays no part."""
    texts = [[name, text] for name, text in sorted(header.metadata.items()) if name != "sha256"]
    tensors = [[name, header.tensors[name].dtype, header.tensors[name].shape, hashes[name]]
               for name in sorted(header.tensors)]  # fmt: skip
    return hashlib.sha256(json.dumps([texts, tensors]).encode()).hexdigest()


def write_tensors(path: PathLike, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes arrays and texts as a safetensors file with a checksum, atomically; the array is copied one by one.

    Raises:
        FileError: an array's dtype has no place in the format.
        OSError: the file cannot be written.
    """
    header = laid_out(arrays, {"sha256": BLANK, "jseq": FORMAT, **metadata})
    entries = {name: {"dtype": dtype, "shape": shape, "data_offsets": place}
               for name, (dtype, shape, *place) in header.tensors.items()}  # fmt: skip
    text = json.dumps({"__metadata__": header.metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays begin at a multiple of 8
    if len(text) > HEADER_LIMIT:
        raise FileError(f"the names of {len(arrays)} arrays and the model take {len(text)} bytes, more than the "
                        f"{HEADER_LIMIT} that are read. jseq.repeat keeps equal layers in one array.")  # fmt: skip
    hashes: dict[str, str] = {}
    with replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header.tensors:
            data = bytes_of(as_written(arrays[name]))
            hashes[name] = hashlib.sha256(data).hexdigest()
            file.write(data)
        file.seek(8 + text.index(BLANK.encode()))
        file.write(checksum(header, hashes).encode())


def laid_out(arrays: Mapping[str, Any], metadata: dict[str, str]) -> Header:
    """The places of the arrays: the widest dtypes first, so that each begins at a multiple of its size."""
    dtypes = {name: np.dtype(array.dtype).newbyteorder("=") for name, array in arrays.items()}
    for name, dtype in dtypes.items():
        if dtype.name not in NAMES:
            raise FileError(f"{name} has the dtype {dtype.name}, which safetensors files have not. They have "
                            f"{', '.join(sorted(NAMES))}.")  # fmt: skip
    start, tensors = 0, dict[str, Tensor]()
    for name in sorted(arrays, key=lambda name: (-dtypes[name].itemsize, name)):
        shape = tuple(int(size) for size in arrays[name].shape)
        stop = start + math.prod(shape) * dtypes[name].itemsize
        tensors[name] = Tensor(NAMES[dtypes[name].name], shape, start, stop)
        start = stop
    return Header(tensors, metadata)


def as_written(array: Any) -> np.ndarray:
    """The array in C order and little-endian: safetensors 0.8.0 itself wrote strided memory as it lay."""
    array = np.asarray(array, order="C")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
