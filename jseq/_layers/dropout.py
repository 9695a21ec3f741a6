"""Dropout and its relatives."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.errors import expect_key
from jseq.functional.dropout import check_probability


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
            expect_key(key, "apply(params, x, key=key, train=True)")
        return F.dropout(x, p, key=key, train=train)

    return no_params, apply
