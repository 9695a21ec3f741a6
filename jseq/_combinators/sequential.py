"""The chain."""

from collections.abc import Mapping
from typing import Any

from jseq._combinators.children import Children
from jseq.core import Layer, layer


@layer
def sequential(*layers: Layer | Any):
    """Composes layers, each applied to the output of the one before.

    `y = f_n(... f_1(f_0(x)))`. Layers are given one by one, or as one mapping from names to layers,
    in order: `sequential({"fc1": linear(64, 128), "act": relu()})`. A plain function of one array is
    lifted to a layer. `sequential()` is the identity.

    The model and its params are edited by the same expression: `model[:2]` with `params[:2]`,
    `model[0]` with `params[0]`, `a + b` with `params_a + params_b` (named: `model["fc1"]` with
    `params["fc1"]`, `a + b` with `params_a | params_b`). Follows `torch.nn.Sequential`, except that a
    model never changes, and that repeating a layer gives it params of its own.

    Args:
        *layers: layers or functions, or one mapping of them.

    Input: what the first layer takes.
    Output: what the last layer gives.
    Params: a tuple with one entry per layer; with names, a dict of the same names.
    State: the same container.
    Context: what the layers read.

    Raises:
        CallError: an argument is no layer (a list, an uncalled constructor, a value).
        ParamsError: params or state of another model.

    Example:
        >>> import jax, jseq
        >>> model = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 2))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, jax.numpy.ones((3, 4))).shape
        (3, 2)
        >>> print(model[1:])
        sequential(
          (0): relu()
          (1): linear(in_features=8, out_features=2, bias=True)
        )
    """
    children = Children(layers)

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        states: list[Any] = []
        for child, p, s in children.zip(params, state):
            x, s = child.apply(p, s, x, key=key, train=train, context=context)
            states.append(s)
        return x, children.join(states)

    return children.init_chain, apply, children.layers
