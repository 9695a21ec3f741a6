"""The pieces of a model that is taken apart: layers that stand by themselves, and chains of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jseq._combinators.children import Children
from jseq._combinators.sequential import sequential
from jseq._layers.linear import identity
from jseq._tools.affine import Affine
from jseq._tools.fused import Fusion
from jseq.core import Layer, lift

Trees = tuple[Layer, Any, Any]  # a layer, its params, its state


@dataclass(eq=False)
class Item:
    """A layer that stands by itself while its model is taken apart."""

    path: str
    layer: Layer
    params: Any
    state: Any
    gone: bool = False
    affine: Affine | None = None  # what it is in evaluation, with maps that were folded into it

    def leaves(self) -> "list[Item]":
        """The layers in order that are still there."""
        return [] if self.gone else [self]

    def closed(self) -> Trees:
        """The layer, params and state."""
        return (identity(), (), ()) if self.gone else (self.layer, self.params, self.state)


@dataclass(eq=False)
class Chain:
    """A `sequential` taken apart."""

    path: str
    layer: Layer
    children: Children
    entries: "list[Item | Chain]"
    rows: list[Fusion]

    def leaves(self) -> list[Item]:
        """The layers in order that are still there."""
        return [leaf for entry in self.entries for leaf in entry.leaves()]

    def parts(self) -> Iterator[tuple[str, Trees]]:
        """What is left of the chain, by name; positional chains inside a positional one dissolve."""
        for child, entry in zip(self.children, self.entries, strict=True):
            if not entry.leaves():
                continue
            if isinstance(entry, Chain) and not entry.children.named and not self.children.named:
                self.rows.append(Fusion(entry.path, entry.layer.brief, "flattened"))
                yield from entry.parts()
            else:
                yield child.name, entry.closed()

    def closed(self) -> Trees:
        """The chain as one layer; one that is left alone in a positional chain takes its place."""
        parts = list(self.parts())
        if len(parts) > 1 or (parts and self.children.named):
            return chained(parts, self.children.named)
        self.rows.append(Fusion(self.path, self.layer.brief, "flattened"))
        return parts[0][1] if parts else (identity(), (), ())


def chained(parts: Sequence[tuple[str, Trees]], named: bool) -> Trees:
    """A `sequential` of these layers, with their params and state."""
    layers = [given(layer) for _, (layer, _, _) in parts]
    names = [name for name, _ in parts]
    params, state = ([trees[i] for _, trees in parts] for i in (1, 2))
    if named:
        return sequential(dict(zip(names, layers, strict=True))), dict(zip(names, params, strict=True)), dict(
            zip(names, state, strict=True))  # fmt: skip
    return sequential(*layers), tuple(params), tuple(state)


def given(layer: Layer) -> Any:
    """The layer as a reader writes it: a lifted function bare."""
    return layer.arguments["function"] if layer.constructor is lift else layer
