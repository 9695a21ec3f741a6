"""Initial values and inferred sizes, as torch has them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jseq._core.shaping import draws_nothing
from jseq.errors import ShapeError, describe
from jseq.functional.drawing import drawn

Initializer = Callable[..., jax.Array]


def draw(initializer: Initializer | None, key: jax.Array, shape: tuple[int, ...], fan_in: int) -> jax.Array:
    """Calls the initialiser `(key, shape)`; without one, torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`.

    torch writes it as `kaiming_uniform_(a=sqrt(5))` for weights, and says the bound for biases
    (torch/nn/modules/linear.py, `reset_parameters`).
    """
    if initializer is not None:
        return initializer(key, shape)
    if draws_nothing(key):
        return jnp.zeros(shape)
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return drawn(partial(jax.random.uniform, minval=-bound, maxval=bound), key, shape)


def inferred(size: int | None, argument: str, x: Any) -> int:
    """The declared size, or else the last axis of x: how `linear(None, 128)` finds its input size.

    Args:
        size: the declared size; None stands for the one to infer.
        argument: its name, for the error.
        x: the shapes that `init` was given, or None.

    Raises:
        ShapeError: there is nothing to infer it from.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> jseq.inferred(None, "in_features", jax.ShapeDtypeStruct((32, 64), jnp.float32))
        64
    """
    if size is not None:
        return size
    if x is None:
        raise ShapeError(f"{argument} is None, so it is inferred from x. "
                         "The call that works: model.init(key, x).")  # fmt: skip
    shape = getattr(x, "shape", ())
    if not shape:
        raise ShapeError(f"{argument} is None and is inferred from the last axis of x, got {describe(x)}.")
    return shape[-1]
