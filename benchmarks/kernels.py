"""Measures jseq's kernels beside the straightforward JAX formulation of the same mathematics (naive.py).

Both run in turn in one process, the order reversed every round; a ratio is the median of the rounds' ratios. The
largest error is that of jseq's float32 output and gradients against the naive formulation in float64, relative to
the largest element. python -m benchmarks.kernels [--only gelu lstm] [--rounds 31] [--json file]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernel_list import Kernel, kernels


class Programs(NamedTuple):
    """The two functions of one formulation, over (arguments with gradients, cotangent, fixed arguments)."""

    forward: Callable[..., Any]
    both: Callable[..., Any]


def programs(function: Callable[..., jax.Array]) -> Programs:
    """Compiles the forward pass, and the forward pass with the gradients of all arguments."""

    def forward(args: Any, dy: jax.Array, fixed: Any) -> Any:
        return function(*args, *fixed)

    def both(args: Any, dy: jax.Array, fixed: Any) -> Any:
        y, pull = jax.vjp(lambda *args: function(*args, *fixed), *args)
        return y, pull(dy)

    return Programs(jax.jit(forward), jax.jit(both))


def arguments(kernel: Kernel, dtype: Any) -> tuple[Any, jax.Array, Any]:
    """Draws the arguments; weights are scaled down so that sums keep unit size."""
    generator = np.random.default_rng(0)
    draws = [generator.standard_normal(shape) for shape in kernel.shapes]
    weights = (d / np.sqrt(np.prod(d.shape[:-1])) if i and len(d.shape) in (2, 4) else d for i, d in enumerate(draws))
    scale = kernel.name.startswith(("conv", "linear", "LSTM", "GRU", "RNN,"))
    args = tuple(jnp.asarray(a, dtype) for a in (weights if scale else draws))
    fixed = kernel.fixed()
    y = jax.eval_shape(kernel.naive, *args, *fixed)
    return args, jnp.asarray(generator.standard_normal(y.shape), dtype), fixed


def ratio_of(first: Callable[[], Any], second: Callable[[], Any], rounds: int, seconds: float) -> dict[str, float]:
    """Times two calls in turn, each in bursts of about `seconds`: medians, ratio of second to first, its quartiles."""

    def burst(call: Callable[[], Any], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            jax.block_until_ready(call())
        return (time.perf_counter() - start) / times

    for call in (first, second):
        burst(call, 2)
    times = [max(1, int(seconds / burst(call, 3))) for call in (first, second)]
    a: list[float] = []
    b: list[float] = []
    for i in range(rounds):
        pairs = [(first, times[0], a), (second, times[1], b)]
        for call, count, into in pairs if i % 2 else reversed(pairs):
            into.append(burst(call, count))
    ratios = sorted(y / x for x, y in zip(a, b, strict=True))
    low, _, high = statistics.quantiles(ratios, n=4) if rounds > 3 else (ratios[0], 0, ratios[-1])
    return {"naive_ms": statistics.median(a) * 1e3, "ratio": statistics.median(ratios), "low": low, "high": high}


def largest_error(kernel: Kernel, fast: Programs) -> float | None:
    """Compares output and gradients of float32 with the naive formulation in float64, relative to the largest."""
    if kernel.random:
        return None
    found = jax.tree.map(np.asarray, fast.both(*arguments(kernel, jnp.float32)))
    with jax.enable_x64(True):
        wanted = jax.tree.map(np.asarray, programs(kernel.naive).both(*arguments(kernel, jnp.float64)))
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def measure(kernel: Kernel, rounds: int, seconds: float) -> dict[str, Any]:
    """One line of the table."""
    slow, fast = programs(kernel.naive), programs(kernel.jseq)
    given = arguments(kernel, jnp.float32)
    line: dict[str, Any] = {"name": kernel.name, "goal": kernel.goal, "error": largest_error(kernel, fast)}
    for part in Programs._fields:
        first, second = getattr(slow, part), getattr(fast, part)
        line[part] = ratio_of(lambda f=first: f(*given), lambda f=second: f(*given), rounds, seconds)
    return line


def in_words(line: dict[str, Any]) -> str:
    """Writes one line as a row of the table."""
    cells = [line["name"], f"{line['both']['naive_ms']:.2f}"]
    cells += [f"{line[p]['ratio']:.2f} ({line[p]['low']:.2f} to {line[p]['high']:.2f})" for p in ("forward", "both")]
    cells += ["-" if line["goal"] is None else f"{line['goal']:.2f}"]
    cells += ["different masks" if line["error"] is None else f"{line['error']:.1e}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one burst of calls")
    parser.add_argument("--json", help="a file to write the figures to")
    options = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {options.rounds} rounds, jseq / naive (quartiles)")
    print("| kernel | naive fwd + grad, ms | forward | forward and gradient | goal | largest error |")
    print("|---|---|---|---|---|---|")
    lines: list[dict[str, Any]] = []
    for kernel in kernels():
        if not options.only or any(part in kernel.name for part in options.only):
            lines.append(measure(kernel, options.rounds, options.seconds))
            print(in_words(lines[-1]), flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(lines, file, indent=1)


if __name__ == "__main__":
    main()
