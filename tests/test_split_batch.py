"""Layers whose batch is split over an explicit mesh, where types say how: they give what they give on one device."""

import chex
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jseq

SEQUENCE, IMAGE = (4, 6, 8), (4, 4, 6, 2)
FEED = jseq.residual(jseq.sequential(jseq.linear(8, 8), jseq.relu()))
UNPOOLED = [
    (jseq.sequential(pool(2, return_indices=True), unpool(2)), (*lead, *(4,) * n, 2))
    for n, (pool, unpool) in enumerate(
        [
            (jseq.max_pool1d, jseq.max_unpool1d),
            (jseq.max_pool2d, jseq.max_unpool2d),
            (jseq.max_pool3d, jseq.max_unpool3d),
        ],
        1,
    )
    for lead in [(4,), (4, 3)]
]
LAYERS = [
    (jseq.rnn(8, 4), SEQUENCE),
    (jseq.gru(8, 4, 2, bidirectional=True), SEQUENCE),
    (jseq.gru(8, 4), (4, 2, 6, 8)),
    (jseq.lstm(8, 4, proj_size=2), SEQUENCE),
    (jseq.recurrent(jseq.lstm_cell(8, 4)), SEQUENCE),
    (jseq.recurrent(jseq.gru_cell(8, 4), reverse=True, return_state=True), (4, 2, 6, 8)),
    (jseq.repeat(FEED, 3, remat=True), SEQUENCE),
    (jseq.grouped_query_attention(8, 4, 2, is_causal=True), SEQUENCE),
    (jseq.grouped_query_attention(8, 4, 2, is_causal=True), (4, 2, 6, 8)),
    (jseq.grouped_query_attention(8, 4, 2, is_causal=True), (2, 300, 8)),  # in blocks
    (jseq.multihead_attention(8, 2), (2, 300, 8)),
    (jseq.pixel_shuffle(2), (4, 3, 2, 8)),
    (jseq.pixel_unshuffle(2), IMAGE),
    (jseq.unfold((2, 3), padding=1, stride=2), IMAGE),
    (jseq.fold((3, 3), 2), (4, 4, 8)),
    (jseq.fold((4, 3), 2, padding=1), (4, 2, 20, 8)),
    (jseq.upsample(scale_factor=2, mode="bilinear"), IMAGE),
    (jseq.adaptive_avg_pool2d(3), IMAGE),
    (jseq.adaptive_max_pool2d(3), IMAGE),
    *UNPOOLED,
]
WITH_LENGTHS = [
    jseq.lstm(8, 4),
    jseq.gru(8, 4, bidirectional=True),
    jseq.recurrent(jseq.gru_cell(8, 4)),
    jseq.bidirectional(jseq.rnn(8, 4)),
]


def compare(layer, x, context=None, spec=None):
    """Outputs and gradients by params and x, on one device and over two."""
    init, apply = jseq.with_state(layer)
    params, state = init(jax.random.key(1), x)

    @jax.jit
    def both(params, x, context):
        def loss(params, x):
            y, _ = apply(params, state, x, context=context)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(y)), y

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    wanted = both(params, x, context)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        found = both(params, jax.device_put(x, P("data")), jax.device_put(context, spec or P()))
    for y in jax.tree.leaves(found[1]):
        assert jax.typeof(y).sharding.spec[0] == "data"
    # float32, summed in another order: the gradients of weights are sums over up to 600 rows
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(wanted), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=repr)
def test_a_split_batch_gives_what_one_device_does(layer, shape) -> None:
    compare(layer, jax.random.normal(jax.random.key(0), shape))


@pytest.mark.slow
@pytest.mark.parametrize(("layer", "shape"), [
    (jseq.lstm(8, 4), SEQUENCE), (jseq.recurrent(jseq.gru_cell(8, 4)), SEQUENCE),
    (jseq.max_pool2d(2, return_indices=True), IMAGE), (jseq.adaptive_max_pool2d(3, return_indices=True), IMAGE),
], ids=repr)  # fmt: skip
def test_without_jit_and_set_mesh_the_array_says_the_mesh(layer, shape) -> None:
    params, x = layer.init(jax.random.key(1)), jax.random.normal(jax.random.key(0), shape)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,))
    on_all, split = (jax.device_put(a, NamedSharding(mesh, p)) for a, p in ((params, P()), (x, P("data"))))
    found = layer.apply(on_all, split)
    assert all(jax.typeof(y).sharding.spec[0] == "data" for y in jax.tree.leaves(found))
    # float32, rounded as each program has it
    chex.assert_trees_all_close(jax.device_get(found), jax.device_get(layer.apply(params, x)), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [P("data"), P()], ids=str)
@pytest.mark.parametrize("layer", WITH_LENGTHS, ids=repr)
def test_lengths_may_be_split_or_not(layer, spec) -> None:
    x = jax.random.normal(jax.random.key(0), SEQUENCE)
    compare(layer, x, {"lengths": jnp.array([6, 1, 3, 0])}, spec)


@pytest.mark.slow
@pytest.mark.parametrize("length", [6, 300])
def test_masks_may_be_split(length) -> None:
    x = jax.random.normal(jax.random.key(0), (2, length, 8))
    mask = jnp.arange(length)[None] < jnp.array([[length], [length // 2]])
    compare(jseq.grouped_query_attention(8, 4, 2), x, {"mask": mask[:, None, None, :]}, P("data"))
