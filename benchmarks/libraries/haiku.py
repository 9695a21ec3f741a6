"""Haiku, as its documentation writes it: transformed functions. Params are plain dicts, so jax.jit is the fast path."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from benchmarks import jobs, workloads


def norm() -> Any:
    return hk.LayerNorm(-1, create_scale=True, create_offset=True)


def mlp(size: workloads.Mlp, x: Any, train: bool) -> Any:
    return hk.nets.MLP(size.features[1:])(x)


def cnn(size: workloads.Cnn, x: Any, train: bool) -> Any:
    for i, n in enumerate(size.channels[1:]):
        x = hk.Conv2D(n, 3)(x)
        x = jax.nn.relu(hk.BatchNorm(create_scale=True, create_offset=True, decay_rate=0.9)(x, train))
        if i == 0:
            x = hk.max_pool(x, 2, 2, "VALID")
    x = hk.avg_pool(x, 2, 2, "VALID")
    x = hk.dropout(hk.next_rng_key(), size.p, x) if train else x
    return hk.Linear(size.classes)(hk.Flatten(-3)(x))


class Feed(hk.Module):
    def __init__(self, features: int, p: float = 0.0):
        super().__init__()
        self.features, self.p = features, p

    def __call__(self, x: Any, train: bool = False) -> Any:
        y = jax.nn.gelu(hk.Linear(4 * self.features)(norm()(x)), approximate=False)
        y = hk.Linear(self.features)(y)
        return x + (hk.dropout(hk.next_rng_key(), self.p, y) if train and self.p else y)


class Block(hk.Module):
    def __init__(self, size: workloads.Gpt):
        super().__init__()
        self.size = size

    def __call__(self, x: Any, mask: Any, train: bool) -> Any:
        size, y = self.size, norm()(x)
        attend = hk.MultiHeadAttention(
            size.heads,
            size.features // size.heads,
            w_init=hk.initializers.TruncatedNormal(0.02),
            model_size=size.features,
        )
        y = attend(y, y, y, mask)
        x = x + (hk.dropout(hk.next_rng_key(), size.p, y) if train else y)
        return Feed(size.features, size.p)(x, train)


def gpt(size: workloads.Gpt, x: Any, train: bool) -> Any:
    mask = jnp.tri(x.shape[-1], dtype=bool)[None, None]
    table, places = hk.Embed(size.vocabulary, size.features), hk.Embed(size.length, size.features)
    x = table(x) + places(jnp.arange(x.shape[-1]))
    for _ in range(size.depth):
        x = Block(size)(x, mask, train)
    return norm()(x) @ table.embeddings.T


def chain(size: workloads.Chain, x: Any, train: bool) -> Any:
    for _ in range(size.depth):
        x = Feed(size.features)(x)
    return x


def scanned_chain(size: workloads.Chain, x: Any, train: bool) -> Any:
    return hk.experimental.layer_stack(size.depth)(lambda x: Feed(size.features)(x))(x)


def model_of(workload: str, variant: str = "haiku") -> Any:
    size = workloads.size_of(workload)
    kinds = {workloads.Mlp: mlp, workloads.Cnn: cnn, workloads.Gpt: gpt, workloads.Chain: chain}
    function = scanned_chain if variant == "haiku scan" else kinds[type(size)]
    return hk.transform_with_state(lambda x, train: function(size, x, train))


def shapes_of(model: Any, x: Any) -> tuple[Any, Any]:
    """The shapes of params and state, modules in the order of their creation (a traced tree is sorted by name)."""
    created: list[str] = []

    def init() -> Any:
        params, state = model.init(jax.random.key(0), x, True)
        created.extend(params)
        return params, state

    params, state = jax.eval_shape(init)
    return {name: params[name] for name in created}, state


def fill(shapes: Any, layers: list[Any]) -> Any:
    """Haiku's params with these values."""
    filled: dict[str, Any] = {}
    for (module, shape), p in zip(shapes.items(), layers, strict=True):
        arrays = (p["weight"], p["bias"]) if isinstance(p, dict) else (p,)
        names = ("w", "b") if "w" in shape else ("scale", "offset") if "scale" in shape else ("embeddings",)
        filled[module] = {
            name: jnp.asarray(a).reshape(shape[name].shape) for name, a in zip(names, arrays, strict=True)
        }
    return filled


def stacked(layers: list[Any]) -> list[Any]:
    """The layers of equal blocks of three, each with a leading axis."""
    return [jobs.stacked_members(layers[i::3]) for i in range(3)]


def job(workload: str, variant: str) -> jobs.Job:
    model, (x, _) = model_of(workload, variant), jobs.jax_batch(workload)
    shapes, state = shapes_of(model, x)
    # Haiku's running variance begins at 0, which makes a model of the first step unlike all others: begin it at 1.
    state = {name: {k: (jnp.ones if "var" in name and k == "average" else jnp.zeros)(s.shape, s.dtype)
                    for k, s in entries.items()} for name, entries in state.items()}  # fmt: skip
    layers = workloads.in_order(workload)
    if workload == "ensemble":
        params = jobs.stacked_members([fill(shapes, member) for member in layers])
    else:
        params = fill(shapes, stacked(layers) if variant == "haiku scan" else layers)

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return model.apply(params, state, key, x, train)

    apply = jobs.over_members(apply) if workload == "ensemble" else apply
    return jobs.functional(workload, apply, params, state)


def init(workload: str) -> Any:
    """A function from a key to fresh params."""
    model, (x, _) = model_of(workload), jobs.jax_batch(workload)
    return lambda key: model.init(key, x, False)


VARIANTS = {"haiku": ("*",), "haiku scan": ("chain",)}
