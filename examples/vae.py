"""Trains a convolutional variational autoencoder on handwritten digits, and draws its latent plane.

A pixel of scikit-learn's digits counts the inked dots in a square of 4 x 4. The decoder gives each count a
beta-binomial distribution, so that the evidence lower bound (ELBO) is one of real counts, and is told in bits.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.scipy.special import betaln
from jax.scipy.stats import norm
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32")  # (1797, 8, 8, 1), whole numbers from 0 to 16
split = train_test_split(images, labels, test_size=360, stratify=labels, random_state=0)
x_train, x_test, _, y_test = map(np.asarray, split)

model = jseq.sequential({
    "encoder": jseq.sequential(
        jseq.conv2d(1, 32, 3, padding=1), jseq.silu(),  # (N, 8, 8, 32)
        jseq.conv2d(32, 64, 3, stride=2, padding=1), jseq.silu(),  # (N, 4, 4, 64)
        jseq.conv2d(64, 64, 3, stride=2, padding=1), jseq.silu(),  # (N, 2, 2, 64)
        jseq.flatten(),
        jseq.dropout(0.2),
        jseq.linear(256, 4),  # the mean and the log-variance of a point in the plane
    ),
    "decoder": jseq.sequential(
        jseq.linear(2, 128), jseq.silu(),
        jseq.linear(128, 256), jseq.silu(),
        jseq.unflatten(-1, (2, 2, 64)),
        jseq.conv_transpose2d(64, 64, 4, stride=2, padding=1), jseq.silu(),  # (N, 4, 4, 64)
        jseq.conv_transpose2d(64, 32, 4, stride=2, padding=1), jseq.silu(),  # (N, 8, 8, 32)
        jseq.conv2d(32, 2, 3, padding=1),  # a and b of each pixel's beta distribution
        jseq.softplus(),
    ),
})  # fmt: skip
encoder, decoder = model["encoder"], model["decoder"]
params = model.init(jax.random.key(0))
print(f"{model}\n{jseq.count(params):,} params")


def encode(params, x, **training):
    """The mean and the log-variance of q(z | x), each (N, 2)."""
    return jnp.split(encoder.apply(params["encoder"], x / 8 - 1, **training), 2, axis=-1)


def decode(params, z):
    """The two parameters of the pixels' distributions, each (N, 8, 8)."""
    return jnp.moveaxis(decoder.apply(params["decoder"], z) + 1e-3, -1, 0)


def log_likelihood(params, z, x):
    """log p(x | z) in nats: the sum over pixels of the beta-binomial log-probability of x dots out of 16."""
    a, b = decode(params, z)
    dots, blanks = x[..., 0], 16 - x[..., 0]
    ways = -betaln(dots + 1, blanks + 1) - jnp.log(17.0)  # the logarithm of "16 choose x"
    return (ways + betaln(a + dots, b + blanks) - betaln(a, b)).sum((-2, -1))


def elbo(params, x, noise_key, **training):
    """The two terms of the bound, log p(x | z) at a sample z of q(z | x) and KL(q(z | x), p(z)), in nats, each (N,)."""
    mean, log_variance = encode(params, x, **training)
    z = mean + jnp.exp(log_variance / 2) * jax.random.normal(noise_key, mean.shape)
    divergence = (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1) / 2
    return log_likelihood(params, z, x), divergence


adam = optax.adam(optax.cosine_decay_schedule(2e-3, options.steps))


@jax.jit
def step(params, moments, key):
    rows_key, noise_key, dropout_key = jax.random.split(key, 3)
    x = jnp.asarray(x_train)[jax.random.randint(rows_key, (64,), 0, len(x_train))]  # (64, 8, 8, 1)

    def loss(params):
        likelihood, divergence = elbo(params, x, noise_key, train=True, key=dropout_key)
        return (divergence - likelihood).mean()

    updates, moments = adam.update(jax.grad(loss)(params), moments)
    return optax.apply_updates(params, updates), moments


moments = adam.init(params)
for key in track(jax.random.split(jax.random.key(1), options.steps), description="training"):
    params, moments = step(params, moments, key)


@jax.jit
def evaluate(params, x):
    """Both terms in bits for each image, averaged over 20 samples of z."""
    terms = jax.lax.map(lambda key: elbo(params, x, key), jax.random.split(jax.random.key(2), 20))
    return [term.mean(0) / jnp.log(2) for term in terms]


def pixelwise():
    """Bits for each test image if every pixel had a distribution of its own: how often which count was seen there."""
    seen = np.stack([(x_train == count).sum(0) for count in range(17)]) + 0.1  # (17, 8, 8, 1)
    share = np.take_along_axis(seen / seen.sum(0), x_test.astype(int), 0)  # (360, 8, 8, 1)
    return -np.log2(share).sum((1, 2, 3))


likelihood, divergence = evaluate(params, x_test)
bits = np.asarray(divergence - likelihood)  # minus the ELBO
error = bits.std() / len(bits) ** 0.5
print(f"held-out digits, minus ELBO: {bits.mean():.1f} ± {error:.1f} bits an image, {bits.mean() / 64:.3f} a pixel;")
print(f"  {-likelihood.mean():.1f} of them to draw the image from its point, {divergence.mean():.1f} to say the point")
print(f"every pixel by itself, without a network: {pixelwise().mean():.1f} bits, {pixelwise().mean() / 64:.3f} a pixel")

# The picture: where the encoder puts the held-out digits, and what the decoder draws at each place. The axes are
# quantiles of the normal prior, so that every square of the plane is as probable as any other.
plt.switch_backend("Agg")
places = norm.cdf(jax.jit(encode)(params, x_test)[0])  # (360, 2), from 0 to 1
number = 20
at = (jnp.arange(number) + 0.5) / number  # the middles of equal cells
plane = norm.ppf(jnp.stack(jnp.meshgrid(at, at[::-1]), -1))  # (20, 20, 2), the top row first
a, b = jax.jit(decode)(params, plane)  # (20, 20, 8, 8): any batch axes will do
cells = np.pad(a / (a + b), ((0, 0), (0, 0), (1, 1), (1, 1)))  # the mean share of dots, and a margin
drawn = cells.transpose(0, 2, 1, 3).reshape(10 * number, 10 * number)

grey = "#555555"
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 7.4), layout="constrained", sharex=True, sharey=True)
for digit, color in enumerate(plt.get_cmap("tab10").colors):
    here = np.asarray(places)[y_test == digit]
    left.scatter(*here.T, s=26, color=color, alpha=0.8, linewidths=0, clip_on=False, label=digit)
    halo = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": color, "alpha": 0.9}
    left.text(*np.median(here, axis=0), digit, color=color, size=13, weight="bold", ha="center", va="center", bbox=halo)
right.imshow(drawn, cmap="Greys", vmin=0, vmax=0.9, extent=(0, 1, 0, 1), interpolation="bicubic")
left.set_title("where the encoder puts 360 held-out digits", loc="left", color=grey)
right.set_title("what the decoder draws at each place", loc="left", color=grey)
for axes in (left, right):
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="quantile of $z_1$ under the prior")
    axes.spines[:].set_color("#bbbbbb")
left.set_ylabel("quantile of $z_2$ under the prior")
left.grid(alpha=0.25)
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=10, frameon=False, handletextpad=0,
            columnspacing=1.2, markerscale=1.5)  # fmt: skip
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "vae.png", dpi=100, bbox_inches="tight")
print(f"minus ELBO (the loss) {bits.mean() / 64:.3f} bits a pixel after {options.steps} steps; "
      f"see {options.out / 'vae.png'}")  # fmt: skip
