"""stax: what is timed, and the mistakes."""

from typing import Any

import jax

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import stax as program

LAYERS: dict[str, str] = {}  # its layers are pairs of functions without names
KEY = jax.random.key(1)


def start(b: Batch) -> Any:
    return program.init(jax.random.key(0), b.x.shape)[1]


def job(b: Batch) -> jobs.Job:
    i, carry = 0, program.opt_init(start(b))

    def step() -> Any:
        nonlocal i, carry
        carry, value = program.train_step(i, carry, b.x, b.y, KEY)
        i += 1
        return value

    def forward() -> Any:
        return program.evaluate(program.get_params(carry), b.x)

    return jobs.Job(step, forward, jobs.count(start(b)), wait=jax.block_until_ready)


def size(b: Batch) -> None:
    program.evaluate(start(b), b.small)


def axes(b: Batch) -> None:
    program.evaluate(start(b), b.swapped)


def key(b: Batch) -> None:
    program.train_step(0, program.opt_init(start(b)), b.x, b.y, None)


def train(b: Batch) -> None:
    program.test_apply(start(b), b.x, rng=KEY)


def evaluate(b: Batch) -> None:
    program.train_apply(start(b), b.x, rng=KEY)


def params(b: Batch) -> None:
    program.evaluate(start(b)[:-1], b.x)


MISTAKES = {"size": size, "axes": axes, "key": key, "train": train, "evaluate": evaluate, "params": params}
CANNOT = {"channels": "input sizes are inferred"}
