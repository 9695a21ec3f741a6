"""Law 8: specs are values."""

import json
import pickle

import jax
import jax.numpy as jnp
import pytest

import jseq


def rebuilt(case):
    return eval(repr(case.layer), {"jseq": jseq, "jax": jax})


def test_repr_is_code_that_rebuilds(case):
    again = rebuilt(case)
    assert again == case.layer and hash(again) == hash(case.layer) and repr(again) == repr(case.layer)


def test_pickle_round_trips(case):
    assert pickle.loads(pickle.dumps(case.layer)) == case.layer


def test_json_round_trips(case):
    text = json.dumps(jseq.to_config(case.layer), allow_nan=False)
    assert jseq.from_config(json.loads(text)) == case.layer


def test_layers_do_not_change(case):
    with pytest.raises(AttributeError, match="do not change"):
        case.layer.arguments = {}
    with pytest.raises(AttributeError, match="do not change"):
        del case.layer.children


def test_a_rebuilt_model_does_not_retrace(case):
    traces = 0
    params, state, x = case.start()

    def counted(layer):
        return jax.jit(jseq.with_state(layer).apply, static_argnames="train")

    def note(x):
        nonlocal traces
        traces += 1
        return x

    first = counted(jseq.sequential(note, case.layer))
    second = counted(jseq.sequential(note, rebuilt(case)))
    for run in (first, first, second):
        run.trace(((), params), ((), state), x, key=jax.random.key(0), context=case.contexts())
    assert traces == 1


def test_equality_sees_every_argument():
    assert jseq.linear(64, 128) == jseq.linear(in_features=64, out_features=128, bias=True)
    assert jseq.linear(64, 128) != jseq.linear(64, 128, bias=False)
    assert jseq.linear(64, 128) != jseq.linear(64, 129)
    assert jseq.sequential(jseq.linear(1, 2)) != jseq.linear(1, 2)
    assert jseq.sequential({"a": jax.nn.relu, "b": jax.nn.tanh}) != jseq.sequential(
        {"b": jax.nn.tanh, "a": jax.nn.relu}
    )


def test_print_is_torchs_tree():
    model = jseq.sequential(jseq.linear(64, 128), jseq.relu(), jseq.linear(128, 64), jseq.relu())
    assert str(model) == (
        "sequential(\n"
        "  (0): linear(in_features=64, out_features=128, bias=True)\n"
        "  (1): relu()\n"
        "  (2): linear(in_features=128, out_features=64, bias=True)\n"
        "  (3): relu()\n"
        ")"
    )


def test_runs_of_equal_children_print_once():
    model = jseq.sequential(
        jseq.linear(8, 8), *[jseq.relu()] * 3, jseq.sequential({"a": jax.nn.tanh, "b": jax.nn.tanh})
    )
    assert str(model) == (
        "sequential(\n"
        "  (0): linear(in_features=8, out_features=8, bias=True)\n"
        "  (1-3): 3 x relu()\n"
        "  (4): sequential(\n"
        "    (a): jax.nn.tanh\n"
        "    (b): jax.nn.tanh\n"
        "  )\n"
        ")"
    )


def test_keyword_only_arguments_print_only_when_set():
    init = jax.nn.initializers.zeros
    assert str(jseq.linear(2, 3, weight_init=init)) == (
        "linear(in_features=2, out_features=3, bias=True, weight_init=jax.nn.initializers.zeros)"
    )


@jseq.layer
def doubled(times: int = 2):
    def apply(params, x):
        return x * times

    return jseq.no_params, apply


def test_a_users_layer_round_trips():
    model = jseq.sequential(doubled(3), jseq.linear(2, 2))
    assert repr(model) == "jseq.sequential(doubled(times=3), jseq.linear(2, 2))"
    assert pickle.loads(pickle.dumps(model)) == model
    assert jseq.from_config(json.loads(json.dumps(jseq.to_config(model)))) == model


def test_an_unknown_layer_is_not_imported():
    config = {"layer": "os.system", "arguments": {"command": "true"}}
    with pytest.raises(jseq.errors.CallError, match=r"no layer is called 'os.system'.*import"):
        jseq.from_config(config)


def test_a_lambda_cannot_be_written_and_the_error_says_what_to_use():
    with pytest.raises(jseq.errors.CallError, match=r"lambda.*@jseq\.layer"):
        jseq.to_config(jseq.sequential(lambda x: x + 1))


@pytest.mark.parametrize(
    "config", [3, {}, {"layer": "jseq.linear"}, {"layer": "jseq.linear", "arguments": {"size": 3}}]
)
def test_a_damaged_config_is_an_error(config):
    with pytest.raises(jseq.errors.LayerError):
        jseq.from_config(config)


def test_arrays_are_no_arguments():
    with pytest.raises(jseq.errors.OptionError, match="arrays belong in params"):
        doubled(jnp.ones(3))


def test_dtypes_lists_and_numpy_numbers_become_values():
    import numpy as np

    assert doubled(np.int64(3)) == doubled(3)
    assert doubled([1, 2]) == doubled((1, 2))
    assert doubled(jnp.bfloat16) == doubled("bfloat16") == doubled(np.dtype("bfloat16"))
