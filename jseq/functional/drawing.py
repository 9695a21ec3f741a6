"""Random numbers in the form that XLA compiles soonest."""

import math
from collections.abc import Callable

import jax
from jax import lax

from jseq._core.threefry import unrolled


def drawn(draw: Callable[[jax.Array, tuple[int, ...]], jax.Array], key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Gives `draw(key, shape)`, on CPU without the loops that JAX has there: the same numbers, sooner.

    Args: draw: such as `jax.random.normal`. key: PRNG key. shape: of the result.

    >>> import jax
    >>> drawn(jax.random.normal, jax.random.key(0), (2, 3)).shape
    (2, 3)
    """

    def on_cpu(key: jax.Array) -> jax.Array:
        return draw(unrolled(key, math.prod(shape)), shape)

    def elsewhere(key: jax.Array) -> jax.Array:
        return draw(key, shape)

    return lax.platform_dependent(key, cpu=on_cpu, default=elsewhere)
