"""Arithmetic with one number, as a layer."""

import operator

import jax

from jseq.core import layer, no_params
from jseq.errors import OptionError, expect_float, near_misses

OPERATIONS = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
}


@layer
def arithmetic(operation: str, value: float, reverse: bool = False):
    """Combines every element with one number: `y = x * value` for "multiply".

    Args:
        operation: "add", "subtract", "multiply", "divide" or "power".
        value: the number.
        reverse: whether the number comes first: `arithmetic("subtract", 1, True)` is `1 - x`.

    Input: `(...)`, floating.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        DtypeError: x is not floating.
        OptionError: another operation, or a value that is no number.

    torch writes it as an expression in `forward`: `x * 0.5`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.arithmetic("multiply", 0.5).apply((), jnp.array([1.0, 2.0]))
        Array([0.5, 1. ], dtype=float32)
    """
    if operation not in OPERATIONS:
        raise OptionError(f"expected operation to be one of {', '.join(OPERATIONS)}, got {operation!r}."
                          f"{near_misses(str(operation), OPERATIONS)}")  # fmt: skip
    if isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"expected value to be a number, got {value!r}.")
    compute = OPERATIONS[operation]

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_float(x)
        return compute(value, x) if reverse else compute(x, value)

    return no_params, apply
