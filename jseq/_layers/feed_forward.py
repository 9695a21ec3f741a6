"""Feed-forward blocks with a gate."""

from collections.abc import Callable
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import draw, inferred
from jseq._layers.options import inferable
from jseq.core import layer
from jseq.functional.activation_smooth import check_approximate


@layer
def swiglu(features: int | None, hidden_features: int | None = None, *, bias: bool = False):
    """Feeds forward through a gate of SiLU: `y = w2(silu(w1(x)) * w3(x))`.

    The block of Llama and its like. The gate alone, a function of two halves, is `jseq.functional.swiglu`.

    Args:
        features: size of the last axis; None infers it from x at `init`.
        hidden_features: width in between; None for 8/3 of features, rounded up to a multiple of 8.
        bias: whether the linear maps have biases.

    Input: `(..., features)`, floating.
    Output: the same shape and dtype.
    Params: `w1 {weight (features, hidden_features)}` (the gate's), `w2 {weight (hidden_features, features)}`
        (on the way out), `w3 {weight (features, hidden_features)}` (the value's), each with `bias` if asked:
        Llama's names, transposed.

    Raises:
        ShapeError: the last axis of x is not `features`.
        DtypeError: x is not floating.
        OptionError: a size below 1.

    After Shazeer 2020, arXiv:2002.05202, who takes 2/3 of 4 features; initial values are those of `linear`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.swiglu(6)
        >>> params = layer.init(jax.random.key(0))
        >>> params["w1"]["weight"].shape, params["w2"]["weight"].shape
        ((6, 16), (16, 6))
        >>> layer.apply(params, jnp.ones((3, 6))).shape
        (3, 6)
    """
    return gated(features, hidden_features, bias, F.silu)


@layer
def geglu(features: int | None, hidden_features: int | None = None, *, bias: bool = False, approximate: str = "none"):
    """Feeds forward through a gate of GELU: `y = w2(gelu(w1(x)) * w3(x))`.

    The gate alone, a function of two halves, is `jseq.functional.geglu`.

    Args:
        features: size of the last axis; None infers it from x at `init`.
        hidden_features: width in between; None for 8/3 of features, rounded up to a multiple of 8.
        bias: whether the linear maps have biases.
        approximate: "none" or "tanh", as in `gelu` (T5 and Gemma use "tanh").

    Input: `(..., features)`, floating.
    Output: the same shape and dtype.
    Params: `w1 {weight (features, hidden_features)}` (the gate's), `w2 {weight (hidden_features, features)}`
        (on the way out), `w3 {weight (features, hidden_features)}` (the value's), each with `bias` if asked.

    Raises:
        ShapeError: the last axis of x is not `features`.
        DtypeError: x is not floating.
        OptionError: a size below 1, or another word for `approximate`.

    After Shazeer 2020, arXiv:2002.05202; initial values are those of `linear`.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.geglu(6, 10)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((3, 6))).shape
        (3, 6)
    """
    check_approximate(approximate)
    return gated(features, hidden_features, bias, lambda x: F.gelu(x, approximate))


def gated(
    features: int | None, hidden_features: int | None, bias: bool, gate: Callable[[jax.Array], jax.Array]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The pair of a gated block: `y = w2(gate(w1(x)) * w3(x))`."""
    inferable(features=features, hidden_features=hidden_features)

    def init(key: jax.Array, x: Any) -> dict[str, Any]:
        size = inferred(features, "features", x)
        hidden = -(-8 * size // 24) * 8 if hidden_features is None else hidden_features
        params: dict[str, Any] = {}
        shapes = {"w1": (size, hidden), "w2": (hidden, size), "w3": (size, hidden)}
        for part, (name, shape) in zip(jax.random.split(key, 3), shapes.items(), strict=True):
            weight_key, bias_key = jax.random.split(part)
            params[name] = {"weight": draw(None, weight_key, shape, shape[0])}
            if bias:
                params[name]["bias"] = draw(None, bias_key, shape[1:], shape[0])
        return params

    def apply(params: dict[str, Any], x: jax.Array) -> jax.Array:
        value, opening = (F.linear(x, params[name]["weight"], params[name].get("bias")) for name in ("w3", "w1"))
        return F.linear(value * gate(opening), params["w2"]["weight"], params["w2"].get("bias"))

    return init, apply
