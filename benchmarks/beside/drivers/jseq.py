"""jseq: what is timed, and the mistakes."""

from typing import Any

import jax

import jseq
from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import jseq as program

LAYERS = {"size": '"6"', "axes": '"0"', "key": '"4"', "params": '"6"', "channels": '"1"'}
KEY = jax.random.key(1)


def start() -> tuple[Any, Any, Any]:
    params, state = program.init(jax.random.key(0))
    return params, state, program.adam.init(params)


def job(b: Batch) -> jobs.Job:
    carry = start()
    parameters = jobs.count(carry[0])

    def step() -> Any:
        nonlocal carry
        *carry, value = program.train_step(*carry, b.x, b.y, KEY)
        return value

    return jobs.Job(step, lambda: program.evaluate(*carry[:2], b.x), parameters, wait=jax.block_until_ready)


def size(b: Batch) -> None:
    params, state, _ = start()
    program.evaluate(params, state, b.small)


def axes(b: Batch) -> None:
    params, state, _ = start()
    program.evaluate(params, state, b.swapped)


def key(b: Batch) -> None:
    program.train_step(*start(), b.x, b.y, None)


def train(b: Batch) -> None:
    params, state, _ = start()
    program.apply(params, state, b.x, key=KEY)


def params(b: Batch) -> None:
    params, state, _ = start()
    program.evaluate(params[:-1], state, b.x)


def channels(b: Batch) -> None:
    model = jseq.sequential(
        jseq.conv2d(3, 32, 3, padding=1), jseq.batch_norm(64), jseq.relu(), *program.model[3:].children
    )
    init, apply = jseq.with_state(model)
    params, state = init(jax.random.key(0))
    apply(params, state, b.x, train=True, key=KEY)


MISTAKES = {"size": size, "axes": axes, "key": key, "train": train, "params": params, "channels": channels}
CANNOT = {"evaluate": "evaluation is the default"}
