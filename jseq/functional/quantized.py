"""Weights in a few bits: quantised, packed, and back; the linear map and the table that read them."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jseq.functional.embedding import embedding as look_up

BITS = (8, 4)
# Numbers of a block of columns that is made floating at a time on CPU, so that it stays in the cache (2 MB for each
# core where this was measured), for few and for many rows of x; and the least columns, since a narrow product is slow.
# Time beside the float32 product, when these were chosen, for 1, 8, 64 and 256 rows, weights of 1000 x 1000 to
# 4096 x 4096: 0.7 to 1.2, 0.5 to 0.9, 1.0 to 1.3, 1.0 to 1.15; made floating as a whole, 2.4 to 6.2, 1.6 to 2.8,
# 1.3 to 2.1, 1.1 to 1.4.
BLOCK = {False: 65_536, True: 262_144}
FEW_ROWS = 16
NARROWEST = 64


class Format(NamedTuple):
    """How a weight is held: `weight = q * scale`, q in int8, the scale one number for each output channel, or more.

    Attributes:
        shape: the shape of the weight.
        bits: 8; or 4, two numbers in a byte: those of the first half of the input axis in the low bits, those of the
            second half in the high bits.
        group_size: how many numbers along the input axis share a scale; None for all of them.
        axis: the input axis: -2 for `(*window, in, out)`, -1 for a table of rows `(rows, features)`.
        copies: how many leading axes stand for copies of a layer.
    """

    shape: tuple[int, ...]
    bits: int = 8
    group_size: int | None = None
    axis: int = -2
    copies: int = 0

    @property
    def size(self) -> int:
        """The length of the input axis."""
        return self.shape[self.axis]

    @property
    def group(self) -> int:
        """How many numbers share a scale."""
        return max(min(self.group_size or self.size, self.size), 1)

    @property
    def window(self) -> tuple[int, ...]:
        """The axes of a convolution's window."""
        return tuple(range(self.copies, len(self.shape) - 2))

    @property
    def limit(self) -> int:
        """The largest number: 127 or 7."""
        return 2 ** (self.bits - 1) - 1

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes of q and of the scale."""
        held = with_size(self.shape, self.axis, -(-self.size * self.bits // 8))
        groups = with_size(self.shape, self.axis, -(-self.size // self.group))
        return held, tuple(1 if i in self.window else n for i, n in enumerate(groups))


def at_least_single(dtype: Any) -> Any:
    """float32 for half precision, other dtypes as they are."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype


def with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """The shape with another size of one axis."""
    return tuple(size if i == axis % len(shape) else n for i, n in enumerate(shape))


def quantize(weight: Any, form: Format, xp: Any = jnp) -> tuple[Any, Any]:
    """Rounds a weight to the nearest multiples of its scales: `q = round(weight / scale)`.

    The scale is `max |weight| / 127` (or 7), in the dtype of the weight; a channel of zeros has the scale 1. So
    `|weight - q * scale| <= scale / 2`.

    Args:
        weight: floating, of the shape in the format.
        form: how to hold it.
        xp: `jax.numpy`, or `numpy` to compute in float64 on the host.

    >>> q, scale = quantize(np.array([[1.0, 0.0], [-0.6, 0.0]]), Format((2, 2)), np)
    >>> q.tolist(), (scale * 127).tolist()
    ([[127, 0], [-76, 0]], [[1.0, 127.0]])
    """
    wide = xp.asarray(weight).astype(np.float64 if xp is np else at_least_single(weight.dtype))
    peak = xp.max(xp.abs(grouped(wide, form, xp)), (*form.window, form.axis), keepdims=True)
    peak = peak.reshape(form.shapes[1])
    scale = (peak / form.limit).astype(weight.dtype)
    # A scale that was rounded down so far that the largest weight lies beyond the last half step.
    short = scale.astype(wide.dtype) * (form.limit + 0.5) < peak
    scale = xp.where(short, xp.nextafter(scale, xp.full_like(scale, float("inf"))), scale)
    scale = xp.where(peak > 0, scale, xp.ones_like(scale))
    q = xp.round(wide / spread(scale.astype(wide.dtype), form, xp))
    q = xp.clip(q, -form.limit, form.limit).astype(np.int8)
    return (pack(q, form.axis, xp) if form.bits == 4 else q), scale


def dequantize(q: Any, scale: Any, form: Format, xp: Any = jnp) -> Any:
    """The weight again, `q * scale`, in the dtype of the scale; without a scale q itself, unpacked.

    >>> form = Format((3, 2), bits=4)
    >>> q, scale = quantize(np.array([[7.0, -7.0], [1.0, 2.0], [3.0, -4.0]]), form, np)
    >>> q.shape, dequantize(q, scale, form, np).tolist()
    ((2, 2), [[7.0, -7.0], [1.0, 2.0], [3.0, -4.0]])
    """
    whole = unpack(q, form.size, form.axis, xp) if form.bits == 4 else xp.asarray(q)
    return whole if scale is None else whole.astype(scale.dtype) * spread(xp.asarray(scale), form, xp)


def grouped(weight: Any, form: Format, xp: Any) -> Any:
    """The weight with its input axis split into groups, the last of which is filled up with zeros."""
    groups = -(-form.size // form.group)
    missing = groups * form.group - form.size
    at = form.axis % weight.ndim
    filled = xp.pad(weight, [(0, missing if i == at else 0) for i in range(weight.ndim)]) if missing else weight
    return filled.reshape(*weight.shape[:at], groups, form.group, *weight.shape[at + 1 :])


def spread(scale: Any, form: Format, xp: Any) -> Any:
    """The scales, broadcastable to the weight."""
    if form.group >= form.size:
        return scale
    return first(xp.repeat(scale, form.group, form.axis), form.size, form.axis)


def first(array: Any, size: int, axis: int) -> Any:
    """The first entries of an axis."""
    return array if array.shape[axis] == size else array[(*[slice(None)] * (axis % array.ndim), slice(size))]


def pack(q: Any, axis: int, xp: Any = jnp) -> Any:
    """Puts two numbers of 4 bits into each byte, those of the two halves of an axis; an odd axis ends with a zero.

    >>> pack(np.array([1, -2, 3], np.int8), -1, np).tolist()
    [49, 14]
    """
    at, half = axis % q.ndim, -(-q.shape[axis] // 2)
    even = xp.pad(q, [(0, 2 * half - n if i == at else 0) for i, n in enumerate(q.shape)])
    low, high = (even[(*[slice(None)] * at, part)] for part in (slice(half), slice(half, None)))
    return ((high.astype(np.int8) << np.int8(4)) | (low & np.int8(15))).astype(np.int8)


def unpack(packed: Any, size: int, axis: int, xp: Any = jnp) -> Any:
    """Undoes `pack`. Without a `concatenate`, which XLA does not fuse with what reads it.

    >>> unpack(np.array([49, 14], np.int8), 3, -1, np).tolist()
    [1, -2, 3]
    """
    packed = xp.asarray(packed)
    at = axis % packed.ndim
    shifts = xp.array([4, 0], np.int8).reshape(*[1] * at, 2, *[1] * (packed.ndim - at))
    both = (xp.expand_dims(packed, at) << shifts) >> np.int8(4)
    return first(both.reshape(*packed.shape[:at], -1, *packed.shape[at + 1 :]), size, at - packed.ndim)


def linear(x: jax.Array, q: jax.Array, scale: jax.Array, bias: jax.Array | None, form: Format) -> jax.Array:
    """Maps the last axis by a quantised weight: `y = (x @ q) * scale + bias`.

    Args:
        x: floating, `(..., in_features)`.
        q, scale: what `quantize` makes of a weight `(in_features, out_features)`.
        bias: `(out_features,)`, or None.

    >>> form = Format((3, 2))
    >>> linear(jnp.ones((5, 3)), *quantize(np.ones((3, 2), np.float32), form, np), None, form)[0]
    Array([3., 3.], dtype=float32)
    """
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    width = block_width(rows.shape[0], form)
    if width < form.shape[-1]:
        y = lax.platform_dependent(rows, q, scale, cpu=in_blocks(form, width), default=as_a_whole(form))
    else:
        y = as_a_whole(form)(rows, q, scale)
    y = y.astype(x.dtype)
    return (y if bias is None else y + bias.astype(x.dtype)[None]).reshape(*x.shape[:-1], form.shape[-1])


def embedding(ids: jax.Array, q: jax.Array, scale: jax.Array, form: Format) -> jax.Array:
    """Looks rows of a quantised table up, and makes these floating: XLA would unpack the whole table of 4 bits.

    >>> form = Format((2, 2), axis=-1)
    >>> table = quantize(np.array([[1.0, 2.0], [127.0, 0.0]], np.float32), form, np)
    >>> embedding(jnp.array([1, 0, 9]), *table, form).round(1).tolist()
    [[127.0, 0.0], [1.0, 2.0], [nan, nan]]
    """
    picker: Any = jnp.asarray(q).at[ids]
    rows = picker.get(mode="fill", fill_value=0, wrap_negative_indices=False)
    return dequantize(rows, look_up(ids, scale), form)  # ids outside have the scale NaN


def block_width(rows: Any, form: Format) -> int:
    """How many columns to make floating at a time on CPU."""
    many = not isinstance(rows, int) or rows > FEW_ROWS  # pyright: ignore[reportUnnecessaryIsInstance]
    return max(NARROWEST, BLOCK[many] // form.size // 16 * 16)


def as_a_whole(form: Format) -> Any:
    """The product with all columns: where XLA converts the weight within the product, or it is small."""

    def product(x: jax.Array, q: jax.Array, scale: jax.Array) -> jax.Array:
        # Sums of products with numbers up to 127 leave float16's range before the scale brings them back.
        wide = at_least_single(x.dtype)
        if form.group < form.size:
            return jnp.matmul(x, dequantize(q, scale, form).astype(x.dtype), preferred_element_type=wide)
        whole = dequantize(q, None, form).astype(x.dtype)
        return jnp.matmul(x, whole, preferred_element_type=wide) * scale.astype(wide)

    return product


def in_blocks(form: Format, width: int) -> Any:
    """The product with some columns at a time."""
    out = form.shape[-1]
    blocks = out // width

    def product(x: jax.Array, q: jax.Array, scale: jax.Array) -> jax.Array:
        def put(y: jax.Array, at: Any, size: int) -> jax.Array:
            parts = (lax.dynamic_slice_in_dim(leaf, at, size, 1) for leaf in (q, scale))
            part = as_a_whole(form._replace(shape=(form.size, size)))(x, *parts)
            return lax.dynamic_update_slice_in_dim(y, part, at, 1)

        y = jnp.zeros((x.shape[0], out), at_least_single(x.dtype))
        y, _ = lax.scan(lambda y, i: (put(y, i * width, width), None), y, jnp.arange(blocks))
        return put(y, blocks * width, out % width) if out % width else y

    return product
