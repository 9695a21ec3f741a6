"""Cells over time, both directions, streaming, precision and layout: what the laws do not say."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import DtypeError, LayerError, OptionError, ParamsError, ShapeError

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(1).normal(size=(3, 7, 4)), jnp.float32)
LENGTHS = jnp.array([7, 2, 4])


@jseq.layer
def averaging(features: int):
    """A cell with an output beside its memory: the mean of all steps so far, the memory being sum and count."""

    def apply(params, x):
        x, carry = x if isinstance(x, tuple) else (x, (x * 0, (x * 0, x[..., :1] * 0)))
        _, (total, count) = carry
        total, count = total + x, count + 1
        return total / count, (total, count)

    return jseq.no_params, apply


@jseq.layer
def growing():
    def apply(params, x):
        x, carry = x if isinstance(x, tuple) else (x, x)
        return jnp.concatenate([carry, x], -1) if carry is not x else x

    return jseq.no_params, apply


def in_pieces(layer, params, x, sizes, jitted=True):
    """The outputs of a streamed layer, piece by piece, joined."""
    init, apply = jseq.with_state(layer)
    apply = jax.jit(apply) if jitted else apply
    state, start, ys = init(KEY, x)[1], 0, []
    for size in sizes:
        y, state = apply(params, state, x[:, start : start + size])
        ys.append(y)
        start += size
    return jnp.concatenate(ys, 1), state


# --- recurrent ---


def test_a_cell_of_ones_own_runs_over_time():
    y = jseq.recurrent(averaging(4)).apply((), X)
    np.testing.assert_allclose(y, np.cumsum(np.asarray(X), 1) / np.arange(1, 8)[:, None], rtol=1e-5)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("context", [{}, {"lengths": LENGTHS}])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_over_time_is_the_whole_layer(name, context, reverse):
    cell = jseq.recurrent(getattr(jseq, f"{name}_cell")(4, 5), reverse=reverse, return_state=True)
    params = cell.init(KEY)
    y, carry = cell.apply(params, X, context=context)
    function = getattr(jseq.functional, name)
    expected = function(X, None, **params, reverse=reverse, lengths=context.get("lengths"))
    chex.assert_trees_all_close((y, carry), expected, atol=1e-6)


def test_leading_axes_are_free():
    layer = jseq.recurrent(jseq.gru_cell(4, 5))
    params = layer.init(KEY)
    wide = layer.apply(params, jnp.stack([X, X + 1]))
    chex.assert_trees_all_close(wide[1], layer.apply(params, X + 1), atol=1e-6)
    chex.assert_trees_all_close(wide[0, 2], layer.apply(params, X[2]), atol=1e-6)


def test_a_sequence_of_no_steps_gives_zeros_as_carry():
    layer = jseq.recurrent(jseq.lstm_cell(4, 5), return_state=True)
    y, (h, c) = layer.apply(layer.init(KEY), X[:, :0])
    assert y.shape == (3, 0, 5) and not h.any() and not c.any()


def test_the_carry_goes_on_from_an_initial_state():
    layer = jseq.recurrent(jseq.lstm_cell(4, 5), return_state=True)
    params = layer.init(KEY)
    whole, last = layer.apply(params, X)
    first, carry = layer.apply(params, X[:, :3])
    second, end = layer.apply(params, X[:, 3:], context={"initial_state": carry})
    chex.assert_trees_all_close((jnp.concatenate([first, second], 1), end), (whole, last), atol=1e-6)


def test_every_step_draws_a_mask_of_its_own():
    layer = jseq.recurrent(jseq.sequential(jseq.lift(first_entry), jseq.dropout(0.5)))
    y = layer.apply(((), ()), jnp.ones((1, 64, 64)), key=KEY, train=True)[0]
    assert len({tuple(row) for row in np.asarray(y != 0)}) == 64


def first_entry(x):
    return x[0] if isinstance(x, tuple) else x


def test_state_inside_a_cell_is_threaded_from_step_to_step():
    layer = jseq.recurrent(jseq.sequential(jseq.lift(first_entry), jseq.batch_norm(4)))
    init, apply = jseq.with_state(layer)
    params, state = init(KEY, X)
    _, state = apply(params, state, X, train=True)
    assert state[1]["num_batches_tracked"] == 7


def test_the_step_is_traced_once_whatever_the_length():
    traces = []

    def note(x):
        traces.append(1)
        return x

    layer = jseq.recurrent(jseq.sequential(note, jseq.gru_cell(4, 5)))
    params = ((), jseq.gru_cell(4, 5).init(KEY))
    jax.jit(layer.apply).lower(params, X)
    few = len(traces)
    jax.jit(layer.apply).lower(params, jnp.ones((3, 500, 4)))
    assert len(traces) == 2 * few <= 8


@pytest.mark.parametrize(
    ("layer", "x", "context", "error", "text"),
    [
        (jseq.recurrent(jseq.gru_cell(4, 5)), X[0, 0], {}, ShapeError, r"\(\.\.\., T, features\).*x\[None\]"),
        (jseq.recurrent(growing()), X, {}, ShapeError, r"carry in the form it was given, float32\[3,4\].*\[3,8\]"),
        (jseq.recurrent(jseq.gru_cell(4, 5)), X, {"initial_state": X}, ShapeError, r"\[3,5\], got float32\[3,7,4\]"),
        (jseq.recurrent(jseq.gru_cell(4, 5)), X, {"lengths": LENGTHS[:2]}, ShapeError, r"lengths of shape \(3,\)"),
        (jseq.recurrent(jseq.gru_cell(4, 5)), X, {"lengths": X[:, 0, 0]}, DtypeError, "integer lengths"),
        (jseq.bidirectional(jseq.linear(4, 4)), X[0, 0], {}, ShapeError, r"\(\.\.\., T, features\)"),
        (jseq.bidirectional(jseq.linear(4, 4)), X, {"lengths": X[:, 0, 0]}, DtypeError, "integer lengths"),
        (jseq.bidirectional(jseq.flatten()), X, {}, ShapeError, r"expected the layer to give \(\.\.\., T, out\)"),
    ],
)  # fmt: skip
def test_misuse_in_sequences_says_what_was_expected(layer, x, context, error, text):
    params = layer.init(KEY)
    with pytest.raises(error, match=text):
        layer.apply(params, x, context=context)


def test_a_wrong_width_in_a_cell_names_the_cell():
    layer = jseq.sequential(jseq.recurrent(jseq.gru_cell(4, 5)))
    with pytest.raises(
        ShapeError, match=r'gru_cell\(.*\) at "0": expected x of shape \(\.\.\., 4\), got float32\[3,6\]'
    ):
        layer.apply(layer.init(KEY), jnp.ones((3, 7, 6)))


# --- bidirectional ---


@pytest.mark.parametrize("context", [{}, {"lengths": LENGTHS}])
def test_both_directions_are_those_of_the_built_in_layer(context):
    whole = jseq.gru(4, 5, bidirectional=True)
    flat = whole.init(KEY)
    params = {
        way: {name: flat[f"{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        for way, suffix in (("forward", ""), ("backward", "_reverse"))
    }
    y = jseq.bidirectional(jseq.recurrent(jseq.gru_cell(4, 5))).apply(params, X, context=context)
    chex.assert_trees_all_close(y, whole.apply(flat, X, context=context), atol=1e-6)


def test_the_directions_have_params_and_names_of_their_own():
    params = jseq.bidirectional(jseq.gru(4, 5)).init(KEY)
    assert set(params) == {"forward", "backward"}
    assert not np.allclose(params["forward"]["weight_ih_l0"], params["backward"]["weight_ih_l0"])
    with pytest.raises(OptionError, match=r"expected merge to be one of.*'concat'.*Did you mean 'concatenate'"):
        jseq.bidirectional(jseq.gru(4, 5), "concat")


# --- streaming ---

ATTENTION = [
    jseq.multihead_attention(8, 2, is_causal=True),
    jseq.multihead_attention(8, 2, bias=False, is_causal=True, kdim=8),
    jseq.grouped_query_attention(8, 4, 2),
    jseq.grouped_query_attention(8, 4, 1, bias=True, window=3),
    jseq.grouped_query_attention(8, 4, 4, rotary=False),
    jseq.grouped_query_attention(8, 2, 2, interleaved=True, base=100.0),
]
WIDE = jnp.asarray(np.random.default_rng(2).normal(size=(2, 12, 8)), jnp.float32)


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 1, 1, 3, 2]], ids=str)
@pytest.mark.parametrize("layer", ATTENTION, ids=repr)
def test_attention_in_pieces_is_attention_at_once(layer, sizes):
    params = layer.init(KEY)
    y, state = in_pieces(jseq.streaming(layer, max_length=15), params, WIDE, sizes)
    chex.assert_trees_all_close(y, layer.apply(params, WIDE), atol=1e-5)
    assert state["index"] == 12 and state["key"].shape[:2] == (2, 15)


@pytest.mark.parametrize(
    "layer",
    [
        jseq.rnn(4, 5),
        jseq.lstm(4, 5, num_layers=2),
        jseq.lstm(4, 5, proj_size=2),
        jseq.gru(4, 5),
        jseq.recurrent(jseq.lstm_cell(4, 5)),
        jseq.recurrent(averaging(4)),
        jseq.learned_positions(7, 4),
        jseq.repeat(jseq.recurrent(jseq.gru_cell(4, 4)), 3),
    ],
    ids=repr,
)
@pytest.mark.parametrize("sizes", [[1] * 7, [3, 1, 3]], ids=str)
def test_recurrence_in_pieces_is_recurrence_at_once(layer, sizes):
    params = layer.init(KEY, X)
    deep = layer.name == "repeat"
    streamed = jseq.repeat(jseq.streaming(layer.children["layer"]), 3) if deep else jseq.streaming(layer)
    y, _ = in_pieces(streamed, params, X, sizes)
    chex.assert_trees_all_close(y, layer.apply(params, X), atol=1e-5)


def test_positions_advance():
    y, _ = in_pieces(jseq.streaming(jseq.sinusoidal_positions(), 7), (), X, [2, 5])
    chex.assert_trees_all_close(y, jseq.sinusoidal_positions().apply((), X), atol=1e-6)
    heads = WIDE.reshape(2, 12, 2, 4)
    y, state = in_pieces(jseq.streaming(jseq.rotary_embedding()), (), heads, [2, 1, 9])
    chex.assert_trees_all_close(y, jseq.rotary_embedding().apply((), heads), atol=1e-5)
    assert state["index"] == 12


def decoder(streamed):
    """A transformer over ids, at once or in pieces."""
    wrap = jseq.streaming if streamed else lambda layer, max_length=None: layer
    attend = wrap(jseq.grouped_query_attention(8, 2, 1), *[12] * streamed)
    feed = jseq.sequential(jseq.linear(8, 16), jseq.gelu(), jseq.linear(16, 8))
    block = jseq.sequential(*[jseq.residual(jseq.sequential(jseq.rms_norm(8), part)) for part in (attend, feed)])
    return jseq.sequential(
        jseq.embedding(11, 8), wrap(jseq.learned_positions(12, 8)), jseq.repeat(block, 2), jseq.linear(8, 11)
    )


@pytest.mark.parametrize("sizes", [[1] * 12, [4, 8]], ids=str)
def test_a_whole_transformer_streams_with_the_params_it_was_trained_with(sizes):
    ids = jax.random.randint(KEY, (2, 12), 0, 11)
    params = decoder(False).init(KEY)
    y, _ = in_pieces(decoder(True), params, ids, sizes)
    chex.assert_trees_all_close(y, decoder(False).apply(params, ids), atol=1e-5)


def test_streaming_keeps_the_initial_values():
    x = WIDE[:, :1]
    params, _ = jseq.with_state(jseq.streaming(ATTENTION[0], 12)).init(KEY, x)
    chex.assert_trees_all_equal(params, ATTENTION[0].init(KEY))
    chex.assert_trees_all_equal(
        jseq.with_state(jseq.streaming(jseq.gru(4, 5))).init(KEY, X)[0], jseq.gru(4, 5).init(KEY)
    )


def test_return_state_still_returns_it():
    streamed = jseq.streaming(jseq.gru(4, 5, return_state=True))
    params, state = jseq.with_state(streamed).init(KEY, X)
    (_, h), state = jseq.with_state(streamed).apply(params, state, X)
    chex.assert_trees_all_equal(h, state["carry"])


def test_the_cache_overflows_with_an_error_where_that_can_be_seen_and_with_nan_under_jit():
    layer = jseq.streaming(ATTENTION[0], 4)
    init, apply = jseq.with_state(layer)
    params, state = init(KEY, WIDE[:, :3])
    y, state = apply(params, state, WIDE[:, :3])
    with pytest.raises(ShapeError, match=r"at most 4 steps in all, got 3 and 2 more.*fresh init"):
        apply(params, state, WIDE[:, 3:5])
    with pytest.raises(ShapeError, match="at most 4 steps in all, got 0 and 5 more"):
        jax.jit(apply)(params, state, WIDE[:, :5])
    spoiled, _ = jax.jit(apply)(params, state, WIDE[:, 3:5])
    assert jnp.isfinite(y).all() and jnp.isnan(spoiled).all()
    positions = jseq.streaming(jseq.learned_positions(4, 8))
    params, state = jseq.with_state(positions).init(KEY, WIDE[:, :3])
    _, state = jseq.with_state(positions).apply(params, state, WIDE[:, :3])
    with pytest.raises(ShapeError, match="at most 4 steps in all, got 3 and 3 more"):
        jseq.with_state(positions).apply(params, state, WIDE[:, :3])


def test_bfloat16_pieces_keep_a_cache_of_the_dtype_that_init_saw():
    layer = jseq.streaming(ATTENTION[2], 12)
    init, apply = jseq.with_state(layer)
    params, state = init(KEY, WIDE.astype(jnp.bfloat16))
    y, after = apply(params, state, WIDE[:, :2].astype(jnp.bfloat16))
    assert y.dtype == after["key"].dtype == jnp.bfloat16
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)


def test_training_in_pieces_has_gradients_and_drops():
    layer = jseq.streaming(jseq.multihead_attention(8, 2, 0.5, is_causal=True), 12)
    init, apply = jseq.with_state(layer)
    params, state = init(KEY, WIDE)
    grad = jax.grad(lambda p: apply(p, state, WIDE, key=KEY, train=True)[0].sum())(params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grad))
    dropped, _ = apply(params, state, WIDE, key=KEY, train=True)
    assert not np.allclose(dropped, apply(params, state, WIDE)[0])


def test_streaming_needs_the_batch_shape_and_keeps_it():
    init, apply = jseq.with_state(jseq.streaming(jseq.gru(4, 5)))
    with pytest.raises(ShapeError, match=r"batch shape of x.*init\(key, x\)"):
        init(KEY)
    params, state = init(KEY, X)
    with pytest.raises(ParamsError, match="state do not fit"):
        apply(params, state, X[:2])
    with pytest.raises(LayerError, match="keeps state"):
        jseq.streaming(jseq.gru(4, 5)).apply(params, X)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: jseq.streaming(jseq.multihead_attention(8, 2), 4), "sees what is to come.*is_causal=True"),
        (lambda: jseq.streaming(jseq.grouped_query_attention(8, 2, 2)), "a number of steps, max_length=1024"),
        (lambda: jseq.streaming(jseq.gru(4, 5), 4), "no max_length, got max_length=4"),
        (lambda: jseq.streaming(jseq.gru(4, 5, bidirectional=True)), "the last step comes first"),
        (lambda: jseq.streaming(jseq.recurrent(jseq.gru_cell(4, 5), reverse=True)), "the last step comes first"),
        (lambda: jseq.streaming(jseq.conv1d(4, 5, 3)), "cannot be streamed"),
        (lambda: jseq.streaming(jax.nn.relu), "takes a layer"),
        (lambda: jseq.streaming(jseq.multihead_attention(8, 2, is_causal=True, kdim=3), 4), "with kdim"),
        (lambda: jseq.streaming(jseq.multihead_attention(8, 2, is_causal=True, add_bias_kv=True), 4), "add_bias_kv"),
    ],
)  # fmt: skip
def test_what_cannot_be_streamed_is_refused(build, text):
    with pytest.raises(OptionError, match=text):
        build()


# --- precision and layout ---


def test_casts_at_both_ends_make_mixed_precision():
    seen = []

    def note(x):
        seen.append(x.dtype.name)
        return x

    model = jseq.sequential(jseq.cast(jnp.bfloat16), jseq.linear(4, 4), note, jseq.cast("float32"))
    params = model.init(KEY)
    y = model.apply(params, X)
    assert seen[-1] == "bfloat16" and y.dtype == jnp.float32 and params[1]["weight"].dtype == jnp.float32
    grad = jax.grad(lambda p: model.apply(p, X).sum())(params)
    assert grad[1]["weight"].dtype == jnp.float32
    assert jseq.cast("bfloat16").apply((), (X, LENGTHS))[1].dtype == LENGTHS.dtype


def test_an_island_is_exact_inside_a_coarse_model():
    low = (X * 100).astype(jnp.bfloat16)
    y = jseq.in_dtype(jseq.softmax(-1), "float32").apply((), low)
    exact = jax.nn.softmax(low.astype(jnp.float32), -1).astype(jnp.bfloat16)
    chex.assert_trees_all_equal(y, exact)
    params = jseq.in_dtype(jseq.linear(4, 4), "bfloat16").init(KEY)
    chex.assert_trees_all_equal(params, jseq.linear(4, 4).init(KEY))


def test_ids_have_no_dtype_to_go_back_to():
    layer = jseq.in_dtype(jseq.embedding(5, 4), "bfloat16")
    assert layer.apply(layer.init(KEY), LENGTHS % 5).dtype == jnp.float32


@pytest.mark.parametrize("dtype", ["float23", "bfloat", "int32", jnp.int8, 3])
@pytest.mark.parametrize("build", [jseq.cast, lambda dtype: jseq.in_dtype(jseq.relu(), dtype)])
def test_no_floating_dtype_is_refused_at_construction(build, dtype):
    with pytest.raises(OptionError, match="expected dtype to be one of bfloat16, float16, float32, float64"):
        build(dtype)


def test_float64_that_is_switched_off_is_an_error():
    with pytest.raises(DtypeError, match="jax_enable_x64"):
        jseq.cast("float64").apply((), X)
    with jax.enable_x64(True):
        assert jseq.cast("float64").apply((), X).dtype == jnp.float64


def test_mixed_inputs_of_an_island_are_refused():
    with pytest.raises(DtypeError, match="to have one dtype"):
        jseq.in_dtype(jseq.add(), "float32").apply((), (X, X.astype(jnp.bfloat16)))


def test_channels_first_moves_them_at_the_borders_and_keeps_the_params():
    model = jseq.sequential(jseq.conv2d(3, 8, 3), jseq.relu())
    x = jax.random.normal(KEY, (2, 3, 9, 7))
    first = jseq.channels_first(model)
    params = first.init(KEY, x)
    chex.assert_trees_all_equal(params, model.init(KEY))
    expected = jnp.moveaxis(model.apply(params, jnp.moveaxis(x, 1, -1)), -1, 1)
    chex.assert_trees_all_equal(first.apply(params, x), expected)
    text = str(jax.make_jaxpr(first.apply)(params, x))
    assert text.count("transpose[") == 2


def test_channels_first_says_what_is_spatial():
    image = jseq.channels_first(jseq.global_avg_pool2d())
    with pytest.raises(ShapeError, match='output="features"'):
        image.apply((), jnp.ones((2, 3, 8, 8)))
    with pytest.raises(ShapeError, match=r"\(\.\.\., C, H, W\), got float32\[8,8\]"):
        image.apply((), jnp.ones((8, 8)))
    with pytest.raises(OptionError, match="Did you mean 'features'"):
        jseq.channels_first(jseq.relu(), output="feature")
    with pytest.raises(OptionError, match="spatial_dims must be"):
        jseq.channels_first(jseq.relu(), 0)
