"""Which entry of torch's state dict each leaf of params and state is: a walk over the layers of a model."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import Children
from jseq._core import calls
from jseq._core.checks import by_path
from jseq._core.values import constructor_name
from jseq._interop.leaves import Entry, Leaf
from jseq._interop.moves import Move, move_of
from jseq.core import Layer
from jseq.errors import CallError, LayerError, ParamsError

Walk = Callable[[Layer, Any, Any], list[Entry]]


def entries_of(model: Layer, params: Any, state: Any) -> list[Entry]:
    """The entries of a model with these params and this state, or with trees of their shapes.

    Raises:
        ParamsError: the trees are those of another model.
        CallError: a layer keeps its params in a form that torch has not.
    """
    try:
        found = walk(model, leaves_of("params", params), leaves_of("state", state))
        return [entry if entry.name else entry.under("weight") for entry in found]  # one that stands alone has no name
    except LayerError as error:
        error.name(model.brief)
        raise


def declared(layer: Layer) -> tuple[Any, Any] | None:
    """The shapes of a layer's params and state when every size is declared; None when x decides."""
    try:
        return calls.expected_trees(layer, None)
    except Exception:  # A size is to be inferred.
        return None


def leaves_of(name: str, tree: Any) -> Any:
    """The same tree with a `Leaf` for each of its arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return structure.unflatten([Leaf(name, i, (), jnp.shape(leaf)) for i, leaf in enumerate(leaves)])


def walk(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """The entries of one layer and of what it holds; names are relative to it."""
    state = state if layer.keeps_state else None
    name = constructor_name(layer.constructor)
    try:
        if name in REFUSED:
            raise CallError(f"keeps {REFUSED[name]}", layer.brief)
        if name in OTHERS:
            return OTHERS[name](layer, params, state)
        if layer.wraps:
            return inside(layer, params, state)
        if layer.functions.children is None:
            return own(layer, params, state)
        return each(Children(layer.children), params, state)
    except LayerError as error:
        error.name(layer.brief)
        raise


def own(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """The entries of a leaf layer, by the paths of its arrays."""
    found = by_path(params) | by_path(() if state is None else state)
    return [Entry(path, "", leaf.by(move_of(layer, leaf.shape))) for path, leaf in found.items()]


def each(children: Children, params: Any, state: Any) -> list[Entry]:
    """The entries of children one after the other, under their names."""
    found: list[Entry] = []
    for child, p, s in children.zip(params, state):
        found += named(child.name, child.layer, p, s)
    return found


def named(name: str, layer: Layer, params: Any, state: Any) -> list[Entry]:
    """The entries of one child under its name."""
    try:
        return [entry.under(name) for entry in walk(layer, params, state)]
    except LayerError as error:
        error.enter(name)
        raise


def inside(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """The entries of the one layer inside a wrapper: the wrapper adds nothing, or it is refused."""
    child = the_child(layer)
    wanted = declared(child)
    if wanted is not None:
        shapes = {path: tuple(leaf.shape) for path, leaf in by_path(wanted[0]).items()}
        if shapes != {path: leaf.shape for path, leaf in by_path(params).items()}:
            raise ParamsError(f"expected the params of the layer inside, {', '.join(shapes) or 'none'}, got "
                              f"{', '.join(by_path(params)) or 'none'}: torch has no names for what this wrapper "
                              f"makes of them.", layer.brief)  # fmt: skip
    return walk(child, params, state)


def the_child(layer: Layer) -> Layer:
    """The one layer inside a wrapper."""
    assert isinstance(layer.functions.children, Layer)
    return layer.functions.children


def itself(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`parameter` and `buffer`: an array under the name of its layer, as an attribute of a torch module is."""
    (leaf,) = jax.tree.leaves((params, state), is_leaf=lambda node: isinstance(node, Leaf))
    return [Entry("", "", leaf)]


def copies(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`repeat` and `ensemble`: copies under their numbers, stacked on a leading axis or in a tuple."""
    n, child = layer.arguments["n"], the_child(layer)
    if not layer.arguments.get("stacked", True):
        return each(Children([child] * n), params, state)
    found: list[Entry] = []
    for i in range(n):
        found += named(str(i), child, *jax.tree.map(lambda leaf, i=i: leaf.one(i, n), (params, state)))
    return found


def adapted(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`lora`: the base, and the adapters under their own names, which torch has not."""
    if not isinstance(params, dict) or set(params) != {"base", "lora"}:
        raise ParamsError(f"expected params to be a dict of base, lora, got {', '.join(by_path(params)) or 'none'}.")
    found = each(Children(layer.children), {"base": params["base"]}, state)
    return found + [Entry(f"lora.{path}", "", leaf) for path, leaf in by_path(params["lora"]).items()]


def tied(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`tie`: one leaf under both names."""
    shared: Leaf = paths.get(params, layer.arguments["source"])
    if layer.arguments["transpose"]:
        last = len(shared.shape) - 1
        exchanged = Move.permutation(shared.shape, (*range(last - 1), last, last - 1))
        target = dataclasses.replace(shared.by(exchanged), shape=exchanged.merged)
    else:
        target = shared
    return walk(the_child(layer), paths.insert(params, layer.arguments["target"], target), state)


def weight_normed(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`weight_norm`: `weight_g` and `weight_v` are torch's original0 and original1."""
    name, dim = layer.arguments["name"], layer.arguments["dim"]
    g, v = (paths.get(params, f"{name}_{half}") for half in "gv")
    whole = paths.insert(paths.remove(paths.remove(params, f"{name}_g"), f"{name}_v"), name, v)

    def length(weight: Leaf) -> Leaf:
        if dim is None:
            return g.by(Move(g.shape, g.shape, tuple(range(len(g.shape))), ()))
        return g.by(Move.permutation(g.shape, order_of(weight, layer)))

    def split(owner: str, last: str, weight: Leaf) -> list[Entry]:
        new, old = f"{owner}parametrizations.{last}.original", f"{owner}{last}_"
        return [Entry(f"{new}0", f"{old}g", length(weight)), Entry(f"{new}1", f"{old}v", weight)]

    return replaced(walk(the_child(layer), whole, state), v, split)


def spectrally_normed(layer: Layer, params: Any, state: Any) -> list[Entry]:
    """`spectral_norm`: torch keeps the vectors beside the weight, v in the order of its own axes."""
    (child, p, s), (_, _, vectors) = Children(layer.children).zip(params, state)
    weight: Leaf = paths.get(p, layer.arguments["name"])
    u, v = vectors["u"], vectors["v"]

    def split(owner: str, last: str, moved: Leaf) -> list[Entry]:
        dim = layer.arguments["dim"] % len(weight.shape)
        ours = [axis for axis in range(len(weight.shape)) if axis != dim]
        theirs = tuple(ours.index(axis) for axis in order_of(moved, layer) if axis != dim)
        across = Move(v.shape, tuple(weight.shape[axis] for axis in ours), theirs, v.shape)
        new, old = f"{owner}parametrizations.{last}.", f"{owner}{last}_"
        return [Entry(f"{new}original", f"{old}orig", moved), Entry(f"{new}0._u", f"{old}u", u),
                Entry(f"{new}0._v", f"{old}v", v.by(across))]  # fmt: skip

    return replaced(walk(child.layer, p, s), weight, split)


def replaced(entries: list[Entry], leaf: Leaf, split: Callable[[str, str, Leaf], list[Entry]]) -> list[Entry]:
    """The entries with those of one leaf replaced by what `split` makes of its owner's and its own name."""
    found: list[Entry] = []
    for entry in entries:
        same = (entry.leaf.tree, entry.leaf.index, entry.leaf.copy) == (leaf.tree, leaf.index, leaf.copy)
        owner, dot, last = entry.name.rpartition(".")
        found += split(owner + dot, last, entry.leaf) if same else [entry]
    return found


def order_of(weight: Leaf, layer: Layer) -> tuple[int, ...]:
    """The place in jseq's weight of each axis of torch's; refuses a weight whose axes are cut."""
    order = tuple(range(len(weight.shape)))
    for move in weight.moves:
        if not move.permutes:
            raise CallError("a transposed convolution of several groups has lengths in torch that do not go along one "
                            "axis here; there is no way from one to the other.", layer.brief)  # fmt: skip
        order = tuple(order[axis] for axis in move.order)
    return order


OTHERS: Mapping[str, Walk] = {
    "jseq.parameter": itself,
    "jseq.buffer": itself,
    "jseq.repeat": copies,
    "jseq.ensemble": copies,
    "jseq.lora": adapted,
    "jseq.tie": tied,
    "jseq.weight_norm": weight_normed,
    "jseq.spectral_norm": spectrally_normed,
}
REFUSED = {
    "jseq.packed": "its params in one array, for which torch has no names. Use the layer inside: its params are "
    "jseq.unpack(params, jax.eval_shape(layer.init, key)).",
    "jseq.quantized": "its weights in few bits, for which torch has no names. Use the model and the params as they "
    "were before jseq.quantize.",
    "jseq.streaming": "a cache, for which torch has no names. Use the layer inside: its params are the same.",
}
