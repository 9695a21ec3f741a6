"""Imports a checkpoint that torch wrote, and fine-tunes it on few examples with its backbone frozen.

The network in digits_0_to_4.safetensors was trained by torch on scikit-learn's handwritten digits 0 to 4, by `pretrain`
below (`--pretrain` does it again, and needs torch). Here, without torch, it learns the digits 5 to 9 from a few images
of each: with a new head on the frozen backbone, with all of it, and from scratch.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.ticker import PercentFormatter, ScalarFormatter
from rich.progress import track
from sklearn.datasets import load_digits

import jseq

CHECKPOINT = Path(__file__).parent / "digits_0_to_4.safetensors"
SIZES, DRAWS = (1, 3, 10, 40), 8  # labelled images of each digit; how often they are drawn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
parser.add_argument("--pretrain", action="store_true", help="train the checkpoint again, with torch")
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16  # (1797, 8, 8, 1): the channels are last


def pretrain():
    """Trains a torch module on the digits 0 to 4, and saves its state dict."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    x, y = (torch.from_numpy(array[labels < 5]) for array in (images.transpose(0, 3, 1, 2).copy(), labels))
    module = nn.Sequential()
    for i, (inside, outside) in enumerate(((1, 16), (16, 16), (16, 32)), 1):
        module.add_module(f"conv{i}", nn.Conv2d(inside, outside, 3, padding=1, bias=False))
        module.add_module(f"norm{i}", nn.BatchNorm2d(outside))
        module.add_module(f"act{i}", nn.ReLU())
        if i > 1:
            module.add_module(f"pool{i}", nn.MaxPool2d(2))
    module.add_module("flat", nn.Flatten())
    module.add_module("head", nn.Linear(128, 5))
    adam = torch.optim.Adam(module.parameters(), 2e-3)
    for _ in range(1500):
        rows, shift = torch.randint(len(x), (64,)), torch.randint(-1, 2, (2,)).tolist()
        shifted = torch.roll(x[rows], shift, (2, 3))
        noisy = shifted + 0.2 * torch.randn(shifted.shape)
        adam.zero_grad()
        nn.functional.cross_entropy(module(noisy), y[rows], label_smoothing=0.1).backward()
        adam.step()
    save_file(module.state_dict(), CHECKPOINT)


if options.pretrain:
    pretrain()

# The same network in jseq, with the names of torch's. Where torch flattens (C, H, W), jseq is told to do so too.
parts = {}
for i, (inside, outside) in enumerate(((1, 16), (16, 16), (16, 32)), 1):
    parts[f"conv{i}"] = jseq.conv2d(inside, outside, 3, padding=1, bias=False)
    parts[f"norm{i}"] = jseq.batch_norm(outside)
    parts[f"act{i}"] = jseq.relu()
    if i > 1:
        parts[f"pool{i}"] = jseq.max_pool2d(2)
parts["flat"] = jseq.adapt(jseq.flatten(), jseq.permute((-1, -3, -2)))
model = jseq.sequential({**parts, "head": jseq.linear(128, 5)})
print(model)
init, apply = jseq.with_state(model)
params, state = jseq.load_torch_state_dict(model, CHECKPOINT)
known = labels < 5
logits, _ = jax.jit(apply)(params, state, images[known])
print(f"imported: accuracy {(logits.argmax(-1) == labels[known]).mean():.2%} on the digits 0 to 4, which it was taught")

# The new task: the digits 5 to 9, 400 of them held out
order = np.random.default_rng(0).permutation(np.flatnonzero(~known))
x, y = jnp.asarray(images[order]), jnp.asarray(labels[order] - 5)
held_out, pool = slice(0, 400), np.arange(400, len(order))


def start(method, key):
    """Params to begin with, in two parts: what is trained and what is not; the state; and the optimiser."""
    new_params, new_state = jax.jit(init)(key)
    if method == "from scratch":
        return *jseq.partition(new_params), new_state
    tuned = {**params, "head": new_params["head"]}  # the old head knows other digits
    return *(jseq.partition(tuned, "head") if method == "frozen backbone" else jseq.partition(tuned)), state


RATES = {"frozen backbone": 1e-2, "all of it": 1e-3, "from scratch": 3e-3}
adam = {method: optax.adam(rate) for method, rate in RATES.items()}


def step(method, trained, fixed, state, moments, rows):
    train = method != "frozen backbone"  # a frozen batch norm keeps the statistics that it came with

    def loss(trained):
        logits, new_state = apply(jseq.merge(trained, fixed), state, x[rows], train=train)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean(), new_state

    gradient, state = jax.grad(loss, has_aux=True)(trained)
    updates, moments = adam[method].update(gradient, moments)
    return optax.apply_updates(trained, updates), state, moments


step = jax.jit(step, static_argnames="method")


@jax.jit
def accuracy(params, state):
    logits, _ = apply(params, state, x[held_out])
    return (logits.argmax(-1) == y[held_out]).mean()


def fine_tuned(method, size, draw):
    """Trains on `size` images of each digit, the same ones for all methods."""
    random = np.random.default_rng(draw)
    labelled = np.concatenate([random.permutation(pool[np.asarray(y)[pool] == digit])[:size] for digit in range(5)])
    trained, fixed, new_state = start(method, jax.random.key(draw))
    moments = adam[method].init(trained)
    for rows in random.choice(labelled, (options.steps, 32)):
        trained, new_state, moments = step(method, trained, fixed, new_state, moments, rows)
    return jseq.merge(trained, fixed), new_state


def moved(tuned):
    """The largest change of a number in the backbone."""
    old, new = (jseq.partition(tree, "head")[1] for tree in (params, tuned))
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), old, new)))


results = {}  # accuracies of each method, (sizes, draws)
for method in RATES:
    runs = [(size, draw) for size in SIZES for draw in range(DRAWS)]
    found = []
    for size, draw in track(runs, description=f"{method:15s}"):
        tuned, new_state = fine_tuned(method, size, draw)
        found.append(float(accuracy(tuned, new_state)))
    results[method] = np.reshape(found, (len(SIZES), DRAWS))
    change = "" if method == "from scratch" else f"; the largest change in the backbone is {moved(tuned):.3g}"
    print(f"{method}: {jseq.count(start(method, jax.random.key(0))[0]):,} trained params{change}")

print("accuracy on 400 held-out images of the digits 5 to 9, mean and standard deviation over draws:")
print(f"  {'images of each digit':20s}" + "".join(f"{size:14d}" for size in SIZES))
for method, found in results.items():
    print(f"  {method:20s}" + "".join(f"{row.mean():8.1%} ±{row.std():4.1%}" for row in found))

# The picture: accuracy over the number of labelled images
plt.switch_backend("Agg")
figure, axes = plt.subplots(figsize=(8.5, 5.2), layout="constrained")
for place, (method, color) in enumerate(zip(results, ("#2f6f9f", "#3a8f5c", "#d9622b"), strict=True)):
    mean, spread = results[method].mean(1), results[method].std(1)
    at = np.array(SIZES) * 1.05 ** (place - 1)  # side by side, so that the bars can be told apart
    axes.errorbar(at, mean, spread, color=color, linewidth=2, marker="o", elinewidth=1.2, capsize=4, label=method)
axes.set(xscale="log", xticks=SIZES, xlabel="labelled images of each digit", ylabel="accuracy on held-out images")
axes.set_title("digits 5 to 9, by a network that knew 0 to 4", loc="left", color="#555555")
axes.xaxis.set_major_formatter(ScalarFormatter())
axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
axes.minorticks_off()
axes.legend(frameon=False, loc="lower right")
axes.grid(alpha=0.25)
axes.spines[["top", "right"]].set_visible(False)
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "fine_tune.png", dpi=120)
print(f"see {options.out / 'fine_tune.png'}")
