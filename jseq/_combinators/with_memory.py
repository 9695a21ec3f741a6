"""The chain of layers that all look at one memory."""

from collections.abc import Mapping
from typing import Any

from jseq._combinators.children import Children
from jseq._layers.pairs import two_arrays
from jseq.core import Layer, layer


@layer
def with_memory(*layers: Layer | Any):
    """Composes layers that each take the output of the one before, and one memory beside it.

    `y = f_n((... f_1((f_0((x, m)), m)) ..., m))`. Layers are given one by one, or as one mapping of names.

    Args:
        *layers: layers of a tuple (x, memory), such as `transformer_decoder_layer`.

    Input: `(x, memory)`.
    Output: what the last layer gives; x if there is none.
    Params: a tuple with one entry per layer; with names, a dict of the same names.
    State: the same container.
    Context: what the layers read.

    Raises:
        CallError: an argument is no layer.
        DtypeError: x is no tuple of two arrays.
        ParamsError: params or state of another model.

    The loop of `torch.nn.TransformerDecoder`, without its norm.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.with_memory(jseq.bilinear(3, 4, 5), jseq.bilinear(5, 4, 2))
        >>> params = model.init(jax.random.key(0))
        >>> model.apply(params, (jnp.ones((8, 3)), jnp.ones((8, 4)))).shape
        (8, 2)
    """
    children = Children(layers)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        x, memory = (None, None) if x is None else two_arrays(x)
        params: list[Any] = []
        states: list[Any] = []
        for child in children:
            p, s, x = child.init(key, None if x is None else (x, memory))
            params.append(p)
            states.append(s)
        return children.join(params), children.join(states)

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        x, memory = two_arrays(x)
        states: list[Any] = []
        for child, p, s in children.zip(params, state):
            x, s = child.apply(p, s, (x, memory), key=key, train=train, context=context)
            states.append(s)
        return x, children.join(states)

    return init, apply, children.layers
