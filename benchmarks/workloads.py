"""What is measured: sizes, data, and the initial values that every library starts from. numpy alone.

The trees of initial values are those of `libraries/hand.py`; the others lay the same numbers out in their own way.
"""

import os
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


class Mlp(NamedTuple):
    """Dense layers with ReLU between them."""

    features: tuple[int, ...]
    batch: int


class Cnn(NamedTuple):
    """conv-BN-ReLU, max pool, two more conv-BN-ReLU, average pool, dropout, dense."""

    channels: tuple[int, ...] = (3, 32, 64, 128)
    size: int = 32
    classes: int = 10
    p: float = 0.5
    batch: int = 64


class Gpt(NamedTuple):
    """A decoder of pre-norm blocks: causal attention and an exact-GELU feed-forward of four times the width.

    Learned positions; the head is the transposed embedding; dropout after the attention and after the feed-forward
    of each block (none on the weights of the softmax).
    """

    vocabulary: int = 1024
    length: int = 128
    features: int = 256
    heads: int = 8
    depth: int = 12
    p: float = 0.1
    batch: int = 8


class Chain(NamedTuple):
    """Equal residual blocks x + dense(gelu(dense(layer_norm(x)))), on a loss of squares."""

    depth: int
    features: int = 64
    batch: int = 32


LARGE = os.environ.get("BENCH_SIZES") == "large"  # for accelerators; the workers read it as well
WORKLOADS: dict[str, Any] = {
    "tiny_mlp": Mlp((32, 64, 64, 10), 32),
    "mlp": Mlp((784, 2048, 2048, 10), 256),
    "cnn": Cnn(),
    "transformer": Gpt(),
    "gpt2": Gpt(50257, 1024, 768, 12, 12, 0.1, 1),
    "ensemble": Mlp((128, 256, 256, 10), 64),
}
if LARGE:  # what gives an accelerator something to do
    WORKLOADS |= {
        "mlp": Mlp((784, 4096, 4096, 10), 4096),
        "cnn": Cnn(batch=1024),
        "transformer": Gpt(8192, 512, 768, 12, 12, 0.1, 8),
        "ensemble": Mlp((128, 1024, 1024, 10), 1024),
    }
NARROW = ("mlp", "cnn", "transformer") if LARGE else ()  # measured in bfloat16 as well
TIMED = ("tiny_mlp", "mlp", "cnn", "transformer", "ensemble", "vmap")
MEMBERS = 8  # of the ensemble: so many MLPs side by side, all given the same batch
RATE = 0.01  # of plain stochastic gradient descent, in every training step


def size_of(workload: str) -> Any:
    """The sizes of a workload; `chain:32` is 32 blocks deep, `vmap` is the CNN evaluated image by image."""
    name, _, depth = workload.partition(":")
    if name == "chain":
        return Chain(int(depth))
    return WORKLOADS["cnn" if name == "vmap" else name]


def batch_of(workload: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of one batch: the same numbers everywhere, images channels-last."""
    size, draw = size_of(workload), np.random.default_rng(0)
    if isinstance(size, Gpt):
        tokens = draw.integers(0, size.vocabulary, (2, size.batch, size.length))
        return tokens[0].astype(np.int32), tokens[1].astype(np.int32)
    if isinstance(size, Chain):
        x, y = draw.normal(size=(2, size.batch, size.features))
        return x.astype(np.float32), y.astype(np.float32)
    shape = (size.features[0],) if isinstance(size, Mlp) else (size.size, size.size, size.channels[0])
    classes = size.features[-1] if isinstance(size, Mlp) else size.classes
    x = draw.normal(size=(size.batch, *shape)).astype(np.float32)
    return x, draw.integers(0, classes, size.batch).astype(np.int32)


def values_of(workload: str) -> Any:
    """Initial values: a tree of dicts and lists of float32 arrays, JAX-shaped (in, out), (h, w, in, out)."""
    values = values_of_size(size_of(workload))
    if workload != "ensemble":
        return values
    return [values, *(values_of_size(size_of(workload), seed) for seed in range(2, MEMBERS + 1))]


def values_of_size(size: Any, seed: int = 1) -> Any:
    """Initial values of a model of any size."""
    draw = np.random.default_rng(seed)

    def normal(*shape: int, scale: float, mean: float = 0.0) -> np.ndarray:
        return (mean + scale * draw.standard_normal(shape, np.float32)).astype(np.float32)

    def dense(*shape: int) -> dict[str, np.ndarray]:
        return {"weight": normal(*shape, scale=np.prod(shape[:-1]) ** -0.5), "bias": normal(shape[-1], scale=0.1)}

    def norm(features: int) -> dict[str, np.ndarray]:
        return {"weight": normal(features, scale=0.1, mean=1), "bias": normal(features, scale=0.1)}

    if isinstance(size, Mlp):
        return [dense(a, b) for a, b in pairwise(size.features)]
    if isinstance(size, Cnn):
        convs = [{"conv": dense(3, 3, a, b), "norm": norm(b)} for a, b in pairwise(size.channels)]
        return {"convs": convs, "head": dense(size.channels[-1] * (size.size // 4) ** 2, size.classes)}
    d = size.features
    if isinstance(size, Chain):
        return [{"norm": norm(d), "up": dense(d, 4 * d), "down": dense(4 * d, d)} for _ in range(size.depth)]
    attend = ("query", "key", "value", "out")
    blocks = [
        {"norm1": norm(d), **{name: dense(d, d) for name in attend},
         "norm2": norm(d), "up": dense(d, 4 * d), "down": dense(4 * d, d)} for _ in range(size.depth)
    ]  # fmt: skip
    embeddings = {name: normal(n, d, scale=0.02) for name, n in (("embed", size.vocabulary), ("place", size.length))}
    return {**embeddings, "blocks": blocks, "norm": norm(d)}


def in_order(workload: str, fused: bool = False, channels_first: bool = False) -> list[Any]:
    """The initial values layer by layer, as a forward pass meets them: dicts of weight and bias, or one embedding.

    Args:
        workload: its name.
        fused: whether one layer makes queries, keys and values.
        channels_first: whether the head of the CNN sees (channels, h, w) flattened.
    """
    size, values = size_of(workload), values_of(workload)
    if isinstance(size, Cnn):
        head = values["head"]
        if channels_first:
            rows = head["weight"].reshape(size.size // 4, size.size // 4, size.channels[-1], -1)
            head = {**head, "weight": rows.transpose(2, 0, 1, 3).reshape(head["weight"].shape)}
        return [*[p[name] for p in values["convs"] for name in ("conv", "norm")], head]
    if isinstance(size, Chain):
        return [b[name] for b in values for name in ("norm", "up", "down")]
    if isinstance(size, Mlp):
        return values
    layers: list[Any] = [values["embed"], values["place"]]
    for b in values["blocks"]:
        parts = [b[name] for name in ("query", "key", "value")]
        if fused:
            parts = [{kind: np.concatenate([p[kind] for p in parts], -1) for kind in ("weight", "bias")}]
        layers += [b["norm1"], *parts, b["out"], b["norm2"], b["up"], b["down"]]
    return [*layers, values["norm"]]
