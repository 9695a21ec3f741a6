"""Trains a small convolutional network on scikit-learn's handwritten digits, and draws what it learnt.

Batch norm keeps state, so the model is used through `jseq.with_state`: params and state are two trees.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=1200)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16  # (1797, 8, 8, 1): the channels are last
split = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
x_train, x_test, y_train, y_test = map(jnp.asarray, split)


def block(in_channels, out_channels):
    convolution = jseq.conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return jseq.sequential(convolution, jseq.batch_norm(out_channels), jseq.relu())


model = jseq.sequential(
    block(1, 32),  # (N, 8, 8, 32)
    block(32, 32),
    jseq.max_pool2d(2),  # (N, 4, 4, 32)
    block(32, 64),
    jseq.max_pool2d(2),  # (N, 2, 2, 64)
    jseq.flatten(),  # (N, 256)
    jseq.dropout(0.3),
    jseq.linear(256, 10),
)
print(model)
init, apply = jseq.with_state(model)
params, state = init(jax.random.key(0))
adam = optax.adam(optax.cosine_decay_schedule(3e-3, options.steps))
moments = adam.init(params)


def shifted(key, x):
    """Moves each image by at most one pixel, up or down and left or right."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))  # (N, 10, 10, 1)
    corners = jax.random.randint(key, (len(x), 2), 0, 3)
    return jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), (8, 8, 1)))(padded, corners)


@jax.jit
def step(params, state, moments, key):
    rows_key, shift_key, dropout_key = jax.random.split(key, 3)
    rows = jax.random.randint(rows_key, (64,), 0, len(x_train))
    x, y = shifted(shift_key, x_train[rows]), y_train[rows]  # (64, 8, 8, 1), (64,)

    def loss(params):
        logits, new_state = apply(params, state, x, key=dropout_key, train=True)  # (64, 10)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new_state

    (value, new_state), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    updates, moments = adam.update(gradient, moments)
    return optax.apply_updates(params, updates), new_state, moments, value


@jax.jit
def evaluate(params, state):
    logits, _ = apply(params, state, x_test)  # evaluation is the default: no key, running statistics
    return jax.nn.softmax(logits), (logits.argmax(-1) == y_test).mean()


at, losses, accuracies = [], [], []
keys = jax.random.split(jax.random.key(1), options.steps)
for i in track(range(1, options.steps + 1), description="training"):
    params, state, moments, value = step(params, state, moments, keys[i - 1])
    if i % 25 == 0 or i == options.steps:
        guesses, accuracy = evaluate(params, state)  # (360, 10), ()
        for history, number in zip((at, losses, accuracies), (i, value, accuracy), strict=True):
            history.append(float(number))

# The picture: the learning curve, and the test digits that the network is least sure of
plt.switch_backend("Agg")
blue, orange, grey = "#2f6f9f", "#d9622b", "#666666"
figure = plt.figure(figsize=(13, 5.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.45))
top, bottom = left.subplots(2, sharex=True)
top.plot(at, accuracies, color=blue, linewidth=2)
top.set(ylabel="test accuracy", ylim=(min(0.9, *accuracies, 1) - 0.005, 1.003))
top.set_title(f"{accuracies[-1]:.2%} of 360 held-out digits", loc="left", color=blue, weight="bold")
bottom.semilogy(at, losses, color=orange, linewidth=1.5)
bottom.set(xlabel="step", ylabel="training loss")
for axes in (top, bottom):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)

right.suptitle("what it is least sure of: its answer and its confidence", color=grey, x=0.01, ha="left")
guesses = np.asarray(guesses)
for axes, i in zip(right.subplots(4, 8).flat, guesses.max(-1).argsort(), strict=False):
    answer, truth = guesses[i].argmax(), int(y_test[i])
    axes.imshow(x_test[i, :, :, 0], cmap="Greys", interpolation="bicubic")
    title = f"{answer}  {guesses[i, answer]:.0%}" + ("" if answer == truth else f", is {truth}")
    axes.set_title(title, fontsize=9, color=grey if answer == truth else orange, pad=3)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#dddddd")

options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "digits_cnn.png", dpi=150)
print(f"test accuracy {accuracies[-1]:.4f} after {options.steps} steps; see {options.out / 'digits_cnn.png'}")
