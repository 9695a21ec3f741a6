"""Which params of a model are weights: of two axes or more, by their names and the layers that own them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.depth import repeat
from jseq._combinators.ensemble import ensemble
from jseq._core.checks import by_path
from jseq._layers.embedding import embedding, embedding_bag
from jseq._layers.normalisation import layer_norm, rms_norm
from jseq._layers.positions import learned_positions
from jseq.core import Layer
from jseq.functional.quantized import Format

ROWS = (embedding, embedding_bag, learned_positions)  # tables: a scale for each row
NORMS = (layer_norm, rms_norm)  # their weights can have several axes, and are no matrices
# weight, in_proj_weight, weight_ih_l0, weight_hh_l1_reverse: torch's names
WEIGHT = re.compile(r"(\w+_)?weight(_[ih][hr](_l\d+)?(_reverse)?)?")


def weights(layer: Layer, params: Any) -> dict[str, Format]:
    """The floating weights of a layer and of those inside it, by path."""
    leaves, found = by_path(params), dict[str, Format]()
    for path, home in homes(layer, leaves).items():
        if home.axis and is_matrix(leaves[path], home.copies):
            found[path] = Format(tuple(leaves[path].shape), axis=home.axis, copies=home.copies)
    return found


def is_matrix(leaf: Any, copies: int) -> bool:
    """Whether an array is floating and has two axes or more beside those of copies."""
    return len(leaf.shape) - copies >= 2 and bool(jnp.issubdtype(leaf.dtype, jnp.floating))


class Home(NamedTuple):
    """Where a leaf stands: its input axis, 0 if it is no weight, and how many leading axes stand for copies."""

    axis: int = 0
    copies: int = 0


def homes(layer: Layer, leaves: Iterable[str]) -> dict[str, Home]:
    """Where leaves stand, by path, in the order of the leaves."""
    found = dict.fromkeys(leaves, Home())
    for path, owner, copies in owners(layer):
        axis = 0 if owner.constructor in NORMS else -1 if owner.constructor in ROWS else -2
        for own in paths.matching(found, path) if path else list(found):
            found[own] = Home(axis if WEIGHT.fullmatch(own.rpartition(".")[2]) else 0, copies)
    return found


def owners(layer: Layer, path: str = "", copies: int = 0) -> Iterator[tuple[str, Layer, int]]:
    """The layers without layers inside, with their paths, "*" for each of several copies, and stacked copies."""
    children = layer.children
    if not children:
        yield path, layer, copies
    several = layer.constructor in (repeat, ensemble)
    unstacked = several and layer.arguments.get("stacked") is False
    for name, child in children.items() if isinstance(children, Mapping) else enumerate(children):
        step = "*" if unstacked else "" if layer.wraps else str(name)
        yield from owners(child, paths.joined(path, step), copies + (several and not unstacked))
