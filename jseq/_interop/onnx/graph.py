"""The ONNX graph under construction: nodes and constants, and the few operations that every layer is made of."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jseq._interop.extras import need
from jseq._interop.onnx.value import Value, broadcast, inverse, is_one, ordered

OPSET = 20  # the first with Gelu; onnxruntime 1.17 (January 2024) and later run it


class Graph:
    """Adds nodes by `op`, `map` and the methods below; layers are written with them.

    Arrays may stand wherever values may: they become constants, floating ones in the dtype of the values beside them.
    """

    def __init__(self, outer: "Graph | None" = None):
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
        """A constant; equal ones are kept once."""
        array = np.asarray(array)
        array = np.ascontiguousarray(array.astype(dtype or array.dtype)).reshape(array.shape)
        key = (array.dtype.name, array.shape, array.tobytes())
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

    def expand_dims(self, value: Value, *axes: int) -> Value:
        """Adds axes of size 1; `axes` count in the result."""
        rank = value.ndim + len(axes)
        rest = iter(value.shape)
        new = {axis % rank for axis in axes}
        return self.reshape(value, tuple(1 if i in new else next(rest) for i in range(rank)))

    def reduce(self, kind: str, value: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
        """ReduceMean, ReduceSum, ReduceMax and their like over some axes."""
        gone = sorted(value.place(axis) for axis in axes)
        (name,) = self.emit(kind, [value.name, self.constant(np.array(gone, np.int64)).name], keepdims=int(keepdims))
        stored = tuple(1 if i in gone else n for i, n in enumerate(value.stored) if keepdims or i not in gone)
        perm = value.perm
        if perm is not None and not keepdims:
            left = [i for i in perm if i not in gone]
            perm = ordered(tuple(sorted(left).index(i) for i in left))
        return Value(self, name, stored, value.dtype, perm)

    def along(self, kind: str, value: Value, axis: int, *more: Value, size: Any = None, **attributes: Any) -> Value:
        """A node that works along one axis, such as Softmax, wherever that axis is stored; `size` is its new size."""
        place = value.place(axis)
        (name,) = self.emit(kind, [value.name, *(v.name for v in more)], axis=place, **attributes)
        stored = tuple(n if i != place or size is None else size for i, n in enumerate(value.stored))
        return Value(self, name, stored, value.dtype, value.perm)

    def take(self, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """The entries from `start` to before `stop` of an axis."""
        if (start, stop, step) == (0, value.shape[axis], 1):
            return value
        where = [np.array([n], np.int64) for n in (start, stop, value.place(axis), step)]
        (name,) = self.emit("Slice", [value.name, *(self.constant(n).name for n in where)])
        stored = list(value.stored)
        stored[value.place(axis)] = len(range(start, stop, step))
        return Value(self, name, tuple(stored), value.dtype, value.perm)

    def split(self, value: Value, count: int, axis: int = -1) -> list[Value]:
        """Equal parts of an axis."""
        size = value.shape[axis] // count
        return [self.take(value, axis, i * size, (i + 1) * size) for i in range(count)]

    def flip(self, value: Value, axis: int) -> Value:
        """The axis from its end to its start."""
        return self.gather(value, np.arange(value.shape[axis])[::-1], axis)

    def gather(self, value: Value, indices: Any, axis: int) -> Value:
        """The entries of an axis at these places; the axes of `indices` take the place of the axis."""
        value, axis = self.plain(value), axis % value.ndim
        places = self.plain(self.value(np.asarray(indices, np.int64) if not isinstance(indices, Value) else indices))
        shape = (*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])
        return self.op("Gather", value, places, shape=shape, dtype=value.dtype, axis=axis)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Joins values along one axis, in the order in which the first is stored."""
        first = values[0]
        if len(values) == 1:
            return first
        made = [self.stored_as(v, first.perm, first.ndim, values) for v in values]
        place = first.place(axis)
        (name,) = self.emit("Concat", [v.name for v in made], axis=place)
        total: Any = sum(v.shape[axis] for v in values)
        stored = tuple(total if i == place else n for i, n in enumerate(first.stored))
        return Value(self, name, stored, first.dtype, first.perm)

    def stack(self, values: Sequence[Value], axis: int) -> Value:
        """Joins values along a new axis."""
        return self.concat([self.expand_dims(v, axis) for v in values], axis)

    def cast(self, value: Value, dtype: Any) -> Value:
        """Another dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.map("Cast", value, dtype=dtype, to=kind)

    def where(self, condition: Any, a: Any, b: Any) -> Value:
        """a where the condition holds, b elsewhere."""
        like = [v for v in (a, b) if isinstance(v, Value)]
        a, b = (v if isinstance(v, Value) else np.asarray(v, like[0].dtype if like else None) for v in (a, b))
        return self.map("Where", condition, a, b, dtype=a.dtype)

    def matmul(self, a: Any, b: Any) -> Value:
        """The product of the last two axes, the others side by side."""
        a, b = self.value(a, (b,)), self.value(b, (a,), "weight")
        shape = (*broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
        return self.op("MatMul", a, b, shape=shape)

    def linear(self, x: Value, weight: Any, bias: Any = None) -> Value:
        """`x @ weight + bias` over the last axis."""
        weight = self.value(weight, (x,), "weight")
        shape = (*x.shape[:-1], weight.shape[-1])
        if x.ndim == 2 and bias is not None:
            return self.op("Gemm", x, weight, self.value(bias, (x,), "bias"), shape=shape)
        y = self.op("MatMul", x, weight, shape=shape)
        return y if bias is None else y + self.value(bias, (x,), "bias")

    def along_matrix(self, value: Value, axis: int, matrix: np.ndarray) -> Value:
        """`y[o] = sum_i matrix[o, i] x[i]` along one axis."""
        last = self.moveaxis(value, axis, -1)
        y = self.op("MatMul", last, self.value(matrix.T, (value,)), shape=(*last.shape[:-1], len(matrix)))
        return self.moveaxis(y, -1, axis % value.ndim)

    def expand(self, value: Value, shape: Sequence[Any]) -> Value:
        """Repeats axes of size 1; a symbol in the shape is the batch."""
        if value.shape == tuple(shape):
            return value
        (name,) = self.emit("Expand", [self.plain(value).name, self.sizes(shape).name])
        return Value(self, name, tuple(shape), value.dtype)

    def sizes(self, shape: Sequence[Any]) -> Value:
        """A shape as a value, the size of the batch read where it is a symbol."""
        if all(isinstance(n, int) for n in shape):
            return self.constant(np.array(shape, np.int64))
        (name,) = self.emit("Concat", [self.size(n) for n in shape], axis=0)
        return Value(self, name, (len(shape),), np.dtype(np.int64))

    def size(self, n: Any) -> str:
        """The name of a constant of one size, or of the batch times a number."""
        if isinstance(n, int):
            return self.constant(np.array([n], np.int64)).name
        factor = next(k for k in range(1, 1 << 31) if self.batch * k == n)
        return self.batch_size() if factor == 1 else self.emit("Mul", [self.batch_size(), self.size(factor)])[0]

    def batch_size(self) -> str:
        """The name of a tensor that holds the size of the batch."""
        if self.outer is not None:
            return self.outer.batch_size()
        if "batch" not in self.copies:
            self.copies["batch"] = self.emit("Shape", [self.batched], start=0, end=1)[0]
        return self.copies["batch"]
