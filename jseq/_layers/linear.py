"""Linear layers."""

from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import Initializer, draw, inferred
from jseq._layers.options import positive
from jseq.core import layer, no_params


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
    positive(in_features=in_features, out_features=out_features)

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
