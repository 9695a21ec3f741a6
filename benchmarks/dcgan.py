"""A DCGAN: one step for generator and discriminator, by jseq, by hand on lax, and by torch where it is installed.

    python -m benchmarks.dcgan [--rounds 9]

Images of 32x32, batch 64; the gradients of all weights, no update. The three losses are held against each other first.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import naive
from jseq import functional as F

BATCH, NOISE = 64, 100
# Window, channels that come in and go out, stride, padding.
GENERATOR = ((4, NOISE, 256, 1, 0), (4, 256, 128, 2, 1), (4, 128, 64, 2, 1), (4, 64, 3, 2, 1))
DISCRIMINATOR = ((4, 3, 64, 2, 1), (4, 64, 128, 2, 1), (4, 128, 256, 2, 1), (4, 256, 1, 1, 0))
Arrays = list[np.ndarray]


def values() -> tuple[Arrays, Arrays, np.ndarray]:
    """The weights of both networks, channels last, and the noise."""
    draw = np.random.default_rng(0)
    both = [
        [draw.normal(0, 0.05, (k, k, a, b)).astype(np.float32) for k, a, b, *_ in network]
        for network in (GENERATOR, DISCRIMINATOR)
    ]
    return both[0], both[1], draw.normal(size=(BATCH, 1, 1, NOISE)).astype(np.float32)


def on_jax(grow: Callable[..., jax.Array], shrink: Callable[..., jax.Array]) -> Callable[[], Any]:
    """A step whose convolutions are `grow(x, weight, stride, padding)` and `shrink`."""

    def loss(growing: Any, shrinking: Any, x: jax.Array) -> jax.Array:
        for weight, (*_, stride, padding) in zip(growing, GENERATOR, strict=True):
            x = grow(x, weight, stride, padding)
            x = jnp.tanh(x) if weight is growing[-1] else jax.nn.relu(x)
        for weight, (*_, stride, padding) in zip(shrinking, DISCRIMINATOR, strict=True):
            x = shrink(x, weight, stride, padding)
            x = x if weight is shrinking[-1] else jax.nn.leaky_relu(x, 0.2)
        return jnp.mean(jax.nn.softplus(-x))

    given = jax.tree.map(jnp.asarray, values())
    step = jax.jit(jax.value_and_grad(loss, (0, 1)))
    return lambda: float(jax.block_until_ready(step(*given))[0])


def on_torch(channels_last: bool) -> Callable[[], Any]:
    import torch
    from torch.nn import functional as T

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    growing, shrinking, noise = values()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    grown = [torch.tensor(w).permute(2, 3, 0, 1).contiguous(memory_format=layout).requires_grad_() for w in growing]
    shrunk = [torch.tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=layout).requires_grad_() for w in shrinking]
    start = torch.tensor(noise).permute(0, 3, 1, 2).contiguous(memory_format=layout)

    def step() -> float:
        x = start
        for weight, (*_, stride, padding) in zip(grown, GENERATOR, strict=True):
            x = T.conv_transpose2d(x, weight, None, stride, padding)
            x = torch.tanh(x) if weight is grown[-1] else torch.relu(x)
        for weight, (*_, stride, padding) in zip(shrunk, DISCRIMINATOR, strict=True):
            x = T.conv2d(x, weight, None, stride, padding)
            x = x if weight is shrunk[-1] else T.leaky_relu(x, 0.2)
        loss = T.softplus(-x).mean()
        torch.autograd.grad(loss, [*grown, *shrunk])
        return float(loss.detach())

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    steps = {
        "hand": on_jax(naive.conv_transpose, lambda x, w, s, p: naive.conv(x, w, p, stride=s)),
        "jseq": on_jax(
            lambda x, w, s, p: F.conv_transpose2d(x, w, None, s, p), lambda x, w, s, p: F.conv2d(x, w, None, s, p)
        ),
    }
    try:
        steps |= {"torch": on_torch(False), "torch channels-last": on_torch(True)}
    except ImportError:
        print("torch is not installed")
    losses = [step() for step in steps.values()]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    for name, found in times.items():
        ratios = [a / b for a, b in zip(found, times["hand"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{name}: {1e3 * statistics.median(found):.0f} ms, {middle:.2f} ({low:.2f} to {high:.2f}) of hand's")


if __name__ == "__main__":
    main()
