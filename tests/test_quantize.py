"""Quantised weights: within half a step of the weights, and a model that computes with just these."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, OptionError, ParamsError, SelectionError
from jseq.functional import quantized as arithmetic
from jseq.functional.quantized import Format


def nearest(weight, bits, group=None, rows=False, copies=0):
    """The nearest multiples of the scales, channel by channel in float64: what a weight becomes, and half a step."""
    if copies:
        parts = [nearest(one, bits, group, rows, copies - 1) for one in weight]
        return tuple(np.stack(half) for half in zip(*parts, strict=True))
    weight = np.asarray(weight, np.float64)
    moved = weight.T if rows else weight  # the channels last, the input axis before them
    made, half = np.zeros_like(moved), np.zeros_like(moved)
    size = moved.shape[-2]
    for channel in range(moved.shape[-1]):
        for start in range(0, size, group or size):
            part = np.s_[..., start : start + (group or size), channel]
            step = np.abs(moved[part]).max() / (2 ** (bits - 1) - 1)
            made[part], half[part] = np.round(moved[part] / (step or 1)) * step, step / 2
    return (made.T, half.T) if rows else (made, half)


def drawn(model, x, dtype=float):
    """Random params and state, of numpy."""
    random = np.random.RandomState(3)
    params, state = jax.eval_shape(lambda: jseq.with_state(model).init(jax.random.key(0), x))
    draw = lambda leaf: random.standard_normal(leaf.shape).astype(dtype)  # noqa: E731
    return jax.tree.map(draw, params), jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), state)


FORMS = [
    Format((7, 3)), Format((7, 3), 4), Format((7, 3), 4, 2), Format((8, 3), 8, 4), Format((6, 5), 4, 100, -1),
    Format((7, 5), 4, 3, -1), Format((3, 2, 5, 4), 4, 2), Format((3, 5, 4)), Format((2, 3, 5, 4), 4, copies=1),
    Format((2, 3, 4, 5), 8, None, -1, 2), Format((1, 1), 4),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_weight_becomes_the_nearest_multiple_of_its_scale(form):
    weight = np.random.RandomState(1).standard_normal(form.shape)
    q, scale = arithmetic.quantize(weight, form, np)
    assert (q.shape, scale.shape, q.dtype, scale.dtype) == (*form.shapes, np.int8, np.float64)
    made, half = nearest(weight, form.bits, form.group_size, form.axis == -1, form.copies)
    back = arithmetic.dequantize(q, scale, form, np)
    np.testing.assert_allclose(back, made, rtol=1e-14)
    assert (np.abs(back - weight) <= half * (1 + 1e-12)).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("size", [1e-5, 1.0, 1e4])
def test_the_error_is_half_a_step_where_scales_are_rounded_too(dtype, size):
    weight = (np.random.RandomState(1).uniform(-1, 1, (50, 40)) * size).astype(jnp.dtype(dtype))
    weight[:, 3] = 0
    for bits in (8, 4):
        form = Format((50, 40), bits)
        q, scale = arithmetic.quantize(weight, form, np)
        wide = scale.astype(np.float64)
        assert scale.dtype == weight.dtype and (q[:, 3] == 0).all() and (scale > 0).all()
        error = np.abs(arithmetic.dequantize(q, wide, form, np) - weight.astype(np.float64))
        assert (error <= wide / 2).all()


def test_every_pair_of_numbers_fits_into_a_byte():
    low, high = np.meshgrid(np.arange(-8, 8), np.arange(-8, 8))
    for q, axis in ((np.stack([low, high]), 0), (np.stack([low, high, low]), 0), (np.stack([low, high], 1), -2)):
        q = q.astype(np.int8)
        packed = arithmetic.pack(q, axis, np)
        assert packed.dtype == np.int8 and packed.shape[axis] == -(-q.shape[axis] // 2)
        np.testing.assert_array_equal(arithmetic.unpack(packed, q.shape[axis], axis, np), q)
        np.testing.assert_array_equal(arithmetic.unpack(packed, q.shape[axis], axis), q)


ROW, IMAGE, TIME = jnp.ones((2, 4)), jnp.ones((2, 6, 5, 4)), jnp.ones((2, 3, 4))
IDS = jnp.array([[0, 3, 8], [5, 1, 1]])
DENSE = jseq.linear(4, 4)
LANGUAGE = jseq.sequential(
    {"table": jseq.embedding(9, 5), "deep": jseq.repeat(jseq.residual(jseq.linear(5, 5)), 2),
     "head": jseq.linear(5, 9, bias=False)},
)  # fmt: skip
WIRED = jseq.graph(
    {"side": jseq.parallel({"fc": DENSE, "act": jax.nn.tanh}), "shared": DENSE, "plus": jseq.add()},
    {"a": ("side.fc", "x"), "b": ("side.act", "a"), "c": ("shared", "b"), "d": ("shared", "c"), "y": ("plus", "a", "d")},
)  # fmt: skip
Q = jseq.quantized
# Where a scale belongs to a row, and leading axes to copies of a layer.
ROWS = {"tables.0.weight", "tables.1.weight", "tied.table.weight", "tied otherwise.0.weight"}
COPIES = {"copies.1.weight_ih_l0": 1, "copies.1.weight_hh_l0": 1, "tied.deep.layer.weight": 1}
# name: (model, x, the quantised model)
MODELS = {
    "chain": (jseq.sequential(DENSE, jax.nn.tanh, jseq.batch_norm(4), jseq.layer_norm((2, 4))), jnp.ones((3, 2, 4)),
              jseq.sequential(Q(DENSE), jax.nn.tanh, jseq.batch_norm(4), jseq.layer_norm((2, 4)))),
    "windows": (
        jseq.channels_first(jseq.sequential(jseq.conv2d(4, 6, 3, groups=2), jseq.conv_transpose2d(6, 3, 2),
                                            jseq.separable_conv2d(3, 5, 2))), jnp.ones((2, 4, 6, 5)),
        jseq.channels_first(jseq.sequential(Q(jseq.conv2d(4, 6, 3, groups=2)), Q(jseq.conv_transpose2d(6, 3, 2)),
                                            Q(jseq.separable_conv2d(3, 5, 2)))),
    ),
    "tables": (
        jseq.sequential(jseq.embedding(9, 3, max_norm=0.5), jseq.learned_positions(7, 3), jseq.linear(None, 2)), IDS,
        jseq.sequential(Q(jseq.embedding(9, 3, max_norm=0.5)), Q(jseq.learned_positions(7, 3)),
                        Q(jseq.linear(None, 2))),
    ),
    "sequences": (
        jseq.sequential(jseq.multihead_attention(4, 2), jseq.lstm(4, 3), jseq.transformer_encoder_layer(3, 1, 5)),
        TIME,
        jseq.sequential(Q(jseq.multihead_attention(4, 2)), Q(jseq.lstm(4, 3)),
                        Q(jseq.transformer_encoder_layer(3, 1, 5))),
    ),
    "sides": (
        jseq.sequential(jseq.branch({"a": jseq.remat(DENSE), "b": jseq.identity()}), jseq.add(),
                        jseq.residual(jseq.freeze(DENSE), jseq.in_dtype(DENSE, "float64"))), ROW,
        jseq.sequential(jseq.branch({"a": jseq.remat(Q(DENSE)), "b": jseq.identity()}), jseq.add(),
                        jseq.residual(jseq.freeze(Q(DENSE)), jseq.in_dtype(Q(DENSE), "float64"))),
    ),
    "graph": (WIRED, ROW, jseq.graph({"side": jseq.parallel({"fc": Q(DENSE), "act": jax.nn.tanh}), "shared": Q(DENSE),
                                      "plus": jseq.add()}, WIRED.arguments["steps"])),
    "copies": (
        jseq.sequential(jseq.repeat(jseq.sequential(DENSE, jseq.layer_norm(4)), 2, stacked=False),
                        jseq.ensemble(jseq.lstm(4, 2), 2)), TIME,
        jseq.sequential(jseq.repeat(jseq.sequential(Q(DENSE), jseq.layer_norm(4)), 2, stacked=False),
                        jseq.ensemble(Q(jseq.lstm(4, 2)), 2)),
    ),
    "computed": (
        jseq.sequential(jseq.weight_norm(DENSE), jseq.parametrize(DENSE, "weight", jnp.tanh),
                        jseq.spectral_norm(DENSE)), ROW,
        jseq.sequential(jseq.weight_norm(DENSE), Q(jseq.parametrize(DENSE, "weight", jnp.tanh)),
                        Q(jseq.spectral_norm(DENSE))),
    ),
    "tied": (
        jseq.tie(LANGUAGE, "table.weight", "head.weight", transpose=True), IDS,
        jseq.tie(jseq.tie(jseq.sequential({
            "table": Q(jseq.embedding(9, 5)), "deep": jseq.repeat(jseq.residual(Q(jseq.linear(5, 5))), 2),
            "head": Q(jseq.linear(5, 9, bias=False))}), "table.weight", "head.weight", transpose=True),
            "table.weight_scale", "head.weight_scale", transpose=True),
    ),
    "tied otherwise": (
        jseq.tie(jseq.sequential(jseq.embedding(9, 4), jseq.linear(4, 9), jseq.linear(9, 4)), "0.weight", "2.weight"),
        IDS, Q(jseq.tie(jseq.sequential(jseq.embedding(9, 4), jseq.linear(4, 9), jseq.linear(9, 4)), "0.weight",
                        "2.weight")),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, 3)])
def test_a_quantised_model_computes_with_the_nearest_weights(bits, group):
    """In float64: both models, of all kinds, in one program."""
    with jax.enable_x64(True):
        given, small, near = {}, {}, {}
        for name, (model, x, expected) in MODELS.items():
            params, state = drawn(model, x)
            small[name] = jseq.quantize(model, params, bits, group_size=group)
            assert bits == 4 or small[name].model == expected, name
            done = {row.path: row for row in small[name].rows if not row.why}
            leaves, structure = jax.tree_util.tree_flatten_with_path(params)
            paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
            near[name] = jax.tree.unflatten(structure, [
                nearest(leaf, bits, group, f"{name}.{path}" in ROWS, COPIES.get(f"{name}.{path}", 0))[0]
                if path in done else leaf for path, (_, leaf) in zip(paths, leaves, strict=True)
            ])  # fmt: skip
            given[name] = state, x if x.dtype.kind == "i" else x.astype(float)

        @jax.jit
        def both(given, held, near):
            ys = {}
            for name, (model, *_) in MODELS.items():
                state, x = given[name]
                ys[name] = [jseq.with_state(m).apply(p, state, x)[0]
                            for m, p in ((small[name].model, held[name]), (model, near[name]))]  # fmt: skip
            return ys

        held = {name: done.params for name, done in small.items()}
        for name, (y, z) in both(given, held, near).items():
            np.testing.assert_allclose(y, z, rtol=0, atol=1e-12 * np.abs(z).max(), err_msg=name)
