"""Exported models: programs that compute what apply computes, for any batch, and bytes that notice damage."""

import os
import random
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jseq
from jseq._interop import exported as reading
from jseq.errors import CallError, DtypeError, ExportError, OptionError, ParamsError

KEY = jax.random.key(0)
MLP = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.dropout(0.5), jseq.linear(8, 2))
CNN = jseq.sequential(
    {"conv": jseq.conv2d(1, 4, 3), "norm": jseq.batch_norm(4), "relu": jseq.relu(), "pool": jseq.max_pool2d(2),
     "flat": jseq.flatten(), "head": jseq.linear(36, 5)}
)  # fmt: skip
TEXT = jseq.sequential(
    jseq.embedding(20, 8), jseq.transformer_encoder(jseq.transformer_encoder_layer(8, 2, 16), 1), jseq.linear(8, 3)
)
NUMBERS_OF_X = {
    "power_iteration": (ExportError, "state do not fit"),  # x is a weight, and the state is as large
    "streaming": (ExportError, "state do not fit"),  # the state holds what a batch has said
    "fractional_max_pool2d": (CallError, "PRNG key"),  # as in torch, random in evaluation too
    "fractional_max_pool3d": (CallError, "PRNG key"),
}


def started(model, *shape):
    x = jax.random.normal(KEY, shape)
    return *jseq.with_state(model).init(KEY, x), x


def jitted(model, params, state, x, **options):
    return jax.jit(jseq.with_state(model).apply)(params, state, x, **options)[0]


def near(y, expected):
    # XLA folds constants, such as the inverse deviation of batch norm, with other roundings than at run time.
    chex.assert_trees_all_close(y, expected, rtol=2e-6, atol=2e-6)


def test_every_layer_exports_with_an_open_batch(case):
    x = case.inputs()
    trees = jax.eval_shape(lambda: jseq.with_state(case.layer).init(KEY, x))
    if case.name in NUMBERS_OF_X:
        error, message = NUMBERS_OF_X[case.name]
        with pytest.raises(error, match=message):
            jseq.export(case.layer, *trees, x, bake=False)
        return
    program = jseq.load_export(jseq.export(case.layer, *trees, x, context=case.contexts(), bake=False))
    if case.batched:
        assert all(str(y.shape[0]) == "b" for y in jax.tree.leaves(program.out_shapes))


def test_a_program_computes_what_apply_computes_for_any_batch():
    params, _, x = started(MLP, 2, 4)
    program = jseq.load_export(jseq.export(MLP, params, x=x))
    for batch in (1, 2, 7):
        x = jax.random.normal(KEY, (batch, 4))
        near(program(x), MLP.apply(params, x))
    near(jax.jit(program)(np.asarray(x)), MLP.apply(params, x))


def test_weights_are_separate_on_request():
    _, _, x = started(MLP, 2, 4)
    shapes = jax.eval_shape(lambda: MLP.init(KEY))
    program = jseq.load_export(jseq.export(MLP, shapes, x=jax.ShapeDtypeStruct(x.shape, x.dtype), bake=False))
    for key in jax.random.split(KEY, 2):
        params = MLP.init(key)
        chex.assert_trees_all_equal(program(params, x), jax.jit(MLP.apply)(params, x))
    chex.assert_trees_all_equal_shapes_and_dtypes(program.in_shapes[0], params)


@pytest.mark.parametrize("bake", [True, False])
def test_a_model_that_keeps_state_reads_it(bake):
    params, state, x = started(CNN, 3, 8, 8, 1)
    _, state = jseq.with_state(CNN).apply(params, state, 2 + x, train=True)
    program = jseq.load_export(jseq.export(CNN, params, state, x, bake=bake))
    x = jax.random.normal(jax.random.key(5), (5, 8, 8, 1))
    near(program(x) if bake else program(params, state, x), jitted(CNN, params, state, x))


def test_context_is_taken_by_name():
    def texts(*lengths):
        ids = jnp.arange(5 * len(lengths)).reshape(-1, 5)
        return ids, {"src_key_padding_mask": np.arange(5) >= np.array(lengths)[:, None]}

    ids, context = texts(5, 3)
    params, state = jseq.with_state(TEXT).init(KEY, ids)
    program = jseq.load_export(jseq.export(TEXT, params, x=ids, context=context, platforms=("cpu",)))
    shown = "int32[b,5], context={'src_key_padding_mask': bool[b,5]}"
    assert repr(program) == f"<exported ({shown}) -> float32[b,5,3] for cpu>"
    ids, context = texts(5, 1, 2)
    near(program(ids, context=context), jitted(TEXT, params, state, ids, context=context))


def test_other_sizes_are_open_on_request():
    ids = jnp.arange(10).reshape(2, 5)
    params = TEXT.init(KEY, ids)
    program = jseq.load_export(jseq.export(TEXT, params, x=ids, shapes="b, t", constraints=("t <= 64",)))
    assert repr(program) == "<exported (int32[b,t]) -> float32[b,t,3] where t <= 64 for cpu, cuda, tpu>"
    ids = jnp.arange(12).reshape(1, 12)
    near(program(ids), jax.jit(TEXT.apply)(params, ids))


@pytest.mark.parametrize("layer", [jseq.group_norm(2, 4), jseq.instance_norm2d(4), jseq.conv2d(4, 3, 3)], ids=repr)
def test_the_sizes_of_images_are_open_on_request(layer):
    params, _, x = started(layer, 2, 5, 6, 4)
    program = jseq.load_export(jseq.export(layer, params, x=x, shapes="b, h, w, _", constraints=("h >= 3", "w >= 3")))
    x = jax.random.normal(KEY, (3, 7, 4, 4))
    near(program(x), layer.apply(params, x))


def test_several_inputs_have_shapes_of_their_own():
    model = jseq.bilinear(3, 4, 5)
    x = (jnp.ones((2, 3)), jnp.ones((2, 4)))
    params = model.init(KEY, x)
    for shapes, shown in (
        ("b, ...", "(float32[b,3], float32[b,4])"),
        (("n, 3", "n, _"), "(float32[n,3], float32[n,4])"),
    ):
        program = jseq.load_export(jseq.export(model, params, x=x, shapes=shapes))
        assert shown in repr(program)
        other = (jnp.full((6, 3), 0.5), jnp.ones((6, 4)))
        near(program(other), model.apply(params, other))


def test_a_program_computes_in_the_dtype_of_its_example():
    params, _, x = started(MLP, 2, 4)
    low = x.astype(jnp.bfloat16)
    program = jseq.load_export(jseq.export(MLP, params, x=low))
    y = program(low)
    assert y.dtype == program.out_shapes.dtype == jnp.bfloat16
    near(y, jax.jit(MLP.apply)(params, low))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    program = jseq.load_export(jseq.export(MLP, half, x=low))
    near(program(low), jax.jit(MLP.apply)(half, low))
    with pytest.raises(ValueError, match="expected bfloat16 and called with float32"):
        program(x)


def test_sharded_params_are_baked():
    params, _, x = started(MLP, 2, 4)
    mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.device_put(params, NamedSharding(mesh, PartitionSpec("model")))
    near(jseq.load_export(jseq.export(MLP, split, x=x))(x), MLP.apply(params, x))


def test_gradients_pass_if_they_were_exported():
    params, _, x = started(MLP, 2, 4)
    program = jseq.load_export(jseq.export(MLP, params, x=x, bake=False, vjp_order=1))
    gradient = jax.grad(lambda params: program(params, x).sum())(params)
    near(gradient, jax.grad(lambda params: MLP.apply(params, x).sum())(params))


def test_a_file_runs_where_there_is_no_jseq(tmp_path):
    params, _, x = started(MLP, 2, 4)
    path = tmp_path / "mlp.jaxexport"
    path.write_bytes(jseq.export(MLP, params, x=x))
    np.save(tmp_path / "x.npy", x)
    near(jseq.load_export(str(path))(x), MLP.apply(params, x))
    code = (
        "import pathlib, sys, jax, numpy; from jax import export\n"
        "program = export.deserialize(bytearray(pathlib.Path('mlp.jaxexport').read_bytes()))\n"
        "numpy.save('y.npy', program.call(numpy.load('x.npy'))); assert 'jseq' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ}, timeout=120)
    near(np.load(tmp_path / "y.npy"), np.asarray(MLP.apply(params, x)))


def test_every_flipped_bit_and_every_cut_is_noticed():
    params, _, x = started(jseq.linear(4, 2), 2, 4)
    data = jseq.export(jseq.linear(4, 2), params, x=x)
    draw = random.Random(0)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        with pytest.raises(ExportError, match=r"damaged|do not end as it does"):
            jseq.load_export(damaged)
    for length in (0, 3, 14, 50, len(data) // 2, len(data) - 1):
        with pytest.raises(ExportError, match=r"do not end as it does|damaged"):
            jseq.load_export(data[:length])
    assert jseq.load_export(memoryview(data)).in_shapes[0].shape[1] == 4


def test_what_a_newer_jax_wrote_is_refused(monkeypatch):
    params, _, x = started(jseq.linear(4, 2), 2, 4)
    with monkeypatch.context() as newer:
        newer.setattr(jax, "__version__", "99.1.0")
        data = jseq.export(jseq.linear(4, 2), params, x=x)
    with pytest.raises(ExportError, match=r"written by jax 99\.1\.0, and this is jax .* Upgrade jax"):
        jseq.load_export(data)
    monkeypatch.setattr(jax, "__version__", "99.1.7.dev3")  # the third number does not count
    assert jseq.load_export(data).platforms == ("cpu", "cuda", "tpu")


def test_a_model_that_needs_the_number_says_so_and_exports_at_a_fixed_one():
    model = jseq.sequential(lambda x: x.reshape(int(x.shape[0]) * 2, -1))
    x = jnp.ones((2, 4))
    with pytest.raises(
        ExportError, match=r"float32\[b,4\] with sizes left open: .*'b'.*jseq\.export\(\.\.\., shapes=None"
    ):
        jseq.export(model, ((),), x=x)
    program = jseq.load_export(jseq.export(model, ((),), x=x, shapes=None))
    assert program.in_shapes[0].shape == (2, 4) and program(x).shape == (4, 2)
    with pytest.raises(ValueError, match="expected \\(2, 4\\) and called with \\(3, 4\\)"):
        program(jnp.ones((3, 4)))


def test_a_size_that_needs_a_bound_gets_it():
    model, x = jseq.conv1d(2, 3, 5), jnp.ones((1, 9, 2))
    params = model.init(KEY)
    with pytest.raises(ExportError, match=r"'t' < '5' is inconclusive.*constraints="):
        jseq.export(model, params, x=x, shapes="b, t, 2")
    program = jseq.load_export(jseq.export(model, params, x=x, shapes="b, t, 2", constraints=("t >= 5",)))
    x = jax.random.normal(KEY, (3, 20, 2))
    near(program(x), model.apply(params, x))


def test_calls_of_a_program_that_do_not_fit_show_what_fits():
    params, _, x = started(MLP, 2, 4)
    program = jseq.load_export(jseq.export(MLP, params, x=x))
    for arguments in ((x[:, :3],), (params, x), ()):
        with pytest.raises(ValueError) as caught:
            program(*arguments)
        assert "in <exported (float32[b,4]) -> float32[b,2] for cpu, cuda, tpu>" in caught.value.__notes__
    elsewhere = jseq.load_export(jseq.export(MLP, params, x=x, platforms=("cuda",)))
    with pytest.raises(ValueError, match=r"'cuda'.*'cpu'"):
        elsewhere(x)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((MLP, None), {}, CallError, r"expected x.*jseq\.export\(model, params, x=x\)"),
        ((lambda x: x, (), (), jnp.ones(3)), {}, CallError, "export takes a jseq layer"),
        ((jseq.batch_norm(4), {}), {"x": jnp.ones((2, 4))}, CallError, r"keeps state.*\(model, params, state, x\)"),
        ((MLP, ()), {"x": jnp.ones((2, 4))}, ParamsError, "a tuple of 4"),
        ((MLP, ()), {"x": [1.0]}, DtypeError, "reads shapes from arrays, got a list of 1"),
        ((MLP, ()), {"x": jnp.ones((2, 4)), "platforms": ("gpu",)}, OptionError, '"cuda", "rocm"'),
        ((MLP, ()), {"x": jnp.ones((2, 4)), "platforms": "cpu"}, OptionError, "platforms is a tuple"),
        ((MLP, ()), {"x": jnp.ones((2, 4)), "shapes": "b"}, OptionError, r"shapes='b' does not fit float32\[2,4\]"),
        ((jseq.relu(), ()), {"x": jnp.ones(())}, OptionError, r"'b, \.\.\.' does not fit float32\[\]"),
        ((jseq.relu(), ()), {"x": jnp.ones(2), "context": {"mask": jnp.ones(2)}}, CallError, "no layer reads 'mask'"),
        ((jseq.relu(), ()), {"x": jnp.ones(2), "context": {"mask": jnp.ones(())}}, OptionError, r"context_shapes='b, "),
    ],
)  # fmt: skip
def test_calls_of_export_that_cannot_work_show_one_that_does(arguments, options, error, message):
    with pytest.raises(error, match=message):
        jseq.export(*arguments, **options)


def test_shapes_have_no_values_to_bake():
    with pytest.raises(ParamsError, match="bake=False"):
        jseq.export(MLP, jax.eval_shape(lambda: MLP.init(KEY)), x=jnp.ones((2, 4)))


def test_a_missing_flatbuffers_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(ImportError, match=r"flatbuffers is not installed.*pip install 'jseq\[export\]'"):
        jseq.export(MLP, (), x=jnp.ones((2, 4)))
    with pytest.raises(ImportError, match=r"pip install 'jseq\[export\]'"):
        jseq.load_export(b"")


def test_the_check_is_where_the_docstring_says():
    data = reading.seal(b"program", ("b >= 2",))
    assert data.startswith(b"program{") and data.endswith(b"jseq export 1\n")
    assert reading.unseal(data) == (b"program", {"jax": jax.__version__, "constraints": ["b >= 2"]})
