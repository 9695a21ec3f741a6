"""Layers within `jax.shard_map`, whose types say what differs over the devices: data, params or keys."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

import jseq
from jseq import functional as F

FEED = jseq.residual(jseq.sequential(jseq.linear(8, 8), jseq.relu(), jseq.dropout(0.25)))
SEQUENCE = (2, 6, 8)
LAYERS = {
    "dropout": (jseq.dropout(0.5), SEQUENCE),
    "channels": (jseq.dropout2d(0.5), (2, 3, 3, 8)),
    "alpha": (jseq.feature_alpha_dropout(0.5), (2, 3, 3, 8)),
    "noise": (jseq.gaussian_noise(0.5), SEQUENCE),
    "rrelu": (jseq.rrelu(), SEQUENCE),
    "lstm": (jseq.lstm(8, 4, 2, dropout=0.5, bidirectional=True), SEQUENCE),
    "gru": (jseq.gru(8, 4), SEQUENCE),
    "cell": (jseq.recurrent(jseq.lstm_cell(8, 4)), SEQUENCE),
    "repeat": (jseq.repeat(FEED, 3), SEQUENCE),
    "row": (jseq.sequential(*[FEED] * 4), SEQUENCE),
    "fold": (jseq.fold((3, 3), 2), (2, 4, 8)),
    "attention": (jseq.multihead_attention(8, 2, dropout=0.5, is_causal=True), SEQUENCE),
    "spectral norm": (jseq.spectral_norm(jseq.linear(8, 4)), SEQUENCE),
    "ensemble": (jseq.ensemble(FEED, 2), SEQUENCE),
}


def twice(tree):
    return jax.tree.map(lambda a: jnp.stack([a, a]), tree)


def first(tree):
    return jax.tree.map(lambda a: a[0], tree)


def over_devices(run, *specs):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=(P("data"), P())))


@pytest.mark.slow
@pytest.mark.parametrize("differs", ["data", "params"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_device_computes_what_it_would_alone(name, differs) -> None:
    layer, shape = LAYERS[name]
    init, apply = jseq.with_state(layer)
    x, keys = jax.random.normal(jax.random.key(0), shape), jax.random.split(jax.random.key(1), 2)
    params, state = init(jax.random.key(2), x)

    def alone(params, x, key):
        return apply(params, state, x, key=key if layer.uses_key else None, train=True)[0]

    def own(params, x, keys):
        def total(params):
            y = alone(params, first(x) if differs == "data" else x, keys[0])
            return jax.lax.psum(jnp.sum(y**2), "data"), y[None]

        own_params = params if differs == "data" else first(params)
        grads, y = jax.grad(total, has_aux=True)(own_params)
        return y, jax.lax.psum(grads, "data") if differs == "params" else grads

    if differs == "data":
        y, grads = over_devices(own, P(), P("data"), P("data"))(params, twice(x), keys)
    else:
        y, grads = over_devices(own, P("data"), P(), P("data"))(twice(params), x, keys)
    wanted = [alone(params, x, key) for key in keys]
    # float32, compiled otherwise: sums in another order
    chex.assert_trees_all_close(y, jnp.stack(wanted), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda params: sum(jnp.sum(alone(params, x, key) ** 2) for key in keys))(params)
    chex.assert_trees_all_close(grads, gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("differs", range(3))
def test_attention_in_blocks(differs) -> None:
    arrays = jax.random.normal(jax.random.key(0), (3, 1, 300, 2, 4))
    attend = partial(F.scaled_dot_product_attention, is_causal=True)

    def own(*arrays):
        arrays = [a[0] if i == differs else a for i, a in enumerate(arrays)]
        y, back = jax.vjp(attend, *arrays)
        grads = back(2 * y)
        return y[None], [jax.lax.psum(g, "data") if i == differs else g for i, g in enumerate(grads)]

    given = [twice(a) if i == differs else a for i, a in enumerate(arrays)]
    y, grads = over_devices(own, *(P("data") if i == differs else P() for i in range(3)))(*given)
    wanted, back = jax.vjp(attend, *arrays)
    chex.assert_trees_all_close(y, twice(wanted), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(grads, [2 * g for g in back(2 * wanted)], rtol=1e-5, atol=1e-5)


@jseq.layer(context=("shift",))
def shifted():
    def apply(params, x, context):
        first, *carry = x if isinstance(x, tuple) else (x,)
        return sum(carry, first) + jnp.broadcast_to(context["shift"], first.shape)

    return lambda key, x: (), apply


@pytest.mark.slow
@pytest.mark.parametrize("layer", [jseq.repeat(shifted(), 3), jseq.recurrent(shifted())], ids=["repeat", "recurrent"])
def test_what_is_read_from_context_may_differ(layer) -> None:
    x, shifts = jnp.ones((3, 8)), jnp.arange(16.0).reshape(2, 8)

    def own(x, shifts):
        return layer.apply((), x, context={"shift": shifts[0]})[None], ()

    y, _ = over_devices(own, P(), P("data"))(x, shifts)
    chex.assert_trees_all_close(y, jnp.stack([layer.apply((), x, context={"shift": shift}) for shift in shifts]))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [P(None, "data"), P("data", None)], ids=str)
def test_spectral_norm_is_evaluated_with_a_weight_that_is_split(spec) -> None:
    model = jseq.spectral_norm(jseq.linear(8, 4))
    init, apply = jseq.with_state(model)
    x = jax.random.normal(jax.random.key(1), (2, 8))
    params, state = init(jax.random.key(0), x)
    wanted, _ = apply(params, state, x)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.tree.map(lambda a: jax.device_put(a, spec if a.ndim == 2 else P()), params)
        y, _ = jax.jit(apply)(split, state, jax.device_put(x, P()))
    chex.assert_trees_all_close(y, wanted, rtol=1e-5)
