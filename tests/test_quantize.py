"""Quantised weights: within half a step of the weights, and a model that computes with just these."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

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
    {"a": ("side.fc", "x"), "b": ("side.act", "a"), "c": ("shared", "b"), "d": ("shared", "c"),
     "y": ("plus", "a", "d")},
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


@pytest.mark.parametrize(("bits", "group", "names"), [(8, None, list(MODELS)), (4, 3, ["windows", "tables", "tied"])])
def test_a_quantised_model_computes_with_the_nearest_weights(bits, group, names):
    """In float64: both models, of all kinds, in one program."""
    with jax.enable_x64(True):
        given, small, near = {}, {}, {}
        for name in names:
            model, x, expected = MODELS[name]
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
            for name, (state, x) in given.items():
                pairs = (small[name].model, held[name]), (MODELS[name][0], near[name])
                ys[name] = [jseq.with_state(m).apply(p, state, x)[0] for m, p in pairs]
            return ys

        held = {name: done.params for name, done in small.items()}
        for name, (y, z) in both(given, held, near).items():
            np.testing.assert_allclose(y, z, rtol=0, atol=1e-12 * np.abs(z).max(), err_msg=name)


def test_a_wide_linear_layer_is_made_floating_in_blocks():
    """Blocks of 64 columns and 8 left over; a row and many, with gradients, in half precision and under vmap."""
    random = np.random.RandomState(0)
    for bits in (8, 4):
        layer = jseq.linear(1031, 200)
        params = {"weight": random.standard_normal((1031, 200)), "bias": random.standard_normal(200)}
        model, held = jseq.quantize(layer, jax.tree.map(np.float32, params), bits)
        weight = nearest(params["weight"].astype(np.float32), bits)[0]
        x = random.standard_normal((20, 2, 1031))
        y = x @ weight + params["bias"]

        @jax.jit
        def run(x, model=model, held=held):
            one, both = model.apply(held, x[0, 0]), jax.vmap(model.apply, (None, 0))(held, x)
            slope = jax.grad(lambda x: (model.apply(held, x) * jnp.cos(jnp.arange(200.0)).reshape(1, 1, 200)).sum())(x)
            return one, model.apply(held, x), both, slope, model.apply(held, x.astype(jnp.bfloat16))

        one, many, both, slope, half = run(x.astype(np.float32))
        size = np.abs(y).max()  # float32 sums of a thousand products
        for found, wanted in ((one, y[0, 0]), (many, y), (both, y)):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * size)
        np.testing.assert_allclose(slope[3, 1], weight @ np.cos(np.arange(200.0)), rtol=0, atol=1e-5 * size)
        assert half.dtype == jnp.bfloat16 and np.abs(np.asarray(half, float) - y).max() < 0.01 * size  # 8 bits of x


BASE = jseq.sequential(
    {"stem": jseq.linear(4, 6), "body": jseq.repeat(jseq.linear(6, 6), 2), "head": jseq.linear(6, 3)}
)
PARAMS = drawn(BASE, ROW, np.float32)[0]


@pytest.mark.parametrize(
    ("select", "exclude", "done"),
    [
        (None, (), ["body.weight", "head.weight", "stem.weight"]),
        ("*/weight", "head", ["body.weight", "stem.weight"]),
        (jseq.linear, "stem", ["body.weight", "head.weight"]),
        (lambda path, leaf: leaf.size < 20, (), ["head.weight"]),
        (("head", "stem"), (), ["head.weight", "stem.weight"]),
    ],
)
def test_weights_are_selected_as_params_are(select, exclude, done):
    small = jseq.quantize(BASE, PARAMS, select=select, exclude=exclude)
    assert [row.path for row in small.rows if not row.why] == done
    assert {row.why for row in small.rows} <= {"", "not selected"} and len(small.rows) == 3
    kinds = {name: {leaf.dtype.name for leaf in layer.values()} for name, layer in small.params.items()}
    assert all(("int8" in kinds[path.split(".")[0]]) == (path in done) for path in ("body.weight", "head.weight"))


def test_the_report_is_data_and_a_table():
    small = jseq.quantize(BASE, PARAMS, 4, "head")
    first, last = small.rows[0], small.rows[1]
    assert (first.path, first.shape, first.bits, first.bytes_before, first.bytes_after, first.error, first.why) == (
        "body.weight", (2, 6, 6), 32, 288, 288, 0.0, "not selected"
    )  # fmt: skip
    made = nearest(PARAMS["head"]["weight"], 4)[0]
    wanted = np.linalg.norm(made - PARAMS["head"]["weight"]) / np.linalg.norm(PARAMS["head"]["weight"])
    assert (last.bits, last.bytes_before, last.bytes_after, last.error) == (4, 72, 21, pytest.approx(wanted, rel=1e-6))
    assert small.bytes_before - small.bytes_after == 51
    assert "head.weight  (6, 3)     4 bits                72 B   21 B" in str(small)
    assert str(small).endswith("params 540 B -> 489 B, 1.10 times smaller")


def test_two_calls_give_two_widths_and_what_is_quantised_stays():
    attention = jseq.sequential(jseq.multihead_attention(4, 2), jseq.linear(4, 4))
    params = drawn(attention, TIME, np.float32)[0]
    wide = jseq.quantize(attention, params, 8, "**/in_proj_weight")
    model, both = jseq.quantize(*wide, bits=4)
    inner = jseq.quantized(jseq.multihead_attention(4, 2), select=("in_proj_weight",))
    assert model == jseq.sequential(jseq.quantized(inner, 4), jseq.quantized(jseq.linear(4, 4), 4))
    assert both[0]["in_proj_weight"] is wide.params[0]["in_proj_weight"]
    near = jax.tree.map(lambda leaf: leaf, params)
    near[0]["in_proj_weight"] = np.float32(nearest(params[0]["in_proj_weight"], 8)[0])
    for place in (near[0]["out_proj"], near[1]):
        place["weight"] = np.float32(nearest(place["weight"], 4)[0])
    np.testing.assert_allclose(model.apply(both, TIME), attention.apply(near, TIME), rtol=1e-5, atol=1e-5)
    with pytest.raises(SelectionError, match="no floating weights to quantise"):
        jseq.quantize(model, both)


def test_the_scales_of_recurrent_weights_are_no_weights():
    model = jseq.sequential(jseq.lstm(3, 4), jseq.take(-1, -2), jseq.linear(4, 2))
    once = jseq.quantize(model, jax.jit(model.init)(jax.random.key(0)), exclude="2")
    again = jseq.quantize(*once, bits=4)
    assert [row.path for row in again.rows] == ["2.weight"]
    assert again.model[0] == once.model[0]


def test_a_quantised_model_is_a_model(tmp_path):
    model, params = jseq.quantize(BASE, PARAMS, 4)
    jseq.save(tmp_path / "model.safetensors", model, params)
    again, read, _ = jseq.load(tmp_path / "model.safetensors")
    assert again == model and jax.tree.map(lambda a: a.dtype.name, read) == jax.tree.map(lambda a: a.dtype.name, params)
    y = model.apply(params, ROW)
    assert (again.apply(read, ROW) == y).all()
    found = jseq.intermediates(model, params, ROW, "stem")[1]
    assert found["stem"].shape == (2, 6)
    rows = {row.path: row for row in jseq.summary(model, ROW).rows}
    assert rows["stem"].y.shape == (2, 6) and rows["stem"].params == 12 + 6 + 6
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)
    with pytest.raises(TypeError, match="int8"):
        jax.grad(lambda params: model.apply(params, ROW).sum())(params)


def test_a_trained_digits_network_keeps_its_accuracy():
    images, labels = load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(labels))  # the last images are of other writers
    x, y = jnp.asarray(images.reshape(-1, 8, 8, 1)[order] / 16, jnp.float32), jnp.asarray(labels[order])
    model = jseq.sequential(jseq.conv2d(1, 16, 3, stride=2), jseq.relu(), jseq.flatten(), jseq.linear(144, 10))

    @jax.jit
    def trained(params, key):
        def step(params, key):
            rows = jax.random.randint(key, (64,), 0, 1437)
            chosen = jax.nn.one_hot(y[rows], 10)
            slopes = jax.grad(lambda p: -(jax.nn.log_softmax(model.apply(p, x[rows])) * chosen).sum() / 64)(params)
            return jax.tree.map(lambda p, g: p - 0.2 * g, params, slopes), ()

        return jax.lax.scan(step, params, jax.random.split(key, 300))[0]

    params = trained(jax.tree.map(lambda leaf: 0.1 * leaf, drawn(model, x[:1], np.float32)[0]), jax.random.key(0))
    small = {bits: jseq.quantize(model, params, bits) for bits in (8, 4)}
    pairs = (model, params), *small.values()
    right = [(jax.jit(m.apply)(p, x[1437:]).argmax(-1) == y[1437:]).mean() for m, p in pairs]
    assert right[0] > 0.9 and right[1] >= right[0] - 0.005 and right[2] >= right[0] - 0.03
    assert small[8].bytes_before > 3.5 * small[8].bytes_after and small[8].bytes_before > 5.5 * small[4].bytes_after


SPOILT = {**PARAMS, "head": {**PARAMS["head"], "weight": np.full((6, 3), np.inf, np.float32)}}
UNSTACKED = jseq.repeat(jseq.linear(4, 4), 2, stacked=False)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jseq.quantize(BASE, SPOILT), ParamsError, "head.weight holds 18 numbers that are not finite"),
        (lambda: jseq.quantize(BASE, {**PARAMS, "stem": {}}), ParamsError, "missing 'stem.bias'; missing"),
        (lambda: jseq.quantize(BASE, PARAMS, 3), OptionError, "expected bits to be 8 or 4, got 3"),
        (lambda: jseq.quantize(BASE, PARAMS, group_size=0), OptionError, "expected group_size to be a whole number"),
        (lambda: jseq.quantize(BASE, PARAMS, select="hed"), SelectionError, "no leaf is at 'hed'. Did you mean 'head'"),
        (lambda: jseq.quantize(BASE, PARAMS, select="**/bias"), SelectionError, "There are: body.weight, head.weight"),
        (lambda: jseq.quantize(jseq.relu(), ()), SelectionError, "relu.*: this model has no floating weights"),
        (lambda: jseq.quantize(jax.nn.relu, ()), CallError, "quantize takes"),
        (
            lambda: jseq.quantize(UNSTACKED, drawn(UNSTACKED, ROW)[0], select="0"), SelectionError,
            "'weight' is selected in 1 of 2 copies, which are one layer. Select it in all: '.*.weight'",
        ),
        (lambda: jseq.quantized(jseq.relu()), OptionError, "relu.* has no weights to quantise"),
        (lambda: jseq.quantized(BASE, select="head.bias"), OptionError, "'head.bias' is no weight of this layer"),
        (
            lambda: jseq.quantize(BASE, PARAMS).model.apply(PARAMS, ROW), ParamsError,
            'at "stem": params do not fit: missing .weight_scale.*model, params = jseq.quantize',
        ),
        (
            lambda: jseq.quantized(jseq.linear(4, 4)).apply({"weight": np.ones((4, 4)), "weight_scale": np.ones((1, 4)),
                                                             "bias": np.ones(4)}, ROW),
            ParamsError, "weight is float64, not int8",
        ),
        (lambda: jseq.quantize(BASE, PARAMS).model.apply(jseq.quantize(BASE, PARAMS).params, ROW[:, :3]), ValueError,
         'linear.*at "stem": expected x of shape'),
    ],
)  # fmt: skip
def test_what_cannot_be_quantised_is_an_error(call, error, text):
    with pytest.raises(error, match=text):
        call()
