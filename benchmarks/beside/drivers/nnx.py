"""Flax NNX: what is timed, and the mistakes."""

from typing import Any

import jax
import optax
from flax import nnx

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import nnx as program

LAYERS = {"params": "'linear'"}


def start(**replaced: Any) -> tuple[Any, Any]:
    model = program.CNN(rngs=nnx.Rngs(0))
    for name, layer in replaced.items():
        setattr(model, name, layer)
    return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)


def evaluating(model: Any) -> Any:
    return nnx.view(model, deterministic=True, use_running_average=True)


def job(b: Batch) -> jobs.Job:
    model, optimizer = start()
    parameters = jobs.count(nnx.state(model, nnx.Param))
    view = evaluating(model)
    return jobs.Job(
        lambda: program.train_step(model, optimizer, b.x, b.y),
        lambda: program.evaluate(view, b.x),
        parameters,
        wait=jax.block_until_ready,
    )


def size(b: Batch) -> None:
    program.evaluate(evaluating(start()[0]), b.small)


def axes(b: Batch) -> None:
    program.evaluate(evaluating(start()[0]), b.swapped)


def key(b: Batch) -> None:
    program.train_step(*start(dropout=nnx.Dropout(0.25)), b.x, b.y)


def train(b: Batch) -> None:
    model, optimizer = start()
    model.eval()
    program.train_step(model, optimizer, b.x, b.y)


def evaluate(b: Batch) -> None:
    program.evaluate(start()[0], b.x)


def params(b: Batch) -> None:
    model, _ = start()
    graphdef, state = nnx.split(model)
    del state["linear"]
    program.evaluate(nnx.merge(graphdef, state), b.x)


def channels(b: Batch) -> None:
    program.train_step(*start(batch_norm=nnx.BatchNorm(64, rngs=nnx.Rngs(0))), b.x, b.y)


MISTAKES = {f.__name__: f for f in (size, axes, key, train, evaluate, params, channels)}
CANNOT: dict[str, str] = {}
