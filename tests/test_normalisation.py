"""What the normalisations keep, and which axes they see."""

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)
TRACKING = [
    jseq.batch_norm(3),
    jseq.batch_norm(3, momentum=None),
    jseq.instance_norm1d(3, track_running_stats=True),
    jseq.instance_norm2d(3, affine=True, track_running_stats=True),
    jseq.instance_norm3d(3, momentum=0.5, track_running_stats=True),
]


def image(*lead):
    return jax.random.normal(jax.random.key(1), (*lead, 2, 3, 4, 3))


@pytest.mark.parametrize("layer", TRACKING, ids=repr)
def test_no_gradient_flows_into_the_running_statistics(layer):
    init, apply = jseq.with_state(layer)
    params, state = init(KEY)
    x = image(2)

    def statistics(x, old):
        _, new = apply(params, old | {"num_batches_tracked": state["num_batches_tracked"]}, x, train=True)
        assert not np.array_equal(jax.lax.stop_gradient(new["running_mean"]), state["running_mean"])
        return jnp.sum(new["running_mean"]) + jnp.sum(new["running_var"])

    old = {name: state[name] for name in ("running_mean", "running_var")}
    gradients = jax.grad(statistics, (0, 1))(x, old)
    chex.assert_trees_all_equal(gradients, jax.tree.map(jnp.zeros_like, (x, old)))


@pytest.mark.parametrize("layer", TRACKING, ids=repr)
def test_the_gradient_of_the_output_is_not_cut(layer):
    init, apply = jseq.with_state(layer)
    params, state = init(KEY)
    gradient = jax.grad(lambda x: jnp.sum(apply(params, state, x, train=True)[0] ** 3))(image(2))
    assert (gradient != 0).any()


def test_instance_norm_never_counts_batches_as_torch():
    init, apply = jseq.with_state(jseq.instance_norm2d(3, track_running_stats=True))
    params, state = init(KEY)
    for _ in range(3):
        _, state = apply(params, state, image(2), train=True)
    assert state["num_batches_tracked"] == 0 and (state["running_mean"] != 0).all()


def test_instance_norm_is_a_plain_pair_unless_it_tracks():
    x = image(2)
    layer = jseq.instance_norm2d(3)
    assert not layer.keeps_state and layer.init(KEY, x) == ()
    chex.assert_trees_all_equal(layer.apply((), x), layer.apply((), x, train=True))
    assert jseq.instance_norm2d(3, track_running_stats=True).keeps_state


def test_an_empty_batch_leaves_the_running_statistics():
    for layer in TRACKING:
        init, apply = jseq.with_state(layer)
        params, state = init(KEY)
        y, new = apply(params, state, image(0), train=True)
        assert y.shape == (0, 2, 3, 4, 3)
        chex.assert_trees_all_equal(new["running_mean"], state["running_mean"])


@pytest.mark.parametrize(
    "layer",
    [
        jseq.group_norm(3, 3, spatial_dims=1),
        jseq.group_norm(1, 3),
        jseq.group_norm(3, 3, spatial_dims=3),
        jseq.instance_norm1d(3),
        jseq.instance_norm2d(3),
        jseq.instance_norm3d(3),
        jseq.layer_norm((4, 3)),
        jseq.rms_norm((4, 3)),
        jseq.local_response_norm(2),
        jseq.cross_map_lrn2d(2),
    ],
    ids=repr,
)
def test_batch_axes_may_be_absent_or_many(layer):
    params = layer.init(KEY)
    x = image(2, 5)
    batched = layer.apply(params, x)
    one_by_one = jax.vmap(jax.vmap(layer.apply, (None, 0)), (None, 0))(params, x)
    chex.assert_trees_all_close(batched, one_by_one, atol=1e-6)


def test_spatial_dims_decide_what_is_normalised_together():
    x = image(2)
    layers = [jseq.group_norm(3, 3, spatial_dims=n, affine=False) for n in range(4)]
    for n, layer in enumerate(layers[1:], 1):
        mean = layer.apply((), x).mean(tuple(range(-1 - n, -1)))
        np.testing.assert_allclose(mean, jnp.zeros_like(mean), atol=1e-6)
    assert not np.allclose(layers[1].apply((), x), layers[2].apply((), x))
    chex.assert_trees_all_close(layers[2].apply((), x), jseq.instance_norm2d(3).apply((), x), atol=1e-6)


def test_batch_norm_without_anything_learned_still_counts_channels():
    layer = jseq.batch_norm(3, affine=False, track_running_stats=False)
    with pytest.raises(jseq.errors.ShapeError, match=r"^batch_norm.*expected x of shape \(\.\.\., 3\), got float32"):
        layer.apply((), jnp.ones((8, 4)))


def test_a_training_step_exports_with_an_open_batch():
    init, apply = jseq.with_state(jseq.batch_norm(3))
    params, state = init(KEY)

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(jnp.sin(apply(params, state, x, train=True)[0])))(x)

    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(jax.jit(gradient))(jax.ShapeDtypeStruct((batch, 2, 3, 4, 3), jnp.float32))
    x = image(5)
    np.testing.assert_allclose(exported.call(x), jax.jit(gradient)(x), rtol=1e-5, atol=1e-6)
