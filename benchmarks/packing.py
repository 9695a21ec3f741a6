"""Measures what a jitted call of plain params costs beside one of packed params, by their number of leaves.

The model does next to nothing, so that the call itself is what takes the time. Both are called in turn in small
groups, so that a busy moment of the machine hits both. python benchmarks/packing.py
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jseq


def microseconds(call: Callable[[], Any], calls: int) -> float:
    """Time of one call among several, from Python to the result."""
    start = time.perf_counter()
    for _ in range(calls):
        result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - start) / calls * 1e6


def measure(leaves: int, rounds: int, calls: int) -> tuple[float, float, float]:
    """Medians of plain and packed, and the median of their ratios round by round."""
    model = jseq.sequential(*[jseq.scale(8)] * leaves)
    params = model.init(jax.random.key(0))
    packed = jseq.packed(model)
    flat, x = jseq.pack(params), jnp.ones(8)
    assert len(jax.tree.leaves(params)) == leaves and len(jax.tree.leaves(flat)) == 1
    plain_apply, packed_apply = jax.jit(model.apply), jax.jit(packed.apply)
    pair = (lambda: plain_apply(params, x), lambda: packed_apply(flat, x))
    for call in pair:
        microseconds(call, calls)
    times = [[microseconds(call, calls) for call in pair] for _ in range(rounds)]
    plain, flat_times = zip(*times, strict=True)
    ratio = statistics.median(a / b for a, b in times)
    return statistics.median(plain), statistics.median(flat_times), ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=301)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--leaves", type=int, nargs="+", default=[8, 64, 512])
    options = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, medians of {options.rounds} rounds")
    print(f"{'leaves':>6} {'plain, us':>10} {'packed, us':>11} {'plain / packed':>15}")
    for leaves in options.leaves:
        plain, packed, ratio = measure(leaves, options.rounds, options.calls)
        print(f"{leaves:6} {plain:10.1f} {packed:11.1f} {ratio:15.2f}")


if __name__ == "__main__":
    main()
