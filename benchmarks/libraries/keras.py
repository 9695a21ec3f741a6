"""Keras on JAX: `compile` and `train_on_batch`. "keras fast" calls the model statelessly under `jax.jit`."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
from keras import layers, ops

from benchmarks import jobs, workloads

EPS = 1e-5


class Positions(layers.Layer):
    """Adds a learned vector for each position."""

    def __init__(self, length: int, features: int):
        super().__init__()
        self.places = layers.Embedding(length, features)

    def build(self, shape: Any) -> None:
        self.places.build(())

    def call(self, x: Any) -> Any:
        return x + self.places(ops.arange(x.shape[-2]))


def mlp(size: workloads.Mlp) -> Any:
    hidden = [layers.Dense(n, activation="relu") for n in size.features[1:-1]]
    return keras.Sequential([keras.Input((size.features[0],)), *hidden, layers.Dense(size.features[-1])])


def cnn(size: workloads.Cnn) -> Any:
    def conv(n: int) -> list[Any]:
        norm = layers.BatchNormalization(momentum=0.9, epsilon=EPS)
        return [layers.Conv2D(n, 3, padding="same"), norm, layers.ReLU()]

    channels, a, b, c = size.channels
    return keras.Sequential([
        keras.Input((size.size, size.size, channels)), *conv(a), layers.MaxPooling2D(2), *conv(b), *conv(c),
        layers.AveragePooling2D(2), layers.Dropout(size.p), layers.Flatten(), layers.Dense(size.classes),
    ])  # fmt: skip


def feed(x: Any, d: int, p: float = 0.0) -> Any:
    y = layers.Dense(4 * d, activation="gelu")(layers.LayerNormalization(epsilon=EPS)(x))
    y = layers.Dense(d)(y)
    return x + (layers.Dropout(p)(y) if p else y)


def gpt(size: workloads.Gpt) -> Any:
    d = size.features
    tokens = keras.Input((size.length,), dtype="int32")
    embed = layers.ReversibleEmbedding(size.vocabulary, d)
    x = Positions(size.length, d)(embed(tokens))
    for _ in range(size.depth):
        y = layers.LayerNormalization(epsilon=EPS)(x)
        y = layers.MultiHeadAttention(size.heads, d // size.heads)(y, y, use_causal_mask=True)
        x = feed(x + layers.Dropout(size.p)(y), d, size.p)
    return keras.Model(tokens, embed(layers.LayerNormalization(epsilon=EPS)(x), reverse=True))


def chain(size: workloads.Chain) -> Any:
    first = x = keras.Input((size.features,))
    for _ in range(size.depth):
        x = feed(x, size.features)
    return keras.Model(first, x)


def model_of(workload: str) -> Any:
    size = workloads.size_of(workload)
    kinds = {workloads.Mlp: mlp, workloads.Cnn: cnn, workloads.Gpt: gpt, workloads.Chain: chain}
    return kinds[type(size)](size)


def arrays_of(layers: list[Any]) -> list[Any]:
    return [array for p in layers for array in ((p["weight"], p["bias"]) if isinstance(p, dict) else (p,))]


def fill(model: Any, values: list[Any]) -> Any:
    """Copies the values in, in the order of the layers' creation."""
    for variable, array in zip(model.trainable_variables, arrays_of(values), strict=True):
        variable.assign(array.reshape(variable.shape))
    return model


def job(workload: str, variant: str) -> jobs.Job:
    keras.utils.set_random_seed(0)  # the masks of dropout, so that the first loss is the same in every run
    size, (x, y) = workloads.size_of(workload), jobs.jax_batch(workload)
    model, values = model_of(workload), workloads.in_order(workload)
    optimizer = keras.optimizers.SGD(workloads.RATE)
    if variant == "keras":
        fill(model, values)
        squares = isinstance(size, workloads.Chain)
        loss = "mean_squared_error" if squares else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        parameters = jobs.count([v.value for v in model.trainable_variables])
        return jobs.Job(
            lambda: model.train_on_batch(x, y),
            lambda: model.predict_on_batch(x),
            parameters,
            None,
            jax.block_until_ready,
        )
    return stateless(workload, model, values, optimizer, x, y)


def stateless(workload: str, model: Any, values: list[Any], optimizer: Any, x: Any, y: Any) -> jobs.Job:
    if workload == "ensemble":
        trained = [jnp.stack(arrays) for arrays in zip(*(arrays_of(member) for member in values), strict=True)]
    else:
        trained = [v.value for v in fill(model, values).trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    optimizer.build(model.trainable_variables)
    update = optimizer.stateless_apply
    if workload == "ensemble":
        update = jax.vmap(update, (None, 0, 0), (0, None))

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool) -> tuple[Any, Any]:
        return model.stateless_call(params, state, x, training=train)

    apply = jobs.over_members(apply) if workload == "ensemble" else apply
    objective = jobs.whole(apply, workload)

    def step(carry: Any, x: Any, y: Any) -> tuple[Any, Any]:
        params, state, memory = carry
        (value, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, x, y, None)
        params, memory = update(memory, grads, params)
        return (params, state, memory), value

    carry = (trained, others, [v.value for v in optimizer.variables])
    return jobs.carrying(jax.jit(step), carry, x, y, jobs.evaluation(workload, apply), lambda carry: carry[:2])


def fresh(workload: str, jitted: bool) -> Any:
    """Makes a new model by a seed; Keras draws its initial values eagerly."""
    if jitted:
        raise NotImplementedError("Keras does not compile initialisation")

    def make(seed: int) -> Any:
        keras.utils.set_random_seed(seed)
        return jax.block_until_ready([v.value for v in model_of(workload).variables])

    return make


VARIANTS = {"keras": ("tiny_mlp", "mlp", "cnn", "transformer", "chain", "gpt2"), "keras fast": ("*",)}
