"""Graphs: layers in steps, used as often as wanted, and what cannot be wired."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, OptionError, ShapeError

KEY = jax.random.key(0)
X = jnp.ones((3, 4))
FC = {"fc": jseq.linear(4, 4), "drop": jseq.dropout(0.5), "norm": jseq.batch_norm(4), "plus": jseq.add()}


def test_a_graph_of_a_chain_is_the_chain():
    layers = {"fc": jseq.linear(4, 4), "act": jseq.relu(), "head": jseq.linear(4, 2)}
    chain = jseq.sequential(layers)
    wired = jseq.graph(layers, {"a": ("fc", "x"), "b": ("act", "a"), "y": ("head", "b")})
    params = chain.init(KEY)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, wired.init(KEY)))
    np.testing.assert_array_equal(wired.apply(params, X), chain.apply(params, X))


def test_state_goes_through_all_uses_of_a_layer():
    model = jseq.graph(FC, {"a": ("norm", "x"), "y": ("norm", "a")})
    init, apply = jseq.with_state(model)
    params, state = init(KEY, X)
    assert apply(params, state, X, train=True)[1]["norm"]["num_batches_tracked"] == 2


def test_two_uses_of_a_dropout_draw_two_masks_and_another_step_changes_neither():
    uses = {"a": ("drop", "x"), "b": ("drop", "x")}
    layers = {"drop": jseq.dropout(0.5), "both": jseq.identity()}
    both = jseq.graph(layers, uses | {"y": ("both", "a", "b")})
    more = jseq.graph(layers, {"h": ("drop", "x")} | uses | {"y": ("both", "a", "b")})
    x, params = jnp.ones((20, 20)), both.init(KEY)
    a, b = both.apply(params, x, key=KEY, train=True)
    assert (a != b).any()
    for mine, theirs in zip((a, b), more.apply(params, x, key=KEY, train=True), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_sizes_are_inferred_where_a_layer_is_used():
    model = jseq.graph(
        {"blocks": jseq.parallel(jseq.linear(None, 3), jseq.linear(None, 2)), "join": jseq.concatenate()},
        {"a": ("blocks.0", "x"), "b": ("blocks.1", "a"), "y": ("join", "a", "b")},
    )
    params = model.init(KEY, X)
    assert params["blocks"][1]["weight"].shape == (3, 2) and model.apply(params, X).shape == (3, 5)


@pytest.mark.parametrize(
    ("layers", "steps", "error", "text"),
    [
        ((jseq.relu(),), {"y": ("0", "x")}, CallError, "expected layers by name, got"),
        (FC, {}, OptionError, "expected steps such as"),
        (FC, ("fc", "x"), OptionError, "expected steps such as"),
        (
            FC,
            {"y": ("fc",)},
            OptionError,
            r"expected step 'y' to be \(layer, \*inputs\), all of them names, got \('fc',",
        ),
        (FC, {"y": "fc"}, OptionError, "expected step 'y' to be"),
        (FC, {"y": ("fx", "x")}, OptionError, "no layer is called 'fx'. Did you mean 'fc'[?] There are: fc, drop"),
        (FC, {"y": ("fc.0", "x")}, OptionError, r"no layer is called 'fc.0': 'fc' is linear\(.*\), which has no child"),
        (FC, {"y": ("fc", "z")}, OptionError, "step 'y' reads 'z', which no step before it makes"),
        (FC, {"x": ("fc", "x")}, OptionError, "two values are called 'x'"),
    ],
)
def test_what_cannot_be_wired_is_refused(layers, steps, error, text):
    with pytest.raises(error, match=text):
        jseq.graph(layers, steps)


def test_errors_name_the_place_inside_a_bag_of_layers():
    model = jseq.graph({"blocks": jseq.parallel(jseq.linear(4, 3))}, {"y": ("blocks.0", "x")})
    with pytest.raises(ShapeError, match=r'linear\(.*\) at "blocks.0": expected x of shape \(..., 4\)'):
        model.apply(model.init(KEY), jnp.ones((2, 5)))


@pytest.mark.parametrize("wrong", [jseq.linear(2, 2), jseq.dropout(0.5), jseq.batch_norm(2), jseq.prelu()])
def test_only_functions_stand_around_an_adapted_layer(wrong):
    with pytest.raises(OptionError, match="expected after to be a function of one array, got"):
        jseq.adapt(jseq.relu(), None, wrong)
