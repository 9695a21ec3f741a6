"""A model put together again around quantised weights."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jseq._combinators import paths
from jseq._combinators.adapt import adapt
from jseq._combinators.dataflow import graph
from jseq._combinators.depth import remat, repeat
from jseq._combinators.ensemble import ensemble, over_batch
from jseq._combinators.freezing import freeze
from jseq._combinators.graph import branch, parallel, residual
from jseq._combinators.layout import channels_first
from jseq._combinators.precision import in_dtype
from jseq._combinators.quantized import quantized, with_held
from jseq._combinators.sequential import sequential
from jseq._combinators.tie import tie
from jseq._combinators.weights import homes, is_matrix, weights
from jseq._core.checks import by_path, fits, misfit
from jseq._tools import selecting
from jseq._tools.quantization import Quantization, Quantized
from jseq.core import Layer, lift, rebuild
from jseq.errors import ParamsError, SelectionError
from jseq.functional import quantized as arithmetic
from jseq.functional.quantized import Format

# What hands the params of the layers inside on as they are; around other layers stands one `quantized`.
OPEN = (sequential, branch, parallel, residual, graph, repeat, ensemble, over_batch, remat, freeze, in_dtype,
        channels_first, adapt)  # fmt: skip


def quantized_model(
    model: Layer, params: Any, bits: int, group_size: int | None, select: Any, exclude: Any
) -> Quantized:
    """The model, its params and the report."""
    expected = paths.declared(model)
    if expected is not None and not fits(expected, params):
        raise ParamsError(f"params do not fit: {misfit(expected, params)}. Make them with this model's init.")
    leaves = by_path(params)
    candidates = {p: f._replace(bits=bits, group_size=group_size) for p, f in weights(model, params).items()}
    if not candidates:
        raise SelectionError("this model has no floating weights to quantise.", model.brief)
    tree = selecting.filled(params, (leaf if path in candidates else None for path, leaf in leaves.items()))
    wanted = selecting.chosen(tree, () if select is None else (select,), exclude, model)
    places = homes(model, leaves)
    made: dict[str, tuple[Any, Any]] = {}
    rows: list[Quantization] = []
    for path, leaf in leaves.items():
        if wanted.get(path):
            made[path] = held(path, leaf, candidates[path])
            rows.append(row(path, leaf, candidates[path], made[path]))
        elif is_matrix(leaf, places[path].copies) and not is_scale(path, leaves):
            rows.append(left(path, leaf, "not selected" if path in candidates else "no weight of its layer"))
    layer = Walk(bits, group_size).rebuilt(model, list(made), list(candidates))
    after = with_held(params, {path: (jnp.asarray(q), jnp.asarray(scale)) for path, (q, scale) in made.items()})
    return Quantized(layer, after, tuple(rows), size(params), size(after))


def is_scale(path: str, leaves: Mapping[str, Any]) -> bool:
    """Whether a leaf is the scale of a weight that is held in few bits already."""
    weight = leaves.get(path.removesuffix("_scale"))
    return path.endswith("_scale") and weight is not None and weight.dtype == jnp.int8


def held(path: str, leaf: Any, form: Format) -> tuple[Any, Any]:
    """A weight as it is held; refuses one that is not finite."""
    weight = np.asarray(leaf)
    if not np.isfinite(weight).all():
        raise ParamsError(f"{path} holds {int((~np.isfinite(weight)).sum())} numbers that are not finite, which have "
                          "no scale. jseq.debug.find_nonfinite says where such numbers come from.")  # fmt: skip
    return arithmetic.quantize(weight, form, np)


def row(path: str, leaf: Any, form: Format, made: tuple[Any, Any]) -> Quantization:
    """What became of a weight that was quantised."""
    weight, (q, scale) = np.asarray(leaf).astype(np.float64), made
    change = np.linalg.norm(arithmetic.dequantize(q, scale.astype(np.float64), form, np) - weight)
    error = float(change / (np.linalg.norm(weight) or 1.0))
    return Quantization(path, leaf.shape, form.bits, size(leaf), q.nbytes + scale.nbytes, error)


def left(path: str, leaf: Any, why: str) -> Quantization:
    """What became of a leaf that could have been a weight."""
    return Quantization(path, tuple(leaf.shape), 8 * leaf.dtype.itemsize, size(leaf), size(leaf), 0.0, why)


def size(tree: Any) -> int:
    """The bytes of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


class Walk(NamedTuple):
    """Puts `quantized` around the layers whose weights are held in few bits."""

    bits: int
    group_size: int | None

    def rebuilt(self, layer: Layer, chosen: Sequence[str], candidates: Sequence[str]) -> Layer:
        """A layer with these weights quantised, of those that could be; the paths are those inside it."""
        if not chosen:
            return layer
        if layer.constructor is tie:
            return self.tied(layer, chosen, candidates)
        if layer.constructor not in OPEN:
            return self.around(layer, chosen, candidates)
        made: dict[str, Layer] = {}
        for name, child in named(layer):
            parts = [inside(layer, name, these) for these in (chosen, candidates)]
            made[name] = self.rebuilt(child, *parts)
        return with_children(layer, made)

    def around(self, layer: Layer, chosen: Sequence[str], candidates: Sequence[str]) -> Layer:
        """One wrapper around a layer."""
        select = None if set(chosen) == set(candidates) else tuple(chosen)
        return quantized(layer, self.bits, self.group_size, select=select)

    def tied(self, layer: Layer, chosen: Sequence[str], candidates: Sequence[str]) -> Layer:
        """`tie`, with the scales tied as well where both places hold the weight alike."""
        source, target, transpose = (layer.arguments[name] for name in ("source", "target", "transpose"))
        child = layer.children["layer"]  # pyright: ignore[reportCallIssue, reportArgumentType]
        everywhere = [*candidates, target]
        if source not in chosen:
            return tie(self.rebuilt(child, chosen, everywhere), source, target, transpose)
        first, second = homes(child, (source, target)).values()
        if not second.axis or first.copies != second.copies or (first.axis != second.axis) != transpose:
            return self.around(layer, chosen, candidates)
        made = tie(self.rebuilt(child, [*chosen, target], everywhere), source, target, transpose)
        return tie(made, f"{source}_scale", f"{target}_scale", transpose)


def named(layer: Layer) -> list[tuple[str, Layer]]:
    """The layers inside with their names."""
    children = layer.children
    return [(str(name), child) for name, child in (
        children.items() if isinstance(children, Mapping) else enumerate(children)
    )]  # fmt: skip


def inside(layer: Layer, name: str, chosen: Sequence[str]) -> list[str]:
    """The paths of a child's leaves, as they are inside it."""
    if layer.wraps and layer.arguments.get("stacked") is False:
        return copies_alike(layer, chosen)
    if layer.wraps:
        return list(chosen)
    return [path.removeprefix(f"{name}.") for path in chosen if path.startswith(f"{name}.")]


def copies_alike(layer: Layer, chosen: Sequence[str]) -> list[str]:
    """The paths inside each of several copies, which are one layer; refuses paths of some copies only."""
    within: dict[str, set[str]] = {}
    for path in chosen:
        copy, _, rest = path.partition(".")
        within.setdefault(rest, set()).add(copy)
    for rest, copies in within.items():
        if len(copies) != layer.arguments["n"]:
            raise SelectionError(f"{rest!r} is selected in {len(copies)} of {layer.arguments['n']} copies, which are "
                                 f"one layer. Select it in all: {f'**.{rest}'!r}.", layer.brief)  # fmt: skip
    return list(within)


def with_children(layer: Layer, made: Mapping[str, Layer]) -> Layer:
    """The same combinator around other layers; a lifted function stays as it was given."""
    arguments = dict(layer.arguments)
    for name, value in layer.arguments.items():
        if name == "layers":
            bare = value[0] if len(value) == 1 and isinstance(value, tuple) and isinstance(value[0], Mapping) else value
            if isinstance(bare, Mapping):
                changed: Any = {key: bare[key] if lifted(made[key]) else made[key] for key in bare}
                arguments[name] = (changed,) if bare is not value else changed
            else:
                arguments[name] = tuple(g if lifted(made[str(i)]) else made[str(i)] for i, g in enumerate(bare))
        elif name in made and value is not None:
            arguments[name] = value if lifted(made[name]) else made[name]
    return rebuild(layer.constructor, arguments)


def lifted(layer: Layer) -> bool:
    """Whether this is a plain function."""
    return layer.constructor is lift
