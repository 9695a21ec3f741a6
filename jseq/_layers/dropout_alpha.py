"""Dropout for self-normalising networks: of elements and of whole channels."""

import jax

from jseq import functional as F
from jseq._layers.options import at_least
from jseq.core import layer, no_params
from jseq.errors import expect_key
from jseq.functional.dropout import CALL, check_probability


@layer
def alpha_dropout(p: float = 0.5):
    """Sets elements to the limit of SELU at random in training: `y = a (x m + l (1 - m)) + b`, of mean 0, variance 1.

    m is drawn from Bernoulli(1 - p) for every element; `l = -1.7581` is the limit of `selu` at minus infinity,
    `a = ((1 - p) (1 + p l^2))^(-1/2)` and `b = -a p l`. In evaluation `y = x`.

    Args:
        p: probability of dropping an element, from 0 to 1.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: p is no probability.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.AlphaDropout` (Klambauer et al. 2017, arXiv:1706.02515).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> y = jseq.alpha_dropout(0.5).apply((), jnp.ones(1000), key=jax.random.key(0), train=True)
        >>> len(set(y.tolist()))
        2
    """
    check_probability(p)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.alpha_dropout(x, p, key=key, train=train)

    return no_params, apply


@layer
def feature_alpha_dropout(p: float = 0.5, *, spatial_dims: int = 2):
    """Sets whole channels to SELU's limit at random in training: `alpha_dropout` with one m for each channel.

    Which axes are spatial is declared, not guessed from the rank as torch does: axes before them are the
    batch, and every example draws its own channels.

    Args:
        p: probability of dropping a channel, from 0 to 1.
        spatial_dims: number of axes between the batch and the channels: 2 for images, 1 for sequences,
            3 for volumes.

    Input: `(..., *spatial, C)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes.
        OptionError: p is no probability, or `spatial_dims` below 0.
        CallError: `train=True` without a key.
        DtypeError: x is not floating.

    Follows `torch.nn.FeatureAlphaDropout`, with the channels last (Klambauer et al. 2017, arXiv:1706.02515).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> y = jseq.feature_alpha_dropout(0.5).apply((), jnp.ones((5, 5, 32)), key=jax.random.key(0), train=True)
        >>> bool((y == y[:1, :1]).all()), len(set(y[0, 0].tolist()))
        (True, 2)
    """
    check_probability(p)
    at_least(0, spatial_dims=spatial_dims)

    def apply(params: tuple[()], x: jax.Array, key: jax.Array | None, train: bool) -> jax.Array:
        if train:
            expect_key(key, CALL)
        return F.feature_alpha_dropout(x, p, spatial_dims, key=key, train=train)

    return no_params, apply
