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
import numpy as np
from jax import lax
from jax.extend.random import threefry2x32_p

from jseq._core.threefry import THREEFRY
from jseq.functional.sharded import varying_alike


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
    return lax.ge(jax.random.bits(key, shape, jnp.uint32), np.uint32(min(round(p * 2**32), 2**32 - 1)))


def _from_quarters(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    """Decides by a quarter of a hash each, found from the element's place alone, so that no memory is needed.

    A thread of XLA:GPU has four neighbours, whose hashes are then one and the same: LLVM computes one, and the kernel
    has a third of the instructions. Words that are shared through memory, as on CPU, would take 1.3 to 1.7 times as
    long as `jax.random.bernoulli` there.
    """
    size = math.prod(shape)
    countable = not isinstance(size, int) or size < 2**32  # by a word; open sizes (jax.export) are no ints
    if jax.random.key_impl(key) != THREEFRY or not countable:
        return _from_words(key, p, shape)
    number = lax.iota(jnp.uint32, size).reshape(shape)
    even, odd = _hashes(key, lax.shift_right_logical(number, np.uint32(2)))
    word = lax.select(lax.eq(lax.bitwise_and(number, np.uint32(2)), np.uint32(0)), even, odd)
    half = lax.mul(lax.bitwise_and(number, np.uint32(1)), np.uint32(16))
    return lax.ge(_low_bits(word, half, 16), np.uint32(round(p * 2**16)))


def _from_shared_words(key: jax.Array, p: float, shape: tuple[int, ...]) -> jax.Array:
    bits = 8 if float(p * 256).is_integer() else 16
    in_two = jax.random.key_impl(key) == THREEFRY
    lanes, limit = 32 // bits * (1 + in_two), np.uint32(round(p * 2**bits))
    # Lanes of the last axis keep the other axes whole, so that a mask sharded along them needs no
    # communication. Narrow last axes would waste bits: then the lanes run over the flattened mask.
    split = shape if shape and shape[-1] % lanes == 0 else (math.prod(shape),)
    *lead, last = (*split[:-1], -(-split[-1] // lanes))
    size = math.prod(lead) * last  # along one axis: compiles in 0.17 s, along four in 0.74
    flat = _hashes(key, lax.iota(jnp.uint32, size)) if in_two else [jax.random.bits(key, (size,), jnp.uint32)]
    # All lanes of a word at once: three kernels fewer to compile than lane by lane, in the same time (nine shapes).
    shifts = lax.mul(lax.iota(jnp.uint32, 32 // bits), np.uint32(bits)).reshape(*(1,) * len(lead), -1, 1)
    keep = [lax.ge(_low_bits(word.reshape(*lead, 1, last), shifts, bits), limit) for word in flat]
    keep = lax.concatenate(keep, len(lead)).reshape(*lead, lanes * last)
    return lax.slice_in_dim(keep, 0, split[-1], axis=-1).reshape(shape)


def _low_bits(word: jax.Array, shift: jax.Array, bits: int) -> jax.Array:
    """The lowest bits of a word that is shifted."""
    return lax.bitwise_and(lax.shift_right_logical(word, shift), np.uint32(2**bits - 1))


def _hashes(key: jax.Array, number: jax.Array) -> list[jax.Array]:
    """Both words of each hash of threefry; `jax.random.bits` gives one, their exclusive or."""
    first, second = (lax.squeeze(half, (0,)) for half in lax.split(jax.random.key_data(key), (1, 1)))
    words = threefry2x32_p.bind(first, second, lax.full_like(number, 0), number)
    return varying_alike(words, key)  # JAX forgets that the key differs over devices
