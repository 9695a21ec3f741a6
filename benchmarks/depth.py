"""Measures a gradient through a deep chain: compile time, step time and temporary memory, as a Markdown table.

The block is a pre-norm transformer block of 64 features. Every row runs in an interpreter of its own, without
a compilation cache. Tracing and compiling are CPU seconds, a step is the fastest of several, so that other
programs on the machine disturb little. python benchmarks/depth.py [--depths 4 12 32 128] [--kinds sequential]
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FEATURES, BATCH, LENGTH = 64, 8, 32
HEADER = ["depth", "model", "trace CPU s", "compile CPU s", "step ms", "temporary MB"]
KINDS = ("sequential", "repeat(stacked=False)", "repeat(stacked=True)", "repeat(remat=True)")


def chains() -> dict[str, Callable[[int], object]]:
    """What builds each kind of chain."""
    import jseq

    attend = jseq.multihead_attention(FEATURES, 4, is_causal=True)
    feed = jseq.sequential(jseq.linear(FEATURES, 4 * FEATURES), jseq.gelu(), jseq.linear(4 * FEATURES, FEATURES))
    block = jseq.sequential(*[jseq.residual(jseq.sequential(jseq.layer_norm(FEATURES), f)) for f in (attend, feed)])
    return {
        "sequential": lambda n: jseq.sequential(*[block] * n),
        "repeat(stacked=False)": lambda n: jseq.repeat(block, n, stacked=False),
        "repeat(stacked=True)": lambda n: jseq.repeat(block, n),
        "repeat(remat=True)": lambda n: jseq.repeat(block, n, remat=True),
    }


def measure(kind: str, depth: int, steps: int) -> list[str]:
    """One row: builds, compiles and runs one chain."""
    import jax
    import jax.numpy as jnp

    model = chains()[kind](depth)
    shapes = jax.eval_shape(model.init, jax.random.key(0))  # any numbers will do; compiling init would take long, too
    params = jax.tree.map(lambda a: 0.05 * jax.random.normal(jax.random.key(0), a.shape), shapes)
    x = jax.random.normal(jax.random.key(1), (BATCH, LENGTH, FEATURES))
    start = time.process_time()
    lowered = jax.jit(jax.grad(lambda params, x: jnp.mean(model.apply(params, x) ** 2))).lower(params, x)
    traced = time.process_time()
    compiled = lowered.compile()
    done = time.process_time()
    seconds: list[float] = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        jax.block_until_ready(compiled(params, x))
        seconds.append(time.perf_counter() - begin)
    megabytes = compiled.memory_analysis().temp_size_in_bytes / 1e6
    numbers = (traced - start, done - traced, 1e3 * min(seconds[1:]), megabytes)
    return [str(depth), kind, *(f"{number:.1f}" for number in numbers)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 12, 32, 128])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)  # what the interpreter of one row is given
    options = parser.parse_args()
    if options.row:
        print("| " + " | ".join(measure(options.row[0], int(options.row[1]), options.steps)) + " |")
        return
    print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER), flush=True)
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["PYTHONPATH"] = str(ROOT)
    for depth in options.depths:
        for kind in options.kinds:
            command = [sys.executable, __file__, "--steps", str(options.steps), "--row", kind, str(depth)]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
