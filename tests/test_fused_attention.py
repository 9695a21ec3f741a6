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
    query = jnp.zeros((given["batch"], given["length"], 4, given["size"]), given["dtype"])
    value = jnp.zeros((given["batch"], given["keys"], 4, given.get("value", given["size"])), given["dtype"])
    assert fused.fits(plan, query, value) is fits
    with F.plain_attention():
        assert not fused.fits(plan, query, value)


def test_arrays_on_a_mesh_of_explicit_axes_are_left_to_jax(hopper):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    q, _, v = draw(2, 64, 4, 16)
    assert fused.fits(Plan(64, 64, 1.0, True, None), q, v)
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with jax.set_mesh(mesh):
        assert not fused.fits(Plan(64, 64, 1.0, True, None), jax.device_put(q, split), v)


def test_without_a_gpu_there_is_nothing_to_fuse():
    q, _, v = draw(2, 64, 4, 16)
    if jax.default_backend() == "cpu":
        assert not fused.fits(Plan(64, 64, 1.0, True, None), q, v)


def opaque(a):
    """Something that has no derivative, as cuDNN's two kernels have none."""
    return jax.pure_callback(lambda a: np.asarray(a), a, a, vmap_method="sequential")


def wholly_mapped(function):
    """Refuses to be mapped over some of its arrays only, as jax's rule for cuDNN does."""
    mapped = jax.custom_batching.custom_vmap(function)

    def rule(size, in_batched, *args):
        assert all(in_batched)
        return jax.vmap(function)(*args), jax.tree.map(lambda _: True, jax.eval_shape(function, *(a[0] for a in args)))

    mapped.def_vmap(rule)
    return mapped


def kernel(q, k, v):
    """Has a derivative that is another function at each call, as `jax.nn.dot_product_attention` does."""
    attend = jax.custom_vjp(lambda *args: opaque(plain(*args)))
    attend.defvjp(
        lambda *args: (opaque(plain(*args)), args),
        lambda args, dy: tuple(opaque(g) for g in jax.vjp(plain, *args)[1](dy)),
    )
    return attend(q, k, v)


def plain(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


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

    def attend(*args):  # as one branch among platforms, which is differentiated as a jaxpr
        return jax.lax.platform_dependent(*args, cpu=functools.partial(fused.attend_fused, plan, plain), default=plain)

    found = jax.jit(lambda: orders(attend))()
    wanted = jax.jit(lambda: orders(plain))()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), found, wanted)  # float32


FORMS = {
    "causal": ({"is_causal": True}, (2, 64, 4, 16), 4),
    "window": ({"is_causal": True, "window": 7, "scale": 0.5}, (2, 64, 4, 16), 4),
    "grouped": ({"enable_gqa": True}, (2, 64, 4, 16), 2),
    "no batch": ({}, (64, 4, 16), 4),
    "two batches": ({"is_causal": True}, (2, 3, 64, 4, 16), 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_a_gpu_is_given_computes_the_same(hopper, monkeypatch, form):
    options, shape, kv_heads = FORMS[form]
    q, k, v = draw(*shape)
    k, v = (a[..., :kv_heads, :] for a in (k, v))

    def outputs():
        return jax.jit(functools.partial(F.scaled_dot_product_attention, **options))(q, k, v).astype(jnp.float32)

    with F.plain_attention():
        wanted = outputs()
    used = []
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, cuda, default: used.append(1) or cuda(*args))
    np.testing.assert_allclose(outputs(), wanted, rtol=0.02, atol=0.02)  # bfloat16
    assert used


def test_arrays_that_are_not_mapped_are_repeated_for_cudnn(monkeypatch):
    @jax.custom_vjp
    def strict(q, k, v):
        return wholly_mapped(plain)(q, k, v)

    def pull(args, dy):
        return wholly_mapped(lambda *given: jax.vjp(plain, *given[:3])[1](given[3]))(*args, dy)

    strict.defvjp(lambda *args: (wholly_mapped(plain)(*args), args), pull)
    monkeypatch.setattr(fused, "_cudnn", lambda plan, *args: strict(*args))
    attend = functools.partial(fused.attend_fused, Plan(16, 16, 8**-0.5, True, None), plain)
    q, k, v = draw(2, 16, 4, 8, dtype=jnp.float32)
    many = jnp.stack([q, 2 * q, -q])

    def both(attend):
        y, pull = jax.vjp(attend, q, k, v)
        return jax.vmap(attend, (0, None, None))(many, k, v), jax.vmap(pull)(jnp.stack([y, 2 * y]))

    found, wanted = (jax.jit(functools.partial(both, f))() for f in (attend, plain))
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
