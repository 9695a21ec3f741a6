"""Indexing, slicing and adding models: always a new value, never a change."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jseq.errors import CallError, near_misses

if TYPE_CHECKING:
    from jseq.core import Layer


def take(layer: "Layer", index: Any) -> "Layer":
    """`model[0]`, `model["fc1"]` give a child; `model[1:]` gives a shorter model."""
    if layer.functions.children is None:
        raise CallError(f"has no children to index with {index!r}.", layer.brief)
    if isinstance(index, slice):
        return rebuilt(layer, list(entries(layer).items())[index], isinstance(layer.children, Mapping))
    if isinstance(layer.children, Mapping):
        return by_name(layer, layer.children, index)
    count = len(layer.children)
    if not isinstance(index, int) or not -count <= index < count:
        raise CallError(f"has no child {index!r}; it has {count}, counted from 0.", layer.brief)
    return layer.children[index]


def by_name(layer: "Layer", children: "Mapping[Any, Layer]", index: Any) -> "Layer":
    """The child of this name, or at this position."""
    names = list(children)
    if isinstance(index, int) and -len(names) <= index < len(names):
        return children[names[int(index)]]
    if index not in children:
        hint = near_misses(str(index), names)
        raise CallError(f"has no child {index!r}.{hint} Its children: {', '.join(names)}.", layer.brief)
    return children[index]


def concatenate(layer: "Layer", other: Any) -> "Layer":
    """`a + b`: the children of both, in order. Their params are `params_a + params_b` (dicts: `|`)."""
    if getattr(other, "constructor", None) is not layer.constructor:
        got = getattr(other, "brief", None) or repr(other)
        raise CallError(f"adds to another {layer.name}, got {got}. "
                        "The call that works: model + jseq.sequential(layer).", layer.brief)  # fmt: skip
    ours, theirs = entries(layer), entries(other)
    named = {isinstance(model.children, Mapping) for model in (layer, other) if model.children}
    if named == {True, False}:
        raise CallError("one has named children and the other has not; name all or none.", layer.brief)
    clash = ours.keys() & theirs.keys()
    if named == {True} and clash:
        raise CallError(f"both have a child named {', '.join(sorted(clash))}; rename one.", layer.brief)
    return rebuilt(layer, [*ours.items(), *theirs.items()], named == {True})


def entries(layer: "Layer") -> dict[Any, Any]:
    """The children as they were given (functions not lifted), by name or by position."""
    parameters = list(layer.signature.parameters.values())
    if len(parameters) != 1 or parameters[0].kind is not parameters[0].VAR_POSITIONAL:
        raise CallError("cannot be sliced or added; chains such as sequential can.", layer.brief)
    given = layer.arguments[parameters[0].name]
    return dict(given[0] if isinstance(layer.children, Mapping) else enumerate(given))


def rebuilt(layer: "Layer", entries: list[tuple[Any, Any]], named: bool) -> "Layer":
    """The same combinator around other children."""
    return layer.constructor(dict(entries)) if named else layer.constructor(*(child for _, child in entries))
