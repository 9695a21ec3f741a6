"""Linear and bilinear layers, and the two halves of an affine map: scale and bias."""

from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.initial import Initializer, draw, inferred
from jseq._layers.options import at_least, inferable
from jseq._layers.pairs import two_arrays
from jseq.core import layer, no_params
from jseq.errors import expect_features, expect_float


@layer
def identity():
    """Returns its input: `y = x`.

    Input: anything.
    Output: the same.
    Params: none, `()`.

    Follows `torch.nn.Identity`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.identity().apply((), jnp.ones(2))
        Array([1., 1.], dtype=float32)
    """

    def apply(params: tuple[()], x: Any) -> Any:
        return x

    return no_params, apply


@layer
def linear(
    in_features: int | None,
    out_features: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Applies an affine map to the last axis: `y = x @ weight + bias`.

    Args:
        in_features: size of the last axis of x; None infers it from x at `init`.
        out_features: size of the last axis of y.
        bias: whether to add a bias.
        weight_init: `(key, shape, dtype) -> array`, as `jax.nn.initializers` make them; None is torch's
            `U(-1/sqrt(in_features), 1/sqrt(in_features))`.
        bias_init: the same for the bias.

    Input: `(..., in_features)`, floating.
    Output: `(..., out_features)`, of x's dtype.
    Params: `weight (in_features, out_features)` (torch's, transposed), `bias (out_features,)`.

    Raises:
        ShapeError: the last axis of x is not `in_features`.
        DtypeError: x is not floating.
        OptionError: a size below 1.

    Follows `torch.nn.Linear` (and `LazyLinear`: `in_features=None`).

    Example:
        >>> import jax, jseq
        >>> layer = jseq.linear(20, 30)
        >>> params = layer.init(jax.random.key(0))
        >>> params["weight"].shape, params["bias"].shape
        ((20, 30), (30,))
        >>> layer.apply(params, jax.numpy.ones((128, 20))).shape
        (128, 30)
    """
    inferable(in_features=in_features)
    at_least(1, out_features=out_features)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        size = inferred(in_features, "in_features", x)
        weight_key, bias_key = jax.random.split(key)
        params = {"weight": draw(weight_init, weight_key, (size, out_features), size)}
        if bias:
            params["bias"] = draw(bias_init, bias_key, (out_features,), size)
        return params

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return F.linear(x, params["weight"], params.get("bias"))

    return init, apply


@layer
def bilinear(
    in1_features: int | None,
    in2_features: int | None,
    out_features: int,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Maps two inputs bilinearly: `y[o] = sum_ij x1[i] weight[i, j, o] x2[j] + bias[o]`.

    Args:
        in1_features: size of the last axis of x1; None infers it from x at `init`.
        in2_features: size of the last axis of x2; None infers it likewise.
        out_features: size of the last axis of y.
        bias: whether to add a bias.
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(in1_features), 1/sqrt(in1_features))`.
        bias_init: the same for the bias.

    Input: `(x1, x2)`: `(..., in1_features)` and `(..., in2_features)`, floating, of one dtype.
    Output: `(..., out_features)`, of that dtype.
    Params: `weight (in1_features, in2_features, out_features)` (torch has the last axis first),
        `bias (out_features,)`.

    Raises:
        ShapeError: a last axis has another size, or the leading axes differ.
        DtypeError: x is no tuple of two arrays, one is not floating, or their dtypes differ.
        OptionError: a size below 1.

    Follows `torch.nn.Bilinear`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.bilinear(3, 4, 5)
        >>> layer.apply(layer.init(jax.random.key(0)), (jnp.ones((8, 3)), jnp.ones((8, 4)))).shape
        (8, 5)
    """
    inferable(in1_features=in1_features, in2_features=in2_features)
    at_least(1, out_features=out_features)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        x1, x2 = (None, None) if x is None else two_arrays(x)
        first, second = inferred(in1_features, "in1_features", x1), inferred(in2_features, "in2_features", x2)
        weight_key, bias_key = jax.random.split(key)
        params = {"weight": draw(weight_init, weight_key, (first, second, out_features), first)}
        if bias:
            params["bias"] = draw(bias_init, bias_key, (out_features,), first)
        return params

    def apply(params: dict[str, jax.Array], x: Any) -> jax.Array:
        return F.bilinear(*two_arrays(x), params["weight"], params.get("bias"))

    return init, apply


@layer
def scale(features: int | None, init: float = 1.0):
    """Multiplies every feature by a learned number: `y = x * weight`.

    Args:
        features: size of the last axis of x; None infers it from x at `init`.
        init: initial value; at the end of a residual branch a small one, such as 1e-4, is LayerScale.

    Input: `(..., features)`, floating.
    Output: the same shape and dtype.
    Params: `weight (features,)`.

    Raises:
        ShapeError: the last axis of x is not `features`.
        DtypeError: x is not floating.
        OptionError: a size below 1.

    The learned scale of `torch.nn.BatchNorm1d` and its like, alone (Touvron et al. 2021, arXiv:2103.17239).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.scale(2, 0.5)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([1.0, 2.0]))
        Array([0.5, 1. ], dtype=float32)
    """
    inferable(features=features)

    def make(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return {"weight": jnp.full((inferred(features, "features", x),), float(init))}

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return x * beside(x, params["weight"])

    return make, apply


@layer
def bias(features: int | None, init: float = 0.0):
    """Adds a learned number to every feature: `y = x + bias`.

    Args:
        features: size of the last axis of x; None infers it from x at `init`.
        init: initial value.

    Input: `(..., features)`, floating.
    Output: the same shape and dtype.
    Params: `bias (features,)`.

    Raises:
        ShapeError: the last axis of x is not `features`.
        DtypeError: x is not floating.
        OptionError: a size below 1.

    The bias of `torch.nn.Linear`, alone.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.bias(2, 0.5)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([1.0, 2.0]))
        Array([1.5, 2.5], dtype=float32)
    """
    inferable(features=features)

    def make(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return {"bias": jnp.full((inferred(features, "features", x),), float(init))}

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return x + beside(x, params["bias"])

    return make, apply


def beside(x: jax.Array, values: jax.Array) -> jax.Array:
    """Casts one number a feature to the dtype and rank of x, after checking x."""
    expect_float(x)
    expect_features(x, values.shape[0])
    return values.astype(x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
