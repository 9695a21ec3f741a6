"""Flax NNX, as its tutorials write it: mutable modules under `nnx.jit`. "nnx fast" splits them and uses `jax.jit`."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from benchmarks import jobs, workloads

EPS = 1e-5


class Mlp(nnx.Module):
    def __init__(self, size: workloads.Mlp, rngs: nnx.Rngs):
        pairs = zip(size.features, size.features[1:], strict=False)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])

    def __call__(self, x: Any) -> Any:
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)

    def in_order(self) -> list[Any]:
        return list(self.layers)


class Cnn(nnx.Module):
    def __init__(self, size: workloads.Cnn, rngs: nnx.Rngs):
        pairs = list(zip(size.channels, size.channels[1:], strict=False))
        self.convs = nnx.List([nnx.Conv(a, b, (3, 3), rngs=rngs) for a, b in pairs])
        self.norms = nnx.List([nnx.BatchNorm(b, momentum=0.9, epsilon=EPS, rngs=rngs) for _, b in pairs])
        self.dropout = nnx.Dropout(size.p, rngs=rngs)
        self.head = nnx.Linear(size.channels[-1] * (size.size // 4) ** 2, size.classes, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = nnx.relu(norm(conv(x)))
            x = nnx.max_pool(x, (2, 2), (2, 2)) if i == 0 else x
        x = self.dropout(nnx.avg_pool(x, (2, 2), (2, 2)))
        return self.head(x.reshape(x.shape[0], -1))

    def in_order(self) -> list[Any]:
        return [*[m for pair in zip(self.convs, self.norms, strict=True) for m in pair], self.head]


class Feed(nnx.Module):
    def __init__(self, d: int, rngs: nnx.Rngs, p: float = 0.0):
        self.norm = nnx.LayerNorm(d, epsilon=EPS, rngs=rngs)
        self.up, self.down = nnx.Linear(d, 4 * d, rngs=rngs), nnx.Linear(4 * d, d, rngs=rngs)
        self.dropout = nnx.Dropout(p, rngs=rngs) if p else None

    def __call__(self, x: Any) -> Any:
        y = self.down(nnx.gelu(self.up(self.norm(x)), approximate=False))
        return x + (self.dropout(y) if self.dropout else y)

    def in_order(self) -> list[Any]:
        return [self.norm, self.up, self.down]


class Block(nnx.Module):
    def __init__(self, size: workloads.Gpt, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(size.features, epsilon=EPS, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(size.heads, size.features, decode=False, rngs=rngs)
        self.dropout = nnx.Dropout(size.p, rngs=rngs)
        self.feed = Feed(size.features, rngs, size.p)

    def __call__(self, x: Any, mask: Any) -> Any:
        return self.feed(x + self.dropout(self.attend(self.norm(x), mask=mask)))

    def in_order(self) -> list[Any]:
        a = self.attend
        return [self.norm, a.query, a.key, a.value, a.out, *self.feed.in_order()]


class Gpt(nnx.Module):
    def __init__(self, size: workloads.Gpt, rngs: nnx.Rngs):
        self.embed = nnx.Embed(size.vocabulary, size.features, rngs=rngs)
        self.place = nnx.Embed(size.length, size.features, rngs=rngs)
        self.blocks = nnx.List([Block(size, rngs) for _ in range(size.depth)])
        self.norm = nnx.LayerNorm(size.features, epsilon=EPS, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        mask = nnx.make_causal_mask(x)
        x = self.embed(x) + self.place(jnp.arange(x.shape[-1]))
        for block in self.blocks:
            x = block(x, mask)
        return self.embed.attend(self.norm(x))

    def in_order(self) -> list[Any]:
        return [self.embed, self.place, *[m for b in self.blocks for m in b.in_order()], self.norm]


class Chain(nnx.Module):
    def __init__(self, size: workloads.Chain, rngs: nnx.Rngs):
        self.blocks = nnx.List([Feed(size.features, rngs) for _ in range(size.depth)])

    def __call__(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x

    def in_order(self) -> list[Any]:
        return [m for block in self.blocks for m in block.in_order()]


def model_of(workload: str, rngs: nnx.Rngs) -> Any:
    size = workloads.size_of(workload)
    kinds = {workloads.Mlp: Mlp, workloads.Cnn: Cnn, workloads.Gpt: Gpt, workloads.Chain: Chain}
    return kinds[type(size)](size, rngs)


def fill(model: Any, layers: list[Any]) -> Any:
    """Copies the values into the modules, in the order of a forward pass."""
    for module, p in zip(model.in_order(), layers, strict=True):
        arrays = [p["weight"], p["bias"]] if isinstance(p, dict) else [p]
        kinds = (
            ("embedding",)
            if len(arrays) == 1
            else ("kernel", "bias")
            if hasattr(module, "kernel")
            else ("scale", "bias")
        )
        for kind, array in zip(kinds, arrays, strict=True):
            variable = getattr(module, kind)
            variable[...] = jnp.asarray(array).reshape(variable.shape)
    return model


def filled(workload: str) -> tuple[Any, Any]:
    """The model, and how it is called."""
    layers = workloads.in_order(workload)
    if workload != "ensemble":
        return fill(model_of(workload, nnx.Rngs(0)), layers), lambda model, x: model(x)
    members = [nnx.split(fill(model_of(workload, nnx.Rngs(0)), member)) for member in layers]
    stacked = jobs.stacked_members([state for _, state in members])
    return nnx.merge(members[0][0], stacked), nnx.vmap(lambda model, x: model(x), in_axes=(0, None))


def job(workload: str, variant: str) -> jobs.Job:
    x, y = jobs.jax_batch(workload)
    model, call = filled(workload)
    optimizer = nnx.Optimizer(model, optax.sgd(workloads.RATE), wrt=nnx.Param)
    objective = jobs.whole(lambda model, state, x, key, train: (call(model, x), state), workload)

    def train_step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        loss, grads = nnx.value_and_grad(lambda model: objective(model, (), x, y, None)[0])(model)
        optimizer.update(model, grads)
        return loss

    parameters = jobs.count(nnx.state(model, nnx.Param))
    return (split if variant == "nnx fast" else whole)(workload, model, call, optimizer, train_step, x, y, parameters)


def testing(model: Any) -> Any:
    """The same variables, evaluating."""
    return nnx.view(model, deterministic=True, use_running_average=True, raise_if_not_found=False)


def whole(
    workload: str, model: Any, call: Any, optimizer: Any, train_step: Any, x: Any, y: Any, parameters: int
) -> jobs.Job:
    evaluating = testing(model)
    evaluate = nnx.jit(lambda model, x: call(model, x))
    if workload == "vmap":
        evaluate = nnx.jit(nnx.vmap(lambda model, x: model(x[None])[0], in_axes=(None, 0)))
    jitted = nnx.jit(train_step)

    def step() -> Any:
        return jitted(model, optimizer, x, y)

    def trace() -> Any:
        return jitted.trace(model, optimizer, x, y)

    return jobs.Job(step, lambda: evaluate(evaluating, x), parameters, trace, jax.block_until_ready)


def split(
    workload: str, model: Any, call: Any, optimizer: Any, train_step: Any, x: Any, y: Any, parameters: int
) -> jobs.Job:
    graphdef, state = nnx.split((model, optimizer))
    evaluating, evaluated = nnx.split(testing(model))

    def step(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        model, optimizer = nnx.merge(graphdef, state)
        loss = train_step(model, optimizer, x, y)
        return nnx.state((model, optimizer)), loss

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return call(nnx.merge(evaluating, params), x), state

    forward = jobs.evaluation(workload, apply)
    made = jobs.carrying(jax.jit(step), state, x, y, forward, lambda state: (evaluated, ()))
    made.parameters = parameters
    return made


def fresh(workload: str, jitted: bool) -> Any:
    """Makes a new model by a seed."""

    def make(key: Any) -> Any:
        return model_of(workload, nnx.Rngs(key))

    build = nnx.jit(make) if jitted else make
    keys = [jax.random.key(seed) for seed in range(2)]
    return lambda seed: jax.block_until_ready(nnx.state(build(keys[seed])))


VARIANTS = {"nnx": ("*",), "nnx fast": ("*",)}
