"""What every combinator does with its children: names, keys, containers, and the path in errors."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import jax

from jseq._combinators.siblings import init_run
from jseq._core import calls, sharing
from jseq._core.keys import child_key, stable_number
from jseq._core.values import function_name
from jseq._core.watching import WATCH, step
from jseq.core import Layer, as_layer, lift, no_params
from jseq.errors import ORDERED, CallError, LayerError, ParamsError, describe


@dataclass(frozen=True, slots=True)
class Child:
    """A layer in its place: its name, and the number that its keys are mixed with."""

    name: str  # "" for the layer inside a wrapper, which adds nothing to paths
    layer: Layer
    number: int | None  # None: the key is passed on as it is
    label: str
    shared: bool = False  # whether enough equal layers stand beside it to trace them once

    def key(self, key: Any) -> Any:
        """The child's own key, if there is a key."""
        return key if key is None or self.number is None else child_key(key, self.number)

    def init(self, key: Any, x: Any) -> tuple[Any, Any, Any]:
        """Initialises the child: `(params, state, y)`, y being shapes only (None if x is)."""
        try:
            own = key if self.layer.functions.init is no_params else self.key(key)
            params, state = calls.run_init(self.layer, own, x)
            y = calls.shapes(self.layer, x)[2] if x is not None else None
            return params, state, y
        except Exception as error:
            self.note(error, x)
            raise

    def apply(self, params: Any, state: Any, x: Any, *, key: Any = None, train: bool = False,
              context: Mapping[str, Any] | None = None) -> tuple[Any, Any]:  # fmt: skip
        """Applies the child: `(y, state)`. It gets a key only if it may use one."""
        try:
            with jax.named_scope(self.scope):
                key = self.key(key) if self.layer.uses_key else None
                if WATCH.watcher is None:
                    run = sharing.run_shared if self.shared else calls.run_apply
                    return run(self.layer, params, state, x, key, train, context)
                return step(self.name, self.layer, params, state, x, key, train, context)
        except Exception as error:
            self.note(error, x)
            raise

    @property
    def scope(self) -> str:
        """The name in profiles and in compiled code: `3.linear`, `encoder`."""
        return scope_of(self.name, self.layer)

    def note(self, error: Exception, x: Any) -> None:
        """Adds this level to the path of an error."""
        if isinstance(error, LayerError) and self.name:
            error.enter(self.name)
        error.add_note(f"in {self.label}: {self.layer.brief}, given {describe(x)}")


def inner(layer: Any, label: str = "the layer inside") -> Child:
    """The one layer inside a wrapper: its params, state and keys are the wrapper's own.

    A wrapper returns it as its children: `return init, apply, child.layer`. So `remat(layer)` has the
    params, the initial values and the paths of `layer`.
    """
    return Child("", as_layer(layer), None, label)


class Children:
    """The children of a combinator, positional (tuples of params) or named (dicts of params).

    Keys are stable: a named child's comes from its name, a positional child's from its kind and
    its ordinal among its siblings of that kind. So inserting a relu changes no initial value.
    The child called `main`, which a combinator always has, gets the key as it is.

    Example:
        >>> import jax, jseq
        >>> @jseq.layer
        ... def twice(*layers):
        ...     children = jseq.Children(layers)
        ...
        ...     def apply(params, state, x, key, train, context):
        ...         states = []
        ...         for child, p, s in children.zip(params, state):
        ...             for _ in range(2):
        ...                 x, s = child.apply(p, s, x, key=key, train=train, context=context)
        ...             states.append(s)
        ...         return x, children.join(states)
        ...
        ...     return children.init_chain, apply, children.layers
        >>> model = twice(jseq.linear(3, 3), jax.nn.relu)
        >>> model.apply(model.init(jax.random.key(0)), jax.numpy.ones((2, 3))).shape
        (2, 3)
    """

    def __init__(self, layers: Mapping[str, Any] | Sequence[Any], main: str | None = None):
        if len(layers) == 1 and not isinstance(layers, Mapping) and isinstance(layers[0], Mapping):
            layers = layers[0]
        self.named = isinstance(layers, Mapping)
        items = dict(layers) if isinstance(layers, Mapping) else {str(i): v for i, v in enumerate(layers)}
        if main is not None and main not in items:
            raise CallError(f"expected main to be the name of a child ({', '.join(items)}), got {main!r}.")
        seen: Counter[str] = Counter()
        self.children: list[Child] = []
        made = {name: as_layer(value) for name, value in items.items()}
        equal = Counter(made.values())
        for name, child in made.items():
            check_name(name)
            stable = name if self.named else f"{child.name}:{seen[child.name]}"
            index = len(self.children)
            label = f'({index}) "{name}"' if self.named else f"({index})"
            shared = equal[child] >= sharing.SHARED_FROM
            number = None if name == main else stable_number(stable)
            self.children.append(Child(name, child, number, label, shared))
            seen[child.name] += 1

    def __iter__(self) -> Iterator[Child]:
        return iter(self.children)

    def __len__(self) -> int:
        return len(self.children)

    @property
    def layers(self) -> tuple[Layer, ...] | dict[str, Layer]:
        """The layers, in the container that their params have."""
        return self.join([child.layer for child in self.children])

    def join(self, values: Sequence[Any]) -> Any:
        """Puts one value per child into the container: a tuple, or a dict of the names."""
        if self.named:
            return dict(zip((child.name for child in self.children), values, strict=True))
        return tuple(values)

    def split(self, entries: Any, what: str) -> list[Any]:
        """Takes one value per child out of the container; refuses any other container."""
        if entries is None and what == "state" and not any(child.layer.keeps_state for child in self.children):
            return [None] * len(self.children)  # the plain pair threads none
        names = [child.name for child in self.children]
        if self.named:
            if isinstance(entries, dict) and set(entries) == set(names):  # pyright: ignore
                return [entries[name] for name in names]
            raise ParamsError(self.mismatch(entries, what, f"a dict of {', '.join(names)}"))
        if isinstance(entries, tuple) and len(entries) == len(names):  # pyright: ignore
            return list(entries)  # pyright: ignore
        raise ParamsError(self.mismatch(entries, what, f"a tuple of {len(names)}, one for each child"))

    def mismatch(self, entries: Any, what: str, wanted: str) -> str:
        """Says which entries are missing and which belong to no child."""
        got = describe(entries)
        details = ""
        if isinstance(entries, tuple | list):
            got = f"a {type(entries).__name__} of {len(entries)}"  # pyright: ignore
        elif isinstance(entries, dict):
            names = [child.name for child in self.children]
            got = f"a dict of {', '.join(map(str, entries))}"  # pyright: ignore
            missing = [name for name in names if name not in entries]
            unexpected = [str(name) for name in entries if name not in names]  # pyright: ignore
            details = f"; missing: {', '.join(missing)}" if missing else ""
            details += f"; unexpected: {', '.join(unexpected)}" if unexpected else ""
        return (f"expected {what} to be {wanted}, got {got}{details}. "
                f"Make {what} with this model's init; {ORDERED}.")  # fmt: skip

    def zip(self, params: Any, state: Any) -> list[tuple[Child, Any, Any]]:
        """Goes through the children with their params and state."""
        return list(zip(self.children, self.split(params, "params"), self.split(state, "state"), strict=True))

    def init_branches(self, key: Any, xs: Sequence[Any]) -> tuple[Any, Any]:
        """Initialises the children side by side, each on its own input."""
        made = [child.init(key, x)[:2] for child, x in zip(self.children, xs, strict=True)]
        return self.join([params for params, _ in made]), self.join([state for _, state in made])

    def init_chain(self, key: Any, x: Any) -> tuple[Any, Any]:
        """Initialises the children one after the other, each on the shape that the last one gives."""
        made: list[tuple[Any, Any]] = []
        for _, run in groupby(self.children, key=lambda child: child.layer):
            more, x = init_run(list(run), key, x)
            made += more
        return self.join([params for params, _ in made]), self.join([state for _, state in made])


def scope_of(name: str, layer: Layer) -> str:
    """The name of a child in profiles; a number says nothing without the kind, or the name of a lifted function."""
    kind = function_name(layer.arguments["function"]).rpartition(".")[2] if layer.constructor is lift else layer.name
    kind = kind if kind.isidentifier() else layer.name
    return f"{name}.{kind}" if name.isdigit() else name or kind


def check_name(name: Any) -> None:
    """Refuses names that paths could not tell apart."""
    if not isinstance(name, str) or not name or any(mark in name for mark in "./*"):
        raise CallError(f"a child's name is a string without '.', '/' and '*', got {name!r}.")
