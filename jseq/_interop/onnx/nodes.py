"""The nodes and constants of an ONNX graph under construction, and where their axes are stored."""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.extras import need
from jseq._interop.onnx.value import Value, broadcast, inverse, is_one, ordered


class Nodes:
    """Adds nodes by `op` and `map`.

    Arrays may stand wherever values may: they become constants, floating ones in the dtype of the values beside them.
    """

    def __init__(self, outer: "Nodes | None" = None):
        self.onnx = need("onnx", "onnx")
        self.outer = outer  # the graph around the body of a loop: its tensors are in sight
        self.nodes: list[Any] = []
        self.constants: dict[Any, Any] = {} if outer is None else outer.constants
        self.names: dict[str, int] = {} if outer is None else outer.names
        self.copies: dict[Any, str] = {}
        self.path: tuple[str, ...] = () if outer is None else outer.path
        self.batch: Any = None if outer is None else outer.batch  # the symbol of the batch axis
        self.batched = ""  # an input that has it on axis 0

    def name(self, kind: str) -> str:
        """A new name: the path of the layer, and what it names."""
        text = "/".join([".".join(self.path), kind]) if self.path else kind
        self.names[text] = self.names.get(text, 0) + 1
        return text if self.names[text] == 1 else f"{text}_{self.names[text]}"

    def constant(self, array: Any, dtype: Any = None, name: str = "constant") -> Value:
        """A constant; equal matrices are kept once, and equal numbers without a name of their own."""
        array = np.asarray(array)
        array = np.ascontiguousarray(array.astype(dtype or array.dtype)).reshape(array.shape)
        own_place = (*self.path, name) if name != "constant" and array.ndim < 2 else ()
        key = (own_place, array.dtype.name, array.shape, hashlib.blake2b(array.tobytes(), digest_size=16).digest())
        if key not in self.constants:
            own = self.name(name)
            kind = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor = self.onnx.helper.make_tensor(own, kind, array.shape, array.tobytes(), raw=True)
            self.constants[key] = tensor
        return Value(self, self.constants[key].name, array.shape, array.dtype)

    def value(self, given: Any, like: Sequence[Any] = (), name: str = "constant") -> Value:
        """The value itself, or an array as a constant: floating in the dtype of the first floating value of `like`."""
        if isinstance(given, Value):
            return given
        array = np.asarray(given)
        number = isinstance(given, int) and not isinstance(given, bool)
        if number or jnp.issubdtype(array.dtype, jnp.floating):
            beside = [v for v in like if isinstance(v, Value) and v.dtype != bool and (number or v.floating)]
            own = next((v for v in beside if v.floating), beside[0] if beside else array)
            array = array.astype(own.dtype)
        return self.constant(array, name=name)

    def emit(self, kind: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Adds a node; gives the names of its outputs."""
        names = [self.name(kind) for _ in range(outputs)]
        node = self.onnx.helper.make_node(kind, inputs, names, name=names[0], **attributes)
        self.nodes.append(node)
        return names

    def op(
        self, kind: str, *inputs: Any, shape: Any = None, dtype: Any = None, outputs: int = 1, **attributes: Any
    ) -> Any:
        """Adds a node on tensors in their plain order; None leaves an optional input out.

        Args:
            kind: the operator, such as "Conv".
            inputs: values, arrays, None.
            shape, dtype: of the output; those of the first input if not given. With several outputs, a list of each.
            outputs: how many outputs; with more than one a tuple is returned.
            attributes: of the operator.
        """
        values = [None if a is None else self.plain(self.value(a, inputs)) for a in inputs]
        names = self.emit(kind, [v.name if v is not None else "" for v in values], outputs, **attributes)
        first = next(v for v in values if v is not None)
        shapes = shape if outputs > 1 else [first.stored if shape is None else shape]
        dtypes = dtype if isinstance(dtype, list) else [dtype or first.dtype] * outputs
        made = [Value(self, n, tuple(s), np.dtype(d)) for n, s, d in zip(names, shapes, dtypes, strict=True)]
        return made[0] if outputs == 1 else tuple(made)

    def map(self, kind: str, *inputs: Any, dtype: Any = None, **attributes: Any) -> Value:
        """Adds an elementwise node, whose inputs broadcast as NumPy's do; the order of stored axes is kept."""
        values = [self.value(a, inputs) if isinstance(a, Value) or np.ndim(a) == 0 else np.asarray(a) for a in inputs]
        rank = max(len(v.shape) for v in values)
        perm = next((v.perm for v in values if isinstance(v, Value) and v.perm and v.ndim == rank), None)
        made = [self.stored_as(v, perm, rank, inputs) for v in values]
        own = next((v.dtype for v in made if v.floating), made[-1].dtype) if dtype is None else np.dtype(dtype)
        (name,) = self.emit(kind, [v.name for v in made], **attributes)
        return Value(self, name, broadcast(*(v.stored for v in made)), own, perm)

    def stored_as(self, given: Any, perm: tuple[int, ...] | None, rank: int, like: Sequence[Any]) -> Value:
        """A value or an array with its axes stored in this order, so that it broadcasts to others of this rank."""
        if perm is None:
            return self.plain(self.value(given, like))
        if isinstance(given, Value):
            if given.perm == perm or given.ndim == 0:
                return given
            full = self.reshape(given, (1,) * (rank - given.ndim) + given.shape)
            return self.plain(self.transpose(full, inverse(perm)))
        full = np.reshape(given, (1,) * (rank - np.ndim(given)) + np.shape(given))
        stored = np.transpose(full, inverse(perm))
        lead = next((i for i, n in enumerate(stored.shape) if n != 1), stored.ndim)
        return self.value(stored.reshape(stored.shape[lead:]), like)

    def plain(self, value: Value) -> Value:
        """The same value with its axes in order: here the Transposes are added, each once."""
        if value.perm is None:
            return value
        moved = self.copies.get((value.name, value.perm))
        if moved is None:
            (moved,) = self.emit("Transpose", [value.name], perm=value.perm)
            self.copies[(value.name, value.perm)] = moved
        return Value(self, moved, value.shape, value.dtype)

    def transpose(self, value: Value, dims: Sequence[int]) -> Value:
        """Axis i of the result is axis `dims[i]`; nothing is moved yet."""
        perm = tuple(value.place(dim) for dim in dims)
        return Value(self, value.name, value.stored, value.dtype, ordered(perm))

    def moveaxis(self, value: Value, source: int, target: int) -> Value:
        """Moves one axis."""
        dims = [i for i in range(value.ndim) if i != source % value.ndim]
        dims.insert(target % value.ndim, source % value.ndim)
        return self.transpose(value, dims)

    def reshape(self, value: Value, shape: Sequence[Any]) -> Value:
        """Gives it another shape, in which at most one size is a symbol."""
        shape = tuple(shape)
        if value.shape == shape:
            return value
        kept = [i for i in value.perm or () if not is_one(value.stored[i])]
        source = value if kept == sorted(kept) else self.plain(value)  # moved axes of size 1 are no transposition
        sizes = np.array([n if isinstance(n, int) else -1 for n in shape], np.int64)
        (name,) = self.emit("Reshape", [source.name, self.constant(sizes).name])
        return Value(self, name, shape, value.dtype)

    def batch_size(self) -> str:
        """The name of a tensor that holds the size of the batch."""
        if self.outer is not None:
            return self.outer.batch_size()
        if "batch" not in self.copies:
            self.copies["batch"] = self.emit("Shape", [self.batched], start=0, end=1)[0]
        return self.copies["batch"]
