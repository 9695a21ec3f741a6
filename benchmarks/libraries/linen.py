"""Flax Linen, as its guides write it: compact modules and a TrainState. "linen fast" carries plain trees instead."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.training import train_state

from benchmarks import jobs, workloads

EPS = 1e-5


class Mlp(nn.Module):
    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        for n in self.features[1:-1]:
            x = nn.relu(nn.Dense(n)(x))
        return nn.Dense(self.features[-1])(x)


class Cnn(nn.Module):
    size: workloads.Cnn

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        for i, n in enumerate(self.size.channels[1:]):
            x = nn.Conv(n, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(not train, momentum=0.9, epsilon=EPS)(x))
            if i == 0:
                x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.avg_pool(x, (2, 2), (2, 2))
        x = nn.Dropout(self.size.p, deterministic=not train)(x)
        return nn.Dense(self.size.classes)(x.reshape(x.shape[0], -1))


class Feed(nn.Module):
    features: int
    p: float = 0.0

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        y = nn.LayerNorm(epsilon=EPS)(x)
        y = nn.gelu(nn.Dense(4 * self.features)(y), approximate=False)
        y = nn.Dense(self.features)(y)
        return x + nn.Dropout(self.p, deterministic=not train)(y)


class Block(nn.Module):
    size: workloads.Gpt

    @nn.compact
    def __call__(self, x: Any, mask: Any, train: bool = False) -> Any:
        y = nn.LayerNorm(epsilon=EPS)(x)
        y = nn.MultiHeadDotProductAttention(self.size.heads)(y, mask=mask)
        x = x + nn.Dropout(self.size.p, deterministic=not train)(y)
        return Feed(self.size.features, self.size.p)(x, train)


class Gpt(nn.Module):
    size: workloads.Gpt

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        mask = nn.make_causal_mask(x)
        embed = nn.Embed(self.size.vocabulary, self.size.features)
        place = nn.Embed(self.size.length, self.size.features)
        x = embed(x) + place(jnp.arange(x.shape[-1]))
        for _ in range(self.size.depth):
            x = Block(self.size)(x, mask, train)
        return embed.attend(nn.LayerNorm(epsilon=EPS)(x))


class Chain(nn.Module):
    size: workloads.Chain

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        for _ in range(self.size.depth):
            x = Feed(self.size.features)(x, train)
        return x


class ScannedChain(nn.Module):
    size: workloads.Chain

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        def body(block: Any, x: Any, _: Any) -> tuple[Any, None]:
            return block(x), None

        scan = nn.scan(body, {"params": 0}, split_rngs={"params": True}, length=self.size.depth)
        return scan(Feed(self.size.features), x, None)[0]


def model_of(workload: str, variant: str = "linen") -> nn.Module:
    size = workloads.size_of(workload)
    if variant == "linen scan":
        return ScannedChain(size)
    kinds = {workloads.Cnn: Cnn, workloads.Gpt: Gpt, workloads.Chain: Chain}
    return Mlp(size.features) if isinstance(size, workloads.Mlp) else kinds[type(size)](size)


def dense(p: Any) -> Any:
    return {"kernel": p["weight"], "bias": p["bias"]}


def norm(p: Any) -> Any:
    return {"scale": p["weight"], "bias": p["bias"]}


def feed(p: Any, name: str = "norm") -> Any:
    return {"LayerNorm_0": norm(p[name]), "Dense_0": dense(p["up"]), "Dense_1": dense(p["down"])}


def block(p: Any, heads: int) -> Any:
    d = p["out"]["bias"].shape[0]
    split = {"kernel": (d, heads, -1), "bias": (heads, -1)}
    attend = {n: {k: a.reshape(split[k]) for k, a in dense(p[n]).items()} for n in ("query", "key", "value")}
    attend["out"] = {"kernel": p["out"]["weight"].reshape(heads, -1, d), "bias": p["out"]["bias"]}
    return {"LayerNorm_0": norm(p["norm1"]), "MultiHeadDotProductAttention_0": attend, "Feed_0": feed(p, "norm2")}


def numbered(kind: str, entries: list[Any]) -> dict[str, Any]:
    return {f"{kind}_{i}": entry for i, entry in enumerate(entries)}


def params_of(workload: str, variant: str) -> Any:
    """The values that all start from, laid out as Linen's params."""
    size, values = workloads.size_of(workload), jax.tree.map(jnp.asarray, workloads.values_of(workload))
    if isinstance(size, workloads.Cnn):
        convs = values["convs"]
        parts = numbered("Conv", [dense(p["conv"]) for p in convs])
        return {**parts, **numbered("BatchNorm", [norm(p["norm"]) for p in convs]), "Dense_0": dense(values["head"])}
    if isinstance(size, workloads.Gpt):
        tables = numbered("Embed", [{"embedding": values[name]} for name in ("embed", "place")])
        blocks = numbered("Block", [block(p, size.heads) for p in values["blocks"]])
        return {**tables, **blocks, "LayerNorm_0": norm(values["norm"])}
    if isinstance(size, workloads.Chain):
        blocks = [feed(p) for p in values]
        return {"Feed_0": jobs.stacked_members(blocks)} if variant == "linen scan" else numbered("Feed", blocks)
    members = [numbered("Dense", [dense(p) for p in m]) for m in (values if workload == "ensemble" else [values])]
    return jobs.stacked_members(members) if workload == "ensemble" else members[0]


class TrainState(train_state.TrainState):
    """Linen's, with the statistics of batch norm, as its guide adds them."""

    batch_stats: Any


def job(workload: str, variant: str) -> jobs.Job:
    model, params = model_of(workload, variant), params_of(workload, variant)
    x, y = jobs.jax_batch(workload)
    stats = {}
    if isinstance(model, Cnn):
        stats = model.init(jax.random.key(0), x)["batch_stats"]

    def apply(params: Any, stats: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        tree = {"params": params, "batch_stats": stats} if stats else {"params": params}
        rngs = None if key is None else {"dropout": key}
        if not (train and stats):
            return model.apply(tree, x, train, rngs=rngs), stats
        out, new = model.apply(tree, x, train, rngs=rngs, mutable=["batch_stats"])
        return out, new["batch_stats"]

    apply = jobs.over_members(apply) if workload == "ensemble" else apply
    if variant != "linen":
        return jobs.functional(workload, apply, params, stats)
    objective = jobs.whole(apply, workload)

    def step(state: TrainState, x: Any, y: Any) -> tuple[TrainState, Any]:
        key = jax.random.fold_in(jax.random.key(0), state.step) if jobs.is_random(workload) else None
        differentiate = jax.value_and_grad(objective, has_aux=True)
        (value, stats), grads = differentiate(state.params, state.batch_stats, x, y, key)
        return state.apply_gradients(grads=grads).replace(batch_stats=stats), value

    state = TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(workloads.RATE), batch_stats=stats)
    forward = jobs.evaluation(workload, apply)
    return jobs.carrying(jax.jit(step), state, x, y, forward, lambda state: (state.params, state.batch_stats))


def init(workload: str) -> Any:
    """A function from a key to fresh params."""
    model, (x, _) = model_of(workload), jobs.jax_batch(workload)
    return lambda key: model.init(key, x)


VARIANTS = {"linen": ("*",), "linen fast": ("*",), "linen scan": ("chain",)}
