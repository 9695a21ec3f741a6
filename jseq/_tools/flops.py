"""How many floating-point operations one operation of a jaxpr takes, counted as XLA counts them.

A multiplication with its addition is two, every element of an elementwise result one, moving data nothing, and
transcendental functions, which XLA counts apart, nothing. Integers count as floats do.
"""

import functools
import math
from typing import Any

import numpy as np

# What moves, makes or names data, and the functions that XLA counts as transcendentals.
FREE = frozenset({
    "broadcast_in_dim", "reshape", "transpose", "squeeze", "expand_dims", "slice", "dynamic_slice",
    "dynamic_update_slice", "gather", "scatter", "pad", "concatenate", "rev", "iota", "copy", "stop_gradient",
    "split", "optimization_barrier", "apart", "random_seed", "random_wrap", "random_unwrap", "random_fold_in",
    "random_split", "random_clone", "bitcast_convert_type", "device_put", "sharding_constraint", "name", "top_k",
    "reshard", "layout_constraint", "full", "empty", "exp", "exp2", "log", "log1p", "expm1", "tanh", "tan", "sin",
    "cos", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "sqrt", "rsqrt", "cbrt", "pow",
    "atan2", "conj", "real", "imag", "complex",
})  # fmt: skip
# Per element of the result, as XLA 0.10.2 says of a program of this operation alone.
COSTLY = {"logistic": 3, "erfc": 62, "erf_inv": 37, "random_bits": 31, "threefry2x32": 31}
REDUCED = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "reduce_xor"})


def of(equation: Any) -> float:
    """The operations of one equation that has no jaxpr of its own inside."""
    name = equation.primitive.name
    if name in FREE or not equation.outvars:
        return 0
    out = equation.outvars[0].aval
    if name == "dot_general":
        return 2 * size(out) * contracted(equation)
    if name == "conv_general_dilated":
        return convolution(equation)
    if name in REDUCED:
        return size(equation.invars[0].aval) - size(out)
    if name in ("argmax", "argmin"):
        return 9 * size(equation.invars[0].aval)
    if name == "integer_pow":
        return size(out) * products(equation.params["y"])
    if name == "sort":
        return 2 * size(out) * math.ceil(math.log2(max(out.shape[equation.params["dimension"]], 2)))
    if name == "weighted_rows":
        return size(out) * equation.params["matrix"].operations
    if name.startswith("scatter"):
        return size(equation.invars[2].aval)
    if name.startswith("reduce_window"):
        return size(out) * (math.prod(equation.params["window_dimensions"]) - 1)
    if name.startswith("select_and_"):
        return size(equation.invars[0].aval) * math.prod(equation.params["window_dimensions"])
    return size(out) * COSTLY.get(name, 1)


def size(aval: Any) -> int:
    """The number of elements; 0 for what is no array."""
    return math.prod(getattr(aval, "shape", (0,)))


def contracted(equation: Any) -> int:
    """How many products are summed for each element of a dot product."""
    (axes, _), _ = equation.params["dimension_numbers"]
    return math.prod(equation.invars[0].aval.shape[axis] for axis in axes)


def products(power: int) -> int:
    """Multiplications for a whole power, by repeated squaring; a negative one divides once more."""
    n = abs(power)
    return max(n.bit_length() - 1 + n.bit_count() - 1, 0) + (power < 0)


def convolution(equation: Any) -> float:
    """Twice the products of a convolution, those with padding and with the holes of dilation left out."""
    given = equation.params
    numbers = given["dimension_numbers"]
    lhs, rhs, out = equation.invars[0].aval.shape, equation.invars[1].aval.shape, equation.outvars[0].aval.shape
    pairs = 1
    for axis in range(len(given["window_strides"])):
        pairs *= positions(
            lhs[numbers.lhs_spec[2 + axis]],
            rhs[numbers.rhs_spec[2 + axis]],
            out[numbers.out_spec[2 + axis]],
            given["window_strides"][axis],
            given["padding"][axis][0],
            given["lhs_dilation"][axis],
            given["rhs_dilation"][axis],
        )
    return 2 * pairs * rhs[numbers.rhs_spec[1]] * out[numbers.out_spec[0]] * out[numbers.out_spec[1]]


@functools.lru_cache(maxsize=1024)
def positions(width: int, window: int, out: int, stride: int, before: int, holes: int, dilation: int) -> int:
    """How many pairs of a place in the window and a place in the result meet an element of the input, on one axis."""
    places = np.arange(out)[:, None] * stride + np.arange(window)[None, :] * dilation - before
    return int(((places >= 0) & (places <= (width - 1) * holes) & (places % holes == 0)).sum())
