"""Haiku: what is timed, and the mistakes."""

from typing import Any

import jax

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import haiku as program

LAYERS = {"size": "linear", "axes": "conv2_d", "params": "linear"}
KEY = jax.random.key(1)


def start(b: Batch) -> tuple[Any, Any, Any]:
    params, state = program.model.init(jax.random.key(0), b.x, is_training=True)
    return params, state, program.adam.init(params)


def job(b: Batch) -> jobs.Job:
    carry = start(b)
    parameters = jobs.count(carry[0])

    def step() -> Any:
        nonlocal carry
        *carry, loss = program.train_step(*carry, b.x, b.y, KEY)
        return loss

    return jobs.Job(step, lambda: program.evaluate(*carry[:2], b.x), parameters, wait=jax.block_until_ready)


def size(b: Batch) -> None:
    params, state, _ = start(b)
    program.evaluate(params, state, b.small)


def axes(b: Batch) -> None:
    params, state, _ = start(b)
    program.evaluate(params, state, b.swapped)


def key(b: Batch) -> None:
    program.train_step(*start(b), b.x, b.y, None)


def train(b: Batch) -> None:
    params, state, _ = start(b)
    program.model.apply(params, state, KEY, b.x)


def evaluate(b: Batch) -> None:
    params, state, _ = start(b)
    program.model.apply(params, state, None, b.x)


def params(b: Batch) -> None:
    params, state, _ = start(b)
    program.evaluate({name: p for name, p in params.items() if name != "linear"}, state, b.x)


MISTAKES = {f.__name__: f for f in (size, axes, key, train, evaluate, params)}
CANNOT = {"channels": "input sizes are inferred"}
