"""stax, the example library of JAX, with its own optimiser. It has no layer normalisation and no attention."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.example_libraries import optimizers, stax

from benchmarks import jobs, workloads


def mlp(size: workloads.Mlp) -> Any:
    *hidden, last = size.features[1:]
    return stax.serial(*[f for n in hidden for f in (stax.Dense(n), stax.Relu)], stax.Dense(last))


def cnn(size: workloads.Cnn, mode: str) -> Any:
    def conv(n: int) -> list[Any]:
        return [stax.Conv(n, (3, 3), padding="SAME"), stax.BatchNorm(), stax.Relu]

    _, a, b, c = size.channels
    return stax.serial(
        *conv(a), stax.MaxPool((2, 2), (2, 2)), *conv(b), *conv(c), stax.AvgPool((2, 2), (2, 2)),
        stax.Dropout(1 - size.p, mode), stax.Flatten, stax.Dense(size.classes),
    )  # fmt: skip


def params_of(workload: str, shapes: Any) -> Any:
    """The values that all start from, laid out as stax's params: (W, b) of layers, (beta, gamma) of batch norm."""

    def pair(p: Any, shape: Any) -> Any:
        arrays = (p["weight"], p["bias"]) if p["weight"].ndim > 1 else (p["bias"], p["weight"])
        return tuple(jnp.asarray(a).reshape(s.shape) for a, s in zip(arrays, shape, strict=True))

    def filled(layers: list[Any]) -> Any:
        rest = iter(layers)
        return [pair(next(rest), shape) if shape else () for shape in shapes]

    layers = workloads.in_order(workload)
    return jobs.stacked_members([filled(m) for m in layers]) if workload == "ensemble" else filled(layers)


def job(workload: str, variant: str) -> jobs.Job:
    size, (x, y) = workloads.size_of(workload), jobs.jax_batch(workload)
    pairs = [cnn(size, mode) if workload == "cnn" else mlp(size) for mode in ("train", "test")]
    (make, training), (_, testing) = pairs
    params = params_of(workload, jax.eval_shape(lambda: make(jax.random.key(0), x.shape)[1]))
    start, update, current = optimizers.sgd(workloads.RATE)

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return (training if train else testing)(params, x, rng=key), state

    apply = jobs.over_members(apply) if workload == "ensemble" else apply
    objective = jobs.whole(apply, workload)

    def step(carry: Any, x: Any, y: Any) -> Any:
        i, state = carry
        key = jax.random.fold_in(jax.random.key(0), i) if jobs.is_random(workload) else None
        (value, _), grads = jax.value_and_grad(objective, has_aux=True)(current(state), (), x, y, key)
        return (i + 1, update(i, grads, state)), value

    forward = jax.jit(lambda params, x: apply(params, (), x, jax.random.key(0), False)[0])
    carry = (jnp.int32(0), start(params))
    made = jobs.carrying(jax.jit(step), carry, x, y, forward, lambda carry: (current(carry[1]),))
    made.note = "normalises by the statistics of the batch in evaluation, too" if workload == "cnn" else ""
    return made


VARIANTS = {"stax": ("tiny_mlp", "mlp", "cnn", "ensemble")}
