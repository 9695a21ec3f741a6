"""How much memory a jaxpr needs at most: an estimate from the lives of its arrays, before any compiler has seen it."""

from collections import Counter
from typing import Any

from jseq._tools.jaxprs import VIEWS, bodies, is_variable, size_in_bytes

# What reads and writes whole arrays. Anything else that is used once is fused into its user, and takes no memory.
WHOLE = frozenset({
    "dot_general", "conv_general_dilated", "sort", "top_k", "gather", "scatter", "cumsum", "reduce_window_sum",
    "reduce_window_max", "select_and_scatter_add", "select_and_gather_add", "concatenate", "random_bits",
})  # fmt: skip


def peak(jaxpr: Any, outputs: list[Any], seen: dict[int, int] | None = None) -> int:
    """The most bytes alive at once beside the inputs, in the order of the equations; `outputs` live to the end."""
    seen = {} if seen is None else seen
    homes = buffers(jaxpr, outputs)
    last = {homes.get(v, v): i for i, equation in enumerate(jaxpr.eqns) for v in variables(equation.invars)}
    last |= dict.fromkeys((homes.get(v, v) for v in variables(outputs)), len(jaxpr.eqns))
    inputs = {*jaxpr.invars, *jaxpr.constvars}
    live = most = 0
    for i, equation in enumerate(jaxpr.eqns):
        used = {homes.get(v, v) for v in variables(equation.invars)} - inputs
        freed = sum(size_in_bytes(v.aval) for v in used if last[v] == i)
        made = sum(size_in_bytes(v.aval) for v in equation.outvars if homes.get(v, v) is v)
        inside = max((work(body, seen) for body in bodies(equation)), default=0)
        reused = 0 if inside or equation.primitive.name in WHOLE else min(freed, made)
        most = max(most, live + made - reused + inside)
        live += made - freed
        live -= sum(size_in_bytes(v.aval) for v in equation.outvars if homes.get(v, v) is v and v not in last)
    return most


def work(jaxpr: Any, seen: dict[int, int]) -> int:
    """The most bytes that an inner jaxpr needs beside its inputs and outputs; equal ones are looked at once."""
    if id(jaxpr) not in seen:
        made = sum(size_in_bytes(v.aval) for v in set(variables(jaxpr.outvars)))
        seen[id(jaxpr)] = max(peak(jaxpr, jaxpr.outvars, seen) - made, 0)
    return seen[id(jaxpr)]


def buffers(jaxpr: Any, outputs: list[Any]) -> dict[Any, Any]:
    """The variable in whose memory each other one lives: that of a view, or of what it is fused from."""
    uses = Counter(v for equation in jaxpr.eqns for v in variables(equation.invars))
    uses.update(variables(outputs))
    homes: dict[Any, Any] = {}
    for equation in jaxpr.eqns:
        name, result = equation.primitive.name, equation.outvars[0] if equation.outvars else None
        given = [homes.get(v, v) for v in variables(equation.invars)]
        fused = name not in WHOLE and len(equation.outvars) == 1 and not bodies(equation) and uses[result] == 1
        if given and (name in VIEWS or fused):
            homes[result] = max(given, key=lambda v: size_in_bytes(v.aval))
    return homes


def variables(values: Any) -> list[Any]:
    """The variables among what an equation reads, without literals."""
    return [v for v in values if is_variable(v)]
