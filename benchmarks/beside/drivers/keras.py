"""Keras on JAX: what is timed, and the mistakes."""

import jax
import keras

from benchmarks import jobs
from benchmarks.beside.data import Batch
from benchmarks.beside.programs import keras as program

LAYERS = {"size": "'dense_", "axes": "'conv2d_", "params": "'dense_"}

keras.utils.set_random_seed(0)


def job(b: Batch) -> jobs.Job:
    model = program.compiled()
    parameters = jobs.count([v.value for v in model.trainable_variables])
    return jobs.Job(
        lambda: model.train_on_batch(b.x, b.y),
        lambda: model.predict_on_batch(b.x),
        parameters,
        wait=jax.block_until_ready,
    )


def size(b: Batch) -> None:
    program.evaluate(program.compiled(), b.small)


def axes(b: Batch) -> None:
    program.evaluate(program.compiled(), b.swapped)


def params(b: Batch) -> None:
    model = program.compiled()
    model.set_weights(model.get_weights()[:-2])


MISTAKES = {"size": size, "axes": axes, "params": params}
CANNOT = {
    "key": "its dropout keeps a seed of its own",
    "train": "`fit` and `train_on_batch` say it",
    "evaluate": "evaluation is the default",
    "channels": "input sizes are inferred",
}
