"""Equinox, as its documentation writes it: models of one example, vmapped, under `filter_jit`.

"equinox fast" partitions the model and uses plain `jax.jit`.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from benchmarks import jobs, workloads


class Cnn(eqx.Module):
    convs: list[Any]
    norms: list[Any]
    head: Any
    dropout: eqx.nn.Dropout

    def __init__(self, size: workloads.Cnn, key: Any):
        keys = jax.random.split(key, 4)
        sizes = list(zip(size.channels, size.channels[1:], keys, strict=False))
        self.convs = [eqx.nn.Conv2d(a, b, 3, padding=1, key=k) for a, b, k in sizes]
        self.norms = [eqx.nn.BatchNorm(b, "batch", momentum=0.9, mode="batch") for _, b, _ in sizes]
        self.head = eqx.nn.Linear(size.channels[-1] * (size.size // 4) ** 2, size.classes, key=keys[3])
        self.dropout = eqx.nn.Dropout(size.p)

    def __call__(self, x: Any, state: Any, key: Any) -> tuple[Any, Any]:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x, state = norm(conv(x), state)
            x = jax.nn.relu(x)
            x = eqx.nn.MaxPool2d(2, 2)(x) if i == 0 else x
        x = self.dropout(eqx.nn.AvgPool2d(2, 2)(x), key=key)
        return self.head(x.ravel()), state


class Feed(eqx.Module):
    norm: Any
    up: Any
    down: Any
    dropout: eqx.nn.Dropout

    def __init__(self, d: int, key: Any, p: float = 0.0):
        keys = jax.random.split(key)
        self.norm = eqx.nn.LayerNorm(d)
        self.up, self.down = eqx.nn.Linear(d, 4 * d, key=keys[0]), eqx.nn.Linear(4 * d, d, key=keys[1])
        self.dropout = eqx.nn.Dropout(p)

    def one(self, x: Any) -> Any:
        return self.down(jax.nn.gelu(self.up(self.norm(x)), approximate=False))

    def __call__(self, x: Any, key: Any) -> Any:
        return x + self.dropout(jax.vmap(self.one)(x), key=key)


class Block(eqx.Module):
    norm: Any
    attend: Any
    feed: Feed
    dropout: eqx.nn.Dropout

    def __init__(self, size: workloads.Gpt, key: Any):
        biases = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
        first, second = jax.random.split(key)
        self.norm = eqx.nn.LayerNorm(size.features)
        self.attend = eqx.nn.MultiheadAttention(size.heads, size.features, **biases, key=first)
        self.feed = Feed(size.features, second, size.p)
        self.dropout = eqx.nn.Dropout(size.p)

    def __call__(self, x: Any, mask: Any, key: Any) -> Any:
        first, second = (None, None) if key is None else jax.random.split(key)
        y = jax.vmap(self.norm)(x)
        x = x + self.dropout(self.attend(y, y, y, mask), key=first)
        return self.feed(x, second)


class Gpt(eqx.Module):
    embed: Any
    place: Any
    blocks: list[Block]
    norm: Any

    def __init__(self, size: workloads.Gpt, key: Any):
        first, second, *keys = jax.random.split(key, size.depth + 2)
        self.embed = eqx.nn.Embedding(size.vocabulary, size.features, key=first)
        self.place = eqx.nn.Embedding(size.length, size.features, key=second)
        self.blocks = [Block(size, key) for key in keys]
        self.norm = eqx.nn.LayerNorm(size.features)

    def __call__(self, x: Any, state: Any, key: Any) -> tuple[Any, Any]:
        mask = jnp.tri(x.shape[0], dtype=bool)
        keys = [None] * len(self.blocks) if key is None else jax.random.split(key, len(self.blocks))
        x = jax.vmap(self.embed)(x) + jax.vmap(self.place)(jnp.arange(x.shape[0]))
        for block, key in zip(self.blocks, keys, strict=True):
            x = block(x, mask, key)
        return jax.vmap(self.norm)(x) @ self.embed.weight.T, state


class Mlp(eqx.Module):
    net: eqx.nn.MLP

    def __init__(self, size: workloads.Mlp, key: Any):
        first, *hidden, last = size.features
        self.net = eqx.nn.MLP(first, last, hidden[0], len(hidden), key=key)

    def __call__(self, x: Any, state: Any, key: Any) -> tuple[Any, Any]:
        return self.net(x), state


class Chain(eqx.Module):
    blocks: list[Feed]

    def __init__(self, size: workloads.Chain, key: Any):
        self.blocks = [Feed(size.features, k) for k in jax.random.split(key, size.depth)]

    def __call__(self, x: Any, state: Any, key: Any) -> tuple[Any, Any]:
        for block in self.blocks:
            x = x + block.one(x)
        return x, state


def make(workload: str, key: Any) -> Any:
    size = workloads.size_of(workload)
    kinds = {workloads.Mlp: Mlp, workloads.Cnn: Cnn, workloads.Gpt: Gpt, workloads.Chain: Chain}
    return eqx.nn.make_with_state(kinds[type(size)])(size, key)


def fill(model: Any, layers: list[Any]) -> Any:
    """The model with these values: linear weights transposed, convolutions to (out, in, h, w)."""
    arrays = []
    for p in layers:
        w = p["weight"] if isinstance(p, dict) else p
        arrays += [w if not isinstance(p, dict) else w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T]
        arrays += [p["bias"]] if isinstance(p, dict) else []
    params, static = eqx.partition(model, eqx.is_array)
    leaves, tree = jax.tree.flatten(params)
    new = [jnp.asarray(a).reshape(leaf.shape) for a, leaf in zip(arrays, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(tree, new), static)


def in_fields(workload: str) -> list[Any]:
    """The values in the order of the models' fields: a CNN's convolutions come before its norms."""
    layers = workloads.in_order(workload, channels_first=True)
    return [*layers[0:6:2], *layers[1:6:2], layers[6]] if workload in ("cnn", "vmap") else layers


def job(workload: str, variant: str) -> jobs.Job:
    x, y = jobs.jax_batch(workload)
    x = jnp.moveaxis(x, -1, 1) if x.ndim == 4 else x
    model, state = make(workload, jax.random.key(0))
    layers, random = in_fields(workload), jobs.is_random(workload)
    if workload == "ensemble":
        filled = [eqx.partition(fill(model, member), eqx.is_array) for member in layers]
        model = eqx.combine(jobs.stacked_members([params for params, _ in filled]), filled[0][1])
    else:
        model = fill(model, layers)

    def apply(model: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        model = model if train else eqx.nn.inference_mode(model)
        if workload == "ensemble":
            members = eqx.filter_vmap(lambda m: jax.vmap(lambda x: m(x, None, None)[0])(x))
            return members(model), state
        keys = jax.random.split(key, x.shape[0]) if random and train else None
        call = jax.vmap(model, (0, None, None if keys is None else 0), (0, None), axis_name="batch")
        return call(x, state, keys)

    return (partitioned if variant == "equinox fast" else filtered)(workload, apply, model, state, x, y)


def optimised(optimiser: Any, model: Any, grads: Any, memory: Any) -> tuple[Any, Any]:
    updates, memory = optimiser.update(grads, memory, eqx.filter(model, eqx.is_inexact_array))
    return eqx.apply_updates(model, updates), memory


def filtered(workload: str, apply: Any, model: Any, state: Any, x: Any, y: Any) -> jobs.Job:
    objective, optimiser, random = jobs.whole(apply, workload), optax.sgd(workloads.RATE), jobs.is_random(workload)

    @eqx.filter_jit
    def step(carry: Any, x: Any, y: Any) -> Any:
        model, state, memory, *taken = carry
        key = jax.random.fold_in(jax.random.key(0), taken[0]) if random else None
        (value, state), grads = eqx.filter_value_and_grad(objective, has_aux=True)(model, state, x, y, key)
        model, memory = optimised(optimiser, model, grads, memory)
        return (model, state, memory, *(i + 1 for i in taken)), value

    forward = eqx.filter_jit(lambda model, state, x: apply(model, state, x, None, False)[0])
    memory = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    carry = (model, state, memory, *([jnp.int32(0)] if random else []))
    return jobs.carrying(step, carry, x, y, forward, lambda carry: carry[:2])


def partitioned(workload: str, apply: Any, model: Any, state: Any, x: Any, y: Any) -> jobs.Job:
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def of_params(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return apply(eqx.combine(params, static), state, x, key, train)

    return jobs.functional(workload, of_params, params, state, batch=(x, y))


def fresh(workload: str, jitted: bool) -> Any:
    """Makes a new model by a seed."""
    build = eqx.filter_jit(make) if jitted else make
    return lambda seed: jax.block_until_ready(eqx.filter(build(workload, jax.random.key(seed)), eqx.is_array))


VARIANTS = {"equinox": ("*",), "equinox fast": ("*", "-vmap")}
