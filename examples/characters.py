"""Trains a character-level transformer on Python's own manual, beside an n-gram model, and lets it write.

The text is that of `help("topics")`, which comes with Python. The model is trained on whole windows; to write, the same
params run in a model whose attention remembers keys and values, one character at a time.
"""

import argparse
import textwrap
import time
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from rich.progress import track

import jseq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=1800)
parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out", help="where the picture goes")
options = parser.parse_args()

# The manual says many things twice: a paragraph counts where it first stands, from the longest topic to the shortest.
seen, texts = set(), []
for topic in sorted(topics.values(), key=len, reverse=True):
    paragraphs = [paragraph for paragraph in topic.split("\n\n") if paragraph.strip() not in seen]
    seen.update(paragraph.strip() for paragraph in paragraphs)
    texts.append("\n\n".join(paragraphs))
texts = sorted((text for text in texts if len(text) > 200), key=len, reverse=True)
held = "\n\n".join(texts[3::8])  # every eighth topic, unseen in training
text = "\n\n".join(text for i, text in enumerate(texts) if i % 8 != 3)
characters = sorted({*text, *held})
numbers = {character: i for i, character in enumerate(characters)}
text_ids, held_ids = (jnp.array([numbers[character] for character in part]) for part in (text, held))
print(f"{len(text):,} characters to learn from, {len(held):,} held out, {len(characters)} different ones")

WIDTH, HEADS, DEPTH, LENGTH, BATCH, HALF = 128, 4, 4, 128, 16, 64
windows = (len(held) - 1 - HALF) // HALF  # of LENGTH, each HALF further; the second half of each is scored
scored = slice(HALF + 1, HALF + 1 + windows * HALF)


def ngram_bits(longest, discounts):
    """Bits per held-out character of n-grams by interpolated Kneser-Ney, as {(n, discount): bits}.

    p_n(c | h) = (max(count(hc) - d, 0) + d kinds(h) p_(n-1)(c | h')) / count(h), where the lower orders count in how
    many different places hc was seen instead of how often (Kneser and Ney 1995).
    """
    discount = np.array(discounts)

    def interpolate(counts, n, lower):
        total, kinds, p = Counter(), Counter(), lower.copy()
        for gram, count in counts.items():
            total[gram[:-1]] += count
            kinds[gram[:-1]] += 1
        for i in range(n - 1, len(held)):
            gram = held[i - n + 1 : i + 1]
            if history := total[gram[:-1]]:
                own = np.maximum(counts[gram] - discount, 0)
                p[i] = (own + discount * kinds[gram[:-1]] * lower[i]) / history
        return p

    grams = {n: Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, longest + 1)}
    lower, bits = np.full((len(held), len(discounts)), 1 / len(characters)), {}
    for n, counts in grams.items():
        means = -np.log2(interpolate(counts, n, lower)[scored]).mean(0)
        bits |= {(n, d): mean for d, mean in zip(discounts, means, strict=True)}
        if n < longest:
            lower = interpolate(Counter(gram[1:] for gram in grams[n + 1]), n, lower)
    return bits


# The best n and discount are chosen on the held-out text itself, which flatters the n-grams.
ngrams = ngram_bits(10, (0.8, 0.9, 0.95))
(n, discount), ngram = min(ngrams.items(), key=lambda item: item[1])
print(f"n-grams: {ngram:.3f} bits per character, with n = {n} and discount {discount}")


def transformer(streamed=False):
    """A pre-norm decoder at rotary positions, its head tied to its embedding."""
    # Each character sees the LENGTH before it, so that the text may grow longer than the windows of training.
    attend = jseq.grouped_query_attention(WIDTH, HEADS, HEADS, window=LENGTH)
    attend = jseq.streaming(attend, max_length=900) if streamed else attend
    feed = jseq.sequential(jseq.linear(WIDTH, 4 * WIDTH), jseq.gelu(), jseq.linear(4 * WIDTH, WIDTH))
    block = jseq.sequential({
        "attend": jseq.residual(jseq.sequential(jseq.rms_norm(WIDTH), attend, jseq.dropout(0.15))),
        "feed": jseq.residual(jseq.sequential(jseq.rms_norm(WIDTH), feed, jseq.dropout(0.15))),
    })  # fmt: skip
    model = jseq.sequential({
        "embed": jseq.embedding(len(characters), WIDTH, weight_init=jax.nn.initializers.normal(0.1)),
        "scale": jseq.rms_norm(WIDTH),
        "blocks": jseq.repeat(block, DEPTH),
        "norm": jseq.rms_norm(WIDTH),
        "head": jseq.linear(WIDTH, len(characters), bias=False),
    })  # fmt: skip
    return jseq.tie(model, "embed.weight", "head.weight", transpose=True)


model = transformer()
params = jax.jit(model.init)(jax.random.key(0))
rate = optax.warmup_cosine_decay_schedule(0, 4e-3, max(1, options.steps // 20), options.steps, 2e-4)
adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=0.1))
moments = adam.init(params)
print(f"transformer: {jseq.count(params):,} params")


@jax.jit
def step(params, moments, key):
    start_key, dropout_key = jax.random.split(key)
    starts = jax.random.randint(start_key, (BATCH, 1), 0, len(text) - LENGTH)
    ids = text_ids[starts + jnp.arange(LENGTH + 1)]  # (16, 129)

    def loss(params):
        logits = model.apply(params, ids[:, :-1], key=dropout_key, train=True)  # (16, 128, characters)
        return optax.softmax_cross_entropy_with_integer_labels(logits, ids[:, 1:]).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, moments = adam.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments, value / jnp.log(2)


@jax.jit
def held_out_bits(params):
    def of_window(start):
        ids = jax.lax.dynamic_slice_in_dim(held_ids, start, LENGTH + 1)
        losses = optax.softmax_cross_entropy_with_integer_labels(model.apply(params, ids[:-1]), ids[1:])
        return losses[-HALF:].mean()

    return jax.lax.map(of_window, jnp.arange(windows) * HALF, batch_size=16).mean() / jnp.log(2)


at, bits, losses = [], [], []
keys = jax.random.split(jax.random.key(1), options.steps)
for i in track(range(1, options.steps + 1), description="training"):
    params, moments, value = step(params, moments, keys[i - 1])
    losses.append(value)
    if i % 200 == 0 or i == options.steps:
        at.append(i)
        bits.append(float(held_out_bits(params)))
losses = np.array(losses)
print(f"transformer: {bits[-1]:.3f} bits per character, {ngram - bits[-1]:.3f} fewer than the n-grams")

# Writing: the same params, in the model that keeps a cache as its state.
init, apply = jseq.with_state(transformer(streamed=True))
prompt = 'The "learn" statement\n*********************\n\n'
prompt_ids = jnp.array([numbers[character] for character in prompt])
_, empty = jax.jit(init)(jax.random.key(0), prompt_ids)


def write(params, state, keys, temperature=0.6):
    """Feeds the prompt at once, then draws a character for each key: ids and the logits before each of them."""
    logits, state = apply(params, state, prompt_ids)

    def draw(carry, key):
        state, logits = carry
        new = jax.random.categorical(key, logits / temperature)
        after, state = apply(params, state, new[None])
        return (state, after[-1]), (new, logits)

    return jax.lax.scan(draw, (state, logits[-1]), keys)[1]


keys = jax.random.split(jax.random.key(2), 900 - len(prompt))
compiled = jax.jit(write).lower(params, empty, keys).compile()
start = time.perf_counter()
written, streamed = jax.block_until_ready(compiled(params, empty, keys))  # (n,), (n, characters)
speed = len(keys) / (time.perf_counter() - start)
whole = jax.jit(model.apply)(params, jnp.concatenate([prompt_ids, written]))[len(prompt) - 1 : -1]
difference = float(abs(streamed - whole).max())
assert difference < 1e-3, "the streamed logits are those of the whole text, up to rounding in float32"
sample = prompt + "".join(characters[i] for i in written)
print(f"streamed: {speed:.0f} characters a second, logits within {difference:.0e} of the whole text's\n\n{sample}\n")

# The picture: the learning curve beside the n-grams, and what the model writes
plt.switch_backend("Agg")
blue, orange, grey = "#2f6f9f", "#d9622b", "#555555"
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained", width_ratios=(1.1, 1))
near = min(50, options.steps)
smooth = np.convolve(losses, np.ones(near) / near, "valid")  # means of so many steps
left.plot(range(near, options.steps + 1), smooth, color=blue, alpha=0.35, label="training text, with dropout")
left.plot(at, bits, color=blue, linewidth=2.4, marker="o", markersize=4, label="held-out topics")
left.axhline(ngram, color=orange, linewidth=1.8, linestyle=(0, (5, 3)))
left.text(0.02 * options.steps, ngram - 0.03, f"n-grams: {ngram:.3f}", color=orange, va="top")
left.set(xlabel="step", ylabel="bits per character", xlim=(0, 1.01 * options.steps), ylim=(1.2, max(4, *bits)))
left.set_title(f"{bits[-1]:.3f} bits per character on topics it has not seen", loc="left", color=blue, weight="bold")
left.legend(frameon=False)
left.spines[["top", "right"]].set_visible(False)
left.grid(alpha=0.25)
right.axis("off")
right.set_title("what it writes", loc="left", color=grey)
shown = "\n".join(textwrap.fill(line, 74) for line in sample.split("\n")[:24])
right.text(0, 0.99, shown, va="top", family="monospace", size=8.5, parse_math=False, in_layout=False)
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "characters.png", dpi=100)
print(f"loss {bits[-1]:.3f} bits per character after {options.steps} steps; see {options.out / 'characters.png'}")
