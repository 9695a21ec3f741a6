"""Params and state are torch's state dict under torch's names and axes, in both directions, without torch."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._interop.moves import move_of
from jseq.errors import CallError, LayerError, ParamsError
from tests.cases import VARIANTS
from tests.state_dicts import TIED, cases_of, shapes

FAMILIES = sorted({case.layer.name for case in VARIANTS})
WITHOUT_NAMES = {"packed", "quantized", "streaming"}  # see test_what_torch_has_no_names_for_is_refused_with_its_path


def trees(model, x=None):
    """Params and state with another number in each place, so that no two entries can be mistaken."""
    made = jax.eval_shape(lambda: jseq.with_state(model).init(jax.random.key(0), x))
    leaves, structure = jax.tree.flatten(made)
    ends = np.cumsum([leaf.size for leaf in leaves]).tolist()
    filled = [np.arange(end - leaf.size, end).reshape(leaf.shape).astype(leaf.dtype)
              for leaf, end in zip(leaves, ends, strict=True)]  # fmt: skip
    return jax.tree.map(jnp.asarray, structure.unflatten(filled))


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WITHOUT_NAMES])
def test_what_is_written_is_read_back_bit_for_bit(name):
    for case in cases_of(name):
        with jax.enable_x64(True):
            params, state = case.trees()
            entries = jseq.torch_state_dict(case.layer, params, state)
            assert all(array.flags.c_contiguous and array.flags.owndata for array in entries.values())
            read = jseq.load_torch_state_dict(case.layer, entries, jax.tree.map(jnp.asarray, case.inputs(np.float64)))
            chex.assert_trees_all_equal_shapes_and_dtypes(read, (params, state))
            chex.assert_trees_all_equal(read, (params, state))


@pytest.mark.parametrize(
    "layer, shape, theirs",
    [
        (jseq.linear(5, 3), (5, 3), (3, 5)),
        (jseq.conv1d(4, 6, 3, groups=2), (3, 2, 6), (6, 2, 3)),
        (jseq.conv_transpose2d(4, 6, (2, 5), groups=2), (2, 5, 2, 6), (4, 3, 2, 5)),
        (jseq.conv_transpose2d(4, 6, (2, 5), groups=2), (6,), (6,)),
        (jseq.embedding(7, 3), (7, 3), (7, 3)),
        (jseq.multihead_attention(4, 2, add_bias_kv=True), (1, 1, 4), (1, 1, 4)),
    ],
)
def test_a_move_goes_to_torchs_shape_and_back(layer, shape, theirs):
    array = np.arange(np.prod(shape)).reshape(shape)
    move = move_of(layer, shape)
    moved = move.to_torch(array)
    assert moved.shape == move.merged == theirs
    np.testing.assert_array_equal(move.to_jseq(moved), array)


def test_every_number_stands_where_torch_has_it():
    model = jseq.branch(jseq.conv2d(4, 6, (2, 3), groups=2), jseq.conv_transpose2d(4, 6, (2, 3), groups=2),
                        jseq.bilinear(2, 3, 4))  # fmt: skip
    (conv, transposed, bilinear), _ = trees(model)
    entries = jseq.torch_state_dict(model, (conv, transposed, bilinear))
    assert entries["0.weight"][5, 1, 0, 2] == conv["weight"][0, 2, 1, 5]
    assert entries["1.weight"][1 * 2 + 0, 2, 0, 1] == transposed["weight"][0, 1, 0, 1 * 3 + 2]  # group 1
    assert entries["2.weight"][3, 1, 2] == bilinear["weight"][1, 2, 3]


def test_a_layer_of_the_users_own_keeps_its_axes_whatever_its_name():
    @jseq.layer
    def linear(size: int):
        def init(key, x):
            return {"weight": jnp.ones((size, 2))}

        def apply(params, x):
            return x @ params["weight"]

        return init, apply

    assert shapes(jseq.torch_state_dict(linear(3), trees(linear(3))[0])) == {"weight": (3, 2)}


MIXED = jseq.sequential(
    {
        "stem": jseq.channels_first(jseq.remat(jseq.sequential(jseq.conv2d(3, 4, 3), jseq.batch_norm(4)))),
        "act": jseq.relu(),
        "body": jseq.residual(jseq.conv2d(4, 4, 1), shortcut=jseq.freeze(jseq.conv2d(4, 4, 1, bias=False))),
    }
)


def test_wrappers_add_nothing_to_names_and_combinators_their_childrens():
    params, state = trees(MIXED)
    assert shapes(jseq.torch_state_dict(MIXED, params, state)) == {
        "stem.0.bias": (4,), "stem.0.weight": (4, 3, 3, 3), "stem.1.bias": (4,), "stem.1.weight": (4,),
        "stem.1.num_batches_tracked": (), "stem.1.running_mean": (4,), "stem.1.running_var": (4,),
        "body.layer.bias": (4,), "body.layer.weight": (4, 4, 1, 1), "body.shortcut.weight": (4, 4, 1, 1),
    }  # fmt: skip


@pytest.mark.parametrize("copies", [jseq.repeat, jseq.ensemble])
def test_copies_have_numbers_stacked_or_not(copies):
    layer = jseq.sequential(jseq.linear(5, 5), jseq.batch_norm(5))
    model = copies(layer, 3)
    params, state = trees(model)
    entries = jseq.torch_state_dict(model, params, state)
    chain = jseq.sequential(*[layer] * 3)
    loose = jseq.unstack_params(params), jseq.unstack_params(state)
    chex.assert_trees_all_equal(entries, jseq.torch_state_dict(chain, *loose))
    chex.assert_trees_all_equal(jseq.load_torch_state_dict(model, entries), (params, state))
    chex.assert_trees_all_equal(jseq.load_torch_state_dict(chain, entries), loose)
    unstacked = jseq.repeat(layer, 3, stacked=False)
    chex.assert_trees_all_equal(entries, jseq.torch_state_dict(unstacked, *loose))


def test_copies_inside_copies_are_stacked_again():
    model = jseq.repeat(jseq.sequential(jseq.repeat(jseq.linear(4, 4), 2), jseq.tanh()), 3)
    params, _ = trees(model)
    entries = jseq.torch_state_dict(model, params)
    np.testing.assert_array_equal(entries["2.0.1.weight"], params[0]["weight"][2, 1].T)
    chex.assert_trees_all_equal(jseq.load_torch_state_dict(model, entries)[0], params)


def test_a_tied_leaf_stands_under_both_names_and_is_read_from_either():
    params, _ = trees(TIED)
    entries = jseq.torch_state_dict(TIED, params)
    np.testing.assert_array_equal(entries["embedding.weight"], entries["head.weight"])
    for dropped in ("embedding.weight", "head.weight", ""):
        left = {name: array for name, array in entries.items() if name != dropped}
        chex.assert_trees_all_equal(jseq.load_torch_state_dict(TIED, left)[0], params)


def test_tied_entries_that_differ_are_refused():
    entries = jseq.torch_state_dict(TIED, trees(TIED)[0])
    entries["head.weight"] = entries["head.weight"] + 1
    with pytest.raises(ParamsError, match=r"'head\.weight' differs from 'embedding\.weight', to which it is tied"):
        jseq.load_torch_state_dict(TIED, entries)


def test_norms_of_weights_have_torchs_names_and_are_read_under_older_ones_too():
    model = jseq.sequential(jseq.weight_norm(jseq.conv2d(4, 3, 3)), jseq.spectral_norm(jseq.conv2d(3, 2, 3)))
    params, state = trees(model)
    entries = jseq.torch_state_dict(model, params, state)
    assert shapes(entries) == {
        "0.bias": (3,),
        "0.parametrizations.weight.original0": (3, 1, 1, 1), "0.parametrizations.weight.original1": (3, 4, 3, 3),
        "1.bias": (2,), "1.parametrizations.weight.original": (2, 3, 3, 3),
        "1.parametrizations.weight.0._u": (2,), "1.parametrizations.weight.0._v": (27,),
    }  # fmt: skip
    older = {"0.parametrizations.weight.original0": "0.weight_g", "0.parametrizations.weight.original1": "0.weight_v",
             "1.parametrizations.weight.original": "1.weight_orig", "1.parametrizations.weight.0._u": "1.weight_u",
             "1.parametrizations.weight.0._v": "1.weight_v"}  # fmt: skip
    renamed = {older.get(name, name): array for name, array in entries.items()}
    for given in (entries, renamed):
        chex.assert_trees_all_equal(jseq.load_torch_state_dict(model, given), (params, state))


def test_floats_keep_their_dtype_and_counters_have_that_of_init():
    model = jseq.sequential(jseq.linear(3, 2), jseq.batch_norm(2))
    entries = jseq.torch_state_dict(model, *trees(model))
    entries["0.weight"] = entries["0.weight"].astype(jnp.bfloat16)
    entries["0.bias"] = entries["0.bias"].astype(np.float64)
    entries["1.num_batches_tracked"] = np.array(7, np.int64)
    for x64, bias in ((False, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(x64):
            params, state = jseq.load_torch_state_dict(model, entries)
            assert (params[0]["weight"].dtype, params[0]["bias"].dtype) == (jnp.bfloat16, bias)
            assert state[1]["num_batches_tracked"].dtype == jnp.int32 and state[1]["num_batches_tracked"] == 7


def test_arrays_of_any_kind_are_read():
    values = np.arange(3.0, dtype=np.float32)
    for array in (values, jnp.asarray(values), values[::-1][::-1], values.astype(">f4")):
        params, _ = jseq.load_torch_state_dict(jseq.scale(3), {"weight": array})
        np.testing.assert_array_equal(params["weight"], values)


def test_arrays_are_copies():
    model = jseq.sequential(jseq.scale(64), jseq.linear(64, 64))
    source = {name: np.array(array) for name, array in jseq.torch_state_dict(model, trees(model)[0]).items()}
    params, _ = jseq.load_torch_state_dict(model, source)
    for array in source.values():
        array.fill(-1)
    assert (params[0]["weight"] >= 0).all() and (params[1]["weight"] >= 0).all()
    jseq.torch_state_dict(model, params)["0.weight"].fill(-1)
    assert (params[0]["weight"] >= 0).all()


def test_sizes_that_are_inferred_come_from_x():
    model = jseq.sequential(jseq.linear(None, 4), jseq.linear(None, 2))
    x = jax.ShapeDtypeStruct((3, 5), jnp.float32)
    params, _ = trees(model, x)
    entries = jseq.torch_state_dict(model, params)
    chex.assert_trees_all_equal(jseq.load_torch_state_dict(model, entries, x)[0], params)
    with pytest.raises(LayerError) as caught:
        jseq.load_torch_state_dict(model, entries)
    assert "jseq.load_torch_state_dict(model, entries, x)" in str(caught.value.__notes__)


def test_a_safetensors_file_is_read_by_its_path(tmp_path):
    from safetensors.numpy import save_file

    params, state = trees(MIXED)
    save_file(jseq.torch_state_dict(MIXED, params, state), tmp_path / "model.safetensors")
    chex.assert_trees_all_equal(jseq.load_torch_state_dict(MIXED, tmp_path / "model.safetensors"), (params, state))


def test_everything_that_does_not_fit_is_in_one_error():
    model = jseq.sequential(jseq.linear(3, 2), jseq.batch_norm(2))
    entries = jseq.torch_state_dict(model, *trees(model))
    entries["0.weight"] = entries["0.weight"].T
    entries["1.num_batches_tracked"] = np.array(0.0)
    entries["0.bias"] = [0.0, 0.0]
    del entries["1.bias"]
    entries["2.bias"] = np.zeros(4)
    wanted = (
        "sequential(...): the state dict does not fit: 3 misshapen: '0.bias' expected an array, got a list of 2, "
        "'0.weight' expected (2, 3), got (3, 2), '1.num_batches_tracked' expected int32, got float64; "
        "1 missing: '1.bias' (2,); 1 unexpected: '2.bias' (4,). The names and shapes are torch's."
    )
    with pytest.raises(ParamsError, match=f"^{re.escape(wanted)}$"):
        jseq.load_torch_state_dict(model, entries)


def test_long_lists_are_shortened_and_a_prefix_too_much_is_named():
    model = jseq.sequential(*[jseq.linear(2, 2)] * 6)
    entries = jseq.torch_state_dict(model, trees(model)[0])
    with pytest.raises(ParamsError) as caught:
        jseq.load_torch_state_dict(model, {f"module.{name}": array for name, array in entries.items()})
    assert "12 missing: '0.bias' (2,), '0.weight' (2, 2), " in str(caught.value)
    assert "'3.weight' (2, 2), and 4 more; 12 unexpected: 'module.0.bias' (2,)" in str(caught.value)
    assert "begins with 'module.'. The call that works: {name.removeprefix('module.'): array" in str(caught.value)


@pytest.mark.parametrize(
    "model, words",
    [
        (jseq.packed(jseq.linear(4, 3)), "keeps its params in one array, .* jseq.unpack"),
        (jseq.quantized(jseq.linear(4, 3)), "keeps its weights in few bits, .* before jseq.quantize"),
        (jseq.streaming(jseq.gru(4, 3)), "keeps a cache"),
        (jseq.weight_norm(jseq.conv_transpose1d(4, 4, 3, groups=2)), "transposed convolution of several groups"),
    ],
)
def test_what_torch_has_no_names_for_is_refused_with_its_path(model, words):
    outer = jseq.sequential({"head": jseq.sequential(jseq.tanh(), model)})
    params, state = trees(outer, jnp.ones((2, 4, 4)))
    with pytest.raises(CallError, match=f'^{model.name}.* at "head.1": .*{words}'):
        jseq.torch_state_dict(outer, params, state)


@jseq.layer
def scaled(layer):
    """A wrapper of the user's own with a parameter of its own."""
    child = jseq.Children([layer]).children[0]

    def init(key, x):
        return {"inner": child.init(key, x)[0], "factor": jnp.ones(())}, ()

    def apply(params, state, x, key, train, context):
        y, _ = child.apply(params["inner"], (), x, key=key, train=train, context=context)
        return y * params["factor"], ()

    return init, apply, child.layer


def test_a_wrapper_that_makes_other_params_is_refused():
    model = jseq.sequential(scaled(jseq.linear(3, 2)))
    with pytest.raises(ParamsError, match='at "0": expected the params of the layer inside, bias, weight, got factor'):
        jseq.torch_state_dict(model, trees(model)[0])


def test_trees_of_another_model_are_refused():
    model = jseq.sequential(jseq.linear(3, 2), jseq.batch_norm(2))
    params, state = trees(model)
    with pytest.raises(ParamsError, match=r"params do not fit: missing '1\.bias'; missing '1\.weight'"):
        jseq.torch_state_dict(model, (params[0], ()), state)
    with pytest.raises(ParamsError, match=r"state do not fit: .*torch_state_dict\(model, params, state\)"):
        jseq.torch_state_dict(model, params, (state[1],))
    for given in (model, jseq.sequential(jseq.linear(None, 2), jseq.batch_norm(None))):
        with pytest.raises(ParamsError, match=r"keeps state, and none was given.*\(model, params, state\)"):
            jseq.torch_state_dict(given, params)
    with pytest.raises(ParamsError, match=r"a leading axis of 3, got \(2, 4, 4\)"):
        jseq.torch_state_dict(jseq.repeat(jseq.linear(None, 4), 3), {"weight": jnp.ones((2, 4, 4))})
    with pytest.raises(ParamsError, match="expected params to be a dict of base, lora, got bias, weight"):
        jseq.torch_state_dict(jseq.lora(jseq.linear(None, 2), 1), params[0])


def test_calls_that_cannot_work_are_refused():
    with pytest.raises(CallError, match=r"got list. The call that works: .*\(model, torch_state_dict\(model, params"):
        jseq.load_torch_state_dict(jseq.linear(3, 2), [])
    with pytest.raises(CallError, match="expected a jseq layer"):
        jseq.load_torch_state_dict({}, jseq.linear(3, 2))
    with pytest.raises(CallError, match="expected a jseq layer"):
        jseq.torch_state_dict(({},), jseq.linear(3, 2))
