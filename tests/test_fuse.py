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
# name: (model, shape of x, report, whether the folded model keeps no state)
MODELS = {
    "linear": (jseq.sequential(jseq.linear(4, 8), NORM8), ROW, {"1": "folded into 0"}),
    "no bias": (jseq.sequential(jseq.linear(4, 8, False), jseq.scale(8)), ROW, {"1": "folded into 0"}),
    "before linear": (jseq.sequential(NORM, jseq.linear(4, 8, bias=False)), ROW, {"0": "folded into 1"}),
    "not affine": (jseq.sequential(conv(bias=False), jseq.batch_norm(8, affine=False)), IMAGE, {"1": "folded into 0"}),
    "groups": (jseq.sequential(NORM, conv(2, 0, 2, groups=2), NORM8), IMAGE, {"0": "folded into 1", "2": "folded into 1"}),
    "zeros": (jseq.sequential(NORM, conv(padding="same")), IMAGE, {"0": "replaced"}),
    "no shift": (jseq.sequential(jseq.scale(4), conv(padding=1)), IMAGE, {"0": "folded into 1"}),
    "reflect": (jseq.sequential(NORM, conv(padding=1, padding_mode="reflect")), IMAGE, {"0": "folded into 1"}),
    "transposed": (jseq.sequential(jseq.scale(4), jseq.conv_transpose2d(4, 8, 3, 2, groups=2, bias=False), NORM8), IMAGE,
                   {"0": "folded into 1", "2": "folded into 1"}),
    "before transposed": (jseq.sequential(NORM, jseq.conv_transpose2d(4, 8, 3)), IMAGE, {"0": "replaced"}),
    "separable": (jseq.sequential(jseq.separable_conv2d(4, 8, 3, bias=False), NORM8), IMAGE, {"1": "folded into 0"}),
    "instance": (jseq.sequential(conv(), jseq.instance_norm2d(8, track_running_stats=True)), IMAGE, {"1": "folded into 0"}),
    "several": (jseq.sequential(jseq.relu(), jseq.scale(4), NORM, jseq.bias(4), jseq.tanh()), ROW,
                {"1": "folded into 2", "2": "folded into 3", "3": "replaced"}),
    "batch": (jseq.sequential(jseq.linear(4, 4), jseq.batch_norm(4, track_running_stats=False)), ROW, {"1": "left"}),
    "alone": (NORM, ROW, {"": "replaced"}),
    "weights": (jseq.sequential(jseq.weight_norm(jseq.linear(4, 8)), NORM8, jseq.spectral_norm(jseq.linear(8, 4)), NORM,
                                jseq.parametrize(jseq.linear(4, 4), "weight", jax.nn.softplus)), ROW,
                {"0": "merged", "1": "folded into 0", "2": "merged", "3": "folded into 2.layer", "4": "merged"}),
    "lora": (jseq.lora(jseq.sequential(jseq.linear(4, 8), NORM8), rank=2), ROW, {"": "merged", "base.1": "folded into base.0"}),
    "nested": (jseq.sequential(jseq.sequential(jseq.linear(4, 8), jseq.identity()), jseq.remat(jseq.sequential(NORM8)),
                               jseq.sequential({"act": jax.nn.relu, "drop": jseq.dropout()})), ROW,
               {"0": "flattened", "0.1": "removed", "1": "removed", "1.0": "folded into 0.0", "2.drop": "removed"}),
    "named": (jseq.sequential({"in": jseq.sequential({"fc": jseq.linear(4, 8)}), "post": jseq.sequential(NORM8, jseq.relu())}),
              ROW, {"post": "flattened", "post.0": "folded into in.fc"}),
    "sides": (jseq.sequential(jseq.branch({"a": jseq.sequential(jseq.linear(4, 4), NORM), "b": jseq.drop_path(0.1, event_dims=1)}),
                              jseq.add(), jseq.residual(jseq.sequential(jseq.gaussian_noise(0.1)), jseq.identity())), ROW,
              {"0.a": "flattened", "0.a.1": "folded into 0.a.0", "0.b": "removed", "2.layer": "flattened",
               "2.layer.0": "removed", "2.shortcut": "removed"}),
    "repeat": (KEPT, ROW, {"layer.1": "folded into layer.0", "layer.2": "removed", "layer": "flattened"}),
    "copies": (jseq.repeat(jseq.sequential(jseq.linear(4, 4), NORM), 2, stacked=False), ROW,
               {"*": "flattened", "*.1": "folded into *.0"}),
    "around": (jseq.channels_first(jseq.sequential(conv(), NORM8)), (2, 4, 6, 7), {"1": "folded into 0"}),
    "graph": (PATHS, ROW, {"stem": "", "block.norm": "folded into block.fc", "after": "replaced", "drop": "removed",
                           "end": "removed"}),
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
            assert y.dtype == jnp.float64 and rows(after[name]) == {k: v for k, v in MODELS[name][2].items() if v}, name
            assert not folded[name].keeps_state, name
            np.testing.assert_allclose(z, y, rtol=0, atol=1e-12 * np.abs(y).max(), err_msg=name)
