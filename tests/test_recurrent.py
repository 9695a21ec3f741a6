"""The state of recurrent layers: given, returned, and carried from one piece of a sequence to the next."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (3, 8, 4))
STACKS = [
    jseq.rnn(4, 5, 2, return_state=True),
    jseq.lstm(4, 5, 2, return_state=True),
    jseq.lstm(4, 5, 3, proj_size=2, return_state=True),
    jseq.gru(4, 5, 2, return_state=True),
]
named = pytest.mark.parametrize("layer", STACKS, ids=str)


@named
def test_a_sequence_in_two_pieces_equals_the_whole(layer):
    params = layer.init(KEY)
    whole, last = layer.apply(params, X)
    first, state = layer.apply(params, X[:, :3])
    second, end = layer.apply(params, X[:, 3:], context={"initial_state": state})
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), end, last)


@named
def test_lengths_cut_a_sequence_as_slicing_does(layer):
    params = layer.init(KEY)
    y, state = layer.apply(params, X, context={"lengths": jnp.array([8, 3, 0])})
    short, end = layer.apply(params, X[1, :3])
    np.testing.assert_allclose(y[1, :3], short, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5, atol=1e-6), state, end)
    assert (y[1, 3:] == 0).all() and (y[2] == 0).all()
    assert all((a[2] == 0).all() for a in jax.tree.leaves(state))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_layer_is_its_cell_step_by_step(name):
    layer, cell = getattr(jseq, name)(4, 5, return_state=True), getattr(jseq, f"{name}_cell")(4, 5)
    params = layer.init(KEY)
    own = {path.removesuffix("_l0"): value for path, value in params.items()}
    state = cell.apply(own, X[:, 0])
    for t in range(1, X.shape[1]):
        state = cell.apply(own, (X[:, t], state))
    last = layer.apply(params, X)[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[:, 0], b, rtol=1e-5, atol=1e-6), last, state)


def test_a_bidirectional_lstm_starts_each_direction_from_its_own_state():
    layer = jseq.lstm(4, 5, bidirectional=True)
    params = layer.init(KEY)
    h, c = jax.random.normal(KEY, (2, 3, 2, 5))
    y = layer.apply(params, X, context={"initial_state": (h, c)})
    for d, (suffix, x) in enumerate([("", X), ("_reverse", X[:, ::-1])]):
        own = {f"{k}_l0": params[f"{k}_l0{suffix}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        state = (h[:, d : d + 1], c[:, d : d + 1])
        one = jseq.lstm(4, 5).apply(own, x, context={"initial_state": state})
        np.testing.assert_allclose(y[..., 5 * d : 5 * d + 5], one[:, ::-1] if d else one, rtol=1e-5, atol=1e-6)


def test_dropout_stands_between_layers_alone():
    layer = jseq.gru(4, 64, 2, dropout=0.5)
    params = layer.init(KEY)
    y = layer.apply(params, X, key=KEY, train=True)
    assert (y != 0).all() and (y != layer.apply(params, X)).any()
    assert not jseq.gru(4, 64, dropout=0.5).uses_key
