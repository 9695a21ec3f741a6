"""Hand-written JAX with jseq's own mathematics: the kernels of `jseq.functional`, called as one would without layers.

What `overhead.py` holds jseq against: whatever jseq costs beyond this is the price of composing layers.
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import workloads
from jseq import functional as F


def linear(p: Any, x: Any) -> Any:
    return F.linear(x, p["weight"], p["bias"])


def layer_norm(p: Any, x: Any) -> Any:
    return F.layer_norm(x, x.shape[-1], p["weight"], p["bias"])


def feed(p: Any, x: Any) -> Any:
    return linear(p["down"], F.gelu(linear(p["up"], layer_norm(p["norm"], x))))


def attend(p: Any, x: Any, heads: int) -> Any:
    x = layer_norm(p["norm"], x)
    return F.multihead_attention(
        x, x, x, heads, p["in"]["weight"], p["in"]["bias"], p["out"]["weight"], p["out"]["bias"], is_causal=True
    )


def mlp(size: workloads.Mlp) -> Any:
    def apply(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
        for p in params[:-1]:
            x = F.relu(linear(p, x))
        return linear(params[-1], x), state

    return apply


def batch_norm(p: Any, s: Any, x: Any) -> tuple[Any, Any]:
    y, mean, var = F.batch_norm(x, s["mean"], s["var"], p["weight"], p["bias"], train=True)
    mean, var = jax.lax.stop_gradient((mean, var))
    return y, {"mean": mean, "var": var, "count": s["count"] + 1}


def cnn(size: workloads.Cnn) -> Any:
    def apply(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
        new: list[Any] = []
        for i, (p, s) in enumerate(zip(params["convs"], state, strict=True)):
            x = F.conv2d(x, p["conv"]["weight"], p["conv"]["bias"], padding=1)
            x, s = batch_norm(p["norm"], s, x)
            x = F.relu(x)
            new.append(s)
            if i == 0:
                x = F.max_pool2d(x, 2)
        x = F.dropout(F.avg_pool2d(x, 2), size.p, key=jax.random.fold_in(key, 0))
        return linear(params["head"], x.reshape(x.shape[0], -1)), new

    return apply


def gpt(size: workloads.Gpt) -> Any:
    def apply(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
        x = F.embedding(x, params["embed"])
        x = x + params["place"][: x.shape[-2]]
        for i, p in enumerate(params["blocks"]):
            first, second = jax.random.split(jax.random.fold_in(key, i))
            x = x + F.dropout(attend(p["attend"], x, size.heads), size.p, key=first)
            x = x + F.dropout(feed(p["feed"], x), size.p, key=second)
        return F.linear(layer_norm(params["norm"], x), params["embed"].T), state

    return apply


def blocks(heads: int) -> Any:
    """Equal pre-norm blocks without dropout, unrolled."""

    def apply(params: Any, x: Any) -> Any:
        for p in params:
            x = x + attend(p["attend"], x, heads)
            x = x + feed(p["feed"], x)
        return x

    return apply


def block_of(p: Any) -> Any:
    """The values of a block, queries, keys and values in one."""
    fused = {kind: jnp.concatenate([p[name][kind] for name in ("query", "key", "value")], -1) for kind in p["out"]}
    attend = {"norm": p["norm1"], "in": fused, "out": p["out"]}
    return {"attend": attend, "feed": {"norm": p["norm2"], "up": p["up"], "down": p["down"]}}


def pair_of(size: Any, values: Any) -> tuple[Any, Any, Any]:
    """apply, params and state from the values that all start from."""
    if isinstance(size, workloads.Cnn):
        state = [{"mean": jnp.zeros(n), "var": jnp.ones(n), "count": jnp.int32(0)} for n in size.channels[1:]]
        return cnn(size), values, state
    if isinstance(size, workloads.Gpt):
        return gpt(size), {**values, "blocks": [block_of(p) for p in values["blocks"]]}, ()
    return mlp(size), values, ()
