"""The chain: indexing, slicing, adding, names, and what it refuses. Laws 4, 10, 11, 12 on the way."""

import chex
import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jseq
from jseq.errors import CallError, ParamsError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 12).reshape(3, 4)
CHAIN = jseq.sequential(jseq.linear(4, 8), jseq.relu(), jseq.linear(8, 6), jseq.tanh(), jseq.linear(6, 2))
NAMED = jseq.sequential({"fc1": jseq.linear(4, 8), "act": jseq.relu(), "fc2": jseq.linear(8, 2)})


def test_params_are_plain_containers():
    params = CHAIN.init(KEY)
    assert [type(entry) for entry in params] == [dict, tuple, dict, tuple, dict]
    assert type(params) is tuple and type(NAMED.init(KEY)) is dict
    assert list(NAMED.init(KEY)) == ["fc1", "act", "fc2"]
    paths = {jax.tree_util.keystr(p, simple=True, separator=".") for p, _ in jax.tree.leaves_with_path(params)}
    assert paths == {f"{i}.{name}" for i in (0, 2, 4) for name in ("weight", "bias")}


@pytest.mark.parametrize("cut", [slice(0, 2), slice(2, None), slice(None), slice(1, 4), slice(-2, None), slice(0, 0)])
def test_a_slice_of_the_model_takes_the_same_slice_of_the_params(cut):
    params = CHAIN.init(KEY)
    start = CHAIN[: cut.indices(5)[0]]
    x = start.apply(params[: cut.indices(5)[0]], X)
    y = x
    for layer, p in list(zip(CHAIN.children, params, strict=True))[cut]:
        y = layer.apply(p, y)
    chex.assert_trees_all_equal(CHAIN[cut].apply(params[cut], x), y)


def test_adding_models_adds_their_params():
    a, b = CHAIN[:2], CHAIN[2:]
    params = CHAIN.init(KEY)
    assert a + b == CHAIN
    chex.assert_trees_all_equal((a + b).apply(params[:2] + params[2:], X), CHAIN.apply(params, X))


def test_named_models_add_and_index_by_name():
    head = jseq.sequential({"out": jseq.linear(2, 1)})
    both = NAMED + head
    params = NAMED.init(KEY) | head.init(KEY)
    assert list(both.children) == ["fc1", "act", "fc2", "out"] and both.apply(params, X).shape == (3, 1)
    assert both["fc1"] == both[0] == jseq.linear(4, 8) and both[-1] == jseq.linear(2, 1)
    assert both[1:3] == jseq.sequential({"act": jseq.relu(), "fc2": jseq.linear(8, 2)})
    assert jseq.sequential() + NAMED == NAMED and NAMED + jseq.sequential() == NAMED


def test_a_slice_keeps_functions_as_they_were_given():
    model = jseq.sequential(jseq.linear(4, 4), jax.nn.relu)
    assert model[:] == model and model[1] == jseq.lift(jax.nn.relu)


def test_children_are_the_layers():
    assert CHAIN.children[1] == jseq.relu() and jseq.relu().children == ()
    assert jseq.sequential().children == ()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: CHAIN[7], "has no child 7; it has 5"),
        (lambda: CHAIN["fc1"], "has no child 'fc1'; it has 5"),
        (lambda: NAMED["fc3"], "has no child 'fc3'. Did you mean 'fc2'? Its children: fc1, act, fc2."),
        (lambda: NAMED[3], "has no child 3"),
        (lambda: jseq.relu()[0], r"relu\(\): has no children"),
        (lambda: NAMED + NAMED, "both have a child named act, fc1, fc2"),
        (lambda: CHAIN + NAMED, "name all or none"),
        (lambda: CHAIN + jseq.relu(), r"adds to another sequential, got relu\(\)"),
        (lambda: CHAIN + 1, "adds to another sequential, got 1"),
        (lambda: jseq.relu() + jseq.relu(), "cannot be sliced or added"),
        (lambda: jseq.sequential({"a.b": jseq.relu()}), "without '.'"),
        (lambda: jseq.sequential({"": jseq.relu()}), "without '.'"),
        (lambda: jseq.sequential({1: jseq.relu()}), "is a string"),
        (lambda: jseq.sequential(3), "expected a layer or a function of one array, got int 3"),
        (lambda: jseq.sequential(jax.Array), "expected a layer or a function of one array"),
        (lambda: jseq.sequential(NAMED, {"a": jseq.relu()}), "expected a layer or a function"),
    ],
)
def test_what_cannot_be_is_refused(wrong, text):
    with pytest.raises(CallError, match=text.replace("?", "[?]")):
        wrong()


@pytest.mark.parametrize(
    ("model", "params", "text"),
    [
        (CHAIN, (), "a tuple of 5, one for each child, got a tuple of 0"),
        (CHAIN, list(CHAIN.init(KEY)), "got a list of 5"),
        (CHAIN, (*CHAIN.init(KEY), {}), "got a tuple of 6"),
        (CHAIN, NAMED.init(KEY), "got a dict of fc1, act, fc2"),
        (NAMED, {"fc1": (), "act": ()}, "missing: fc2"),
        (NAMED, NAMED.init(KEY) | {"fc9": ()}, "unexpected: fc9"),
        (NAMED, CHAIN.init(KEY), "a dict of fc1, act, fc2, got a tuple of 5"),
        (CHAIN, (*CHAIN.init(KEY)[:1], {"slope": 1.0}, *CHAIN.init(KEY)[2:]), r'relu\(\) at "1": params do not fit'),
    ],
)
def test_params_of_another_model_are_refused(model, params, text):
    with pytest.raises(ParamsError, match=text):
        model.apply(params, X)


def test_wrong_state_is_refused():
    model = jseq.sequential(jseq.linear(4, 4), jseq.batch_norm(4))
    init, apply = jseq.with_state(model)
    params, state = init(KEY)
    with pytest.raises(ParamsError, match="expected state to be a tuple of 2, one for each child, got a tuple of 1"):
        apply(params, state[:1], X)
    with pytest.raises(ParamsError, match=r'batch_norm.* at "1": state do not fit.*missing .running_var.'):
        apply(params, ((), {"running_mean": jnp.zeros(4), "num_batches_tracked": jnp.zeros((), jnp.int32)}), X)


ACTIVATIONS = st.sampled_from([jseq.relu(), jseq.tanh(), jax.nn.sigmoid, jseq.linear(4, 4), jseq.layer_norm(4)])


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTIVATIONS, max_size=5), st.integers(0, 5))
def test_nesting_anywhere_changes_nothing_on_the_same_params(layers, cut):
    flat = jseq.sequential(*layers)
    nested = jseq.sequential(jseq.sequential(*layers[:cut]), jseq.sequential(*layers[cut:]))
    params = flat.init(KEY, X)
    chex.assert_trees_all_equal(nested.apply((params[:cut], params[cut:]), X), flat.apply(params, X))
    chex.assert_trees_all_equal(jseq.sequential(flat, jseq.sequential()).apply((params, ()), X), flat.apply(params, X))


def test_the_empty_chain_is_the_identity():
    assert jseq.sequential().init(KEY) == ()
    chex.assert_trees_all_equal(jseq.sequential().apply((), X), X)


def test_sizes_are_inferred_along_the_chain():
    model = jseq.sequential(jseq.conv2d(None, 4, 3), jseq.max_pool2d(2), jseq.flatten(), jseq.linear(None, 5))
    params = model.init(KEY, jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32))
    assert params[0]["weight"].shape == (3, 3, 3, 4) and params[3]["weight"].shape == (36, 5)


def test_operations_carry_their_path_in_compiled_code():
    model = jseq.sequential({"encoder": jseq.sequential(jseq.relu(), jseq.linear(4, 4)), "head": jseq.linear(4, 2)})
    text = jax.jit(model.apply).lower(model.init(KEY), X).compile().as_text()
    assert "encoder/1.linear/dot_general" in text and "head/dot_general" in text


@jseq.layer(context=("gain",))
def gained():
    def apply(params, x, context):
        return x * context.get("gain", 1.0)

    return jseq.no_params, apply


def test_the_main_child_gets_the_key_as_it_is():
    drop = jseq.dropout(0.5)
    block = jseq.residual(drop)
    x = jnp.ones((4, 8))
    y = block.apply(block.init(KEY), x, key=KEY, train=True)
    chex.assert_trees_all_equal(y, x + drop.apply((), x, key=KEY, train=True))
    with pytest.raises(CallError, match=r"the name of a child \(layer\), got 'base'"):
        jseq.Children({"layer": drop}, main="base")


def test_equal_layers_are_traced_once_and_keep_their_own_paths():
    traces = []

    @jseq.layer(context=("shift",))
    def noted(size):
        def apply(params, x, train, context):
            traces.append(train)
            return x * params["weight"][None] + context["shift"][None]

        return lambda key, x: {"weight": jax.random.normal(key, (size,))}, apply

    model = jseq.sequential(*[noted(4)] * 4, jseq.relu(), noted(4))
    params, context = model.init(KEY), {"shift": jnp.ones(4)}
    traces.clear()
    gradient = jax.jit(jax.grad(lambda params, x: model.apply(params, x, context=context).sum()))
    compiled = gradient.lower(params, X).compile()
    assert traces == [False]
    for number in (0, 1, 2, 3, 5):
        assert f"({number}.noted)" in compiled.as_text()

    def by_hand(params, x):
        for p in params:
            x = x * p["weight"][None] + 1 if p else jnp.maximum(x, 0)
        return x.sum()

    chex.assert_trees_all_close(compiled(params, X), jax.grad(by_hand)(params, X), rtol=1e-6)


def test_context_reaches_every_layer_that_reads_it():
    model = jseq.sequential(jseq.relu(), jseq.sequential({"inner": gained()}))
    params = model.init(KEY)
    assert model.reads == {"gain"}
    chex.assert_trees_all_equal(model.apply(params, X, context={"gain": jnp.float32(2)}), jax.nn.relu(X) * 2)
    chex.assert_trees_all_equal(model.apply(params, X), jax.nn.relu(X))
    with pytest.raises(CallError, match=r"no layer reads 'gian' from context\. Did you mean 'gain'"):
        model.apply(params, X, context={"gian": 2.0})
    with pytest.raises(CallError, match="context is a dict"):
        model.apply(params, X, context=X)


def test_a_layer_gets_only_what_it_declares():
    with pytest.raises(CallError, match="names what it reads"):

        @jseq.layer
        def undeclared():
            def apply(params, x, context):
                return x

            return jseq.no_params, apply

        undeclared()


def test_a_body_that_returns_no_pair_is_refused():
    @jseq.layer
    def broken():
        return jseq.no_params

    with pytest.raises(CallError, match=r"the body of broken must return \(init, apply\)"):
        broken()


def test_decorated_apply_may_take_keywords_only():
    model = jseq.sequential(jseq.dropout(0.5))
    y = model.apply(params=((),), x=X, key=KEY, train=True)
    chex.assert_shape(y, X.shape)
