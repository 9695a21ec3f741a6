"""Times models with weights in 8 and 4 bits beside the same models with floating weights, and weighs both.

The two run in turn in one process, in bursts of about `--seconds`; a ratio is the median of the rounds' ratios, below 1
where the quantised model is quicker, in brackets its quartiles. "error" is the largest difference of the outputs beside
the largest output. A GPU gets larger models, and bfloat16 beside float32 (weights and x): several equal layers in a
chain, since one call takes longer than one product. Last comes the digits CNN of examples/digits_cnn.py, trained,
folded and quantised (needs the extra `examples`). python -m benchmarks.quantize [--rounds 31] [--steps 1200]
"""

import argparse
import contextlib
import io
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jseq
from benchmarks.kernels import ratio_of
from benchmarks.report import table

ROOT = Path(__file__).resolve().parent.parent
FORMS = {"8": {}, "4": {"bits": 4}, "4, groups of 64": {"bits": 4, "group_size": 64}}
HEADER = ("model", "dtype", "x", "bits", "float ms", "times the float model", "MB before", "after", "error of weights",
          "error")  # fmt: skip


class Workload(NamedTuple):
    """A model and the shapes of its inputs: ids below `high`, or floats."""

    name: str
    model: jseq.Layer
    shapes: tuple[tuple[int, ...], ...]
    high: int = 0


def workloads(gpu: bool, small: bool) -> Iterator[Workload]:
    """What is timed."""
    sizes = ((4096, 4096),) if gpu else ((512, 512), (1024, 4096), (4096, 1024), (4096, 4096))
    layers, batches, width = (4, (1, 64, 1024), 1024) if gpu else (1, (1, 8, 64, 256), 512)
    if small:
        sizes, layers, batches, width = ((64, 80),), 1, (1, 64), 64
    for inside, out in sizes:
        name = f"{layers} x linear({inside}, {out})" if layers > 1 else f"linear({inside}, {out})"
        yield Workload(name, chain(inside, out, layers), tuple((batch, inside) for batch in batches))
    block = jseq.transformer_encoder_layer(width, 8, 4 * width, dropout=0.0)
    yield Workload(f"transformer_encoder_layer({width}, 8)", block, ((1, 1, width), (1, 64, width), (8, 64, width)))
    side, channels = (8, 8) if small else (128 if gpu else 32, 64)
    yield Workload("CNN of 5 convolutions", network(channels), ((1, side, side, 3), (32, side, side, 3)))
    rows = 500 if small else 50_000
    yield Workload(f"embedding({rows}, {width})", jseq.embedding(rows, width), ((64, 128),), rows)


def chain(inside: int, out: int, layers: int) -> jseq.Layer:
    """Linear layers one after the other, of square weights if there are several."""
    return jseq.linear(inside, out) if layers == 1 else jseq.sequential(*[jseq.linear(inside, out)] * layers)


def network(channels: int) -> jseq.Layer:
    """A convolutional network of the usual kind."""
    layers: list[Any] = []
    before = 3
    for times, stride in ((1, 1), (1, 1), (2, 2), (2, 1), (4, 2)):
        layers += [jseq.conv2d(before, channels * times, 3, stride, padding=1), jax.nn.relu]
        before = channels * times
    return jseq.sequential(*layers, jseq.global_avg_pool2d(), jseq.linear(before, 10))


def measured(work: Workload, dtype: Any, rounds: int, seconds: float) -> Iterator[list[str]]:
    """The lines of one model."""
    random = np.random.default_rng(0)
    drawn = [random.integers(0, work.high, shape) if work.high else random.standard_normal(shape)
             for shape in work.shapes]  # fmt: skip
    xs = [jnp.asarray(x, jnp.int32 if work.high else dtype) for x in drawn]
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), jax.jit(work.model.init)(jax.random.key(0), xs[0]))
    forms = {bits: jseq.quantize(work.model, params, **options) for bits, options in FORMS.items()}
    run = jax.jit(work.model.apply)
    for x in xs:
        y = run(params, x).astype(jnp.float32)
        for bits, small in forms.items():
            quick = jax.jit(small.model.apply)
            error = float(jnp.abs(quick(small.params, x).astype(jnp.float32) - y).max() / jnp.abs(y).max())
            calls = lambda x=x: run(params, x), lambda x=x, quick=quick, p=small.params: quick(p, x)
            found = ratio_of(*calls, rounds, seconds)
            yield [work.name, jnp.dtype(dtype).name, str(x.shape), bits, f"{found['naive_ms']:.3f}",
                   f"{found['ratio']:.2f} ({found['low']:.2f}-{found['high']:.2f})", f"{small.bytes_before / 1e6:.2f}",
                   f"{small.bytes_after / 1e6:.2f}", f"{max(row.error for row in small.rows):.2%}",
                   f"{error:.1e}"]  # fmt: skip


def digits(steps: str, rounds: int, seconds: float) -> Iterator[list[str]]:
    """The trained digits CNN: folded, and quantised."""
    with tempfile.TemporaryDirectory() as out:
        sys.argv = ["digits_cnn.py", "--steps", steps, "--out", out]
        with contextlib.redirect_stdout(io.StringIO()):
            trained = runpy.run_path(str(ROOT / "examples" / "digits_cnn.py"))
    x, y = trained["x_test"], trained["y_test"]
    model, params, _ = jseq.fuse(trained["model"], trained["params"], trained["state"])
    run = jax.jit(model.apply)
    logits = run(params, x)
    yield ["float32", "1.00", f"{bytes_of(params):,}", "", f"{float((logits.argmax(-1) == y).mean()):.4f}", "", ""]
    for bits, options in FORMS.items():
        small = jseq.quantize(model, params, **options)
        quick = jax.jit(small.model.apply)
        guesses = quick(small.params, x)
        found = ratio_of(lambda: run(params, x), lambda quick=quick, p=small.params: quick(p, x), rounds, seconds)
        ratio = f"{found['ratio']:.2f} ({found['low']:.2f}-{found['high']:.2f})"
        error = float(jnp.abs(guesses - logits).max() / jnp.abs(logits).max())
        yield [bits, ratio, f"{small.bytes_after:,}", f"{max(row.error for row in small.rows):.2%}",
               f"{float((guesses.argmax(-1) == y).mean()):.4f}", f"{error:.1e}",
               str(int((guesses.argmax(-1) != logits.argmax(-1)).sum()))]  # fmt: skip


def bytes_of(params: Any) -> int:
    """The bytes of a tree."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(params))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("--steps", default="1200", help="of training the digits CNN; 0 leaves it out")
    parser.add_argument("--only", default="", help="models whose name has this in it")
    parser.add_argument("--small", action="store_true", help="tiny models, to see that it runs")
    options = parser.parse_args()
    gpu = jax.default_backend() == "gpu"
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}, {options.rounds} rounds")
    print(f"\n{table(HEADER, ())}", flush=True)
    for work in workloads(gpu, options.small):
        for dtype in (jnp.float32, jnp.bfloat16) if gpu else (jnp.float32,):
            if options.only in work.name:
                for line in measured(work, dtype, options.rounds, options.seconds):
                    print(table(line, ()).splitlines()[0], flush=True)
    if int(options.steps):
        header = ("bits", "times float32", "bytes", "error of weights", "accuracy", "error", "other answers")
        lines = list(digits(options.steps, options.rounds, options.seconds))
        print(f"\nthe digits CNN, all test images at once\n\n{table(header, lines)}")


if __name__ == "__main__":
    main()
