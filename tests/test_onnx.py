"""Models written to ONNX: onnxruntime computes what jseq does, on whole models and on every layer's cases."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._interop.onnx.model import load_families
from jseq._interop.onnx.registry import EMITTERS
from tests.cases import CASES, VARIANTS, families

needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")), reason="onnx is not installed"
)
ROOT = Path(__file__).resolve().parent.parent
KEY = jax.random.key(0)
LENGTHS = jnp.array([9, 5, 1, 7])

# What is not compared, and why. By the layer's name, or by its repr.
LEFT_OUT = {
    "fractional_max_pool2d": "it draws its windows, in evaluation too",
    "fractional_max_pool3d": "it draws its windows, in evaluation too",
    "streaming": "a graph remembers nothing between calls",
    "jseq.cast('float64')": "float64 is switched off in JAX here",
    "jseq.in_dtype(jseq.linear(5, 3), 'float64')": "float64 is switched off in JAX here",
    "jseq.in_dtype(jseq.linear(None, 3), 'bfloat16')": "onnxruntime's CPU provider has no bfloat16 product",
}
MIXES_THE_BATCH = {"jseq.softmax(dim=0)"}  # so two batches in one are another result


def named(tree, name):
    """The arrays of a tree under the names that the graph gives them."""
    leaves = jax.tree_util.tree_leaves_with_path({name: tree})
    return {jax.tree_util.keystr(path, simple=True, separator="_"): np.asarray(leaf) for path, leaf in leaves}


def run(model, feed):
    """The outputs of an ONNX model, on one thread."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: feed[value.name] for value in session.get_inputs()})


def error(ours, theirs):
    """The largest difference, relative to the largest number."""
    worst = 0.0
    for a, b in zip(jax.tree.leaves(ours), theirs, strict=True):
        a = np.asarray(a)
        assert a.shape == b.shape and a.dtype == b.dtype
        size = max(float(np.max(np.abs(a), initial=0)), 1e-30)
        worst = max(worst, float(np.max(np.abs(a.astype(float) - b), initial=0)) / size)
    return worst


# --- whole models ---


def architectures():
    spec = importlib.util.spec_from_file_location("architectures", ROOT / "examples" / "architectures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cnn():
    return jseq.sequential({
        "conv1": jseq.conv2d(3, 16, 3, padding=1), "norm1": jseq.batch_norm(16), "act1": jseq.relu(),
        "pool1": jseq.max_pool2d(2), "conv2": jseq.conv2d(16, 32, 3, padding=1), "norm2": jseq.batch_norm(32),
        "act2": jseq.relu(), "pool2": jseq.avg_pool2d(2), "flat": jseq.flatten(), "drop": jseq.dropout(0.5),
        "head": jseq.linear(32 * 8 * 8, 10),
    })  # fmt: skip


def normal(*shape):
    return jax.random.normal(jax.random.key(1), shape)


def encoder():
    layer = jseq.transformer_encoder_layer(32, 4, 64)
    return jseq.sequential(jseq.embedding(50, 32), jseq.sinusoidal_positions(32), jseq.transformer_encoder(layer, 3))


MODELS = {
    "cnn": lambda: (cnn(), normal(4, 32, 32, 3), None),
    "mlp": lambda: (jseq.mlp(20, (64, 64), 10, activation="gelu", dropout=0.1), normal(4, 20), None),
    "lstm": lambda: (
        jseq.sequential(jseq.lstm(8, 32, 2, bidirectional=True), jseq.take(-1, 1), jseq.linear(64, 5)),
        normal(4, 12, 8), None,
    ),
    "transformer encoder": lambda: (
        encoder(), jnp.arange(36).reshape(4, 9) % 50, {"src_key_padding_mask": jseq.functional.length_mask(LENGTHS, 9)},
    ),
    "channels_first cnn": lambda: (jseq.channels_first(cnn()[:8]), normal(4, 3, 32, 32), None),
    "unet": lambda: (architectures().unet(3, (8, 16, 32), 2), normal(4, 32, 32, 3), None),
    "resnet18": lambda: (architectures().resnet18(10, 16), normal(4, 64, 64, 3), None),
    "causal transformer": lambda: (architectures().transformer(11, 6, 8, 2, 3), jnp.arange(24).reshape(4, 6) % 7, None),
}  # fmt: skip
TRANSPOSES = {"cnn": 2, "channels_first cnn": 0, "unet": 2, "resnet18": 1, "mlp": 0}  # at the borders, and to flatten


def drawn(model, x):
    """Params and state as after some training: no statistic at its start, variances positive."""
    random = np.random.RandomState(0)

    def draw(path, leaf):
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        value = random.standard_normal(leaf.shape) / np.sqrt(fan_in if len(leaf.shape) > 1 else 10)
        named = jax.tree_util.keystr(path[-1:], simple=True)
        return jnp.asarray(0.5 + abs(value) if named == "running_var" else value, leaf.dtype)

    shapes = jax.eval_shape(lambda: jseq.with_state(model).init(KEY, x))
    return jax.tree_util.tree_map_with_path(draw, shapes)


def reference(model, params, state, x, context=None):
    """The model's own output; compiled without optimisation, which is most of the time here."""

    def apply(params, state, x, context):
        return jseq.with_state(model).apply(params, state, x, context=context)[0]

    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return jax.jit(apply).lower(params, state, x, context).compile(quick)(params, state, x, context)


@needs_onnx
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_computes_what_the_model_does(name):
    model, x, context = MODELS[name]()
    params, state = drawn(model, x)
    written = jseq.to_onnx(model, params, state, x, context=context)
    y = reference(model, params, state, x, context)
    worst = error(y, run(written, named(x, "x") | jax.tree.map(np.asarray, context or {})))
    kinds = Counter(node.op_type for node in written.graph.node)
    print(f"{name}: {len(written.graph.node)} nodes, {kinds['Transpose']} transposes, error {worst:.1e}")
    assert worst < 1e-5
    if name in TRANSPOSES:
        assert kinds["Transpose"] == TRANSPOSES[name], kinds


@needs_onnx
def test_the_batch_stays_open():
    model, x, _ = MODELS["cnn"]()
    params, state = drawn(model, x)
    written = jseq.to_onnx(model, params, state, jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32))
    assert written.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert written.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    y = reference(model, params, state, x)
    assert error(y, run(written, {"x": np.asarray(x)})) < 1e-5
    fixed = jseq.to_onnx(model, params, state, x, batch=None)
    assert [dim.dim_value for dim in fixed.graph.output[0].type.tensor_type.shape.dim] == [4, 10]


@needs_onnx
def test_weights_keep_their_names_and_equal_ones_are_kept_once():
    model = jseq.tie(
        jseq.sequential({
            "ids": jseq.embedding(7, 5), "out": jseq.linear(5, 5, bias=False), "again": jseq.linear(5, 5)
        }),
        "out.weight", "again.weight",
    )  # fmt: skip
    params = model.init(KEY)
    written = jseq.to_onnx(model, params, x=jnp.zeros((2, 3), int))
    assert [tensor.name for tensor in written.graph.initializer] == ["ids/weight", "out/weight", "again/bias"]


@needs_onnx
def test_half_precision_is_written_as_it_is():
    model, x, _ = MODELS["mlp"]()
    params = model.init(KEY)
    written = jseq.to_onnx(model, params, x=x.astype(jnp.float16))
    (theirs,) = run(written, {"x": np.asarray(x, np.float16)})
    ours = model.apply(params, x.astype(jnp.float16))
    assert theirs.dtype == np.float16
    np.testing.assert_allclose(np.asarray(ours, float), theirs.astype(float), atol=5e-3)  # float16 has 11 bits


@needs_onnx
@pytest.mark.parametrize("plain", [
    jseq.sequential(jseq.relu(), jseq.tanh()), jseq.sequential({"act": jax.nn.relu}), jseq.repeat(jseq.tanh(), 2),
], ids=repr)  # fmt: skip
def test_adapt_writes_composed_layers_on_both_sides(plain):
    model, x = jseq.adapt(jseq.linear(5, 3), plain, plain), normal(4, 5)
    params = model.init(KEY)
    assert error(model.apply(params, x), run(jseq.to_onnx(model, params, x=x), named(x, "x"))) < 1e-5


@needs_onnx
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_converted_recurrence_is_written(kind):
    torch = pytest.importorskip("torch")
    model, params, state = jseq.from_torch(getattr(torch.nn, kind)(3, 4, 2))
    x = normal(5, 2, 3)  # (T, N, C)
    written = jseq.to_onnx(model, params, state, x, batch=None)
    assert error(model.apply(params, x), run(written, named(x, "x"))) < 1e-5


# --- every layer ---


def test_every_public_layer_has_an_emitter():
    load_families()
    assert {case.name for case in CASES if case.name != "lift" and case.layer.constructor not in EMITTERS} == set()


def case_error(case):
    """The largest error of a case; on its own batch, and on two of them at once."""
    params, state = jax.tree.map(lambda a: a.astype("float32") if a.dtype == "float64" else a, case.trees())
    x, context = case.inputs(), case.contexts()
    written = jseq.to_onnx(case.layer, params, state, x, context=context, batch="batch" if case.batched else None)
    feed = named(x, "x") | (context or {})
    y = reference(case.layer, params, state, x, context)
    worst = error(y, run(written, feed))
    if case.batched and repr(case.layer) not in MIXES_THE_BATCH:
        open_ones = {v.name for v in written.graph.input if v.type.tensor_type.shape.dim[0].dim_param == "batch"}
        twice = run(written, {name: np.concatenate([a, a]) if name in open_ones else a for name, a in feed.items()})
        for half in zip(*(np.split(a, 2) for a in twice), strict=True):
            worst = max(worst, error(y, half))
    return worst


@needs_onnx
@pytest.mark.parametrize("family", families())
def test_onnxruntime_computes_what_every_layer_of_the_family_does(family):
    agreed, left_out = Counter(), Counter()
    for case in families()[family]:
        if {case.name, repr(case.layer)} & LEFT_OUT.keys():
            left_out[case.name] += 1
            continue
        assert case_error(case) < 1e-5, case
        agreed[case.name] += 1
    print(f"{family}: agreed {dict(agreed)}, left out {dict(left_out)}")
    assert agreed or left_out


def test_what_is_left_out_is_there():
    known = {case.name for case in VARIANTS} | {repr(case.layer) for case in VARIANTS}
    assert LEFT_OUT.keys() | MIXES_THE_BATCH <= known


# --- layers and functions of the user's own ---


@jseq.layer
def doubled(times: int):
    def apply(params, x):
        return x * times

    return jseq.no_params, apply


def cube(x):
    return x * x * x


@needs_onnx
def test_a_layer_and_a_function_of_ones_own_are_written_as_registered():
    jseq.onnx_emitter(doubled)(lambda graph, call: call.x * float(call.options["times"]))
    jseq.onnx_emitter(cube)(lambda graph, call: call.x * call.x * call.x)
    model, x = jseq.sequential(doubled(3), cube), normal(4, 5)
    try:
        written = jseq.to_onnx(model, model.init(KEY, x), x=x)
    finally:
        del EMITTERS[doubled], EMITTERS[cube]
    assert error(model.apply(((), ()), x), run(written, named(x, "x"))) < 1e-5


@needs_onnx
def test_public_functions_of_jax_and_of_jseq_are_known_by_name():
    load_families()
    functions = [target for target in EMITTERS if not jseq.core.is_constructor(target)]
    assert jax.nn.gelu in functions and jseq.functional.geglu in functions
    x = 0.1 + jnp.abs(normal(2, 2, 3, 6))
    for function in functions:
        model = jseq.sequential(function)
        assert error(model.apply(((),), x), run(jseq.to_onnx(model, ((),), x=x), named(x, "x"))) < 1e-5, function


@needs_onnx
def test_what_has_no_form_is_an_error_that_names_it():
    x = normal(4, 5)
    inside = jseq.sequential({"a": jseq.relu(), "b": jseq.sequential(doubled(2))})
    with pytest.raises(jseq.errors.CallError, match=r'doubled\(times=2\) at "b.0": no ONNX form is known of .*doubled. '
                                                    r"Register one: @jseq.onnx_emitter\(doubled\)"):  # fmt: skip
        jseq.to_onnx(inside, inside.init(KEY, x), x=x)
    unnamed = jseq.sequential(lambda x: x)
    with pytest.raises(jseq.errors.CallError, match=r'at "0": no ONNX form is known of <lambda at .*Give it a name'):
        jseq.to_onnx(unnamed, ((),), x=x)
    with pytest.raises(jseq.errors.OptionError, match="draws its windows"):
        jseq.to_onnx(jseq.fractional_max_pool2d(2, 3), (), x=normal(2, 8, 8, 3))
    with pytest.raises(jseq.errors.OptionError, match="remembers nothing"):
        stream = jseq.streaming(jseq.gru(5, 3))
        jseq.to_onnx(stream, *jseq.with_state(stream).init(KEY, normal(2, 4, 5)), normal(2, 4, 5))
    with pytest.raises(jseq.errors.CallError, match="from an example of x"):
        jseq.to_onnx(jseq.relu(), ())
    with pytest.raises(jseq.errors.ParamsError, match="params do not fit"):
        jseq.to_onnx(jseq.linear(5, 2), {}, x=x)
    with pytest.raises(jseq.errors.CallError, match="no layer reads 'mask'"):
        jseq.to_onnx(jseq.relu(), (), x=x, context={"mask": x})
    with pytest.raises(jseq.errors.ShapeError, match="give an example whose batch is no other size"):
        attention = jseq.multihead_attention(5, 1)
        jseq.to_onnx(attention, attention.init(KEY), x=normal(4, 4, 5), context={"mask": jnp.ones((4, 4), bool)})
    with pytest.raises(jseq.errors.CallError, match="takes constructors of layers, or functions"):
        jseq.onnx_emitter(jseq.relu())


def test_without_onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx is not installed.*pip install 'jseq\[onnx\]'"):
        jseq.to_onnx(jseq.relu(), (), x=jnp.ones(3))
