"""Tensors on disk, in the safetensors format: read and written here, bfloat16 and float8 too."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np

from jseq._interop.headers import DTYPES, HEADER_LIMIT, NAMES, Header, Misformed, Tensor, checksum, parsed
from jseq._interop.replacing import replacing
from jseq.errors import FileError

PathLike = str | os.PathLike[str]
FORMAT = "1"
BLANK = "0" * 64  # stands for the checksum until it is known


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
def opened(path: PathLike) -> Generator[tuple[BinaryIO, Header]]:
    """Opens a safetensors file behind its header, which is checked against the size before anything is read."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{os.fspath(path)} is no file.")
    with open(path, "rb") as file:
        try:
            yield file, parsed(file, status.st_size)
        except Misformed as error:
            raise FileError(f"{os.fspath(path)} is damaged, or no safetensors file: {error}.") from None


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
