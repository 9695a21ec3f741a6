"""Trains 288 networks at once, one for each learning rate, weight decay and key, and draws how well they do.

A training is a pure function of its hyper-parameters: `lax.scan` runs its steps, `jax.vmap` runs all the trainings.
"""

import argparse
import itertools
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.colors import PowerNorm
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)  # (1797, 64) from 0 to 16, (1797,)
images = images.astype("float32") / 16
# Few digits to learn from, so that the choice matters; half of the others to choose by, half to test the choice.
x_train, x_rest, y_train, y_rest = train_test_split(images, labels, train_size=100, stratify=labels, random_state=0)
split = train_test_split(x_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0)
x_train, y_train, x_valid, x_test, y_valid, y_test = map(jnp.asarray, (x_train, y_train, *split))

model = jseq.sequential(jseq.linear(64, 32), jseq.relu(), jseq.linear(32, 10))
rates = jnp.logspace(-4.5, -0.5, 12)
decays = jnp.logspace(-2, 1.5, 8)
keys = jax.random.split(jax.random.key(0), 3)


def adam(rate, decay):
    return optax.adamw(optax.cosine_decay_schedule(rate, options.steps), weight_decay=decay)


def start(rate, decay, key):
    """What a training starts from, and the rows that it sees at each step."""
    init_key, rows_key = jax.random.split(key)
    params = model.init(init_key)
    rows = jax.random.randint(rows_key, (options.steps, 32), 0, len(x_train))
    return (params, adam(rate, decay).init(params)), rows


def step(rate, decay, carry, rows):
    params, moments = carry

    def loss(params):
        logits = model.apply(params, x_train[rows])  # (32, 10)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y_train[rows]).mean()

    updates, moments = adam(rate, decay).update(jax.grad(loss)(params), moments, params)
    return optax.apply_updates(params, updates), moments


def accuracies(carry):
    """On the half to choose by, and on the half to test."""
    params, _ = carry
    return [(model.apply(params, x).argmax(-1) == y).mean() for x, y in ((x_valid, y_valid), (x_test, y_test))]


def train(rate, decay, key):
    """One whole training, from two numbers and a key to two accuracies."""
    carry, rows = start(rate, decay, key)
    carry, _ = jax.lax.scan(lambda carry, rows: (step(rate, decay, carry, rows), None), carry, rows)
    return accuracies(carry)


# All at once: an axis for each argument.
for_keys = jax.vmap(train, (None, None, 0))
for_rates = jax.vmap(for_keys, (0, None, None))
for_all = jax.jit(jax.vmap(for_rates, (None, 0, None)))  # (8, 12, 3): decays, rates, keys

# One after the other: a call for each training, or, as most training loops are written, a call for each step.
jit_train, jit_start, jit_step, jit_accuracies = (jax.jit(f) for f in (train, start, step, accuracies))
points = list(itertools.product(decays, rates, keys))


def call_by_call(rate, decay, key):
    carry, rows = jit_start(rate, decay, key)
    for row in np.asarray(rows):
        carry = jit_step(rate, decay, carry, row)
    return jit_accuracies(carry)


def one_after_the_other(train_one):
    return zip(*[train_one(rate, decay, key) for decay, rate, key in points], strict=True)


ways = {
    "a call for each step": (lambda: one_after_the_other(call_by_call), 1),
    "a call for each training": (lambda: one_after_the_other(jit_train), 3),
    "one call for all": (lambda: for_all(rates, decays, keys), 3),
}
call_by_call(rates[0], decays[0], keys[0])  # compiles, as the first round of the two others does
results, seconds = {}, {}
for name, (way, rounds) in ways.items():
    times = []
    for _ in track(range(rounds + (rounds > 1)), name):
        begin = time.perf_counter()
        results[name] = [np.reshape(jax.block_until_ready(half), (8, 12, 3)) for half in way()]
        times.append(time.perf_counter() - begin)
    seconds[name] = np.median(times[-rounds:])
    print(f"{len(points)} trainings, {name}: {seconds[name]:.1f} s")
valid, test = results["one call for all"]
for name, (other, _) in list(results.items())[:-1]:
    # The rounding differs, so a digit near a boundary may fall to the other side of it.
    apart = abs(other - valid)
    print(f"{name}: {(apart > 0).sum()} of {len(points)} accuracies differ, at most by {apart.max():.4f}")

mean = valid.mean(-1)  # (8, 12), over the keys
row, column = np.unravel_index(mean.argmax(), mean.shape)
print(f"best: learning rate {rates[column]:.2g}, weight decay {decays[row]:.2g}, "
      f"accuracy {mean.max():.4f} to choose by, {test[row, column].mean():.4f} on the other digits")  # fmt: skip

# The picture: the map of accuracies, and the time of the three ways
plt.switch_backend("Agg")
orange, grey = "#d9622b", "#555555"
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.9), layout="constrained", width_ratios=(2.2, 1))
image = left.imshow(mean, origin="lower", aspect="auto", cmap="YlGnBu", norm=PowerNorm(4, 0, 0.95))
for (i, j), value in np.ndenumerate(mean):
    ink = "#333333" if value < 0.75 else "white"
    left.text(j, i, f"{100 * value:.1f}", ha="center", va="center", size=9, color=ink)
left.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=orange, linewidth=2.5))
left.set(xlabel="learning rate", ylabel="weight decay")
left.set_xticks(range(12), [f"{rate:.1g}" for rate in rates])
left.set_yticks(range(8), [f"{decay:.2g}" for decay in decays])
left.spines[:].set_visible(False)
left.tick_params(length=0)
left.set_title(f"% of held-out digits, mean of {len(keys)} trainings on {len(x_train)}; best {mean.max():.1%}",
               loc="left", color=grey)  # fmt: skip
bars = right.barh(list(seconds), list(seconds.values()), height=0.55, color=["#c8d7e2", "#7fa9c7", "#2f6f9f"])
right.bar_label(bars, [f" {value:.1f} s" for value in seconds.values()], color=grey)
right.set_title(f"seconds for {len(points)} trainings", loc="left", color=grey)
right.set(xticks=[], xlim=(0, 1.18 * max(seconds.values())))
right.invert_yaxis()
right.tick_params(length=0)
right.spines[:].set_visible(False)
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "sweep.png", dpi=100)
print(f"test accuracy {test[row, column].mean():.4f} after {options.steps} steps; see {options.out / 'sweep.png'}")
