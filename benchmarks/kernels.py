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

from benchmarks import naive
from jseq import functional as F

Shapes = tuple[tuple[int, ...], ...]


class Kernel(NamedTuple):
    """One line of the table.

    Args:
        goal: largest ratio allowed, forward and gradient together; None where none was set.
        shapes: of the arguments that have gradients, drawn from a normal distribution.
        fixed: further arguments that have none (keys, ids), made by a function.
        random: whether the two draw different numbers, so that outputs cannot be compared.
    """

    name: str
    goal: float | None
    shapes: Shapes
    naive: Callable[..., jax.Array]
    jseq: Callable[..., jax.Array]
    fixed: Callable[[], tuple[jax.Array, ...]] = tuple
    random: bool = False


def kernels() -> list[Kernel]:
    """Every kernel and shape of the table."""
    return [*pooling(), *normalisation(), *elementwise(), *attention(), *convolution(), *recurrence(), *products()]


def pooling() -> list[Kernel]:
    image = ((64, 32, 32, 32),)
    return [
        Kernel("max pool 2x2", 0.25, image, lambda x: naive.max_pool(x, 2, 2), lambda x: F.max_pool2d(x, 2)),
        Kernel(
            "max pool 3x3, stride 2", 0.4, image, lambda x: naive.max_pool(x, 3, 2), lambda x: F.max_pool2d(x, 3, 2)
        ),
        Kernel("average pool 2x2", 0.95, image, lambda x: naive.avg_pool(x, 2), lambda x: F.avg_pool2d(x, 2)),
    ]


def normalisation() -> list[Kernel]:
    image, row = (64, 32, 32, 32), (8, 128, 256)

    def batch_norm(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        return F.batch_norm(x, None, None, weight, bias, train=True)[0]

    def layer_norm(width: int) -> Callable[..., jax.Array]:
        return lambda x, weight, bias: F.layer_norm(x, width, weight, bias)

    return [
        Kernel("batch norm, training", 0.65, (image, (32,), (32,)), naive.batch_norm, batch_norm),
        Kernel("layer norm, width 256", 1.0, (row, (256,), (256,)), naive.layer_norm, layer_norm(256)),
        Kernel("layer norm, width 768", 1.0, ((8, 128, 768), (768,), (768,)), naive.layer_norm, layer_norm(768)),
        Kernel("RMS norm, width 256", 1.0, (row, (256,)), naive.rms_norm, lambda x, w: F.rms_norm(x, 256, w, 1e-5)),
        Kernel(
            "group norm, 8 groups",
            1.0,
            (image, (32,), (32,)),
            lambda x, w, b: naive.group_norm(x, w, b, 8),
            lambda x, w, b: F.group_norm(x, 8, 2, w, b),
        ),
        Kernel("instance norm", 1.0, (image,), naive.instance_norm, lambda x: F.instance_norm(x, 2)[0]),
    ]


def elementwise() -> list[Kernel]:
    def key() -> tuple[jax.Array]:
        return (jax.random.key(1),)

    def dropout(p: float) -> tuple[Callable[..., jax.Array], Callable[..., jax.Array]]:
        return (lambda x, key: naive.dropout(x, key, p)), (lambda x, key: F.dropout(x, p, key=key))

    wide = ((8, 128, 1024),)
    return [
        Kernel("dropout, p = 0.5", 0.4, wide, *dropout(0.5), key, random=True),
        Kernel("dropout, p = 0.1", 0.6, wide, *dropout(0.1), key, random=True),
        Kernel("exact GELU", 0.75, wide, naive.gelu, F.gelu),
    ]


def attention() -> list[Kernel]:
    def causal(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    found: list[Kernel] = []
    for length, batch, goal in ((128, 8, None), (1024, 2, 0.4)):
        heads = ((batch, length, 4, 64),) * 3
        found.append(Kernel(f"causal attention, {length} tokens", goal, heads, naive.causal_attention, causal))
    return found


def convolution() -> list[Kernel]:
    def against(
        name: str, x: tuple[int, ...], weight: tuple[int, ...], goal: float, padding: int, groups: int = 1
    ) -> Kernel:
        return Kernel(
            f"conv {name}",
            goal,
            (x, weight),
            lambda x, w: naive.conv(x, w, padding, groups),
            lambda x, w: F.conv2d(x, w, padding=padding, groups=groups),
        )

    return [
        against("3x3, 32 to 64", (64, 16, 16, 32), (3, 3, 32, 64), 1.0, 1),
        against("3x3, 64 to 128", (64, 16, 16, 64), (3, 3, 64, 128), 1.0, 1),
        against("3x3, 3 to 32", (64, 32, 32, 3), (3, 3, 3, 32), 1.0, 1),
        against("3x3, 64 to 64, batch 8", (8, 16, 16, 64), (3, 3, 64, 64), 1.0, 1),
        against("1x1, 64 to 128", (64, 16, 16, 64), (1, 1, 64, 128), 1.0, 0),
        against("3x3 depthwise, 64", (16, 16, 16, 64), (3, 3, 1, 64), 1.0, 1, 64),
    ]


def recurrence() -> list[Kernel]:
    def weights(gates: int) -> Shapes:
        return (16, 128, 128), (128, gates * 128), (128, gates * 128), (gates * 128,)

    def lstm(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array) -> jax.Array:
        return F.lstm(x, None, ih, hh, bias)[0]

    def gru(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array, bias_hh: jax.Array) -> jax.Array:
        return F.gru(x, None, ih, hh, bias, bias_hh)[0]

    def rnn(x: jax.Array, ih: jax.Array, hh: jax.Array, bias: jax.Array) -> jax.Array:
        return F.rnn(x, None, ih, hh, bias)[0]

    return [
        Kernel("LSTM, 128 steps", 0.85, weights(4), naive.lstm, lstm),
        Kernel("GRU, 128 steps", 0.85, (*weights(3), (384,)), naive.gru, gru),
        Kernel("RNN, 128 steps", 0.85, weights(1), naive.rnn, rnn),
    ]


def products() -> list[Kernel]:
    def ids() -> tuple[jax.Array]:
        return (jax.random.randint(jax.random.key(2), (8, 128), 0, 8192, jnp.int32),)

    return [
        Kernel("linear on (8, 128, 256) to 1024", 0.8, ((8, 128, 256), (256, 1024), (1024,)), naive.linear, F.linear),
        Kernel("linear on (64, 784) to 512", 1.0, ((64, 784), (784, 512), (512,)), naive.linear, F.linear),
        Kernel(
            "embedding of 8192 x 256",
            1.0,
            ((8192, 256),),
            lambda weight, ids: naive.embedding(ids, weight),
            lambda weight, ids: F.embedding(ids, weight),
            ids,
        ),
    ]


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
