"""Layers that tell a sequence where its elements stand."""

from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import Initializer, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer, no_params
from jseq.errors import OptionError, ShapeError, describe, expect_features, expect_float, expect_rank
from jseq.functional.drawing import drawn

FORM = "(..., T, features)"


@layer
def learned_positions(num_positions: int, features: int | None, *, weight_init: Initializer | None = None):
    """Adds a learned vector to each element of a sequence: `y[..., t, :] = x[..., t, :] + weight[t]`.

    Args:
        num_positions: number of vectors: the longest sequence.
        features: size of the last axis of x; None infers it from x at `init`.
        weight_init: `(key, shape, dtype) -> array`; None draws from N(0, 0.02^2), as GPT-2, BERT and ViT do.

    Input: `(..., T, features)`, floating, T at most `num_positions`.
    Output: the same shape and dtype.
    Params: `weight (num_positions, features)`.

    Raises:
        ShapeError: x has fewer than two axes, other features, or is too long.
        DtypeError: x is not floating.
        OptionError: a size below 1.

    As `x + torch.nn.Embedding(num_positions, features)(torch.arange(T))` (Gehring et al. 2017, arXiv:1705.03122).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.learned_positions(16, 4)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.zeros((2, 10, 4))).shape
        (2, 10, 4)
    """
    at_least(1, num_positions=num_positions)
    inferable(features=features)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        shape = (num_positions, inferred(features, "features", x))
        return {"weight": weight_init(key, shape) if weight_init else 0.02 * drawn(jax.random.normal, key, shape)}

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        expect_sequence(x, params["weight"].shape[1])
        if x.shape[-2] > num_positions:
            raise ShapeError(f"expected x of shape {FORM} with T up to num_positions={num_positions}, "
                             f"got {describe(x)}.")  # fmt: skip
        return add_rows(x, params["weight"][: x.shape[-2]])

    return init, apply


@layer
def sinusoidal_positions(features: int | None = None, base: float = 10000.0):
    """Adds sinusoids to each element of a sequence, so that its position can be read off.

    `y[..., t, 2 i] = x[..., t, 2 i] + sin(t base ^ (-2 i / features))`, with the cosine at `2 i + 1`.

    Args:
        features: size of the last axis of x; None takes it as it comes.
        base: the slowest wavelength is about `2 pi base` positions.

    Input: `(..., T, features)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`: the table is fixed.

    Raises:
        ShapeError: x has fewer than two axes or other features.
        DtypeError: x is not floating.
        OptionError: a size below 1, or a base that is not positive.

    After Vaswani et al. 2017, arXiv:1706.03762, section 3.5; torch.nn has no counterpart.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.sinusoidal_positions(4).apply((), jnp.zeros((1, 3, 4)))[0, 0]
        Array([0., 1., 0., 1.], dtype=float32)
    """
    inferable(features=features)
    check_base(base)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_sequence(x, features)
        return add_rows(x, F.sinusoidal_positions(x.shape[-2], x.shape[-1], base))

    return no_params, apply


@layer(context=("positions",))
def rotary_embedding(base: float = 10000.0, interleaved: bool = False):
    """Rotates pairs of features of queries or keys by angles that grow with the position.

    `(a, b) -> (a cos t - b sin t, b cos t + a sin t)` with `t = position * base ^ (-2 i / head_dim)` for the
    i-th pair: products of queries and keys then depend on relative positions alone.

    Args:
        base: the slowest wavelength is about `2 pi base` positions.
        interleaved: which features pair up: False pairs i with `i + head_dim / 2` (GPT-NeoX, and Llama as
            Hugging Face has it), True pairs `2 i` with `2 i + 1` (the paper, GPT-J).

    Input: `(..., T, heads, head_dim)`, floating, `head_dim` even.
    Output: the same shape and dtype; angles are float32 for half-precision input.
    Params: none, `()`.
    Context: `positions`, broadcastable to `(..., T)`: where each element stands; without it 0, 1, ..., T - 1.

    Raises:
        ShapeError: x has fewer than three axes, an odd `head_dim`, or positions that do not fit.
        DtypeError: x is not floating.
        OptionError: a base that is not positive.

    After Su et al. 2021, arXiv:2104.09864, equation 34; torch.nn has no counterpart.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> layer = jseq.rotary_embedding()
        >>> x = jnp.ones((2, 5, 4, 8))
        >>> layer.apply((), x).shape
        (2, 5, 4, 8)
        >>> bool((layer.apply((), x, context={"positions": jnp.zeros(5, int)}) == x).all())
        True
    """
    check_base(base)

    def apply(params: tuple[()], x: jax.Array, context: dict[str, jax.Array]) -> jax.Array:
        return F.rotary_embedding(x, context.get("positions"), base, interleaved)

    return no_params, apply


def check_base(base: float) -> None:
    """Refuses a base whose powers are no wavelengths."""
    if not (isinstance(base, int | float) and base > 0):
        raise OptionError(f"base must be a positive number, got {base!r}.")


def expect_sequence(x: Any, features: int | None) -> None:
    """Refuses what is no sequence of so many features."""
    expect_float(x)
    expect_rank(x, 2, FORM)
    if features is not None:
        expect_features(x, features, "(..., T, {})")


def add_rows(x: jax.Array, rows: jax.Array) -> jax.Array:
    """Adds a table to the last two axes."""
    return x + rows.astype(x.dtype).reshape((1,) * (x.ndim - 2) + rows.shape)
