"""A folded model gives what the model gives: in float64 to 1e-12 of the largest output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, ParamsError

IMAGE, WIDE, ROW = (2, 6, 7, 4), (2, 6, 7, 8), (3, 4)


def rows(fused):
    """The report without the reasons, as text."""
    return {row.path: f"{row.what} into {row.into}" if row.into else row.what for row in fused.rows}


def drawn(model, x):
    """Random params and state; nothing is at its initial value, variances are positive."""
    init = jseq.with_state(model).init
    shapes = jax.eval_shape(lambda: init(jax.random.key(0), jax.ShapeDtypeStruct(x, float)))
    random = np.random.RandomState(3)

    def draw(path, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return np.full(leaf.shape, 7, leaf.dtype)
        value = random.standard_normal(leaf.shape)
        return np.asarray(0.3 + np.abs(value) if "running_var" in jax.tree_util.keystr(path) else value)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def conv(*args, **options):
    return jseq.conv2d(4, 8, 3, *args, **options)


NORM, NORM8 = jseq.batch_norm(4), jseq.batch_norm(8)
KEPT = jseq.repeat(jseq.residual(jseq.sequential(jseq.linear(4, 4), NORM, jseq.dropout())), 2)
PATHS = jseq.graph(
    {"stem": jseq.sequential(jseq.linear(4, 4), jseq.relu()),
     "block": jseq.parallel({"fc": jseq.linear(4, 4), "norm": NORM}),
     "act": jseq.relu(), "shared": jseq.linear(4, 4), "after": NORM, "drop": jseq.dropout(), "plus": jseq.add(),
     "end": jseq.identity()},
    {"a": ("stem", "x"), "b": ("block.fc", "a"), "c": ("block.norm", "b"), "d": ("act", "c"), "e": ("shared", "d"),
     "f": ("after", "e"), "g": ("drop", "f"), "h": ("shared", "g"), "i": ("plus", "h", "a"), "y": ("end", "i")},
)  # fmt: skip
# name: (model, shape of x, report)
MODELS = {
    "linear": (jseq.sequential(jseq.linear(4, 8), NORM8), ROW, {"1": "folded into 0"}),
    "no bias": (jseq.sequential(jseq.linear(4, 8, False), jseq.scale(8)), ROW, {"1": "folded into 0"}),
    "before linear": (jseq.sequential(NORM, jseq.linear(4, 8, bias=False)), ROW, {"0": "folded into 1"}),
    "not affine": (
        jseq.sequential(conv(bias=False), jseq.batch_norm(8, affine=False)), IMAGE, {"1": "folded into 0"},
    ),
    "groups": (
        jseq.sequential(NORM, conv(2, 0, 2, groups=2), NORM8), IMAGE, {"0": "folded into 1", "2": "folded into 1"},
    ),
    "zeros": (jseq.sequential(NORM, conv(padding="same")), IMAGE, {"0": "replaced"}),
    "no shift": (jseq.sequential(jseq.scale(4), conv(padding=1)), IMAGE, {"0": "folded into 1"}),
    "reflect": (jseq.sequential(NORM, conv(padding=1, padding_mode="reflect")), IMAGE, {"0": "folded into 1"}),
    "transposed": (
        jseq.sequential(jseq.scale(4), jseq.conv_transpose2d(4, 8, 3, 2, groups=2, bias=False), NORM8), IMAGE,
        {"0": "folded into 1", "2": "folded into 1"},
    ),
    "before transposed": (jseq.sequential(NORM, jseq.conv_transpose2d(4, 8, 3)), IMAGE, {"0": "replaced"}),
    "separable": (jseq.sequential(jseq.separable_conv2d(4, 8, 3, bias=False), NORM8), IMAGE, {"1": "folded into 0"}),
    "instance": (
        jseq.sequential(conv(), jseq.instance_norm2d(8, track_running_stats=True)), IMAGE, {"1": "folded into 0"},
    ),
    "several": (
        jseq.sequential(jseq.relu(), jseq.scale(4), NORM, jseq.bias(4), jseq.tanh()), ROW,
        {"1": "folded into 2", "2": "folded into 3", "3": "replaced"},
    ),
    "batch": (jseq.sequential(jseq.linear(4, 4), jseq.batch_norm(4, track_running_stats=False)), ROW, {"1": "left"}),
    "alone": (NORM, ROW, {"": "replaced"}),
    "weights": (
        jseq.sequential(jseq.weight_norm(jseq.linear(4, 8)), NORM8, jseq.spectral_norm(jseq.linear(8, 4)), NORM,
                        jseq.parametrize(jseq.linear(4, 4), "weight", jax.nn.softplus)),
        ROW, {"0": "merged", "1": "folded into 0", "2": "merged", "3": "folded into 2.layer", "4": "merged"},
    ),
    "lora": (
        jseq.lora(jseq.sequential(jseq.linear(4, 8), NORM8), rank=2), ROW,
        {"": "merged", "base.1": "folded into base.0"},
    ),
    "nested": (
        jseq.sequential(jseq.sequential(jseq.linear(4, 8), jseq.identity()), jseq.remat(jseq.sequential(NORM8)),
                        jseq.sequential({"act": jax.nn.relu, "drop": jseq.dropout()})),
        ROW, {"0": "flattened", "0.1": "removed", "1": "removed", "1.0": "folded into 0.0", "2.drop": "removed"},
    ),
    "named": (
        jseq.sequential({"in": jseq.sequential({"fc": jseq.linear(4, 8)}),
                         "post": jseq.sequential(NORM8, jseq.relu())}),
        ROW, {"post": "flattened", "post.0": "folded into in.fc"},
    ),
    "sides": (
        jseq.sequential(jseq.branch({"a": jseq.sequential(jseq.linear(4, 4), NORM),
                                     "b": jseq.drop_path(0.1, event_dims=1)}), jseq.add(),
                        jseq.residual(jseq.sequential(jseq.gaussian_noise(0.1)), jseq.identity())),
        ROW, {"0.a": "flattened", "0.a.1": "folded into 0.a.0", "0.b": "removed", "2.layer": "flattened",
              "2.layer.0": "removed", "2.shortcut": "removed"},
    ),
    "repeat": (KEPT, ROW, {"layer.1": "folded into layer.0", "layer.2": "removed", "layer": "flattened"}),
    "copies": (
        jseq.repeat(jseq.sequential(jseq.linear(4, 4), NORM), 2, stacked=False), ROW,
        {"*": "flattened", "*.1": "folded into *.0"},
    ),
    "around": (jseq.channels_first(jseq.sequential(conv(), NORM8)), (2, 4, 6, 7), {"1": "folded into 0"}),
    "graph": (
        PATHS, ROW, {"block.norm": "folded into block.fc", "after": "replaced", "drop": "removed", "end": "removed"},
    ),
}  # fmt: skip


def test_a_folded_model_gives_what_the_model_gives():
    with jax.enable_x64(True):
        before, after, inputs = {}, {}, {}
        for name, (model, shape, _) in MODELS.items():
            inputs[name] = np.random.RandomState(5).standard_normal(shape)
            before[name] = drawn(model, shape)
            after[name] = jseq.fuse(model, *before[name])

        @jax.jit
        def both(before, after, inputs):
            ys = {}
            for name, (model, *_) in MODELS.items():
                first = jseq.with_state(model).apply(*before[name], inputs[name])[0]
                ys[name] = first, jseq.with_state(folded[name]).apply(*after[name], inputs[name])[0]
            return ys

        folded = {name: fused.model for name, fused in after.items()}
        trees = {name: (fused.params, fused.state) for name, fused in after.items()}
        for name, (y, z) in both(before, trees, inputs).items():
            assert y.dtype == jnp.float64 and rows(after[name]) == MODELS[name][2], name
            assert not folded[name].keeps_state, name
            np.testing.assert_allclose(z, y, rtol=0, atol=1e-12 * np.abs(y).max(), err_msg=name)


def test_a_trained_model_folds_to_the_plain_pair():
    stage = jseq.sequential(jseq.conv1d(4, 4, 3, padding=1, bias=False), NORM, jseq.relu(), jseq.dropout(0.1))
    model = jseq.sequential(jseq.residual(stage), jseq.relu(), jseq.global_avg_pool1d(), jseq.linear(4, 2))
    _, apply = jseq.with_state(model)

    @jax.jit
    def trained(params, state, x, target):
        def loss(params, state, key):
            y, state = apply(params, state, x, key=key, train=True)
            return ((y - target) ** 2).mean(), state

        def step(trees, key):
            slopes, state = jax.grad(loss, has_aux=True)(*trees, key)
            return (jax.tree.map(lambda p, g: p - 0.1 * g, trees[0], slopes), state), ()

        return jax.lax.scan(step, (params, state), jax.random.split(jax.random.key(0), 20))[0]

    random = np.random.RandomState(0)
    x, target = random.standard_normal((8, 5, 4)) * 3 + 1, random.standard_normal((8, 2))
    compare = jax.jit(lambda new, *old: (apply(*old)[0], folded.model.apply(*new)), static_argnums=())
    with jax.enable_x64(True):
        params, state = trained(*drawn(model, x.shape), x, target)
        folded = jseq.fuse(model, params, state)
        y, z = compare((folded.params, x), params, state, x)
        np.testing.assert_allclose(z, y, rtol=0, atol=1e-12 * np.abs(y).max())
    assert not jax.tree.leaves(folded.state) and folded.model[0] == jseq.residual(
        jseq.sequential(jseq.conv1d(4, 4, 3, padding=1), jseq.relu())
    )
    half = jax.tree.map(lambda a: np.asarray(a).astype(np.float32), (params, state, x))
    less = jseq.fuse(model, *half[:2])
    y, z = compare((less.params, half[2]), *half)
    np.testing.assert_allclose(z, y, rtol=0, atol=1e-5 * np.abs(y).max())  # weights rounded once more: a few ulp


def test_names_and_paths_stay_and_the_rest_goes():
    found = {name: jseq.fuse(MODELS[name][0], *drawn(*MODELS[name][:2])).model for name in ("nested", "named", "graph")}
    linear = jseq.linear(4, 4)
    assert found["nested"] == jseq.sequential(jseq.linear(4, 8), jseq.sequential({"act": jax.nn.relu}))
    assert found["named"] == jseq.sequential({"in": jseq.sequential({"fc": jseq.linear(4, 8)}), "post": jseq.relu()})
    assert dict(found["graph"].arguments["steps"]) == {
        "a": ("stem", "x"), "b": ("block.fc", "a"), "d": ("act", "b"), "e": ("shared", "d"), "f": ("after", "e"),
        "h": ("shared", "f"), "i": ("plus", "h", "a"),
    }  # fmt: skip
    assert found["graph"]["block"] == jseq.parallel({"fc": linear, "norm": jseq.identity()})
    assert list(found["graph"].children) == ["stem", "block", "act", "shared", "after", "plus"]


def test_what_is_left_is_reported_with_the_reason():
    shared = jseq.tie(jseq.sequential(jseq.linear(4, 4), NORM, jseq.linear(4, 4)), "0.weight", "2.weight")
    model = jseq.sequential(shared, jseq.relu(), jseq.scale(4), conv(padding=1), jseq.dropout())
    params, state = drawn(jseq.sequential(*[model[i] for i in range(3)]), ROW)
    fused = jseq.fuse(jseq.sequential(*[model[i] for i in range(3)]), params, state)
    assert [row.text for row in fused.rows] == [
        "left: tie is not looked into", "left: it stands between relu and the end",
    ]  # fmt: skip
    assert "apply it with with_state(model)" in str(fused) and fused.model.keeps_state
    zeros = jseq.fuse(MODELS["zeros"][0], *drawn(*MODELS["zeros"][:2]))
    assert zeros.rows[0].why == "it stands between the start and conv2d, which pads with zeros"
    assert "0     batch_norm(num_features=4, eps=1e-05, momentu...  replaced: it stands" in str(zeros)


def test_a_model_without_state_folds_without_it():
    lazy = jseq.sequential(jseq.linear(None, 8), jseq.scale(None), jseq.dropout())
    params = {"weight": np.ones((4, 8)), "bias": np.ones(8)}, {"weight": np.ones(8)}, ()
    model, params, state = jseq.fuse(lazy, params)
    assert (model, state) == (jseq.sequential(jseq.linear(None, 8)), None)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jseq.fuse(NORM, {}), CallError, r"keeps state. The call that works: fuse\(model, params, state\)"),
        (lambda: jseq.fuse(jax.nn.relu, ()), CallError, "fuse takes"),
        (lambda: jseq.fuse(jseq.sequential(jseq.linear(4, 4)), ({},)), ParamsError, "at '0' do not fit: missing"),
        (lambda: jseq.fuse(jseq.sequential(jseq.linear(4, 4)), ()), ParamsError, "a tuple of 1, one for each child"),
        (lambda: jseq.fuse(*wrong_sizes()), ParamsError, "a layer of 5 features stands beside one of 4"),
    ],
)
def test_params_of_another_model_are_an_error(call, error, text):
    with pytest.raises(error, match=text):
        call()


def wrong_sizes():
    parts = jseq.linear(4, 4), jseq.scale(5)
    return jseq.sequential(*parts), tuple(part.init(jax.random.key(0)) for part in parts)
