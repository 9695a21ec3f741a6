"""jseq, as its documentation writes it. "jseq repeat" compiles equal blocks once; for it there is nothing faster."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

import jseq
from benchmarks import jobs, workloads

WEIGHT = jax.nn.initializers.normal(0.02)  # GPT-2's; the embedding is the head as well


def mlp(size: workloads.Mlp) -> jseq.Layer:
    *hidden, (a, b) = pairwise(size.features)
    return jseq.sequential(*[f for a, b in hidden for f in (jseq.linear(a, b), jseq.relu())], jseq.linear(a, b))


def cnn(size: workloads.Cnn) -> jseq.Layer:
    def conv(a: int, b: int) -> list[jseq.Layer]:
        return [jseq.conv2d(a, b, 3, padding=1), jseq.batch_norm(b), jseq.relu()]

    a, b, c, d = size.channels
    return jseq.sequential(
        *conv(a, b), jseq.max_pool2d(2), *conv(b, c), *conv(c, d), jseq.avg_pool2d(2),
        jseq.dropout(size.p), jseq.flatten(-3), jseq.linear(d * (size.size // 4) ** 2, size.classes),
    )  # fmt: skip


def feed(features: int, *after: jseq.Layer) -> jseq.Layer:
    up = (jseq.layer_norm(features), jseq.linear(features, 4 * features))
    return jseq.residual(jseq.sequential(*up, jseq.gelu(), jseq.linear(4 * features, features), *after))


def gpt(size: workloads.Gpt) -> jseq.Layer:
    d = size.features
    attend = jseq.multihead_attention(d, size.heads, is_causal=True)
    block = jseq.sequential(
        jseq.residual(jseq.sequential(jseq.layer_norm(d), attend, jseq.dropout(size.p))), feed(d, jseq.dropout(size.p))
    )
    model = jseq.sequential({
        "embed": jseq.embedding(size.vocabulary, d, weight_init=WEIGHT),
        "place": jseq.learned_positions(size.length, d),
        "blocks": jseq.sequential(*[block] * size.depth),
        "norm": jseq.layer_norm(d),
        "head": jseq.linear(d, size.vocabulary, bias=False),
    })  # fmt: skip
    return jseq.tie(model, "embed.weight", "head.weight", transpose=True)


def model_of(workload: str, variant: str = "jseq") -> jseq.Layer:
    size = workloads.size_of(workload)
    if isinstance(size, workloads.Cnn):
        return cnn(size)
    if isinstance(size, workloads.Gpt):
        return gpt(size)
    if isinstance(size, workloads.Chain):
        block = feed(size.features)
        return jseq.repeat(block, size.depth) if variant == "jseq repeat" else jseq.sequential(*[block] * size.depth)
    return jseq.ensemble(mlp(size), workloads.MEMBERS) if workload == "ensemble" else mlp(size)


def block_params(b: Any) -> Any:
    fused = {
        f"in_proj_{kind}": jnp.concatenate([b[name][kind] for name in ("query", "key", "value")], -1)
        for kind in ("weight", "bias")
    }
    attend = (b["norm1"], {**fused, "out_proj": b["out"]}, ())
    return {"layer": attend}, {"layer": (b["norm2"], b["up"], (), b["down"], ())}


def params_of(workload: str, variant: str) -> Any:
    """The values that all start from, laid out as jseq's params."""
    size, values = workloads.size_of(workload), jax.tree.map(jnp.asarray, workloads.values_of(workload))
    if isinstance(size, workloads.Cnn):
        first, *rest = [(p["conv"], p["norm"], ()) for p in values["convs"]]
        return (*first, (), *rest[0], *rest[1], (), (), (), values["head"])
    if isinstance(size, workloads.Gpt):
        blocks = tuple(block_params(b) for b in values["blocks"])
        tables = {name: {"weight": values[name]} for name in ("embed", "place")}
        return {**tables, "blocks": blocks, "norm": values["norm"], "head": {}}
    if isinstance(size, workloads.Chain):
        blocks = [{"layer": (b["norm"], b["up"], (), b["down"])} for b in values]
        return jobs.stacked_members(blocks) if variant == "jseq repeat" else tuple(blocks)
    if workload == "ensemble":
        return jobs.stacked_members([mlp_params(member) for member in values])
    return mlp_params(values)


def mlp_params(layers: Any) -> Any:
    return (*[p for layer in layers[:-1] for p in (layer, ())], layers[-1])


def job(workload: str, variant: str) -> jobs.Job:
    model, params = model_of(workload, variant), params_of(workload, variant)
    if not model.keeps_state:

        def plain(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
            return model.apply(params, x, key=key, train=train), state

        return in_dtype(workload, variant, plain, params)
    init, apply = jseq.with_state(model)

    def threading(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return apply(params, state, x, key=key, train=train)

    return in_dtype(workload, variant, threading, params, init(jax.random.key(0), jobs.jax_batch(workload)[0])[1])


def in_dtype(workload: str, variant: str, apply: jobs.Apply, *given: Any) -> jobs.Job:
    if variant == "jseq bf16":
        return replace(jobs.functional(workload, jobs.narrow(apply), *given), note="bfloat16")
    return jobs.functional(workload, apply, *given)


def init(workload: str) -> Any:
    """A function from a key to fresh params."""
    return model_of(workload).init


VARIANTS = {"jseq": ("*",), "jseq repeat": ("chain",), "jseq bf16": workloads.NARROW}
