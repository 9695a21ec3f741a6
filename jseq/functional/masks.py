"""The masks of dropout.

They come from the bits of the key. A hash of threefry gives two words of 32 bits, of which a decision needs few: 8 bits
when p is a multiple of 1/256, else 16 (the error of the probability is then below 1e-5). So on CPU a hash serves eight
or four elements (with the gradient 0.13 and 0.23 of the time of `jax.random.bernoulli`), on NVIDIA GPUs four (0.98 in
float32, 0.52 in bfloat16), elsewhere one.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.random import threefry2x32_p


def keep_mask(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    """Draws which elements stay: True with probability 1 - p, by 8 or 16 bits each on CPU, 16 on NVIDIA GPUs, else 32.

    Args: key: PRNG key. p: probability of False. shape: of the mask.
    Output: bool array of the shape. The same key gives the same mask, jitted or sharded or not; CPUs, NVIDIA GPUs and
        other devices each draw another one.

    >>> keep_mask(jax.random.key(0), 0.0, (3,)).tolist()
    [True, True, True]
    """
    forms = {"cpu": _from_shared_words, "cuda": _from_quarters, "default": _from_words}
    return lax.platform_dependent(key, **{name: partial(form, p=p, shape=shape) for name, form in forms.items()})


def _from_words(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.bits(key, shape, jnp.uint32) >= jnp.uint32(min(round(p * 2**32), 2**32 - 1))


def _from_quarters(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    """Decides by a quarter of a hash each, found from the element's place alone, so that no memory is needed.

    A thread of XLA:GPU has four neighbours, whose hashes are then one and the same: LLVM computes one, and the kernel
    has a third of the instructions. Words that are shared through memory, as on CPU, would take 1.3 to 1.7 times as
    long as `jax.random.bernoulli` there.
    """
    size = math.prod(shape)
    countable = not isinstance(size, int) or size < 2**32  # by a word; open sizes (jax.export) are no ints
    if jax.random.key_impl(key) != "threefry2x32" or not countable:
        return _from_words(key, p, shape)
    number = lax.iota(jnp.uint32, size).reshape(shape)
    even, odd = _hashes(key, number >> jnp.uint32(2))
    word = jnp.where(number & jnp.uint32(2) == 0, even, odd)
    return (word >> (number & jnp.uint32(1)) * jnp.uint32(16)) & jnp.uint32(2**16 - 1) >= jnp.uint32(round(p * 2**16))


def _from_shared_words(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    bits = 8 if float(p * 256).is_integer() else 16
    in_two = jax.random.key_impl(key) == "threefry2x32"
    lanes, limit = 32 // bits * (1 + in_two), jnp.uint32(round(p * 2**bits))
    # Lanes of the last axis keep the other axes whole, so that a mask sharded along them needs no
    # communication. Narrow last axes would waste bits: then the lanes run over the flattened mask.
    split = shape if shape and shape[-1] % lanes == 0 else (math.prod(shape),)
    counts = (*split[:-1], -(-split[-1] // lanes))
    size = math.prod(counts)  # along one axis: compiled sooner than of more, see drawing.py
    flat = _hashes(key, lax.iota(jnp.uint32, size)) if in_two else [jax.random.bits(key, (size,), jnp.uint32)]
    *lead, last = counts
    # All lanes of a word at once: three kernels fewer to compile than lane by lane, in the same time (nine shapes).
    shifts = lax.iota(jnp.uint32, 32 // bits).reshape(*(1,) * len(lead), -1, 1) * jnp.uint32(bits)
    keep = [((word.reshape(*lead, 1, last) >> shifts) & jnp.uint32(2**bits - 1)) >= limit for word in flat]
    keep = jnp.concatenate(keep, axis=-2).reshape(*lead, lanes * last)
    return jnp.reshape(keep[..., : split[-1]], shape)


def _hashes(key: jax.Array, number: jax.Array) -> list[jax.Array]:
    """Both words of each hash of threefry; `jax.random.bits` gives one, their exclusive or."""
    first, second = jax.random.key_data(key)
    return threefry2x32_p.bind(first, second, jnp.zeros_like(number), number)
