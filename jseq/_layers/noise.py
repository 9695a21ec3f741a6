"""Noise in training that is no dropout of elements: whole examples dropped, and numbers added."""

import jax

from jseq import functional as F
from jseq._layers.options import at_least
from jseq.core import layer, no_params
from jseq.errors import expect_key
from jseq.functional.dropout import CALL, check_probability, check_std


@layer
def drop_path(p: float, *, event_dims: int):
    """Zeroes whole examples at random in training and scales the others up: `y = x * m / (1 - p)`.

    m is drawn from Bernoulli(1 - p) once for each example. At the end of a residual branch this is stochastic
    depth: the branch is left out. In evaluation `y = x`.

    Args:
        p: probability of dropping an example, from 0 to 1.
        event_dims: how many of the last axes make up an example and share m: 3 for images `(..., H, W, C)`,
            2 for sequences `(..., T, C)`, 1 for plain features. Declared, not guessed from the rank.

    Input: `(..., *event)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has fewer than `event_dims` axes.
        OptionError: p is no probability, or `event_dims` below 0.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    As `torchvision.ops.StochasticDepth(p, mode="row")` (Huang et al. 2016, arXiv:1603.09382).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.drop_path(0.5, event_dims=2)
        >>> y = layer.apply((), jnp.ones((32, 5, 4)), key=jax.random.key(0), train=True)
        >>> sorted(set(y.sum((1, 2)).tolist()))
        [0.0, 40.0]
    """
    check_probability(p)
    at_least(0, event_dims=event_dims)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.drop_path(x, p, event_dims, key=key, train=train)

    return no_params, apply


@layer
def gaussian_noise(std: float):
    """Adds noise in training: `y = x + std * n`, n from N(0, 1) for every element. In evaluation `y = x`.

    Args:
        std: standard deviation of the noise, in the units of x.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: std is no number of at least 0.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    As `keras.layers.GaussianNoise`; torch has none.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.gaussian_noise(0.5)
        >>> layer.apply((), jnp.ones(2))
        Array([1., 1.], dtype=float32)
        >>> y = layer.apply((), jnp.zeros(10000), key=jax.random.key(0), train=True)
        >>> abs(float(y.std()) - 0.5) < 0.05
        True
    """
    check_std(std)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.gaussian_noise(x, std, key=key, train=train)

    return no_params, apply
