"""What selectors choose: patterns of paths, kinds of layers, predicates."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from jseq._combinators import paths
from jseq._core.checks import by_path
from jseq._tools.places import places
from jseq.core import Layer, is_constructor
from jseq.errors import CallError, SelectionError, near_misses

FORMS = 'a pattern such as "**/weight", a constructor such as jseq.batch_norm, or a predicate of (path, leaf)'


def chosen(tree: Any, select: tuple[Any, ...], exclude: Any, model: Layer | None) -> dict[str, bool]:
    """Whether each leaf is selected, by path: by any selector (or if there are none), and by none of `exclude`.

    Raises:
        SelectionError: a selector that selects nothing, or nothing left.
        CallError: no tree, no selector, or a kind of layer without the model.
    """
    leaves = leaves_of(tree)
    wanted = named_by(leaves, select, model) if select else set(leaves)
    without = named_by(leaves, exclude, model) if exclude not in ((), None) else set[str]()
    if leaves and not wanted - without:
        raise SelectionError(f"nothing is selected: all {len(wanted)} leaves are excluded by {shown(exclude)}.")
    return {path: path in wanted and path not in without for path in leaves}


def labelled(tree: Any, labels: Any, default: Any, model: Layer | None) -> list[Any]:
    """The label of each leaf: that of the first selector that selects it, or the default.

    Raises:
        SelectionError: a selector that selects nothing, or leaves without label.
        CallError: labels are no mapping, or as in `chosen`.
    """
    if not isinstance(labels, Mapping):
        raise CallError(f'labels are a dict from selectors to labels, got {labels!r:.60}: {{"**/bias": "slow"}}.')
    leaves = leaves_of(tree)
    found: dict[str, Any] = {}
    for selector, value in labels.items():
        found = dict.fromkeys(named_by(leaves, selector, model), value) | found
    bare = [path for path in leaves if path not in found]
    if bare and default is None:
        first = ", ".join(bare[:8]) + (", ..." if bare[8:] else "")
        raise SelectionError(f"{len(bare)} of {len(leaves)} leaves have no label: {first}. "
                             'The call that works: label(params, labels, default="rest").')  # fmt: skip
    return [found.get(path, default) for path in leaves]


def leaves_of(tree: Any) -> dict[str, Any]:
    """The leaves by path; refuses a layer, which is no tree of arrays."""
    if isinstance(tree, Layer):
        raise CallError("expected params, state or another tree of arrays, got a layer. The call that works: "
                        "jseq.mask(params, jseq.batch_norm, model=model).", tree.brief)  # fmt: skip
    return by_path(tree)


def named_by(leaves: Mapping[str, Any], selector: Any, model: Layer | None) -> set[str]:
    """The paths that a selector, or any of a tuple of them, selects."""
    if isinstance(selector, tuple | list):
        return set[str]().union(*(named_by(leaves, one, model) for one in selector))
    if isinstance(selector, str):
        found = paths.matching(leaves, selector)
        if not found:
            raise SelectionError(f"no leaf is at {selector!r}.{paths.hint(leaves, selector)}")
        return set(found)
    if is_constructor(selector):
        return of_kind(leaves, selector, model)
    if isinstance(selector, Layer) or not callable(selector):
        raise CallError(f"expected a selector: {FORMS}; got {selector!r:.60}.")
    found = [path for path, leaf in leaves.items() if selector(path, leaf)]
    if not found:
        raise SelectionError(f"the predicate {shown(selector)} selects none of the leaves.{paths.hint(leaves, '')}")
    return set(found)


def of_kind(leaves: Iterable[str], kind: Callable[..., Layer], model: Layer | None) -> set[str]:
    """The paths under the layers that a constructor built."""
    if not isinstance(model, Layer):
        raise CallError(f"which params belong to {kind.__name__} layers, the model says. "
                        f"The call that works: jseq.mask(params, {shown(kind)}, model=model).")  # fmt: skip
    here = list(places(model))
    stand = [place.path for place in here if place.layer.constructor is kind]
    if not stand:
        kinds = dict.fromkeys(place.layer.name for place in here)
        raise SelectionError(f"no layer of this model is a {kind.__name__}.{near_misses(kind.__name__, kinds)} "
                             f"Its kinds: {', '.join(kinds)}.")  # fmt: skip
    found = set[str]().union(*(paths.matching(leaves, path) if path else leaves for path in stand))
    if not found:
        raise SelectionError(f"this tree has no leaves where {kind.__name__} layers stand ({', '.join(stand[:8])}). "
                             "Is it a tree of this model, and do these layers have params or state?")  # fmt: skip
    return found


def shown(selector: Any) -> str:
    """A selector, as errors name it."""
    if isinstance(selector, tuple | list):
        return ", ".join(map(shown, selector))
    name = getattr(selector, "__qualname__", None)
    return repr(selector) if name is None else f"jseq.{name}" if is_constructor(selector) else name


def filled(tree: Any, values: Iterable[Any]) -> Any:
    """The tree with these values for its leaves."""
    return jax.tree.unflatten(jax.tree.structure(tree), list(values))
