"""Measures what jseq costs over the same mathematics written by hand: `by_hand.py`, which calls the same kernels.

For an MLP, a CNN with batch norm and dropout, and a 12-block transformer: a jitted training step's time at sizes so
small that the call is what takes it, compiled FLOPs and bytes at the sizes of the benchmark, equations of the jaxpr,
key operations (and the hashes among them), and casts. And the trace of a gradient through equal blocks.
python -m benchmarks.overhead [--check]
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp

import jseq
from benchmarks import by_hand, jobs, report, workloads
from benchmarks.libraries import jseq as layers

SMALL = {
    "mlp": workloads.Mlp((32, 64, 64, 10), 32),
    "cnn": workloads.Cnn((1, 2, 2, 2), 4, 2, 0.5, 2),
    "transformer": workloads.Gpt(16, 4, 8, 2, 12, 0.1, 1),
}
BLOCKS = workloads.Gpt(2, 32, 64, 4, 128, 0.0, 8)  # of which the blocks alone are used
HASHES = ("random_bits", "random_fold_in", "random_split", "random_seed", "threefry2x32")
DISPATCH, COST, SIZE, TRACE = 1.05, 1.001, 1.05, 0.35  # largest ratios allowed
Step = Callable[..., Any]


def step_of(apply: Any, loss: Any) -> Step:
    """A training step by hand around any model: `params, state, loss = step(params, state, x, y, key)`."""

    def objective(params: Any, state: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any]:
        out, state = apply(params, state, x, key)
        return loss(out, y), state

    def step(params: Any, state: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any, Any]:
        (value, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, x, y, key)
        return jobs.descend(params, grads), state, value

    return step


def pair(workload: str) -> dict[str, tuple[Step, tuple[Any, ...]]]:
    """The step of jseq and the one by hand, each with its arguments."""
    size, values = workloads.size_of(workload), jax.tree.map(jnp.asarray, workloads.values_of(workload))
    batch, loss = (*jobs.jax_batch(workload), jax.random.key(0)), jobs.loss_of(workload)
    model = layers.model_of(workload)
    init, apply = jseq.with_state(model)

    def composed(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
        if model.keeps_state:
            return apply(params, state, x, key=key, train=True)
        return model.apply(params, x, key=key, train=True), state

    written, params, state = by_hand.pair_of(size, values)
    return {
        "jseq": (
            step_of(composed, loss),
            (layers.params_of(workload, "jseq"), init(jax.random.key(0))[1] if model.keeps_state else (), *batch),
        ),
        "hand": (step_of(written, loss), (params, state, *batch)),
    }


def equations(jaxpr: Any) -> Counter[str]:
    """The primitives of a jaxpr and of all jaxprs inside it, each occurrence counted."""
    found: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        found[equation.primitive.name] += 1
        for inside in jax.extend.core.jaxprs_in_params(equation.params):
            found += equations(inside)
    return found


def microseconds(call: Callable[[], Any], calls: int) -> float:
    """Time of one call among several in a row."""
    start, result = time.perf_counter(), None
    for _ in range(calls):
        result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / calls * 1e6


def dispatch(workload: str, rounds: int) -> tuple[dict[str, float], tuple[float, float, float]]:
    """Medians of a call at a small size, and the ratio of jseq to the other round by round."""
    kept = workloads.WORKLOADS[workload]
    workloads.WORKLOADS[workload] = SMALL[workload]
    try:
        steps = {name: (jax.jit(step), given) for name, (step, given) in pair(workload).items()}
    finally:
        workloads.WORKLOADS[workload] = kept
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name in sorted(steps, reverse=bool(number % 2)):
            step, given = steps[name]
            taken = microseconds(lambda step=step, given=given: step(*given), 50)
            if number:
                times[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return medians, report.ratios(times["jseq"], times["hand"])


def costs(workload: str) -> dict[str, dict[str, float]]:
    """Equations, key operations, casts, FLOPs, bytes and temporary memory of both, at the benchmark's size."""
    found: dict[str, dict[str, float]] = {}
    for name, (step, given) in pair(workload).items():
        traced = jax.jit(step).trace(*given)
        primitives = equations(traced.jaxpr.jaxpr)
        compiled = traced.lower().compile()
        analysis = compiled.cost_analysis() or {}
        found[name] = {
            "equations": primitives.total(),
            "key operations": sum(n for p, n in primitives.items() if p.startswith(("random_", "threefry"))),
            "hashes of keys": sum(primitives[p] for p in HASHES),
            "casts": primitives["convert_element_type"],
            "MFLOP": analysis.get("flops", 0.0) / 1e6,
            "MB accessed": analysis.get("bytes accessed", 0.0) / 1e6,
            "temporary MB": compiled.memory_analysis().temp_size_in_bytes / 1e6,
        }
    return found


def traces(depth: int, rounds: int) -> tuple[dict[str, float], tuple[float, float, float]]:
    """CPU seconds to trace a gradient through equal blocks: jseq's plain sequential, and the unrolled loop."""
    values = workloads.values_of_size(BLOCKS._replace(depth=1))["blocks"] * depth
    values = jax.tree.map(jnp.asarray, values)
    d = BLOCKS.features
    attend = jseq.sequential(jseq.layer_norm(d), jseq.multihead_attention(d, BLOCKS.heads, is_causal=True))
    model = jseq.sequential(*[jseq.sequential(jseq.residual(attend), layers.feed(d))] * depth)
    programs = {
        "jseq": (model.apply, tuple(block(p) for p in values)),
        "hand": (by_hand.blocks(BLOCKS.heads), [by_hand.block_of(p) for p in values]),
    }
    x = jnp.ones((BLOCKS.batch, BLOCKS.length, d))
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name in sorted(programs, reverse=bool(number % 2)):
            apply, params = programs[name]
            jax.clear_caches()
            start = time.process_time()
            jax.jit(jax.grad(lambda params, x, apply=apply: jnp.mean(apply(params, x) ** 2))).trace(params, x)
            if number:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(t) for name, t in times.items()}, report.ratios(times["jseq"], times["hand"])


def block(p: Any) -> Any:
    """A block of the transformer without its dropout layers' places."""
    (attend, feed) = layers.block_params(p)
    return {"layer": attend["layer"][:2]}, {"layer": feed["layer"][:4]}


def verdict(ratio: float, limit: float) -> str:
    return f"{ratio:.3f}{'' if ratio <= limit else f' (over {limit})'}"


def row(workload: str, rounds: int) -> list[list[str]]:
    """The rows of one workload."""
    medians, (middle, low, high) = dispatch(workload, rounds)
    shown = [f"{medians[name]:.1f}" for name in ("hand", "jseq")]
    rows = [[workload, "call, us", *shown, f"{verdict(middle, DISPATCH)} ({low:.2f}-{high:.2f})"]]
    found = costs(workload)
    limits = {"equations": SIZE, "MFLOP": COST, "MB accessed": COST, "temporary MB": COST}
    for what in found["hand"]:
        hand, ours = found["hand"][what], found["jseq"][what]
        ratio = ours / hand if hand else float("inf") if ours else 1.0
        limit = limits.get(what, 1.0 if what == "casts" or workload == "mlp" else float("inf"))
        rows.append([workload, what, report.number(hand), report.number(ours), verdict(ratio, limit)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(SMALL), default=list(SMALL))
    parser.add_argument("--rounds", type=int, default=51)
    parser.add_argument("--depth", type=int, default=128, help="of the chain that is traced; 0 leaves it out")
    parser.add_argument("--check", action="store_true", help="fail when a ratio is over its limit")
    options = parser.parse_args()
    rows = [line for workload in options.only for line in row(workload, options.rounds)]
    if options.depth:
        medians, (middle, low, high) = traces(options.depth, 5)
        shown = [f"{medians[name]:.3f}" for name in ("hand", "jseq")]
        ratio = f"{verdict(middle, TRACE)} ({low:.2f}-{high:.2f})"
        rows.append([f"{options.depth} blocks", "trace of a gradient, CPU s", *shown, ratio])
    print(report.table(["model", "what", "by hand", "jseq", "ratio"], rows))
    if options.check and any("over" in line[-1] for line in rows):
        sys.exit("jseq costs more than the same mathematics by hand")


if __name__ == "__main__":
    main()
