"""Where the layers of a model stand: one walk for all that looks at layers by path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jseq._combinators.children import scope_of
from jseq.core import Layer


@dataclass(frozen=True, slots=True)
class Place:
    """A layer in its model.

    Attributes:
        names: the names of the children on the way to it; "" for the layer inside a wrapper.
        path: where its params stand, dotted as in torch: "encoder.0"; "*" for each of several copies.
        layer: the layer.
        scope: its name in profiles, "0.linear"; "" for the model itself.
    """

    names: tuple[str, ...]
    path: str
    layer: Layer
    scope: str


def places(model: Layer) -> Iterator[Place]:
    """The model and every layer inside, each before those inside it, in the order of the params."""
    return below(Place((), "", model, ""))


def below(place: Place) -> Iterator[Place]:
    """A place and those inside it."""
    yield place
    layer = place.layer
    children = layer.children
    named = children.items() if isinstance(children, Mapping) else enumerate(children)
    for key, child in named:
        name = "" if layer.wraps else str(key)
        # The copies of an unstacked `repeat` have a tuple of params, which its one child stands for.
        step = "*" if layer.wraps and layer.arguments.get("stacked") is False else name
        path = ".".join(part for part in (place.path, step) if part)
        yield from below(Place((*place.names, name), path, child, scope_of(name, child)))
