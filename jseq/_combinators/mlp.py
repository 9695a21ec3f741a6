"""The multi-layer perceptron."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jseq._combinators.block import Block, activation_layer, dropout_or_identity
from jseq._combinators.children import Children
from jseq._layers.linear import linear
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import OptionError
from jseq.functional.dropout import check_probability


@layer
def mlp(
    in_features: int | None,
    hidden_features: int | Sequence[int],
    out_features: int,
    num_layers: int | None = None,
    activation: str | Callable[[Any], Any] | Layer = "relu",
    dropout: float = 0.0,
    bias: bool = True,
):
    """Chains linear maps with an activation (and dropout) after all but the last.

    `h[0] = x`, `h[i] = dropout(activation(linear_i(h[i - 1])))`, `y = linear_n(h[n - 1])`.

    Args:
        in_features: size of the last axis of x; None infers it from x at `init`.
        hidden_features: width of every hidden layer, or the widths one by one.
        out_features: size of the last axis of y.
        num_layers: number of linear maps; None for 2, or for as many as the widths make.
        activation: "relu", "gelu", a function of one array, or a layer.
        dropout: probability of dropping a hidden unit, in training. Above 0, training needs a key.
        bias: whether the linear maps have biases.

    Input: `(..., in_features)`, floating.
    Output: `(..., out_features)`, of x's dtype.
    Params: `linear1`, `linear2`, ...: `{weight, bias}`; `activation1`, ... if the activation has some.

    Raises:
        ShapeError: the last axis of x is not `in_features`.
        DtypeError: x is not floating.
        OptionError: a size below 1, num_layers that does not fit the widths, dropout that is no probability, or
            another activation's name.
        CallError: `train=True` without a key, with dropout.

    torch.nn has no counterpart but `torch.nn.Sequential` of the same layers.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.mlp(4, (16, 8), 2, activation="gelu")
        >>> params = model.init(jax.random.key(0))
        >>> {name: p["weight"].shape for name, p in params.items() if p}
        {'linear1': (4, 16), 'linear2': (16, 8), 'linear3': (8, 2)}
        >>> model.apply(params, jnp.ones((3, 4))).shape
        (3, 2)
    """
    check_probability(dropout)
    at_least(1, out_features=out_features)
    parts: dict[str, Layer] = {}
    size = in_features
    for i, width in enumerate(hidden_widths(hidden_features, num_layers), 1):
        parts[f"linear{i}"] = linear(size, width, bias)
        parts[f"activation{i}"] = activation_layer(activation)
        parts[f"dropout{i}"] = dropout_or_identity(dropout)
        size = width
    parts[f"linear{len(parts) // 3 + 1}"] = linear(size, out_features, bias)
    children = Children(parts)

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        run = Block(children, params, state, key, train, context)
        for name in parts:
            x = run(name, x)
        return x, run.state

    return children.init_chain, apply, children.layers


def hidden_widths(hidden_features: int | Sequence[int], num_layers: int | None) -> tuple[int, ...]:
    """The width of every hidden layer."""
    if num_layers is not None:
        at_least(1, num_layers=num_layers)
    if isinstance(hidden_features, Sequence):
        widths = tuple(hidden_features)
    else:
        widths = (hidden_features,) * (1 if num_layers is None else num_layers - 1)
        at_least(1, hidden_features=hidden_features)
    for width in widths:
        at_least(1, hidden_features=width)
    if num_layers is not None and len(widths) != num_layers - 1:
        raise OptionError(f"hidden_features of {len(widths)} widths make {len(widths) + 1} layers, got "
                          f"num_layers={num_layers}.")  # fmt: skip
    return widths
