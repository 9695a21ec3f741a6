"""Dropout of elements and of whole channels."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.errors import expect_key
from jseq.functional.dropout import CALL, check_probability


@layer
def dropout(p: float = 0.5):
    """Zeroes elements at random in training and scales the others up: `y = x * m / (1 - p)`.

    m is drawn from Bernoulli(1 - p) for every element. In evaluation `y = x`.

    Args:
        p: probability of dropping an element, from 0 to 1.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: p is no probability.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.Dropout` (Srivastava et al. 2014, JMLR 15).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.dropout(0.5)
        >>> layer.apply((), jnp.ones(4))
        Array([1., 1., 1., 1.], dtype=float32)
        >>> y = layer.apply((), jnp.ones(1000), key=jax.random.key(0), train=True)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """
    check_probability(p)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.dropout(x, p, key=key, train=train)

    return no_params, apply


def channels(n: int, p: float) -> Any:
    """The pair of dropout1d, 2d and 3d; `n` is the number of spatial axes."""
    check_probability(p)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.feature_dropout(x, p, n, key=key, train=train)

    return no_params, apply


@layer
def dropout1d(p: float = 0.5):
    """Zeroes whole channels of a sequence at random in training and scales the others up: `y = x * m / (1 - p)`.

    m is drawn from Bernoulli(1 - p) once for each channel of each sequence. In evaluation `y = x`.

    Args:
        p: probability of dropping a channel, from 0 to 1.

    Input: `(..., T, C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than two axes.
        OptionError: p is no probability.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.Dropout1d`, with the channels last (Tompson et al. 2015, arXiv:1411.4280).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> y = jseq.dropout1d(0.5).apply((), jnp.ones((5, 32)), key=jax.random.key(0), train=True)
        >>> sorted(set(y.sum(0).tolist()))
        [0.0, 10.0]
    """
    return channels(1, p)


@layer
def dropout2d(p: float = 0.5):
    """Zeroes whole channels of an image at random in training and scales the others up: `y = x * m / (1 - p)`.

    m is drawn from Bernoulli(1 - p) once for each channel of each image. In evaluation `y = x`.

    Args:
        p: probability of dropping a channel, from 0 to 1.

    Input: `(..., H, W, C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than three axes.
        OptionError: p is no probability.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.Dropout2d`, with the channels last (Tompson et al. 2015, arXiv:1411.4280).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> y = jseq.dropout2d(0.5).apply((), jnp.ones((2, 5, 32)), key=jax.random.key(0), train=True)
        >>> sorted(set(y.sum((0, 1)).tolist()))
        [0.0, 20.0]
    """
    return channels(2, p)


@layer
def dropout3d(p: float = 0.5):
    """Zeroes whole channels of a volume at random in training and scales the others up: `y = x * m / (1 - p)`.

    m is drawn from Bernoulli(1 - p) once for each channel of each volume. In evaluation `y = x`.

    Args:
        p: probability of dropping a channel, from 0 to 1.

    Input: `(..., D, H, W, C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than four axes.
        OptionError: p is no probability.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.Dropout3d`, with the channels last (Tompson et al. 2015, arXiv:1411.4280).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> y = jseq.dropout3d(0.5).apply((), jnp.ones((2, 2, 5, 32)), key=jax.random.key(0), train=True)
        >>> sorted(set(y.sum((0, 1, 2)).tolist()))
        [0.0, 40.0]
    """
    return channels(3, p)
