"""What GPUs and TPUs compute, run here on the CPU: it equals what the CPU computes, with gradients."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.random import threefry_2x32
from jax.sharding import PartitionSpec as P

from jseq import functional as F
from jseq.functional.apart import apart

SAME = {
    "max_pool2d": lambda x, w: F.max_pool2d(x, 3, 2, padding=1),
    "max_pool2d in ceil mode": lambda x, w: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "avg_pool2d": lambda x, w: F.avg_pool2d(x, 2),
    "avg_pool2d in ceil mode": lambda x, w: F.avg_pool2d(x, (3, 2), 2, padding=1, ceil_mode=True),
    "avg_pool2d wide": lambda x, w: F.avg_pool2d(x, 5, 1),
    "group_norm": lambda x, w: F.group_norm(x, 2, 2, w[:, 0], w[:, 1]),
    "instance_norm": lambda x, w: F.instance_norm(x, 2)[0],
    "layer_norm": lambda x, w: F.layer_norm(x, 4, w[:, 0]),
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "attention of rows that see nothing": lambda x, w: F.scaled_dot_product_attention(x, x, x, BLIND),
}
BLIND = np.arange(9 * 9).reshape(9, 9) % 5 > np.arange(9)[:, None]  # rows 4 to 8 see no key
# Differentiated again.
TWICE = ("max_pool2d", "group_norm", "layer_norm", "attention", "attention of rows that see nothing")


def elsewhere(monkeypatch):
    """Has what is traced from now on be that of other platforms; the list says how often something was."""
    used = []

    def other(*args, default, **platforms):
        used.append(default)
        return default(*args)

    monkeypatch.setattr(lax, "platform_dependent", other)
    return used


@pytest.mark.parametrize("name", SAME)
def test_another_platform_computes_the_same(monkeypatch, name):
    x, w = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(((2, 9, 8, 4), (4, 6))))

    def orders():
        def loss(x, w):
            return jnp.sum(jnp.sin(SAME[name](x, w)))

        def second(x, w):
            return sum(jnp.sum(jnp.cos(g)) for g in jax.grad(loss, (0, 1))(x, w))

        found = jax.value_and_grad(loss, (0, 1))
        return jax.jit(lambda: (found(x, w), jax.grad(second, (0, 1))(x, w) if name in TWICE else ()))()

    wanted = orders()
    used = elsewhere(monkeypatch)
    # float32, summed in another order; the second derivatives reach 100
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5), orders(), wanted)
    assert used


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 1 - 1e-6])
def test_another_platform_drops_as_often(monkeypatch, p):
    used = elsewhere(monkeypatch)
    x = jnp.full((1000, 1003), 3.0)
    keys = jax.random.split(jax.random.key(0))
    found = jax.jit(jax.vmap(lambda key: F.dropout(x, p, key=key)))(keys)
    assert used
    np.testing.assert_allclose(found[found != 0], 3 / (1 - p), rtol=1e-6)  # float32
    for y in found:
        four_sigmas = 4 * (p * (1 - p) / x.size) ** 0.5
        np.testing.assert_allclose(jnp.mean(y == 0), p, rtol=0, atol=four_sigmas)
    assert not 0.01 < p < 0.99 or bool(jnp.any(found[0] != found[1]))  # each key has a mask of its own
    assert F.dropout(x[:0], p, key=keys[0]).shape == (0, 1003)


KEPT = {
    "layer_norm": lambda x, w: F.layer_norm(x, 6, w[0], w[1]),
    "multihead_attention": lambda x, w: F.multihead_attention(
        x, x, x, 2, jnp.concatenate([w, w + 1, w * 2], -1), w.reshape(-1)[:18], w
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_nvidia_gpus_keep(trace_for, name):
    """Barriers there, and nothing else: the gradients are those of the CPU, and other platforms have none."""
    x, w = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(((2, 5, 6), (6, 6))))

    def gradients(x, w):
        return jax.grad(lambda x, w: jnp.sum(jnp.sin(KEPT[name](x, w))), (0, 1))(x, w)

    wanted = jax.jit(gradients)(x, w)
    barriers = {
        platform: jax.jit(gradients).trace(x, w).lower(lowering_platforms=(platform,)).as_text().count("_barrier")
        for platform in ("cuda", "tpu")
    }
    assert barriers["tpu"] == 0 < barriers["cuda"]

    trace_for("cuda")
    found = jax.jit(lambda x, w: gradients(x, w))(x, w)
    for a, b in zip(found, wanted, strict=True):  # float32, summed in another order
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * float(jnp.abs(b).max()))


def test_what_cpus_keep_apart():
    """A barrier there, nothing elsewhere; a linear operation whose derivatives, transposes and maps are its own."""
    x, t = jnp.arange(6.0).reshape(2, 3), jnp.ones((2, 3))
    traced = jax.jit(lambda x: jax.vmap(jax.grad(lambda x: jnp.sum(apart(x) ** 2)))(x)).trace(x)
    barriers = {p: traced.lower(lowering_platforms=(p,)).as_text().count("_barrier") for p in ("cpu", "cuda", "tpu")}
    assert barriers == {"cpu": 2, "cuda": 0, "tpu": 0}
    for run in (apart, jax.jit(apart), jax.vmap(apart), jax.remat(apart)):
        np.testing.assert_array_equal(run(x), x)
        np.testing.assert_array_equal(jax.jvp(run, (x,), (t,))[1], t)
        np.testing.assert_array_equal(jax.vjp(run, x)[1](t)[0], t)
    np.testing.assert_array_equal(jax.hessian(lambda x: jnp.sum(apart(x) ** 3))(t[0]), 6 * jnp.eye(3))
    exported = jax.export.export(jax.jit(apart), platforms=("cpu", "cuda"))(x)
    np.testing.assert_array_equal(exported.call(x), x)


@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "instance_norm"])
def test_nvidia_gpus_sum_norms_twice(name):
    """Mean and variance, as the plain formula does; elsewhere a third sum says by how much the mean was off."""
    x, w = jnp.ones((2, 9, 8, 4)), jnp.ones((4, 6))
    traced = jax.jit(SAME[name]).trace(x, w)
    sums = {p: traced.lower(lowering_platforms=(p,)).as_text().count("stablehlo.reduce(") for p in ("cuda", "tpu")}
    each = 2 if name == "group_norm" else 1  # of channels, and of groups
    assert sums == {"cuda": 2 * each, "tpu": 3 * each}


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 1 - 1e-6])
@pytest.mark.parametrize("shape", [(300, 1003), (64, 2, 96), (5,), (), (0, 3)])
def test_nvidia_gpus_drop_by_the_quarters_of_hashes(trace_for, shape, p):
    """Element n has the quarter n % 4 of the hash of n // 4, whatever the shape."""
    trace_for("cuda")
    keys = jax.random.split(jax.random.key(0))
    found = jax.jit(jax.vmap(lambda key: F.dropout(jnp.ones(shape), p, key=key)))(keys)
    size = math.prod(shape)
    numbers = jnp.arange(-(-size // 4), dtype=jnp.uint32)
    for key, y in zip(keys, found, strict=True):
        words = threefry_2x32(jax.random.key_data(key), jnp.concatenate([0 * numbers, numbers]))
        quarters = np.asarray(words).reshape(2, -1).T.astype("<u4").reshape(-1).view("<u2")[:size]
        np.testing.assert_array_equal(y != 0, quarters.reshape(shape) >= round(p * 2**16))


@pytest.mark.parametrize("explicit", [False, True])
def test_the_masks_of_nvidia_gpus_do_not_depend_on_sharding(trace_for, explicit):
    trace_for("cuda")
    kind = jax.sharding.AxisType.Explicit if explicit else jax.sharding.AxisType.Auto
    drop = jax.jit(lambda x: F.dropout(x, 0.3, key=jax.random.key(1)))
    x = jnp.ones((8, 6, 10))
    wanted = np.asarray(drop(x))
    for spec in (P("d"), P(None, "d"), P(None, None, "d")):
        with jax.set_mesh(jax.make_mesh((2,), ("d",), axis_types=(kind,))):
            np.testing.assert_array_equal(drop(jax.device_put(x, spec)), wanted)


def test_the_masks_of_nvidia_gpus_do_not_depend_on_export(trace_for):
    trace_for("cuda")
    drop = jax.jit(lambda x: F.dropout(x, 0.3, key=jax.random.key(1)))
    shape = jax.export.symbolic_shape("b, t, 5")
    exported = jax.export.export(drop)(jax.ShapeDtypeStruct(shape, jnp.float32))
    x = jnp.ones((6, 7, 5))
    np.testing.assert_array_equal(exported.call(x), drop(x))


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_nvidia_gpus_drop_by_other_generators(trace_for, impl):
    trace_for("cuda")
    y = F.dropout(jnp.ones((100, 1000)), 0.1, key=jax.random.key(1, impl=impl))
    assert abs(float(jnp.mean(y == 0)) - 0.1) < 4 * (0.09 / y.size) ** 0.5


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_relu_is_a_maximum_on_nvidia_gpus(trace_for, dtype):
    x, t = jnp.array([[-1.0, -0.0, 0.0, 2.0, -jnp.inf, jnp.inf], [1.0] * 6], dtype)
    texts = {
        platform: jax.jit(F.relu).trace(x).lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert ["stablehlo.maximum" in text for text in texts.values()] == [False, True, False]
    trace_for("cuda")
    np.testing.assert_array_equal(F.relu(x), np.where(x > 0, x, 0))
    assert np.isnan(F.relu(jnp.full(1, jnp.nan, dtype))).all()
    step = np.array([0, 0, 0, 1, 0, 1])  # torch's derivative, 0 at 0
    np.testing.assert_array_equal(jax.jvp(F.relu, (x,), (t,))[1], step)
    np.testing.assert_array_equal(jax.vmap(jax.grad(F.relu))(x), step)
    curved = jax.vmap(jax.grad(jax.grad(lambda x: F.relu(x) ** 3)))(x[:4])
    np.testing.assert_array_equal(curved, [0, 0, 0, 12])
