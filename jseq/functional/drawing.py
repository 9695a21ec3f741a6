"""Random numbers in the form that XLA compiles soonest."""

import math
from collections.abc import Callable

import jax
from jax import lax


def drawn(draw: Callable[[jax.Array, tuple[int, ...]], jax.Array], key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Gives `draw(key, shape)`, on CPU drawn along one axis and reshaped: the same numbers, compiled sooner.

    XLA:CPU took 0.17, 0.24, 0.45 and 0.74 s for a draw along 1, 2, 3 and 4 axes. Elsewhere the axes stay, so that an
    array that is split over devices is drawn in its parts.

    Args: draw: of independent elements, such as `jax.random.normal`. key: PRNG key. shape: of the result.

    >>> import jax
    >>> drawn(jax.random.normal, jax.random.key(0), (2, 3)).shape
    (2, 3)
    """

    def flat(key: jax.Array) -> jax.Array:
        return draw(key, (math.prod(shape),)).reshape(shape)

    def whole(key: jax.Array) -> jax.Array:
        return draw(key, shape)

    return lax.platform_dependent(key, cpu=flat, default=whole) if len(shape) > 1 else draw(key, shape)
