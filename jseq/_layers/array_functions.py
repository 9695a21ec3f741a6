"""Functions of arrays that compute and that no layer is, in torch's order of axes: values, as specs are, for `lift`.

Those that read sizes take a tuple: the array, and those that the sizes are read off.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.arithmetic import OPERATIONS
from jseq._layers.array_shapes import Aligned
from jseq._layers.array_sizes import Size, check_word, number, parted
from jseq.errors import DtypeError, describe
from jseq.functional.vector_norm import vector_norm

REDUCTIONS: Mapping[str, Any] = {
    "mean": jnp.mean, "sum": jnp.sum, "prod": jnp.prod, "max": jnp.max, "min": jnp.min, "logsumexp": jax.nn.logsumexp,
}  # fmt: skip
PAIRS: Mapping[str, Any] = {"power": jnp.power, "maximum": jnp.maximum, "minimum": jnp.minimum}
COMPARISONS: Mapping[str, Any] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class Reduced:
    """A sum and its like over some axes, None for all."""

    operation: str
    axes: tuple[int, ...] | None
    keepdims: bool

    def __post_init__(self):
        check_word("operation", self.operation, REDUCTIONS)

    def __call__(self, x: Any) -> Any:
        return REDUCTIONS[self.operation](x, axis=self.axes, keepdims=self.keepdims)


@dataclass(frozen=True)
class Scaled:
    """An array and a size of an array: `x * x.shape[-1] ** -0.5`."""

    operation: str
    size: Size
    reverse: bool

    def __post_init__(self):
        check_word("operation", self.operation, OPERATIONS)

    def __call__(self, x: Any) -> Any:
        array, others = parted(x)
        value = number(self.size, others)
        compute = OPERATIONS[self.operation]
        return compute(value, array) if self.reverse else compute(array, value)


@dataclass(frozen=True)
class Clamped:
    """Each element between two numbers, None for no bound."""

    low: float | None
    high: float | None

    def __call__(self, x: Any) -> Any:
        return jnp.clip(x, self.low, self.high)


@dataclass(frozen=True)
class AsFloat:
    """Whole numbers and truth values as float32, as torch's `x.float()`; float32 as it is."""

    def __call__(self, x: Any) -> Any:
        if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype != jnp.float32:
            raise DtypeError(f"float() is for whole numbers, truth values and float32, got {describe(x)}.")
        return x.astype(jnp.float32)


@dataclass(frozen=True)
class Paired:
    """A function of two arrays, repeated to one shape: "power", "maximum", "minimum"."""

    operation: str

    def __post_init__(self):
        check_word("operation", self.operation, PAIRS)

    def __call__(self, x: Any) -> Any:
        return PAIRS[self.operation](*Aligned()(x))


@dataclass(frozen=True)
class Multiplied:
    """The matrix product of two arrays."""

    def __call__(self, x: Any) -> Any:
        a, b = x
        if a.ndim > b.ndim == 2:
            return F.linear(a, b)
        rank = max(a.ndim, b.ndim) if min(a.ndim, b.ndim) > 1 else 0
        a, b = (c.reshape((1,) * (rank - c.ndim) + c.shape) for c in (a, b))
        return jnp.matmul(a, b)


@dataclass(frozen=True)
class Summed:
    """Einstein's sum."""

    equation: str

    def __call__(self, x: Any) -> Any:
        return jnp.einsum(self.equation, *(x if isinstance(x, tuple) else (x,)))  # pyright: ignore


@dataclass(frozen=True)
class Compared:
    """Each element beside a number: `x == 0`."""

    operation: str
    value: float

    def __post_init__(self):
        check_word("operation", self.operation, COMPARISONS)

    def __call__(self, x: Any) -> Any:
        if jnp.issubdtype(x.dtype, jnp.floating):
            return COMPARISONS[self.operation](x, jnp.asarray(self.value, x.dtype))
        x = x.astype(jnp.int32) if x.dtype == jnp.bool_ else x
        limits = jnp.iinfo(x.dtype)
        if not limits.min <= self.value <= limits.max:  # as is every x to this number
            return jnp.full(x.shape, COMPARISONS[self.operation](0, self.value))
        whole = math.floor(self.value)
        if whole == self.value:
            return COMPARISONS[self.operation](x, jnp.asarray(whole, x.dtype))
        if self.operation in ("eq", "ne"):
            return jnp.full(x.shape, self.operation == "ne")
        return COMPARISONS["gt" if self.operation in ("gt", "ge") else "le"](x, jnp.asarray(whole, x.dtype))


@dataclass(frozen=True)
class Filled:
    """An array with this value where a mask is True."""

    value: float

    def __call__(self, x: Any) -> Any:
        array, mask = Aligned()(x)
        return jnp.where(mask, jnp.asarray(self.value, array.dtype), array)


@dataclass(frozen=True)
class Normalised:
    """`x / max(|x|, eps)` along an axis."""

    axis: int
    eps: float

    def __call__(self, x: Any) -> Any:
        wide = x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
        length = vector_norm(wide, 2.0, self.axis, keepdims=True)
        return (wide / jnp.maximum(length, self.eps)).astype(x.dtype)


@dataclass(frozen=True)
class Attended:
    """`scaled_dot_product_attention` of (..., heads, T, d), and a mask or none."""

    is_causal: bool
    scale: float | None
    enable_gqa: bool

    def __call__(self, x: Any) -> Any:
        q, k, v = (jnp.swapaxes(a.reshape((1,) * (3 - a.ndim) + a.shape), -3, -2) for a in x[:3])
        mask = x[3] if len(x) > 3 else None
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=self.is_causal, scale=self.scale,
                                           enable_gqa=self.enable_gqa)  # fmt: skip
        return jnp.swapaxes(y, -3, -2).reshape(*x[0].shape[:-1], x[2].shape[-1])
