"""The search for the first number that is not finite: a forward pass, a backward pass, and a look at the culprit."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jseq._core import calls
from jseq._core.watching import watched_by
from jseq._tools.nonfinite import NonFinite
from jseq._tools.probes import Counting, Probing, Taking, count, is_inexact, probed
from jseq._tools.tapping import Names, inner_layers, put, uses
from jseq.core import Layer, with_state
from jseq.errors import CallError, describe

GAVE = "gave {:.0f} NaN or inf for a finite input"


class Suspect(NamedTuple):
    """A layer that took only finite numbers and gave others, in one of its copies and uses.

    Attributes:
        names: where it stands, by the names of the children on the way.
        path: its own path.
        copy: which copy.
        use: which use, for a layer that a graph applies several times.
        numbers: how many of x, params and y are not finite; in the backward pass those of their gradients.
    """

    names: Names
    path: str
    copy: tuple[int, ...]
    use: int
    numbers: tuple[float, ...]


class Search:
    """One model and one call of it."""

    def __init__(self, model: Layer, params: Any, state: Any, x: Any, call: Mapping[str, Any], loss: Any):
        self.model, self.params, self.x, self.call, self.loss = model, params, x, dict(call), loss
        self.state = calls.expected_trees(model, jax.tree.map(calls.as_shape, x))[1] if state is None else state
        self.inner = {inner.key: inner for inner in inner_layers(model) if not inner.closed}
        self.here = {inner.place.names: key for key, inner in self.inner.items()}
        self.order: dict[str, int] = {}
        self.prefixes: dict[str, tuple[int, ...]] = {}

    def run(self, watcher: Any, params: Any, state: Any, x: Any) -> tuple[Any, Any]:
        """Applies the model under the eyes of a watcher."""
        with watched_by(watcher):
            return with_state(self.model).apply(params, state, x, **self.call)

    def objective(self, y: Any) -> Any:
        """The number whose gradient is looked at: the loss, or the sum of the outputs."""
        if self.loss is None:
            sums = [jnp.sum(jnp.real(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(y) if is_inexact(leaf)]
            return sum(sums, start=jnp.zeros((), jnp.float32))
        value = self.loss(y)
        if jnp.shape(value) != () or not is_inexact(value):
            raise CallError(f"loss is a function of y that gives one floating number, got {describe(value)}.")
        return value

    def found(self) -> NonFinite | None:
        """The first layer in the forward pass, else the first in the backward pass, else None."""
        suspects, whole, value = self.forward()
        if whole.numbers[0]:
            return self.report("forward", whole, "was given an x that is not finite")
        if suspects:
            first = min(suspects, key=self.place_in_time)
            others = f"; {first.numbers[1]:.0f} of its params are not finite" if first.numbers[1] else ""
            return self.report("forward", first, GAVE.format(first.numbers[2]) + others)
        if value:
            return self.report("forward", whole, "gave finite numbers, of which the loss is not finite")
        suspects = self.backward()
        if not suspects:
            return None
        last = max(suspects, key=self.place_in_time)
        if last.numbers[2]:
            return self.report("backward", last, "gave numbers at which the gradient of the loss is not finite")
        parts = [f"{n:.0f} of {name}" for n, name in zip(last.numbers, ("x", "params"), strict=False) if n]
        what = f"made a gradient that is not finite ({' and '.join(parts)}) of a finite one"
        return self.report("backward", last, what)

    def forward(self) -> tuple[list[Suspect], Suspect, float]:
        """The suspects of the forward pass, the counts of the whole model, and that of the loss."""
        watcher = Counting(self.here)

        @jax.jit
        def counts(params: Any, state: Any, x: Any) -> Any:
            y, after = self.run(watcher, params, state, x)
            return uses(after), jnp.stack([count(x), count(params), count(y)]), count(self.objective(y))

        inside, outside, value = counts(self.params, self.state, self.x)
        self.order = watcher.order
        self.prefixes = {path: arrays[0].shape[:-1] for path, arrays in inside.items()}
        whole = Suspect((), "", (), 0, tuple(map(float, outside)))
        numbers = [whole]
        numbers += [suspect for path, arrays in inside.items() for use, array in enumerate(arrays)
                    for suspect in self.copies(path, use, array)]  # fmt: skip
        return deepest([one for one in numbers if one.numbers[2] and not one.numbers[0]]), whole, float(value)

    def backward(self) -> list[Suspect]:
        """The suspects of the backward pass."""
        taps = {path: jnp.zeros((*prefix, 3), jnp.float32) for path, prefix in self.prefixes.items()}
        watcher = Probing(self.here)

        @jax.jit
        @jax.grad
        def counts(taps: dict[str, Any], params: Any, state: Any, x: Any) -> Any:
            for path, inner in self.inner.items():
                if path in taps:
                    state = put(state, [name for name in inner.place.path.split(".") if name], path, taps[path])
            x = jax.tree.map(jnp.asarray, x)
            with watched_by(watcher):
                call = [self.call[name] for name in ("key", "train", "context")]
                y, _ = probed(self.model, params, state, x, call, taps[""])
            return self.objective(y)

        found = counts({**taps, "": jnp.zeros(3, jnp.float32)}, self.params, self.state, self.x)
        numbers = [suspect for path, array in found.items() for suspect in self.copies(path, 0, array)]
        if any(one.path == "" and one.numbers[2] for one in numbers):
            return [one for one in numbers if one.path == ""]
        return deepest([one for one in numbers if not one.numbers[2] and (one.numbers[0] or one.numbers[1])])

    def copies(self, path: str, use: int, array: Any) -> Iterator[Suspect]:
        """The counts of each copy of a layer."""
        names = self.inner[path].place.names if path else ()
        numbers = np.asarray(array)
        for copy in np.ndindex(numbers.shape[:-1]):
            yield Suspect(names, path, copy, use, tuple(map(float, numbers[copy])))

    def place_in_time(self, one: Suspect) -> tuple[Any, ...]:
        """Sorts by when a layer begins: copies of one repeat one after the other."""
        outermost = self.order.get(self.here.get(one.names[:1], ""), -1)
        return outermost, one.copy, one.use, self.order.get(one.path, -1)

    def report(self, direction: str, one: Suspect, what: str) -> NonFinite:
        """Looks once more at one layer: what it was given."""
        layer: Layer = self.inner[one.path].place.layer if one.path else self.model
        x, params = self.x, self.params
        if one.path:
            watcher = Taking(one.names, one.path)
            taken: Callable[..., Any] = jax.jit(lambda *trees: uses(self.run(watcher, *trees)[1])[one.path][one.use])
            given = taken(self.params, self.state, self.x)
            x, params = jax.tree.map(lambda a: a[one.copy], given)
        return NonFinite(direction, one.path, layer.brief, one.copy, what, x, params)


def deepest(suspects: list[Suspect]) -> list[Suspect]:
    """Those that have no other inside them."""

    def holds(outer: Suspect, inner: Suspect) -> bool:
        depth = len(outer.names)
        inside = len(inner.names) > depth and inner.names[:depth] == outer.names
        return inside and inner.copy[: len(outer.copy)] == outer.copy

    return [one for one in suspects if not any(holds(one, other) for other in suspects)]
