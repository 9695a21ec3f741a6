"""What blocks with named parts share: how one call runs the parts by name."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq._combinators.children import Child, Children
from jseq._layers.activation import gelu, relu
from jseq._layers.dropout import dropout
from jseq._layers.linear import identity
from jseq.core import Layer, as_layer
from jseq.errors import OptionError, near_misses

ACTIVATIONS = {"relu": relu, "gelu": gelu}  # the names that torch.nn.TransformerEncoderLayer knows


class Block:
    """The parts of a block in one call: runs them by name, in any order, and gathers their new state."""

    def __init__(
        self, children: Children, params: Any, state: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ):
        self.parts: dict[str, tuple[Child, Any, Any]] = {c.name: (c, p, s) for c, p, s in children.zip(params, state)}
        self.states = {name: s for name, (_, _, s) in self.parts.items()}
        self.children, self.key, self.train, self.context = children, key, train, context

    def __call__(self, name: str, x: Any, context: Mapping[str, Any] | None = None) -> Any:
        """Applies one part, with the context of the block or with another."""
        child, params, state = self.parts[name]
        own = self.context if context is None else context
        y, self.states[name] = child.apply(params, state, x, key=self.key, train=self.train, context=own)
        return y

    @property
    def state(self) -> Any:
        """The states after the call, in the container of the children."""
        return self.children.join(list(self.states.values()))


def init_parts(children: Children, key: Any, inputs: Mapping[str, Any], x: Any) -> tuple[Any, Any]:
    """Initialises every part on its own input, or on x."""
    made = [child.init(key, inputs.get(child.name, x)) for child in children]
    return children.join([params for params, _, _ in made]), children.join([state for _, state, _ in made])


def activation_layer(activation: Any) -> Layer:
    """The layer of an activation: its name, a function of one array, or a layer."""
    if not isinstance(activation, str):
        return as_layer(activation)
    if activation not in ACTIVATIONS:
        raise OptionError(f'expected activation to be "relu", "gelu", a function of one array or a layer, got '
                          f"{activation!r}.{near_misses(activation, ACTIVATIONS)}")  # fmt: skip
    return ACTIVATIONS[activation]()


def dropout_or_identity(p: float) -> Layer:
    """Dropout, or nothing for p = 0, so that training without dropout needs no key."""
    return dropout(p) if p else identity()


def widened(x: Any, features: int) -> Any:
    """The shape of x with another number of features; None stays None."""
    return x if x is None else jax.ShapeDtypeStruct((*x.shape[:-1], features), x.dtype)


def named_masks(context: Mapping[str, Any] | None, **names: str) -> dict[str, Any]:
    """The context under a part's own names: `named_masks(context, mask="src_mask")`."""
    given = dict(context or {})
    return {**given, **{own: given[outer] for own, outer in names.items() if outer in given}}
