"""Folds the digits CNN after training: the report, accuracy and time of a forward pass before and after.

Runs examples/digits_cnn.py first (needs the extra `examples`). Times are the fastest of many calls, so that other
programs on the machine disturb little. python benchmarks/fuse.py [--steps 1200]
"""

import argparse
import runpy
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp

import jseq

ROOT = Path(__file__).resolve().parent.parent


def fastest(call, calls: int) -> float:
    """Seconds of the fastest of several calls."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default="1200")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        sys.argv = ["digits_cnn.py", "--steps", options.steps, "--out", out]
        trained = runpy.run_path(str(ROOT / "examples" / "digits_cnn.py"))
    model, params, state, x, y = (trained[name] for name in ("model", "params", "state", "x_test", "y_test"))
    start = time.perf_counter()
    folded = jseq.fuse(model, params, state)
    print(folded, f"\nfolded in {time.perf_counter() - start:.2f} s\n")
    before, after = jax.jit(jseq.with_state(model).apply), jax.jit(folded.model.apply)
    print("| batch | before ms | folded ms | accuracy before | folded | largest difference |\n|" + "---|" * 6)
    for batch in (1, 32, len(x)):
        z, old = x[:batch], before(params, state, x[:batch])[0]
        new = after(folded.params, z)
        seconds = [
            fastest(lambda z=z: before(params, state, z), 300),
            fastest(lambda z=z: after(folded.params, z), 300),
        ]
        right = [f"{(guess.argmax(-1) == y[:batch]).mean():.4f}" for guess in (old, new)]
        figures = (
            [f"{1000 * s:.3f}" for s in seconds] + right + [f"{jnp.abs(old - new).max() / jnp.abs(old).max():.1e}"]
        )
        print(f"| {batch} | " + " | ".join(figures) + " |")


if __name__ == "__main__":
    main()
