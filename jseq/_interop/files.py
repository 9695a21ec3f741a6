"""Tensors on disk: safetensors files, with a checksum and replaced atomically; bfloat16 and float8 too."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jseq._interop.extras import need
from jseq._interop.replacing import replacing
from jseq.errors import FileError

PathLike = str | os.PathLike[str]
FORMAT = "1"
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


class Tensor(NamedTuple):
    """What a file says of a tensor: its dtype in numpy's words (the format's own where numpy has none), its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Its bytes; 0 for a dtype that numpy has not."""
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize if self.dtype in NAMES else 0


class Header(NamedTuple):
    """What a file says of itself: its tensors in the order of their bytes, and its texts."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_header(path: PathLike) -> Header:
    """Reads the header of a safetensors file alone: shapes, dtypes and metadata, no arrays.

    Raises:
        FileError: the file is damaged, or no safetensors file.
        OSError: there is no such file.
        ImportError: safetensors is not installed.
    """
    safetensors = need("safetensors", "io")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileError(f"{os.fspath(path)} is no file.")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            parts = {name: file.get_slice(name) for name in file.offset_keys()}
            found = {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in parts.items()}
            metadata = dict(file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise FileError(torchs(path) or f"{os.fspath(path)} is damaged, or no safetensors file: {error}.") from None
    return Header({name: Tensor(DTYPES.get(dtype, dtype), shape) for name, (dtype, shape) in found.items()}, metadata)


def torchs(path: PathLike) -> str:
    """What to do with a file of torch.save, which is a zip file or, of older torch, a pickle; "" for any other."""
    with open(path, "rb") as file:
        head = file.read(512)
    zipped = head.startswith(b"PK\x03\x04") and b"/data.pkl" in head  # the first file that torch puts into it
    # A header of safetensors, which begins at byte 8, may be 640 bytes long: \x80\x02, and zeros.
    if not (zipped or (head.startswith(b"\x80\x02") and head[8:9] != b"{")):
        return ""
    place = os.fspath(path)
    return (f"{place} is a file of torch.save, no safetensors file. The calls that work: state_dict = "
            f"torch.load({place!r}, weights_only=True); jseq.load_torch_state_dict(model, state_dict).")  # fmt: skip


def read_tensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads every tensor of a safetensors file, and its metadata; the checksum of a file of jseq's is checked.

    Each tensor is read into its own place: the library would hold the whole file beside them, and makes no float8.

    Raises:
        FileError: the file is damaged, is no safetensors file, or was written by a newer jseq.
        OSError: there is no such file.
        ImportError: safetensors is not installed.
    """
    tensors, metadata = read_header(path)
    place, version = os.fspath(path), metadata.get("jseq", FORMAT)
    if version != FORMAT:
        raise FileError(f"{place} has the format {version!r:.20} of jseq; this jseq reads {FORMAT!r}.")
    arrays: dict[str, np.ndarray] = {}
    with open(path, "rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))  # the tensors follow the header, without gaps
        for name, tensor in tensors.items():
            if tensor.dtype not in NAMES:
                raise FileError(f"{place} holds {name!r} as {tensor.dtype}, which has no numpy form.")
            try:
                arrays[name] = read_tensor(file, tensor)
            except ValueError as error:
                raise FileError(f"{place} is damaged: {error}, in {name!r:.200}.") from None
    if "jseq" in metadata and metadata.get("sha256") != checksum(arrays, metadata):
        raise FileError(f"{place} is damaged: its checksum does not fit. Copy the file again, or save again.")
    return arrays, metadata


def read_tensor(file: BinaryIO, tensor: Tensor) -> np.ndarray:
    """Reads the tensor that comes next."""
    array = np.empty(tensor.shape, jnp.dtype(tensor.dtype))
    data = bytes_of(array)
    if file.readinto(data) != len(data):  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError("the end is missing")
    if tensor.dtype == "bool" and data and max(data) > 1:
        raise ValueError("a byte is neither true nor false")
    return array


def bytes_of(array: np.ndarray) -> memoryview:
    """The memory of a C-ordered array, dtypes that numpy has not included."""
    return array.reshape(-1).view(np.uint8).data


def write_tensors(path: PathLike, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Writes arrays and texts as a safetensors file with a checksum, atomically.

    Raises:
        FileError: an array's dtype has no place in the format.
        OSError: the file cannot be written.
        ImportError: safetensors is not installed.
    """
    library = need("safetensors.numpy", "io")
    for name, array in arrays.items():
        dtype = np.dtype(array.dtype).newbyteorder("=").name
        if dtype not in NAMES:
            raise FileError(f"{name} has the dtype {dtype}, which safetensors files have not. They have "
                            f"{', '.join(sorted(NAMES))}.")  # fmt: skip
    written = {name: as_written(array) for name, array in arrays.items()}
    texts = {"jseq": FORMAT, **metadata}
    with replacing(path) as temporary:
        library.save_file(written, temporary, {**texts, "sha256": checksum(written, texts)})


def as_written(array: Any) -> np.ndarray:
    """The array in C order and of this machine's bytes: safetensors 0.8.0 writes strided memory as it lies."""
    array = np.asarray(array, order="C")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 over the texts, and over names, dtypes, shapes and bytes of the arrays; their order plays no part."""
    texts = [[name, text] for name, text in sorted(metadata.items()) if name != "sha256"]
    parts = [[name, array.dtype.name, array.shape, hashlib.sha256(bytes_of(array)).hexdigest()]
             for name, array in sorted(arrays.items())]  # fmt: skip
    return hashlib.sha256(json.dumps([texts, parts]).encode()).hexdigest()
