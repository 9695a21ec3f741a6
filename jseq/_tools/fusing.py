"""A model taken apart, folded run by run, and put together again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.adapt import adapt
from jseq._combinators.children import Children
from jseq._combinators.dataflow import graph
from jseq._combinators.depth import check_leading, remat, repeat
from jseq._combinators.ensemble import ensemble, over_batch
from jseq._combinators.freezing import freeze
from jseq._combinators.graph import branch, parallel, residual
from jseq._combinators.layout import channels_first
from jseq._combinators.lora import lora
from jseq._combinators.parametrize import parametrize, weight_norm
from jseq._combinators.precision import in_dtype
from jseq._combinators.sequential import sequential
from jseq._combinators.spectral import spectral_norm
from jseq._core import calls
from jseq._core.checks import fits, misfit
from jseq._core.watching import watched_by
from jseq._layers.dropout import dropout, dropout1d, dropout2d, dropout3d
from jseq._layers.dropout_alpha import alpha_dropout, feature_alpha_dropout
from jseq._layers.linear import identity
from jseq._layers.noise import drop_path, gaussian_noise
from jseq._tools import fusing_graphs
from jseq._tools.affine import NORMS, Affine, affine_of, layers_of, taken_after, taken_before, tracked
from jseq._tools.fused import Fusion
from jseq._tools.pieces import Chain, Item, Trees, chained, given
from jseq._tools.places import Place, below
from jseq.core import Layer, rebuild
from jseq.errors import LayerError, ParamsError, describe

SILENT = (identity, dropout, dropout1d, dropout2d, dropout3d, alpha_dropout, feature_alpha_dropout, drop_path,
          gaussian_noise)  # fmt: skip
COMPUTED = (weight_norm, parametrize, spectral_norm, lora)  # params of the layer inside are functions of their own
TRANSPARENT = (remat, freeze)
AROUND = (in_dtype, channels_first, adapt, over_batch)


@dataclass
class Fuser:
    """Takes models apart, writing down what it does."""

    rows: list[Fusion] = field(default_factory=list)

    def note(self, item: Any, what: str, into: str = "", why: str = "") -> None:
        """Writes one row."""
        self.rows.append(Fusion(item.path, item.layer.brief, what, into, why))

    def whole(self, layer: Layer, params: Any, state: Any, path: str) -> Trees:
        """A model, or one that stands by itself inside a model, folded."""
        node = self.opened(layer, params, state, path)
        self.fold(node.leaves())
        if not path and isinstance(node, Chain):
            return chained(list(node.parts()), node.children.named)
        return node.closed()

    def opened(self, layer: Layer, params: Any, state: Any, path: str) -> Item | Chain:
        """Takes a layer apart, and folds what stands by itself inside it."""
        item = Item(path, layer, params, state)
        if layer.constructor in TRANSPARENT:
            self.note(item, "removed")
            return self.opened(layer.children["layer"], params, state, path)  # pyright: ignore
        if layer.constructor in COMPUTED:
            self.note(item, "merged")
            name, *inside = reached(layer, params, state)
            return self.opened(*inside, paths.joined(path, name))  # pyright: ignore
        if layer.constructor is sequential:
            children = Children(layer.children)
            entries = [
                self.opened(c.layer, p, s, paths.joined(path, c.name)) for c, p, s in children.zip(params, state)
            ]
            return Chain(path, layer, children, entries, self.rows)
        if layer.constructor in SILENT:
            self.note(item, "removed")
            item.gone = True
            return item
        item.layer, item.params, item.state = self.rebuilt(item)
        return item

    def rebuilt(self, item: Item) -> Trees:
        """A layer around others, these folded; a layer that is not looked into as it is."""
        layer = item.layer
        if layer.constructor in (branch, parallel, residual):
            return self.side_by_side(item)
        if layer.constructor in AROUND:
            made, params, state = self.whole(layer.children["layer"], item.params, item.state, item.path)  # pyright: ignore
            return rebuild(layer.constructor, {**layer.arguments, "layer": made}), params, state
        if layer.constructor in (repeat, ensemble):
            return self.copies(item)
        if layer.constructor is graph:
            return fusing_graphs.fused(self, item)
        if not layer.children:
            check(item)
            if layer.constructor in NORMS[:1] and not tracked(layer):
                self.note(item, "left", why="it has no running statistics, so its output depends on the batch")
        for place in below(Place((), item.path, layer, "")):
            if layer.children and tracked(place.layer):
                self.note(place, "left", why=f"{layer.name} is not looked into")
        return item.layer, item.params, item.state

    def side_by_side(self, item: Item) -> Trees:
        """`branch`, `parallel` and `residual`: each layer by itself."""
        layer, children = item.layer, Children(item.layer.children)
        found = {c.name: self.whole(c.layer, p, s, paths.joined(item.path, c.name))
                 for c, p, s in children.zip(item.params, item.state)}  # fmt: skip
        if layer.constructor is residual and "shortcut" in found and found["shortcut"][0].constructor is identity:
            del found["shortcut"]
        layers = {name: given(trees[0]) for name, trees in found.items()}
        params, state = ({name: trees[i] for name, trees in found.items()} for i in (1, 2))
        if layer.constructor is residual:
            return residual(**layers), params, state
        if children.named:
            return layer.constructor(layers), params, state
        return layer.constructor(*layers.values()), tuple(params.values()), tuple(state.values())

    def copies(self, item: Item) -> Trees:
        """`repeat` and `ensemble`: every copy by itself, the rows written once."""
        layer, inner, n = item.layer, item.layer.children["layer"], item.layer.arguments["n"]  # pyright: ignore
        stacked = layer.arguments.get("stacked", True)
        params, states = (split(tree, n, stacked) for tree in (item.params, item.state))
        path = item.path if stacked else paths.joined(item.path, "*")
        first = self.whole(inner, params[0], states[0], path)
        if first[0] == inner:
            return layer, item.params, item.state
        others = [Fuser().whole(inner, params[i], states[i], path) for i in range(1, n)]
        made = [tuple(trees[i] for trees in (first, *others)) for i in (1, 2)]
        put = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees) if stacked else trees for trees in made]
        return rebuild(layer.constructor, {**layer.arguments, "layer": first[0]}), put[0], put[1]

    def fold(self, items: Sequence[Item]) -> None:
        """Folds the maps in a run of layers, each applied to what the one before gives."""
        for i, item in enumerate(items):
            item.affine = item.affine or affine_of(item.layer, item.params, item.state)
            if item.affine is not None:
                self.fold_one(item, next((other for other in reversed(items[:i]) if not other.gone), None),
                              next(iter(items[i + 1 :]), None))  # fmt: skip

    def fold_one(self, item: Item, before: Item | None, after: Item | None) -> None:
        """Folds a map into the layer before it, else into the one after it, else makes it a scale and a bias."""
        affine, why = item.affine, ""
        assert affine is not None
        made = taken_after(before.layer, before.params, affine) if before else None
        if before and made:
            before.layer, before.params = made
            return self.fold_away(item, before)
        if after:
            after.affine = affine_of(after.layer, after.params, after.state)
            if after.affine is not None:
                after.affine = affine.then(after.affine)
                return self.fold_away(item, after)
            taken = taken_before(after.layer, after.params, affine)
            if not isinstance(taken, str):
                after.layer, after.params = taken
                return self.fold_away(item, after)
            why = f", {taken}" if taken else ""
        names = [other.layer.name if other else end for other, end in ((before, "the start"), (after, "the end"))]
        why = f"it stands between {names[0]} and {names[1]}{why}"
        return self.replace(item, affine, why)

    def fold_away(self, item: Item, target: Item) -> None:
        """Notes that a map went into another layer."""
        item.gone = True
        self.note(item, "folded", target.path)

    def replace(self, item: Item, affine: Affine, why: str) -> None:
        """Makes a map that folds into neither neighbour a scale and a bias, if it is not one of these."""
        leaves = jax.tree.leaves((item.params, item.state))
        made = layers_of(affine, jnp.result_type(*(leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))))
        if item.layer.keeps_state or len(made) > 1:
            self.note(item, "replaced", why=why)
        else:
            self.note(item, "left", why=why)
        parts = [(str(i), (layer, params, ())) for i, (layer, params) in enumerate(made)]
        item.layer, item.params, item.state = parts[0][1] if len(parts) == 1 else chained(parts, named=False)


def reached(layer: Layer, params: Any, state: Any) -> tuple[Any, ...]:
    """The name of the layer inside, the layer, and the params and state that reach it when it is applied."""
    found: list[tuple[Any, ...]] = []

    def look(names: Any, inner: Layer, params: Any, state: Any, x: Any, *call: Any) -> tuple[Any, Any]:
        if names[-1] in ("", "layer", "base"):
            found.append((names[-1], inner, params, state))
            return x, state
        return calls.run_apply(inner, params, state, x, *call)

    with watched_by(look):
        calls.run_apply(layer, params, state, None, None, False, None)
    return found[0]


def split(tree: Any, n: int, stacked: bool) -> Sequence[Any]:
    """The trees of the copies."""
    if tree is None:
        return [None] * n
    if stacked:
        check_leading(tree, n)
        return [jax.tree.map(lambda leaf, i=i: leaf[i], tree) for i in range(n)]
    if not isinstance(tree, tuple) or len(tree) != n:  # pyright: ignore[reportUnknownArgumentType]
        raise ParamsError(f"expected a tuple of {n}, one for each copy, got {describe(tree)}.")
    return tree  # pyright: ignore[reportUnknownVariableType]


def check(item: Item) -> None:
    """Refuses params and state of another layer, where its sizes are declared."""
    try:
        params, state = calls.expected_trees(item.layer, None)
    except LayerError:  # sizes that are inferred from x: whatever the params have
        return
    given = [("params", params, item.params)] + ([] if item.state is None else [("state", state, item.state)])
    for what, wanted, got in given:
        if not fits(wanted, got):
            raise ParamsError(f"{what} of {item.layer.brief} at {item.path!r} do not fit: {misfit(wanted, got)}.")
