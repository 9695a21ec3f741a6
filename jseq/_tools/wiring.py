"""Who reads what: the layers of a model as boxes with wires between them, found by tracing it.

Every call of a layer becomes an equation of its own in the jaxpr, so that the wires are those of the arrays, whatever
combinator laid them: sums and concatenations that a combinator makes by itself are found as well.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax

from jseq._core import calls
from jseq._tools.jaxprs import bodies, is_variable
from jseq._tools.recording import Call, Names, Run, recorded, runs, shape
from jseq.core import Layer

Sources = frozenset[int]
NOTHING: Sources = frozenset()
JOINS = {
    "add": "+",
    "add_any": "+",
    "sub": "\N{MINUS SIGN}",
    "mul": "\N{MULTIPLICATION SIGN}",
    "div": "\N{DIVISION SIGN}",
    "concatenate": "concat",
}
UNKNOWN = "f"  # the symbol of any other function
Opens = Callable[[Names, Layer, Layer | None], bool | None]


@dataclass(eq=False)
class Unit:
    """What is drawn as one thing: a layer, a frame with others inside, a join, an input or an output.

    Attributes:
        number: what wires call it by, one more than any before it.
        kind: "layer", "frame", "join", "input", "output", "port" (one of several inputs of a frame).
        names: the names on the way to the layer; those of the combinator for a join.
        label: the symbol of a join, the name of an input.
        layer: the layer, if it is one.
        y: the shape of what it gives, a tree.
        reads: the numbers of the units that it reads; 0 is the input of the frame that it stands in.
        inside: what is in a frame.
        copies: how many equal layers it stands for, one after the other.
        plain: whether it gives the very shapes that it reads.
    """

    number: int
    kind: str
    names: Names = ()
    label: str = ""
    layer: Layer | None = None
    y: Any = None
    reads: Sources = NOTHING
    inside: "Region | None" = None
    copies: int = 1
    plain: bool = False


@dataclass(eq=False)
class Region:
    """Units in the order of the calls, and the numbers of those that give what the region gives."""

    units: list[Unit] = field(default_factory=list[Unit])
    gives: Sources = NOTHING


def wired(model: Layer, x: Any, context: Any, opens: Opens) -> Region:
    """The units of a model, its inputs and outputs among them.

    Args:
        opens: of the names of a combinator, it, and the one around it: whether its inside stands in the open (True),
            in a frame (False), or is not looked at (None).
    """
    x = jax.tree.map(partial(calls.as_shape, call="jseq.draw(model, {})"), x)
    jaxpr, known = recorded(model, x, context)
    return Reader(known, opens).whole(jaxpr, x)


class Reader:
    """Reads units and wires from a jaxpr."""

    def __init__(self, calls: Mapping[str, Call], opens: Opens):
        self.calls, self.opens = calls, opens
        self.last = 0

    def unit(self, region: Region, kind: str, **fields: Any) -> Unit:
        """A new unit in a region."""
        self.last += 1
        made = Unit(self.last, kind, **fields)
        region.units.append(made)
        return made

    def whole(self, jaxpr: Any, x: Any) -> Region:
        """The model between its inputs and outputs."""
        region, known = Region(), dict[Any, Sources]()
        run = next(run for run in runs(jaxpr, self.calls) if run.call)
        call = run.call
        assert call is not None
        variables = call.x_of(run.first.invars)
        for (path, leaf), variable in zip(jax.tree_util.tree_leaves_with_path(x), variables, strict=True):
            known[variable] = one(self.unit(region, "input", label=jax.tree_util.keystr(path), y=leaf))
        given = self.called(region, run, (), None, known)
        ys = jax.tree.unflatten(call.y, [shape(v) for v in run.last.outvars[: call.y.num_leaves]])
        for (path, leaf), sources in zip(jax.tree_util.tree_leaves_with_path(ys), given, strict=False):
            self.unit(region, "output", label=jax.tree_util.keystr(path), y=leaf, reads=sources)
        return contracted(region)

    def called(
        self, region: Region, run: Run, above: Names, around: Layer | None, known: Mapping[Any, Sources]
    ) -> list[Sources]:
        """Puts a called layer into a region; the sources of its outputs."""
        call, equation = run.call, run.first
        assert call is not None
        names, n = (*above, *call.names), call.y.num_leaves
        reads = sources_of(equation.invars, known)
        if call.layer.name == "identity" and call.x == n:
            return [*call.x_of(reads)]
        body = bodies(equation)[0]
        opened = self.opens(names, call.layer, around) if call.layer.children else None
        if opened and run.copies == 1:
            inner = dict(zip(body.invars, reads, strict=True))
            self.read(region, body, names, call.layer, inner)
            return sources_of(body.outvars[:n], inner)
        inside = None if opened is None else self.framed(body, call, names)
        made = self.unit(region, "frame" if inside else "layer", names=names, layer=call.layer, inside=inside)
        made.y = jax.tree.unflatten(call.y, [shape(v) for v in equation.outvars[:n]])
        made.reads, made.copies = merged(call.data(reads)), run.copies
        made.plain = list(map(shape, call.x_of(equation.invars))) == jax.tree.leaves(made.y)
        return [one(made)] * n

    def framed(self, body: Any, call: Call, names: Names) -> Region | None:
        """What stands in a frame; several inputs have a port each. None if no layer is found inside."""
        region, entry = Region(), frozenset({0})
        known: dict[Any, Sources] = dict.fromkeys(call.data(body.invars)[call.params :], entry)
        if call.x > 1:
            for i, variable in enumerate(call.x_of(body.invars)):
                known[variable] = one(self.unit(region, "port", label=f"[{i}]", y=shape(variable), reads=entry))
        self.read(region, body, names, call.layer, known)
        region.gives = merged(sources_of(body.outvars[: call.y.num_leaves], known))
        return contracted(region) if any(unit.layer for unit in region.units) else None

    def read(self, region: Region, jaxpr: Any, above: Names, around: Layer, known: dict[Any, Sources]) -> None:
        """Puts what a jaxpr calls into a region, and the sources of its variables among the known."""
        for run in runs(jaxpr, self.calls):
            reads = sources_of(run.first.invars, known)
            inner = None if run.call else self.entered(run.first)
            if run.call:
                given = self.called(region, run, above, around, known)
            elif inner is not None:
                inside = dict(zip(inner.invars, reads, strict=True))
                self.read(region, inner, above, around, inside)
                given = sources_of(inner.outvars, inside)
            else:
                sources = merged(reads)
                if len(sources) > 1:
                    symbol, y = JOINS.get(run.first.primitive.name, UNKNOWN), shape(run.last.outvars[0])
                    sources = one(self.unit(region, "join", names=above, label=symbol, y=y, reads=sources))
                given = [sources] * len(run.last.outvars)
            known.update(zip(run.last.outvars, given, strict=False))

    def entered(self, equation: Any) -> Any:
        """The jaxpr inside an equation such as a scan, if it calls layers."""
        for body in bodies(equation):
            same = len(body.invars) == len(equation.invars) and len(body.outvars) == len(equation.outvars)
            if same and self.calls_layers(body):
                return body
        return None

    def calls_layers(self, jaxpr: Any) -> bool:
        """Whether a jaxpr calls a layer, however deep."""
        return any(e.params.get("name") in self.calls or any(map(self.calls_layers, bodies(e))) for e in jaxpr.eqns)


def contracted(region: Region) -> Region:
    """Puts joins of one kind together that only follow each other: `(a + b) + c` is one sum of three."""
    readers: dict[int, list[Unit]] = {}
    for unit in region.units:
        for number in unit.reads:
            readers.setdefault(number, []).append(unit)
    for unit in list(region.units):
        after = readers.get(unit.number, [])
        if unit.kind != "join" or len(after) != 1 or after[0].kind != "join" or unit.number in region.gives:
            continue
        if unit.label == after[0].label or UNKNOWN in (unit.label, after[0].label):
            after[0].label = unit.label if unit.label == after[0].label else UNKNOWN
            after[0].reads = after[0].reads - {unit.number} | unit.reads
            for number in unit.reads:
                readers[number] = [*{r.number: r for r in (*readers[number], after[0]) if r is not unit}.values()]
            region.units.remove(unit)
    return region


def one(unit: Unit) -> Sources:
    """A unit as the only source."""
    return frozenset({unit.number})


def merged(sources: Iterable[Sources]) -> Sources:
    """All sources together."""
    return NOTHING.union(*sources)


def sources_of(atoms: Iterable[Any], known: Mapping[Any, Sources]) -> list[Sources]:
    """The sources of variables; a literal has none."""
    return [known.get(atom, NOTHING) if is_variable(atom) else NOTHING for atom in atoms]
