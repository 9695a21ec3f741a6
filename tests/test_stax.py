"""Pairs of stax as layers: stax's own params and numbers, and the laws that closures can obey."""

import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

import jseq
from tests import test_dtypes, test_pair
from tests.case import Case, floats

KEY = jax.random.key(0)
SHAPE = (-1, 8, 8, 1)


def convolutional(mode):
    branches = stax.parallel(stax.Identity, stax.serial(stax.Conv(4, (1, 1)), stax.Relu))
    return stax.serial(
        stax.Conv(4, (3, 3), padding="SAME"), stax.BatchNorm(), stax.Relu, stax.AvgPool((2, 2), (2, 2)),
        stax.MaxPool((2, 2), (2, 2)), stax.FanOut(2), branches, stax.FanInSum, stax.Flatten,
        stax.Dropout(0.5, mode), stax.Dense(10), stax.LogSoftmax,
    )  # fmt: skip


TEST, TRAIN = convolutional("test"), convolutional("train")
DENSE = stax.serial(stax.Dense(7), stax.Tanh, stax.Dense(3))
CONVOLUTIONAL = jseq.from_stax(TEST, SHAPE, TRAIN)
OF_LAYERS = Case(CONVOLUTIONAL, floats(5, 8, 8, 1), batched=False)
OF_DENSE = Case(jseq.from_stax(DENSE, (-1, 4)), floats(5, 4))
LAWS = [
    (test_pair.test_jit_equals_eager, OF_DENSE),  # operation by operation, a network of all layers takes seconds
    (test_pair.test_vmap_equals_the_batched_call, OF_DENSE),
    (test_pair.test_an_empty_batch_gives_an_empty_batch, OF_DENSE),
    (test_pair.test_init_runs_under_jit_and_eval_shape_and_needs_only_shapes, OF_LAYERS),
    (test_pair.test_no_tracer_leaks, OF_LAYERS),
    (test_dtypes.test_output_dtype_is_input_dtype, OF_LAYERS),
    (test_dtypes.test_float64_stays_float64, OF_DENSE),
]


@pytest.fixture(autouse=True)
def stax_adds_biases_by_broadcasting():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize(("law", "of_stax"), LAWS, ids=[law.__name__ for law, _ in LAWS])
def test_it_obeys(law, of_stax):
    law(of_stax)


def test_params_and_numbers_are_those_of_stax():
    init_fun, apply_fun = TEST
    params = CONVOLUTIONAL.init(KEY)
    chex.assert_trees_all_equal(params, init_fun(KEY, SHAPE)[1])
    x = jax.random.normal(KEY, (5, 8, 8, 1))
    np.testing.assert_array_equal(CONVOLUTIONAL.apply(params, x), apply_fun(params, x, rng=KEY))


def test_training_applies_the_other_pair_with_the_key():
    params, x = CONVOLUTIONAL.init(KEY), jax.random.normal(KEY, (5, 8, 8, 1))
    y = CONVOLUTIONAL.apply(params, x, key=jax.random.key(3), train=True)
    np.testing.assert_array_equal(y, TRAIN[1](params, x, rng=jax.random.key(3)))
    assert not np.array_equal(y, CONVOLUTIONAL.apply(params, x))


def test_it_trains_inside_a_sequential():
    model = jseq.sequential(jseq.from_stax(TEST, None, TRAIN), jseq.dropout(0.1), jseq.linear(10, 1))
    x = jax.random.normal(KEY, (16, 8, 8, 1))
    target = x.mean((1, 2))
    params = model.init(KEY, x)

    @jax.jit
    def step(params, key):
        loss, gradient = jax.value_and_grad(
            lambda params: jnp.mean((model.apply(params, x, key=key, train=True) - target) ** 2)
        )(params)
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), loss

    losses = []
    for key in jax.random.split(KEY, 30):
        params, loss = step(params, key)
        losses.append(loss)
    assert losses[-1] < losses[0] / 2


def test_several_inputs_and_outputs_are_tuples():
    both = jseq.from_stax(stax.parallel(stax.Dense(3), stax.Dense(4)), ((-1, 2), (-1, 5)))
    params = both.init(KEY)
    y = both.apply(params, (jnp.ones((6, 2)), jnp.ones((6, 5))))
    assert isinstance(y, tuple) and [part.shape for part in y] == [(6, 3), (6, 4)]
    for x in (jnp.ones((6, 2)), (jnp.ones((6, 2)),), (jnp.ones((6, 2)), jnp.ones((6, 4)))):
        with pytest.raises(jseq.errors.ShapeError, match="sizes of input_shape"):
            both.apply(params, x)


def test_apply_functions_without_rng_are_taken():
    pair = (lambda rng, shape: (shape, jnp.ones(shape[-1])), lambda params, x: params * x)
    layer = jseq.from_stax(pair, (3,))
    np.testing.assert_array_equal(layer.apply(layer.init(KEY), jnp.ones(3), key=KEY, train=True), jnp.ones(3))


def test_the_same_functions_make_equal_layers():
    assert jseq.from_stax(DENSE, (-1, 4)) == jseq.from_stax(list(DENSE), [-1, 4])
    assert hash(jseq.from_stax(DENSE, (-1, 4))) == hash(jseq.from_stax(DENSE, (-1, 4)))
    assert jseq.from_stax(DENSE, (-1, 4)) != jseq.from_stax(DENSE, (-1, 5))
    assert jseq.from_stax(stax.Dense(3), (-1, 4)) != jseq.from_stax(stax.Dense(3), (-1, 4))  # other closures


def test_what_closures_cannot_do_is_said():
    with pytest.raises(jseq.errors.CallError, match=r"init_fun.*from_stax\.pair.*no name that a file can hold"):
        jseq.to_config(CONVOLUTIONAL)
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        pickle.dumps(CONVOLUTIONAL)


def test_sizes_that_do_not_fit_are_named():
    layer = jseq.from_stax(DENSE, (-1, 4))
    with pytest.raises(jseq.errors.ShapeError, match=r"input_shape=\(-1, 4\), got float32\[2,5\]"):
        layer.apply(layer.init(KEY), jnp.ones((2, 5)))
    with pytest.raises(jseq.errors.ShapeError, match=r"The call that works: model\.init\(key, x\)"):
        jseq.from_stax(DENSE).init(KEY)


@pytest.mark.parametrize("pair", [stax.Dense, stax.serial, DENSE[0], (DENSE[0],), (1, 2), (*DENSE, DENSE[1])])
def test_what_is_no_pair_is_refused(pair):
    with pytest.raises(jseq.errors.OptionError, match=r"expected pair to be \(init_fun, apply_fun\)"):
        jseq.from_stax(pair, (-1, 4))


def test_dropout_in_evaluation_needs_the_pair_of_mode_test():
    layer = jseq.from_stax(stax.Dropout(0.5), (-1, 4))
    with pytest.raises(ValueError, match="PRNG key"):
        layer.apply((), jnp.ones((2, 4)))
    layer = jseq.from_stax(stax.Dropout(0.5, "test"), (-1, 4), stax.Dropout(0.5))
    np.testing.assert_array_equal(layer.apply((), jnp.ones((2, 4))), jnp.ones((2, 4)))
