"""Trains deep ensembles on two small tables, and asks whether their uncertainty can be believed.

Diabetes: each member predicts a mean and a variance, and an interval should hold as many patients as it says. Breast
cancer: a probability of 90% should be right nine times in ten. A factor for the width of the intervals, and a
temperature for the probabilities, are fitted on validation data. All members of all splits are trained by one vmap.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.ticker import PercentFormatter
from rich.progress import track
from scipy.special import expit
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression, LogisticRegression

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()
SPLITS, MEMBERS, BEST, LINE = 20, 10, "ensemble, recalibrated", "linear model"


def table(load):
    """Training, validation and test data as (x, y) with a leading axis of random splits, x by training statistics."""
    x, y = load(return_X_y=True)
    rows = np.stack([np.random.default_rng(i).permutation(len(x)) for i in range(SPLITS)])
    x, y, train = x[rows], y[rows], 3 * len(x) // 5  # (splits, rows, features), (splits, rows)
    x = (x - x[:, :train].mean(1, keepdims=True)) / x[:, :train].std(1, keepdims=True)
    ends = [train, 4 * len(x[0]) // 5]
    return list(zip(np.split(x.astype("float32"), ends, 1), np.split(y.astype("float32"), ends, 1), strict=True))


def fitted(name, member, loss, x, y):
    """Trains MEMBERS members on each split; the params have two leading axes, (splits, members)."""
    model = jseq.ensemble(member, MEMBERS, shared=False)  # each member takes rows of its own
    params = jax.lax.map(model.init, jax.random.split(jax.random.key(0), SPLITS))
    adam = optax.adamw(optax.cosine_decay_schedule(3e-3, options.steps), weight_decay=1e-2)

    def split_loss(params, x, y, rows):
        return loss(model.apply(params, x[rows]), y[rows]).mean(1).sum()

    @jax.jit
    def step(params, moments, key):
        rows = jax.random.randint(key, (SPLITS, MEMBERS, 32), 0, x.shape[1])
        gradient = jax.vmap(jax.grad(split_loss))(params, x, y, rows)
        updates, moments = adam.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments

    moments = jax.jit(adam.init)(params)
    for key in track(jax.random.split(jax.random.key(1), options.steps), description=name):
        params, moments = step(params, moments, key)
    return params


def predicted(member, params, x):
    """(splits, members, rows, outputs): the same params, and every member sees the same rows."""
    return np.asarray(jax.jit(jax.vmap(jseq.ensemble(member, MEMBERS).apply))(params, x))


def report(measure, scores):
    """Prints the mean of each score over splits, and in how many splits one of two is better."""
    scores = {name: np.asarray(score) for name, score in scores.items()}
    for name, score in scores.items():
        print(f"  {name:22s}  {measure} {score.mean():.3f} ± {score.std() / SPLITS**0.5:.3f}")
    for other, one in (
        ("member", "ensemble"),
        ("ensemble", "ensemble, recalibrated"),
        (LINE, "ensemble, recalibrated"),
    ):
        print(f"  {one} better than {other}: in {(scores[one] < scores[other]).sum()} of {SPLITS} splits")


def mean_and_variance(output):
    return output[..., 0], jax.nn.softplus(output[..., 1]) + 1e-3


def gaussian_loss(mean, variance, y):
    """Minus the logarithm of the normal density, in nats."""
    return (jnp.log(2 * jnp.pi * variance) + (y - mean) ** 2 / variance) / 2


def mixture(mean, variance):
    """The mean and the variance of the members' mixture: (splits, 1, rows)."""
    middle = mean.mean(1, keepdims=True)
    return middle, (variance + (mean - middle) ** 2).mean(1, keepdims=True)


train, validation, test = table(load_diabetes)
center, scale = train[1].mean(1, keepdims=True), train[1].std(1, keepdims=True)
train, validation, test = [(x, (y - center) / scale) for x, y in (train, validation, test)]
member = jseq.mlp(10, 64, 2)
print(f"diabetes, {SPLITS} splits, {MEMBERS} members each: {member!r}")
params = fitted("diabetes", member, lambda output, y: gaussian_loss(*mean_and_variance(output), y), *train)
validated, tested = (mean_and_variance(predicted(member, params, x)) for x, _ in (validation, test))
levels, coverage, scores = np.arange(1, 100) / 100, {}, {}
seen, y = validation[1][:, None], test[1][:, None]
for kind, pool in (("member", lambda *each: each), ("ensemble", mixture)):
    mean, variance = pool(*validated)
    factor = ((seen - mean) ** 2 / variance).mean(-1, keepdims=True)  # for variances, and the most likely one
    mean, variance = pool(*tested)
    for name, used in ((kind, 1.0), (f"{kind}, recalibrated", factor)):
        scores[name] = np.asarray(gaussian_loss(mean, used * variance, y).mean((1, 2)))
        level = 2 * norm.cdf(np.abs(y - mean) / np.sqrt(used * variance)) - 1  # of the interval that ends at y
        coverage[name] = (level[..., None] <= levels).mean((0, 1, 2))
scores[LINE] = []
for x, y, tested, targets in zip(*train, *test, strict=True):
    line = LinearRegression().fit(x, y)
    variance = ((line.predict(x) - y) ** 2).mean()
    scores[LINE].append(gaussian_loss(line.predict(tested), variance, targets).mean())
report("negative log-likelihood", scores)
for name, share in coverage.items():
    shares = ", ".join(f"{level}%: {share[level - 1]:.1%}" for level in (50, 90, 95))
    print(f"  {name:22s}  intervals hold  {shares}")


def log_loss(logits, y):
    return jnp.logaddexp(0.0, logits) - y * logits


def pooled(logits):
    """The logit of the members' mean probability: (splits, 1, rows)."""
    p = np.clip(expit(logits).mean(1, keepdims=True), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def bins(logits, y):
    """Rows by confidence, in ten bins from 50% to 100%: how many, their mean confidence, and how many are right."""
    confidence, right = expit(np.abs(logits)), (logits > 0) == (y > 0.5)
    place = np.minimum((20 * confidence - 10).astype(int), 9).ravel()
    number = np.bincount(place, minlength=10)
    sums = (np.bincount(place, np.broadcast_to(w, logits.shape).ravel(), 10) for w in (confidence, right))
    return number, *(total / np.maximum(number, 1) for total in sums)


def calibration_error(logits, y):
    """The mean distance of confidence and accuracy, by bins; for each member, and then averaged."""
    members = (bins(logits[:, i : i + 1], y) for i in range(logits.shape[1]))
    return np.mean([(number * np.abs(sure - good)).sum() / number.sum() for number, sure, good in members])


train, validation, test = table(load_breast_cancer)
member = jseq.mlp(30, 64, 1)
print(f"breast cancer, {SPLITS} splits, {MEMBERS} members each: {member!r}")
params = fitted("breast cancer", member, lambda output, y: log_loss(output[..., 0], y), *train)
validated, tested = (predicted(member, params, x)[..., 0] for x, _ in (validation, test))
temperatures = np.geomspace(0.2, 10, 200, dtype="float32")[:, None, None, None]
answers, scores = {}, {}
seen, y = validation[1][:, None], test[1][:, None]
for kind, pool in (("member", lambda logits: logits), ("ensemble", pooled)):
    losses = log_loss(pool(validated) / temperatures, seen).mean(-1)  # (temperatures, splits, members or 1)
    best = temperatures.ravel()[losses.argmin(0)][..., None]
    for name, used in ((kind, 1.0), (f"{kind}, recalibrated", best)):
        answers[name] = pool(tested) / used
        scores[name] = np.asarray(log_loss(answers[name], y).mean((1, 2)))
scores[LINE] = []
for x, labels, tested, targets in zip(*train, *test, strict=True):
    line = LogisticRegression(max_iter=1000).fit(x, labels)
    scores[LINE].append(log_loss(line.decision_function(tested), targets).mean())
report("log loss", scores)
for name, logits in answers.items():
    drawn = np.random.default_rng(0).random((SPLITS, 1, logits.shape[-1]))
    error, accuracy = calibration_error(logits, y), ((logits > 0) == (y > 0.5)).mean()
    chance = calibration_error(logits[:, :1], drawn < expit(logits[:, :1]))
    print(f"  {name:22s}  expected calibration error {error:.2%} (by chance {chance:.2%}), accuracy {accuracy:.2%}")

# The picture: do the intervals hold what they promise, and are the probabilities right as often as they say?
plt.switch_backend("Agg")
blue, orange, grey = "#2f6f9f", "#d9622b", "#555555"
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
for name, logits in answers.items():
    color, style = blue if name.startswith("ensemble") else orange, "-" if "," in name else "--"
    left.plot(levels, coverage[name], color=color, linestyle=style, linewidth=2, label=name)
    number, *shares = bins(logits, np.broadcast_to(y, logits.shape))
    sure, good = (share[number >= number.sum() / 200] for share in shares)  # the others say too little
    right.plot(sure, good, color=color, linestyle=style, linewidth=1.8, marker="o" if "," in name else "s", label=name)
left.set_title("diabetes: patients inside the intervals", loc="left", color=grey)
left.set(xlabel="share that the interval promises", ylabel="share of held-out patients inside", ylim=(0, 1.01))
right.set_title("breast cancer: answers that are right", loc="left", color=grey)
right.set(xlabel="confidence of the answer, in ten bins", ylabel="share of right answers", ylim=(0.45, 1.01))
for axes, start in ((left, 0.0), (right, 0.5)):
    axes.plot([start, 1], [start, 1], color="#999999", linewidth=1, linestyle=":", label="as promised")
    axes.legend(frameon=False, loc="upper left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlim=(start, 1.01))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "ensemble.png", dpi=100)
print(f"after {options.steps} steps; see {options.out / 'ensemble.png'}")
