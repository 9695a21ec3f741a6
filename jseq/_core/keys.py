"""The key of a part of a model: mixed from the key of the whole and from the part's name."""

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from jseq._core.threefry import THREEFRY

# Each bit of the key or of the number flips each bit of what is mixed for 0.46 to 0.58 of all keys. The multipliers
# are those of published hashes (lowbias32, xxHash, MurmurHash3), and odd, so that the product is one to one. Swapped
# words with the shifted ones added, without carry, are one to one too, as a shift that is repeated gives zero.
ODD = np.array([[0x7FEB352D, 0x27D4EB2F], [0x85EBCA6B, 0x2C1B3C6D], [0x846CA68B, 0xC2B2AE35]], np.uint32)


def stable_number(text: str) -> int:
    """A 64-bit number for a name, the same in every process (Python's hash is not)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def child_key(key: Any, number: int) -> Any:
    """The key of the part that has this number."""
    return derived(key, words_of([number])[0])


def child_keys(key: Any, numbers: Sequence[int]) -> Any:
    """The keys of several parts, on a leading axis."""
    return jax.vmap(derived, (None, 0))(key, words_of(numbers))


def words_of(numbers: Sequence[int]) -> np.ndarray:
    """The high and the low 32 bits of each number."""
    return np.array([divmod(number, 2**32) for number in numbers], np.uint32)


def derived(key: Any, words: Any) -> Any:
    """The key of a part: mixed, or folded where another generator is to draw with it, from the low 32 bits alone."""
    if str(jax.random.key_impl(key)) == THREEFRY:
        return mixed(key, words)
    return jax.random.fold_in(key, words[1])


@jax.jit
def mixed(key: Any, words: Any) -> Any:
    """Mixes a key with a number."""
    data = _mix.bind(jax.random.key_data(key), words)
    return jax.random.wrap_key_data(data, impl=THREEFRY) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else data


def mix(data: Any, words: Any) -> Any:
    """Mixes the 64 bits of a key with the 64 bits of a number, one to one for each of the two.

    A counter-based generator needs keys that differ, not keys that look random: what is drawn with a key is 20 rounds
    of threefry of it (Salmon et al. 2011, doi:10.1145/2063384.2063405). `jax.random.fold_in` is 20 rounds more, which
    XLA:CPU takes 20 ms to compile, each time; this is merged with what draws.
    """
    last = data.ndim - 1  # all others are mapped
    odd = ODD.reshape(3, *(1,) * last, 2)
    data = (data ^ words) * odd[0]
    data = (lax.rev(data, (last,)) ^ (data >> np.uint32(18))) * odd[1]
    data = (lax.rev(data, (last,)) ^ (data >> np.uint32(12))) * odd[2]
    return data ^ (data >> np.uint32(16))


def _mapped(args: Sequence[Any], axes: Sequence[int | None]) -> tuple[Any, int]:
    size = next(a.shape[axis] for a, axis in zip(args, axes, strict=True) if axis is not None)
    return _mix.bind(*(batching.bdim_at_front(a, axis, size) for a, axis in zip(args, axes, strict=True))), 0


# One operation in place of thirteen: a transformer of 12 blocks mixes 61 times in a step, of 6500 equations in all.
_mix = Primitive("mix")
_mix.def_impl(mix)
_mix.def_abstract_eval(lambda data, words: data)
mlir.register_lowering(_mix, mlir.lower_fun(mix, multiple_results=False))
batching.primitive_batchers[_mix] = _mapped
