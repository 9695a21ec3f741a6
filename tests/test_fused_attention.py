"""Attention by cuDNN, without a GPU: what it is used for, and that its derivatives of both orders are the plain ones.

cuDNN's part is taken by `jax.nn.dot_product_attention` in XLA, which computes the same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jseq import functional as F
from jseq.functional import fused_attention as fused
from jseq.functional.blocked_attention import Plan


@pytest.fixture
def hopper(monkeypatch):
    """A machine on which jax sees a GPU of 2022; the computation stays on CPU."""
    monkeypatch.setattr(fused, "IMPLEMENTATION", "xla")
    monkeypatch.setattr(fused, "largest_head", lambda: 256)


def draw(*shape, dtype=jnp.bfloat16):
    return tuple(jax.random.normal(jax.random.key(i), shape, dtype) for i in range(3))


@pytest.mark.parametrize(
    ("what", "fits"),
    [
        ({}, True),
        ({"dtype": jnp.float16}, True),
        ({"dtype": jnp.float32}, False),
        ({"size": 12}, False),
        ({"size": 264}, False),
        ({"value": 8}, False),
        ({"keys": 96}, False),
        ({"keys": 96, "is_causal": False}, True),
        ({"length": 32, "keys": 32}, False),
        ({"batch": 0}, False),
        ({"length": 77, "keys": 77}, False),
    ],
    ids=str,
)
def test_cudnn_is_given_what_it_computes(hopper, what, fits):
    given = {"dtype": jnp.bfloat16, "size": 16, "length": 64, "keys": 64, "is_causal": True, "batch": 2, **what}
    plan = Plan(given["length"], given["keys"], 1.0, given["is_causal"], None)
    query = jax.ShapeDtypeStruct((given["batch"], given["length"], 4, given["size"]), given["dtype"])
    value = jax.ShapeDtypeStruct((given["batch"], given["keys"], 4, given.get("value", given["size"])), given["dtype"])
    assert fused.fits(plan, query, value) is fits


def test_without_a_gpu_there_is_nothing_to_fuse():
    q, _, v = draw(2, 64, 4, 16)
    if jax.default_backend() == "cpu":
        assert not fused.fits(Plan(64, 64, 1.0, True, None), q, v)


def opaque(a):
    """Something that has no derivative, as cuDNN's two kernels have none."""
    return jax.pure_callback(lambda a: np.asarray(a), a, a, vmap_method="sequential")


@jax.custom_vjp
def kernel(q, k, v):
    return opaque(plain(q, k, v))


def plain(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


kernel.defvjp(
    lambda *args: (opaque(plain(*args)), args),
    lambda args, dy: tuple(opaque(g) for g in jax.vjp(plain, *args)[1](dy)),
)


def test_its_derivatives_of_both_orders_are_those_of_the_plain_function(monkeypatch):
    monkeypatch.setattr(fused, "_cudnn", lambda plan, *args: kernel(*args))
    q, k, v = draw(2, 16, 4, 8, dtype=jnp.float32)
    plan = Plan(16, 16, 8**-0.5, True, None)

    def orders(attend):
        def loss(*args):
            return jnp.sum(jnp.sin(attend(*args)))

        def second(*args):
            return sum(jnp.sum(jnp.cos(g)) for g in jax.grad(loss, (0, 1, 2))(*args))

        return loss(q, k, v), jax.grad(loss, (0, 1, 2))(q, k, v), jax.grad(second, (0, 1, 2))(q, k, v)

    found = jax.jit(lambda: orders(functools.partial(fused.attend_fused, plan, plain)))()
    wanted = jax.jit(lambda: orders(plain))()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), found, wanted)  # float32


def test_on_such_a_machine_the_cpu_still_computes_it_in_jax(hopper, monkeypatch):
    q, k, v = draw(3, 2, 64, 4, 16)

    def gradients():
        def loss(*args):
            return jnp.sum(F.scaled_dot_product_attention(*args, is_causal=True).astype(jnp.float32) ** 2)

        return jax.jit(jax.vmap(jax.grad(loss, (0, 1, 2))))(q, k, v)

    found = gradients()
    monkeypatch.setattr(fused, "largest_head", lambda: 0)
    jax.tree.map(np.testing.assert_array_equal, found, gradients())
