"""Flax Linen: what is timed, and the mistakes."""

from typing import Any

import jax

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import linen as program

LAYERS = {"size": "Dense_0", "axes": "Conv_0", "key": "Dropout_0", "params": "Dense_0"}
KEYS = {"dropout": jax.random.key(1)}


def job(b: Batch) -> jobs.Job:
    state = program.create_train_state(b.x)
    parameters = jobs.count(state.params)

    def step() -> Any:
        nonlocal state
        state, loss = program.train_step(state, b.x, b.y)
        return loss

    return jobs.Job(step, lambda: program.evaluate(state, b.x), parameters, wait=jax.block_until_ready)


def applied(b: Batch, **options: Any) -> None:
    state = program.create_train_state(b.x)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    state.apply_fn(variables, b.x, **options)


def size(b: Batch) -> None:
    program.evaluate(program.create_train_state(b.x), b.small)


def axes(b: Batch) -> None:
    program.evaluate(program.create_train_state(b.x), b.swapped)


def key(b: Batch) -> None:
    applied(b, train=True, mutable=["batch_stats"])


def train(b: Batch) -> None:
    applied(b, rngs=KEYS, mutable=["batch_stats"])


def evaluate(b: Batch) -> None:
    applied(b)


def params(b: Batch) -> None:
    state = program.create_train_state(b.x)
    shorter = {name: p for name, p in state.params.items() if name != "Dense_0"}
    program.evaluate(state.replace(params=shorter), b.x)


MISTAKES = {f.__name__: f for f in (size, axes, key, train, evaluate, params)}
CANNOT = {"channels": "input sizes are inferred"}
