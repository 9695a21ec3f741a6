"""A forward pass in which every call of a layer is an equation of its own, by whose name it is known."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from jseq._core import calls
from jseq._core.watching import watched_by
from jseq._tools.jaxprs import is_variable
from jseq.core import Layer

Names = tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A call of a layer, as one equation: how many of its arrays are what."""

    names: Names  # from the combinator that makes the call
    layer: Layer
    params: int
    state: int
    x: int
    y: Any  # the structure of what it gives

    def data(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """The arrays that the layer reads, its state excepted: wires are not drawn through time."""
        return [*arrays[: self.params], *arrays[self.params + self.state :]]

    def x_of(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """The arrays of x among those of the call."""
        return arrays[self.params + self.state :][: self.x]


class Recorder:
    """A watcher that makes an equation of every call; equal calls are traced once."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.jitted: dict[Any, Callable[..., Any]] = {}
        self.above = [0]

    def __call__(
        self, names: Names, layer: Layer, params: Any, state: Any, x: Any, key: Any, train: bool, context: Any
    ) -> tuple[Any, Any]:
        trees = (params, state, x, key, context)
        relative = names[self.above[-1] :]
        index = (relative, layer, jax.tree.structure(trees))
        if index not in self.jitted:
            label = f"jseq:{len(self.jitted)}"
            self.jitted[index] = jax.jit(self.function(label, relative, layer, train))
        self.above.append(len(names))
        try:
            return self.jitted[index](*trees)
        finally:
            self.above.pop()

    def function(self, label: str, names: Names, layer: Layer, train: bool) -> Callable[..., Any]:
        """The call as a function, by whose name its equation is known."""

        def call(params: Any, state: Any, x: Any, key: Any, context: Any) -> tuple[Any, Any]:
            y, new = calls.run_apply(layer, params, state, x, key, train, context)
            held, kept, given = (len(jax.tree.leaves(tree)) for tree in (params, state, x))
            self.calls[label] = Call(names, layer, held, kept, given, jax.tree.structure(y))
            return y, new

        call.__name__ = call.__qualname__ = label
        return call


def recorded(model: Layer, x: Any, context: Any) -> tuple[Any, Mapping[str, Call]]:
    """The jaxpr of a forward pass from shapes alone, and the calls behind the names of its equations."""
    params, state = calls.expected_trees(model, x)
    recorder = Recorder()

    def run(params: Any, state: Any, x: Any, key: Any, context: Any) -> Any:
        with watched_by(recorder):
            return recorder((), model, params, state, x, key, False, context)

    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.make_jaxpr(run)(params, state, x, key, context).jaxpr, recorder.calls


class Run(NamedTuple):
    """An equation; or several that call equal layers in a row, each on what the last one gave."""

    first: Any
    last: Any
    call: Call | None
    end: Call | None  # that of the last
    copies: int = 1

    def goes_on(self, equation: Any, call: Call | None, used: Mapping[Any, int]) -> bool:
        """Whether a call is the next in this row: of an equal layer with another number, on arrays of equal shapes.

        It reads what the last one gave, which nobody else does, or what the last one read, such as a memory.
        """
        end = self.end
        if end is None or call is None or end.layer != call.layer or end.names == call.names:
            return False
        numbered = end.names[:-1] == call.names[:-1] and end.names[-1].isdigit() and call.names[-1].isdigit()
        ys, before, xs = self.last.outvars[: end.y.num_leaves], end.x_of(self.last.invars), call.x_of(equation.invars)
        fed = len(before) == len(xs) and all(x is old or x in ys for old, x in zip(before, xs, strict=True))
        alike = fed and [shape(x) for x in xs] == [shape(old) for old in before]
        return numbered and alike and all(used[y] == 1 and y in xs for y in ys)


def runs(jaxpr: Any, calls: Mapping[str, Call]) -> Iterator[Run]:
    """The equations of a jaxpr, rows of equal calls as one."""
    used = Counter(v for e in jaxpr.eqns for v in e.invars if is_variable(v))
    used.update(v for v in jaxpr.outvars if is_variable(v))
    waiting: Run | None = None
    for equation in jaxpr.eqns:
        call = calls.get(equation.params.get("name"))
        if waiting and waiting.goes_on(equation, call, used):
            waiting = waiting._replace(last=equation, end=call, copies=waiting.copies + 1)
            continue
        if waiting:
            yield waiting
        waiting = Run(equation, equation, call, call)
    if waiting:
        yield waiting


def shape(variable: Any) -> jax.ShapeDtypeStruct:
    """The shape of a variable."""
    return jax.ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype)
