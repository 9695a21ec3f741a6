"""Numbers drawn without a loop come from the bits of `jax.random`."""

import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._core.threefry import unrolled
from jseq.functional import drawing
from jseq.functional.drawing import drawn

KEY = jax.random.key(7)
DRAWS = {
    "bits": jax.random.bits,
    "bytes": partial(jax.random.bits, dtype="uint8"),
    "halves": partial(jax.random.bits, dtype="uint16"),
    "uniform": partial(jax.random.uniform, minval=-0.3, maxval=0.3),
    "normal": jax.random.normal,
    "bfloat16": partial(jax.random.normal, dtype=jnp.bfloat16),
    "complex": partial(jax.random.normal, dtype=jnp.complex64),
    "integers": lambda key, shape: jax.random.randint(key, shape, 0, 1000),
    "truncated": lambda key, shape: jax.random.truncated_normal(key, -2.0, 2.0, shape),
    "glorot": jax.nn.initializers.glorot_uniform(),
}


def without_loop(draw, shape):
    return lambda key: draw(unrolled(key, int(np.prod(shape))), shape)


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_are_those_of_jax(name) -> None:
    draw = DRAWS[name]
    for shape in ((3, 1031), (2, 3, 5, 4)) if name == "glorot" else ((), (0,), (1,), (3, 1031), (2, 3, 5, 4)):
        for key in (KEY, jax.random.PRNGKey(2**31 + 5), jax.random.wrap_key_data(jnp.array([2**32 - 1] * 2, "uint32"))):
            wanted, found = draw(key, shape), jax.jit(without_loop(draw, shape))(key)
            assert found.dtype == wanted.dtype
            chex.assert_trees_all_close(found, wanted, rtol=1e-6)  # the last bit, where XLA contracts other products
            if wanted.dtype.kind in "ui":
                chex.assert_trees_all_equal(found, wanted)


def test_many_keys_draw_what_each_draws() -> None:
    keys = jax.random.split(KEY, (3, 2))
    for shape in ((5,), (4, 6)):
        draw = without_loop(jax.random.bits, shape)
        found = jax.vmap(jax.vmap(draw), 1)(keys)
        for i in range(3):
            for j in range(2):
                chex.assert_trees_all_equal(found[j, i], jax.random.bits(keys[i, j], shape))


def test_words_of_64_bits() -> None:
    with jax.enable_x64(True):
        for draw in (partial(jax.random.bits, dtype="uint64"), jax.random.normal):
            chex.assert_trees_all_equal(without_loop(draw, (3, 5))(KEY), draw(KEY, (3, 5)))
            assert draw(KEY, (3,)).dtype.itemsize == 8


def test_keys_that_stay_as_they_are() -> None:
    for impl in ("rbg", "unsafe_rbg"):
        key = jax.random.key(0, impl=impl)
        assert unrolled(key, 3) is key
    assert unrolled(KEY, 2**32) is KEY
    assert unrolled(KEY, 2**32 - 1) is not KEY
    with jax.threefry_partitionable(False):
        assert unrolled(KEY, 3) is KEY


def test_such_a_key_makes_the_keys_that_the_other_makes() -> None:
    key = unrolled(KEY, 3)
    for make in (jax.random.split, partial(jax.random.split, num=(2, 3)), partial(jax.random.fold_in, data=2**31)):
        chex.assert_trees_all_equal(jax.random.key_data(make(key)), jax.random.key_data(make(KEY)))
    seeded = jax.random.key(2**31 + 1, impl=jax.random.key_impl(key))
    chex.assert_trees_all_equal(jax.random.key_data(seeded), jax.random.key_data(jax.random.key(2**31 + 1)))


def loops(run, *args) -> int:
    return len(re.findall(r" while\(", jax.jit(run).lower(*args).compile().as_text()))


def test_nothing_loops_on_cpu() -> None:
    assert loops(lambda key: jax.random.normal(key, (64, 64)), KEY)  # or there is no need for this any more
    assert not loops(lambda key: drawn(jax.random.normal, key, (64, 64)), KEY)
    assert not loops(jseq.embedding(64, 64).init, KEY)


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_cpus_alone_draw_so(platform, monkeypatch) -> None:
    def marked(key, size):
        return jax.random.wrap_key_data(jax.lax.clz(jax.random.key_data(key)))

    monkeypatch.setattr(drawing, "unrolled", marked)
    traced = jax.jit(lambda key: drawn(jax.random.normal, key, (64, 64))).trace(KEY)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("count_leading_zeros" in text) == (platform == "cpu")
