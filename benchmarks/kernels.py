"""Measures jseq's kernels beside the straightforward JAX formulation of the same mathematics (naive.py).

Both run in turn in one process, the order reversed every round; a ratio is the median of the rounds' ratios. The
errors are those of output and gradients against the naive formulation in float64, relative to the largest element, at
the batch of a CPU. Of convolutions and linear maps the gradient of the weight is timed by itself, too. On an
accelerator batches are 32 times as large, so that there is work for all of it.

    python -m benchmarks.kernels [--only gelu lstm] [--rounds 31] [--dtype float32 bfloat16] [--json file]
"""

import argparse
import json
import math
import multiprocessing
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
    weight: Callable[..., Any]


def programs(function: Callable[..., jax.Array]) -> Programs:
    """Compiles the forward pass, that with the gradients of all arguments, and the gradient of the second by itself."""

    def forward(args: Any, dy: jax.Array, fixed: Any) -> Any:
        return function(*args, *fixed)

    def both(args: Any, dy: jax.Array, fixed: Any) -> Any:
        y, pull = jax.vjp(lambda *args: function(*args, *fixed), *args)
        return y, pull(dy)

    def weight(args: Any, dy: jax.Array, fixed: Any) -> Any:
        x, weight, *rest = args
        return jax.vjp(lambda weight: function(x, weight, *rest, *fixed), weight)[1](dy)

    return Programs(jax.jit(forward), jax.jit(both), jax.jit(weight))


def arguments(kernel: Kernel, dtype: Any) -> tuple[Any, jax.Array, Any]:
    """Draws the arguments; weights are scaled down so that sums keep unit size."""
    fixed, scale = kernel.fixed(), kernel.name.startswith(("conv", "linear", "LSTM", "GRU", "RNN,"))

    def draw(number: int, shape: tuple[int, ...]) -> jax.Array:
        size = math.prod(shape[:-1]) ** -0.5 if scale and number > 0 and len(shape) in (2, 4) else 1.0
        return jax.random.normal(jax.random.key(number + 1), shape, dtype) * jnp.asarray(size, dtype)

    args = tuple(draw(number, shape) for number, shape in enumerate(kernel.shapes))
    return args, draw(-1, jax.eval_shape(kernel.naive, *args, *fixed).shape), fixed


def ratio_of(first: Callable[[], Any], second: Callable[[], Any], rounds: int, seconds: float) -> dict[str, float]:
    """Times two calls in turn, each in bursts of about `seconds`: medians, ratio of second to first, its quartiles."""

    def burst(call: Callable[[], Any], times: int) -> float:
        start, result = time.perf_counter(), None
        for _ in range(times):
            result = call()
        jax.block_until_ready(result)
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


def largest_error(kernel: Kernel, dtype: Any, own: Programs) -> float | None:
    """Compares output and gradients with the naive formulation in float64, relative to the largest."""
    if kernel.random:
        return None
    found = jax.tree.map(lambda a: np.asarray(a, np.float64), own.both(*arguments(kernel, dtype)))
    with jax.enable_x64(True):
        args, dy = jax.tree.map(lambda a: a.astype(jnp.float64), arguments(kernel, dtype)[:2])
        given = args, dy, kernel.fixed()
        wanted = jax.tree.map(np.asarray, programs(kernel.naive).both(*jax.device_put(given, jax.devices("cpu")[0])))
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


class Pair(NamedTuple):
    """A kernel's two formulations, and what they are called with."""

    kernel: Kernel
    slow: Programs
    fast: Programs
    given: tuple[Any, jax.Array, Any]

    def calls(self) -> dict[str, list[Callable[[], Any]]]:
        """The calls that are timed, naive's and jseq's."""
        parts = Programs._fields if self.kernel.name.startswith(("conv", "linear")) else ("forward", "both")
        return {part: [self._call(getattr(own, part)) for own in (self.slow, self.fast)] for part in parts}

    def _call(self, program: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: program(*self.given)


def chosen(options: argparse.Namespace) -> list[tuple[str, Kernel]]:
    """What was asked for, dtype by dtype."""
    some = [k for k in kernels(options.times) if not options.only or any(part in k.name for part in options.only)]
    return [(dtype, kernel) for dtype in options.dtype for kernel in some]


def prepared(dtype: str, kernel: Kernel) -> tuple[Pair, dict[str, Any]]:
    """Compiles the programs, and finds the errors of both formulations at the batch of a CPU."""
    given = arguments(kernel, jnp.dtype(dtype))
    pair = Pair(kernel, programs(kernel.naive), programs(kernel.jseq), given)
    line: dict[str, Any] = {"name": kernel.name, "dtype": dtype, "goal": kernel.goal}
    try:
        for calls in pair.calls().values():
            jax.block_until_ready([call() for call in calls])
        small = next(k for k in kernels() if k.name == kernel.name)
        line["error"], line["naive_error"] = (largest_error(small, jnp.dtype(dtype), p) for p in (pair.fast, pair.slow))
    except Exception as error:  # the table says so, and the others are measured
        line["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return pair, line


def measure(pair: Pair, line: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Completes one line of the table."""
    for part, calls in {} if "failed" in line else pair.calls().items():
        line[part] = ratio_of(*calls, options.rounds, options.seconds)
    return line


def share(number: int, options: argparse.Namespace, barrier: Any, lock: Any, found: Any) -> None:
    """The part of one process: it compiles beside the others, and measures when they all have and none else does."""
    try:
        own = list(enumerate(chosen(options)))[number :: options.processes]
        ready = [(place, *prepared(*what)) for place, what in own]
        barrier.wait()
        with lock:
            found.put([(place, measure(pair, line, options)) for place, pair, line in ready])
    except Exception as error:
        barrier.abort()
        found.put(f"{type(error).__name__}: {error}")


def measured(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The lines of the tables, in order."""
    make = multiprocessing.get_context("spawn")
    barrier, lock, found = make.Barrier(options.processes), make.Lock(), make.Queue()
    for number in range(options.processes):
        make.Process(target=share, args=(number, options, barrier, lock, found), daemon=True).start()
    lines: list[Any] = []
    for _ in range(options.processes):
        part = found.get()
        if isinstance(part, str):
            raise RuntimeError(f"a process failed: {part}")
        lines += part
    return [line for _, line in sorted(lines, key=lambda placed: placed[0])]


def in_words(line: dict[str, Any]) -> str:
    """Writes one line as a row of the table."""
    if "failed" in line:
        return f"| {line['name']} | {line['failed']} | | | | | | |"
    cells = [line["name"], f"{line['both']['naive_ms']:.2f}"]
    ratios = (line.get(part) for part in Programs._fields)
    cells += [f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f})" if r else "" for r in ratios]
    cells += ["-" if line["goal"] is None else f"{line['goal']:.2f}"]
    cells += ["different masks" if line[e] is None else f"{line[e]:.1e}" for e in ("error", "naive_error")]
    return "| " + " | ".join(cells) + " |"


def options_of() -> argparse.Namespace:
    accelerator = jax.default_backend() != "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one burst of calls")
    parser.add_argument("--dtype", nargs="+", default=["float32"])
    parser.add_argument("--times", type=int, default=32 if accelerator else 1, help="how many times the batch")
    parser.add_argument("--processes", type=int, default=8 if accelerator else 1, help="that compile side by side")
    parser.add_argument("--json", help="a file to write the figures to")
    return parser.parse_args()


def main() -> None:
    options = options_of()
    lines = measured(options)
    for dtype in options.dtype:
        print(
            f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {dtype}, {options.times} times the batch, "
            f"{options.rounds} rounds, jseq / naive (quartiles)\n"
        )
        print(
            "| kernel | naive fwd + grad, ms | forward | forward and gradient | weight's gradient | goal "
            "| largest error | naive's |"
        )
        print("|---|---|---|---|---|---|---|---|")
        print("\n".join(in_words(line) for line in lines if line["dtype"] == dtype) + "\n")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(lines, file, indent=1)


if __name__ == "__main__":
    main()
