"""Equinox: what is timed, and the mistakes."""

import io
from typing import Any

import equinox as eqx
import jax

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import equinox as program

CHANNELS_FIRST = True
LAYERS = {"params": "name='linear'"}
KEY = jax.random.key(1)


def start(edit: Any = None) -> tuple[Any, Any, Any]:
    def make(key: Any) -> Any:
        model = program.CNN(key)
        return model if edit is None else edit(model)

    model, state = eqx.nn.make_with_state(make)(jax.random.key(0))
    return model, state, program.optim.init(eqx.filter(model, eqx.is_inexact_array))


def job(b: Batch) -> jobs.Job:
    carry = start()
    parameters = jobs.count(eqx.filter(carry[0], eqx.is_inexact_array))

    def step() -> Any:
        nonlocal carry
        *carry, loss = program.make_step(*carry, b.x, b.y, KEY)
        return loss

    def forward() -> Any:
        return program.evaluate(eqx.nn.inference_mode(carry[0]), carry[1], b.x)

    return jobs.Job(step, forward, parameters, wait=jax.block_until_ready)


def size(b: Batch) -> None:
    model, state, _ = start()
    program.evaluate(eqx.nn.inference_mode(model), state, b.small)


def axes(b: Batch) -> None:
    model, state, _ = start()
    program.evaluate(eqx.nn.inference_mode(model), state, b.swapped)


def key(b: Batch) -> None:
    model, state, _ = start()
    jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(b.x, state)


def train(b: Batch) -> None:
    model, state, memory = start()
    program.make_step(eqx.nn.inference_mode(model), state, memory, b.x, b.y, KEY)


def evaluate(b: Batch) -> None:
    model, state, _ = start()
    program.evaluate(model, state, b.x)


def params(b: Batch) -> None:
    model, _, _ = start()
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, eqx.tree_at(lambda m: m.linear, model, None))
    file.seek(0)
    eqx.tree_deserialise_leaves(file, model)


def channels(b: Batch) -> None:
    def edit(model: Any) -> Any:
        return eqx.tree_at(lambda m: m.norm, model, eqx.nn.BatchNorm(64, axis_name="batch", mode="batch"))

    program.make_step(*start(edit), b.x, b.y, KEY)


MISTAKES = {f.__name__: f for f in (size, axes, key, train, evaluate, params, channels)}
CANNOT: dict[str, str] = {}
