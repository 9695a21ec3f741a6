"""Positions for attention: rotary embedding and sinusoids."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jseq.errors import OptionError, ShapeError, describe, expect_float, expect_rank


def rotary_embedding(
    x: jax.Array, positions: jax.Array | None = None, base: float = 10000.0, interleaved: bool = False
) -> jax.Array:
    """Rotates pairs of features by angles that grow with the position.

    `(a, b) -> (a cos t - b sin t, b cos t + a sin t)`, `t = position * base ** (-2 i / head_dim)` for the
    i-th pair, so that products of queries and keys depend on relative positions alone.

    Args:
        x: queries or keys; its dtype is the dtype of the result (the angles are float32 at least).
        positions: of shape (..., T), broadcastable to x's axes before the heads; None for 0, 1, ..., T - 1.
        base: the slowest wavelength is about `2 pi base` positions.
        interleaved: which features pair up: False pairs feature i with i + head_dim / 2 (GPT-NeoX, Llama
            in Hugging Face's layout), True pairs 2 i with 2 i + 1 (the paper, GPT-J).

    Input: (..., T, heads, head_dim), head_dim even.
    Output: as the input.

    Raises:
        ShapeError: x has fewer than three axes, an odd head_dim, or positions that do not fit.
        DtypeError: x is not floating.

    Source: Su et al. 2021, RoFormer, equation 34. torch.nn has no counterpart.

    >>> rotary_embedding(jnp.ones((2, 5, 4, 8))).shape
    (2, 5, 4, 8)
    """
    expect_float(x)
    form = "(..., T, heads, head_dim)"
    expect_rank(x, 3, form, "Add the missing axis: one head is x[..., None, :].")
    if x.shape[-1] % 2:
        raise ShapeError(f"expected x of shape {form} with an even head_dim, got {describe(x)}.")
    cos, sin = _angles(x, positions, base)
    wide = x.astype(cos.dtype)
    if interleaved:
        pairs = wide.reshape(*x.shape[:-1], x.shape[-1] // 2, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        return jnp.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape).astype(x.dtype)
    a, b = jnp.split(wide, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)


def _angles(x: jax.Array, positions: jax.Array | None, base: float) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines of shape (..., T, 1, head_dim / 2), of x's rank."""
    lead = x.shape[:-2]
    dtype = jnp.float32 if jnp.finfo(x.dtype).bits < 32 else x.dtype
    if positions is None:
        positions = jnp.arange(lead[-1])
    if positions.ndim > len(lead) or any(
        n not in (1, m) for n, m in zip(positions.shape[::-1], lead[::-1], strict=False)
    ):
        raise ShapeError(
            f"expected positions that broadcast to {lead}, the axes of x before the heads, "
            f"got {describe(positions)} for x {describe(x)}."
        )
    places = positions.reshape((1,) * (len(lead) - positions.ndim) + positions.shape + (1, 1))
    half = x.shape[-1] // 2
    rates = np.exp(-math.log(base) * np.arange(half) / half)
    angles = places.astype(dtype) * jnp.asarray(rates, dtype).reshape((1,) * len(lead) + (1, half))
    return jnp.cos(angles), jnp.sin(angles)


def sinusoidal_positions(length: int, features: int, base: float = 10000.0) -> jax.Array:
    """Tabulates sinusoids: `y[t, 2 i] = sin(t base ** (-2 i / features))`, cosines at `2 i + 1`.

    Args:
        length: the number of positions, 0 to length - 1.
        features: the width; an odd one ends with a sine.
        base: the slowest wavelength is about `2 pi base` positions.

    Output: (length, features), of JAX's default floating dtype.

    Raises:
        OptionError: length or features is negative.

    Source: Vaswani et al. 2017, section 3.5. torch.nn has no counterpart.

    >>> sinusoidal_positions(3, 4).round(2)[1].tolist()[:2]
    [0.8399999737739563, 0.5399999618530273]
    """
    if length < 0 or features < 0:
        raise OptionError(f"expected length and features of at least 0, got {length} and {features}.")
    half = -(-features // 2)
    # In numpy's float64: float32 angles near 1e4 would be off by 1e-3.
    angles = np.arange(length)[:, None] * np.exp(-math.log(base) * 2 * np.arange(half) / max(features, 1))
    table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, 2 * half)
    return jnp.asarray(table[:, :features], dtype=jnp.result_type(float))
