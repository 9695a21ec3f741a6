"""How outputs of inner layers get out of a model, and others in: with the state, which combinators hand through.

A tapped layer returns its state with its output around it, and `scan`, `vmap` and `checkpoint` inside combinators treat
it as they treat any state: stacked, batched, saved. A replacement travels to its layer in the state that is given.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jseq._combinators.ensemble import over_batch
from jseq._combinators.sequence import recurrent
from jseq._core import calls
from jseq._core.values import function_name
from jseq._core.watching import watched_by
from jseq._tools.places import Place, places
from jseq.core import Layer, is_constructor, with_state
from jseq.errors import CallError, SelectionError, ShapeError, describe, near_misses

Names = tuple[str, ...]
CLOSED = (over_batch, recurrent)
NO_WAY = (
    "what {} gives does not get out, or in: it is not applied, or stands inside a layer of single steps or examples."
)
FORMS = 'a pattern such as "**/relu*", a constructor such as jseq.linear, or a predicate of (path, layer)'


class Taken(NamedTuple):
    """State on the way out, with what layers gave, use by use."""

    state: Any
    values: dict[str, tuple[Any, ...]]


class Given(NamedTuple):
    """State on the way in, with what layers are to give."""

    state: Any
    values: dict[str, Any]


def tapped(
    model: Layer, params: Any, state: Any, x: Any, select: Any, replace: dict[Any, Any], call: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Applies a model with taps: y, and what was found by path."""
    if not isinstance(model, Layer):
        raise CallError(f"intermediates takes (model, params, x, *select), got {describe(model)}.")
    if model.keeps_state and state is None:
        raise CallError('this model keeps state. The call that works: intermediates(model, params, x, "**", '
                        "state=state).", model.brief)  # fmt: skip
    wanted = {inner.place.names: inner.key for inner in named_by(model, select)}
    if state is None:
        state = calls.expected_trees(model, jax.tree.map(calls.as_shape, x))[1]
    functions, given, state = replacements(model, state, replace)
    tap = Tap({inner.place.names: inner.key for inner in inner_layers(model)}, wanted, functions)
    with watched_by(tap):
        y, after = with_state(model).apply(params, state, x, **call)
    found = dict(collected(after))
    lost = [key for key in wanted.values() if key not in found] + [key for key in given if key not in tap.used]
    if lost:
        raise SelectionError(NO_WAY.format(", ".join(map(repr, lost))), model.brief)
    return y, {key: found[key] for key in wanted.values()}


def replacements(model: Layer, state: Any, replace: dict[Any, Any]) -> tuple[dict[Names, Any], list[str], Any]:
    """The functions by layer, the layers that get arrays, and the state that takes these along."""
    functions: dict[Names, Any] = {}
    given: list[str] = []
    for selector, value in replace.items():
        for inner in named_by(model, selector):
            if callable(value):
                functions[inner.place.names] = value
            else:
                given.append(inner.key)
                state = put(state, [part for part in inner.place.path.split(".") if part], inner.key, value)
    return functions, given, state


class Tap:
    """The watcher that takes what layers give, and gives what it was told to."""

    def __init__(self, here: Mapping[Names, str], wanted: Mapping[Names, str], functions: Mapping[Names, Any]):
        self.here, self.wanted, self.functions = here, wanted, functions
        self.used: set[str] = set()

    def __call__(
        self, names: Names, layer: Layer, params: Any, state: Any, x: Any, key: Any, train: bool, context: Any
    ) -> tuple[Any, Any]:
        path, earlier, new = self.here.get(names, ""), (), None
        if isinstance(state, Taken):  # the second use of a layer in a graph
            state, earlier = state.state, state.values.get(path, ())
        if isinstance(state, Given) and path in state.values:
            rest = dict(state.values)
            new = rest.pop(path)
            state = Given(state.state, rest) if rest else state.state
        y, state = calls.run_apply(layer, params, state, x, key, train, context)
        if names in self.functions:
            y = replaced(path, y, self.functions[names](y))
        if new is not None:
            self.used.add(path)
            y = replaced(path, y, new)
        return y, Taken(state, {path: (*earlier, y)}) if names in self.wanted else state


def replaced(path: str, y: Any, new: Any) -> Any:
    """The replacement, if it is of the same shape."""
    if describe(y) != describe(new):
        raise ShapeError(f"expected a replacement for {path!r} like what the layer gives, {describe(y)}, got "
                         f"{describe(new)}.")  # fmt: skip
    return new


def put(state: Any, path: list[str], key: str, value: Any) -> Any:
    """State with a value for a layer beside the layer's own state."""
    if not path:
        state, others = (state.state, state.values) if isinstance(state, Given) else (state, {})
        return Given(state, {**others, key: value})
    if isinstance(state, Given):
        return Given(put(state.state, path, key, value), state.values)
    name, *rest = path
    if name == "*":  # the copies of an unstacked repeat
        return tuple(put(one, rest, key, jax.tree.map(lambda a, i=i: a[i], value)) for i, one in enumerate(state))
    if isinstance(state, dict):
        return {**state, name: put(state[name], rest, key, value)}
    return tuple(put(one, rest, key, value) if str(i) == name else one for i, one in enumerate(state))


def uses(state: Any) -> dict[str, list[Any]]:
    """What was taken, by path, use by use."""
    found: dict[str, list[Any]] = {}

    def look(tree: Any) -> None:
        for leaf in jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Taken)):
            if isinstance(leaf, Taken):
                for path, values in leaf.values.items():
                    found.setdefault(path, []).extend(values)
                look(leaf.state)

    look(state)
    return found


def collected(state: Any) -> Iterator[tuple[str, Any]]:
    """What was taken, by path; several uses of one layer stacked, or in a tuple where they differ in shape."""
    for path, values in uses(state).items():
        same = len({describe(value) for value in values}) == 1
        if len(values) == 1:
            yield path, values[0]
        else:
            yield path, jax.tree.map(lambda *a: jnp.stack(a), *values) if same else tuple(values)


class Inner(NamedTuple):
    """A layer inside a model.

    Attributes:
        key: a path that no two layers share, and a pattern of itself: a layer inside a wrapper goes by its kind.
        place: where it stands.
        way: what each layer on the way is called, and whether a pattern may pass over it, as over a wrapper's inside.
        closed: whether it stands inside a layer of single steps or examples, which hands no state of theirs out.
    """

    key: str
    place: Place
    way: tuple[tuple[set[str], bool], ...] = ()
    closed: bool = False


def inner_layers(model: Layer) -> list[Inner]:
    """The layers inside a model, in the order of the params."""
    found: dict[Names, Inner] = {}
    for place in places(model):
        names, path = place.names, place.path
        if not names:
            found[names] = Inner("", place)
            continue
        above = found[names[:-1]]
        copies = (({"*"}, True),) if names[-1] == "" and path != above.place.path else ()
        key = ".".join(part for part in (path, place.layer.name) if part) if names[-1] == "" else path
        closed = above.closed or above.place.layer.constructor in CLOSED
        found[names] = Inner(key, place, (*above.way, *copies, (known_as(place), names[-1] == "")), closed)
    return list(found.values())[1:]


def named_by(model: Layer, selector: Any) -> list[Inner]:
    """The layers that a selector, or any of a tuple of them, selects."""
    if isinstance(selector, tuple | list):
        return [inner for one in selector for inner in named_by(model, one)]
    here = inner_layers(model)
    if isinstance(selector, str):
        pattern = tuple(re.split(r"[./]", selector))
        found = [inner for inner in here if matches(pattern, (*inner.way[:-1], (inner.way[-1][0], False)))]
    elif is_constructor(selector):
        found = [inner for inner in here if inner.place.layer.constructor is selector]
    elif callable(selector) and not isinstance(selector, Layer):
        found = [inner for inner in here if selector(inner.key, inner.place.layer)]
    else:
        raise CallError(f"expected a selector of layers: {FORMS}; got {selector!r:.60}.")
    if not found:
        raise SelectionError(nothing(selector, here), model.brief)
    closed = [inner.key for inner in found if inner.closed]
    if closed:
        raise SelectionError(NO_WAY.format(", ".join(map(repr, closed))), model.brief)
    return found


def nothing(selector: Any, here: list[Inner]) -> str:
    """What to say of a selector that selects no layer."""
    known = [inner.key for inner in here]
    there = f"There are: {', '.join(known[:8]) or 'none'}{', ...' if known[8:] else ''}."
    if not isinstance(selector, str):
        return f"no layer is selected by {getattr(selector, '__qualname__', repr(selector))}. {there}"
    last = re.split(r"[./]", selector)[-1]
    names = sorted({name for inner in here for name in known_as(inner.place)})
    hint = near_misses(selector, known) or near_misses(last, names)
    return f"no layer is at {selector!r}.{hint} {there}"


def known_as(place: Place) -> set[str]:
    """What a layer is called in patterns: its name or number, its kind, the name of its function."""
    names = {place.names[-1], place.layer.name} - {""}
    if place.layer.name == "lift":
        names.add(function_name(place.layer.arguments["function"]).rpartition(".")[2])
    return names


def matches(pattern: tuple[str, ...], way: tuple[tuple[set[str], bool], ...]) -> bool:
    """Whether a pattern, word by word, describes a way."""
    if not pattern or not way:
        return all(word == "**" for word in pattern) and not way
    known, optional = way[0]
    if optional and matches(pattern, way[1:]):
        return True
    if pattern[0] == "**":
        return matches(pattern[1:], way) or matches(pattern, way[1:])
    word = re.compile(re.escape(pattern[0]).replace(r"\*", ".*"))
    return any(word.fullmatch(name) for name in known) and matches(pattern[1:], way[1:])
