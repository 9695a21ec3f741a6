"""What a jaxpr says of the layers that made it: operations, and the arrays kept for the backward pass."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jseq._tools import flops

Scope = tuple[str, ...]  # from the outermost to the innermost, with transformations: ("transpose", "jvp", "0.linear")
VIEWS = frozenset({"reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "copy", "stop_gradient"})


def scope_of(equation: Any) -> Scope:
    """The scopes that an equation was made in."""
    return tuple(word for word in re.split(r"[/()]", str(equation.source_info.name_stack)) if word)


def is_variable(atom: Any) -> bool:
    """Whether what an equation reads is no literal."""
    return not hasattr(atom, "val")


def bodies(equation: Any) -> list[Any]:
    """The jaxprs inside an equation."""
    found: list[Any] = []
    for value in equation.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            inner = getattr(part, "jaxpr", part)
            if hasattr(inner, "eqns"):
                found.append(inner)
    return found


class Tally:
    """The operations of a jaxpr by the scopes that they were made in; each inner jaxpr is counted once."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[Any, dict[Scope, float]]] = {}  # by id; the jaxpr with it, so that ids stay

    def of(self, jaxpr: Any) -> dict[Scope, float]:
        """Operations by scope."""
        if id(jaxpr) not in self.seen:
            total: dict[Scope, float] = {}
            for equation in jaxpr.eqns:
                for scope, count in self.entries(equation):
                    total[scope] = total.get(scope, 0) + count
            self.seen[id(jaxpr)] = jaxpr, total
        return self.seen[id(jaxpr)][1]

    def entries(self, equation: Any) -> Iterator[tuple[Scope, float]]:
        """The operations of one equation: a scan runs `length` times, a branch of a cond at most, a while once.

        Of the branches for platforms the last, the default, is counted: others may do more to be quicker.
        """
        inner = [] if equation.primitive.name in ARITHMETIC else [self.of(body) for body in bodies(equation)]
        scope = scope_of(equation)
        if not inner:
            yield scope, flops.of(equation)
        if equation.primitive.name == "cond":
            chosen = equation.params.get("branches_platforms")
            inner = [inner[-1] if chosen else max(inner, key=lambda counts: sum(counts.values()))]
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        for counts in inner:
            for below, count in counts.items():
                yield scope + below, times * count


# Equations whose jaxpr says how to combine two elements.
ARITHMETIC = frozenset({
    "scatter-add", "scatter_add", "scatter-mul", "scatter_mul", "scatter-min", "scatter_min", "scatter-max",
    "scatter_max", "scatter", "reduce", "reduce_window", "select_and_scatter",
})  # fmt: skip


class Array(NamedTuple):
    """An array that the forward pass keeps: what tells it from others, its bytes, and the scope that made it."""

    identity: tuple[Any, ...]
    bytes: int
    scope: Scope


class Kept:
    """Finds which equation made an array that is kept."""

    def __init__(self) -> None:
        self.made: dict[int, tuple[Any, dict[Any, tuple[Any, int]]]] = {}

    def producers(self, jaxpr: Any) -> dict[Any, tuple[Any, int]]:
        """The equation that makes each variable, and which of its results it is."""
        if id(jaxpr) not in self.made:
            found = {v: (equation, i) for equation in jaxpr.eqns for i, v in enumerate(equation.outvars)}
            self.made[id(jaxpr)] = jaxpr, found
        return self.made[id(jaxpr)][1]

    def origin(self, jaxpr: Any, variable: Any) -> Array | int | None:
        """The array behind a variable; the index of the input that it is a view of; None for a constant."""
        if not is_variable(variable):
            return None
        if variable not in self.producers(jaxpr):
            return next((i for i, given in enumerate(jaxpr.invars) if given is variable), None)
        equation, index = self.producers(jaxpr)[variable]
        name = equation.primitive.name
        if name == "platform_index":  # which branch of a cond, known when it is compiled
            return None
        given = equation.invars[0] if name in VIEWS else passed_on(equation, index) if name == "cond" else None
        if given is not None:
            return self.origin(jaxpr, given)
        own = Array((id(variable),), size_in_bytes(variable.aval), scope_of(equation))
        inner = next((body for body in bodies(equation) if len(body.outvars) == len(equation.outvars)), None)
        if inner is None or name in ARITHMETIC or name in ("while", "cond"):
            return own
        found = self.origin(inner, inner.outvars[index])
        if isinstance(found, Array):
            last = index < equation.params.get("num_carry", 0)  # of a loop, and no stack of all
            return Array((id(equation), last, *found.identity), own.bytes, own.scope + found.scope)
        if found is None:
            return None
        carried = equation.params.get("num_carry", 0)
        constants = equation.params.get("num_consts", 0)
        if constants <= found < constants + carried:  # the values of a loop's carry, stacked
            return own
        return self.origin(jaxpr, equation.invars[found])


def passed_on(equation: Any, index: int) -> Any:
    """The variable that a cond returns as it was given, in whichever branch; None where it makes a new one."""
    outs = [(body.invars, body.outvars[index]) for body in bodies(equation)]
    places = {given.index(out) if out in given else None for given, out in outs}
    place = places.pop() if len(places) == 1 else None
    return None if place is None else equation.invars[1 + place]


def kept_arrays(jaxpr: Any, variables: list[Any]) -> list[Array]:
    """The arrays behind these variables, each once, without inputs and constants."""
    kept = Kept()
    found = (kept.origin(jaxpr, variable) for variable in variables)
    return list({array.identity: array for array in found if isinstance(array, Array)}.values())


def size_in_bytes(aval: Any) -> int:
    """The bytes of an array; 0 for what has no size in bytes, such as a key."""
    return flops.size(aval) * int(getattr(getattr(aval, "dtype", None), "itemsize", 0))
