"""Fits a sine with a small network in twenty lines, and draws the fit."""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from rich.progress import track

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()

x_key, noise_key, init_key = jax.random.split(jax.random.key(0), 3)
x = jax.random.uniform(x_key, (200, 1), minval=-jnp.pi, maxval=jnp.pi)
y = jnp.sin(2 * x) + 0.15 * jax.random.normal(noise_key, x.shape)

model = jseq.sequential(jseq.linear(1, 64), jseq.tanh(), jseq.linear(64, 64), jseq.tanh(), jseq.linear(64, 1))
params = start = model.init(init_key)
adam = optax.adam(optax.cosine_decay_schedule(5e-3, options.steps))
moments = adam.init(params)


@jax.jit
def step(params, moments):
    loss, gradient = jax.value_and_grad(lambda params: jnp.mean((model.apply(params, x) - y) ** 2))(params)
    updates, moments = adam.update(gradient, moments)
    return optax.apply_updates(params, updates), moments, loss


for _ in track(range(options.steps), description="training"):
    params, moments, loss = step(params, moments)

grid = jnp.linspace(-jnp.pi, jnp.pi, 400)[:, None]
error = jnp.sqrt(jnp.mean((model.apply(params, grid) - jnp.sin(2 * grid)) ** 2))

# The picture: the points, the curve that they were drawn from, and the network before and after
plt.switch_backend("Agg")
figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
axes.scatter(x, y, s=14, color="#b8b8b8", linewidth=0, label="200 noisy points, what it sees")
axes.plot(grid, jnp.sin(2 * grid), color="#444444", linestyle="--", linewidth=1.4, label="sin 2x, what it does not")
axes.plot(grid, model.apply(start, grid), color="#9fc3dd", linewidth=1.6, label="before training")
axes.plot(grid, model.apply(params, grid), color="#d9622b", linewidth=2.4, label=f"after {options.steps} steps")
axes.set(xlabel="x", ylabel="y", xlim=(-jnp.pi, jnp.pi), ylim=(-1.6, 1.6))
axes.set_xticks([-jnp.pi, -jnp.pi / 2, 0, jnp.pi / 2, jnp.pi], [r"$-\pi$", r"$-\pi/2$", "0", r"$\pi/2$", r"$\pi$"])
axes.set_title(f"{error:.3f} from the true curve (root mean square)", loc="left", color="#d9622b", weight="bold")
axes.spines[["top", "right"]].set_visible(False)
axes.grid(alpha=0.25)
figure.legend(loc="outside lower center", ncols=4, frameon=False)

options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "sine.png", dpi=130)
print(f"loss {loss:.4f}, {error:.4f} from the true curve, after {options.steps} steps; see {options.out / 'sine.png'}")
