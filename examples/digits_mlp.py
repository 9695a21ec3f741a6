"""Trains a multilayer perceptron on scikit-learn's handwritten digits."""

import argparse

import jax
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=1500)
steps = parser.parse_args().steps

images, labels = load_digits(return_X_y=True)  # (1797, 64) from 0 to 16, (1797,)
split = train_test_split(images.astype("float32") / 16, labels, test_size=360, stratify=labels, random_state=0)
x_train, x_test, y_train, y_test = map(jax.numpy.asarray, split)

model = jseq.sequential(jseq.linear(64, 128), jseq.relu(), jseq.linear(128, 10))
params = model.init(jax.random.key(0))
adam = optax.adam(2e-3)


@jax.jit
def step(params, moments, key):
    rows = jax.random.randint(key, (64,), 0, len(x_train))

    def loss(params):
        logits = model.apply(params, x_train[rows])  # (64, 10)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y_train[rows]).mean()

    updates, moments = adam.update(jax.grad(loss)(params), moments)
    return optax.apply_updates(params, updates), moments


moments = adam.init(params)
for key in jax.random.split(jax.random.key(1), steps):
    params, moments = step(params, moments, key)
print(f"test accuracy {(model.apply(params, x_test).argmax(-1) == y_test).mean():.4f} after {steps} steps")
