"""The ONNX graph under construction, and the operations that layers are made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jseq._interop.onnx.nodes import Nodes
from jseq._interop.onnx.value import Value, broadcast, ordered

OPSET = 20  # the first with Gelu; onnxruntime 1.17 (January 2024) and later run it


class Graph(Nodes):
    """Adds nodes by `op`, `map` and the methods below; layers are written with them."""

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
        place, size = value.place(axis), value.shape[axis] // count
        names = self.emit("Split", [value.name], count, axis=place, num_outputs=count)
        stored = tuple(size if i == place else n for i, n in enumerate(value.stored))
        return [Value(self, name, stored, value.dtype, value.perm) for name in names]

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
