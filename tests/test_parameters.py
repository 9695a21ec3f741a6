"""Ensembles, frozen, parametrized, tied, adapted and packed params: what they compute, and what they refuse."""

import importlib.util

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import CallError, OptionError, ParamsError, ShapeError

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 20).reshape(4, 5)
CHAIN = jseq.sequential(jseq.linear(5, 6), jseq.tanh(), jseq.linear(6, 3))
LANGUAGE = jseq.sequential(jseq.embedding(7, 5), jseq.tanh(), jseq.linear(5, 7, bias=False))
live = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


def loss(model, x=X):
    return lambda params: jnp.sum(jnp.sin(model.apply(params, x)))


def test_members_are_those_of_a_branch_of_copies():
    member = jseq.sequential(jseq.linear(5, 4), jseq.dropout(0.5))
    model, branch = jseq.ensemble(member, 3), jseq.branch(*[member] * 3)
    params, singles = model.init(KEY), branch.init(KEY)
    chex.assert_trees_all_close(params, jseq.stack_params(singles), rtol=1e-6)
    y = model.apply(params, X, key=KEY, train=True)
    chex.assert_trees_all_close(tuple(y), branch.apply(singles, X, key=KEY, train=True), rtol=1e-5, atol=1e-6)
    assert len({str(np.asarray(one) == 0) for one in y}) == 3


def test_each_member_has_its_own_input_and_statistics():
    init, apply = jseq.with_state(jseq.ensemble(jseq.batch_norm(5), 3, shared=False))
    x = jax.random.normal(KEY, (3, 8, 5)) + jnp.arange(3.0).reshape(3, 1, 1)
    params, state = init(KEY, x)
    _, new = apply(params, state, x, train=True)
    np.testing.assert_allclose(new["running_mean"], 0.1 * x.mean(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ShapeError, match=r"leading axis of 3, one entry for each member, got float32\[4,5\]"):
        apply(params, state, X)


def test_an_ensemble_infers_sizes_from_one_members_input():
    model = jseq.ensemble(jseq.linear(None, 2), 3, shared=False)
    assert model.init(KEY, jnp.ones((3, 8, 7)))["weight"].shape == (3, 7, 2)
    with pytest.raises(ParamsError, match="leading axis of 3"):
        model.apply(jseq.linear(5, 2).init(KEY), jnp.ones((3, 8, 5)))
    with pytest.raises(OptionError, match="n must be a whole number of at least 1"):
        jseq.ensemble(jseq.linear(5, 2), 0)


def test_each_example_has_its_own_key():
    model = jseq.over_batch(jseq.dropout(0.5))
    y = model.apply((), jnp.ones((2, 64)), key=KEY, train=True)
    assert (y[0] != y[1]).any()
    alone = jseq.dropout(0.5).apply((), jnp.ones(64), key=jax.random.fold_in(KEY, 1), train=True)
    chex.assert_trees_all_equal(y[1], alone)


def test_over_batch_refuses_state_and_inputs_without_a_batch():
    with pytest.raises(OptionError, match=r"over_batch: expected a layer that keeps no state, got batch_norm"):
        jseq.over_batch(jseq.batch_norm(3))
    with pytest.raises(ShapeError, match="one leading axis"):
        jseq.over_batch(jseq.relu()).apply((), jnp.float32(1))
    assert jseq.over_batch(jseq.dropout(0.5)).apply((), jnp.ones((0, 3)), key=KEY, train=True).shape == (0, 3)


def test_a_frozen_layer_passes_gradients_to_x_and_none_to_its_params():
    model = jseq.sequential(jseq.linear(5, 5), jseq.freeze(jseq.linear(5, 3)))
    free = jseq.sequential(jseq.linear(5, 5), jseq.linear(5, 3))
    params = free.init(KEY)
    frozen, full = jax.grad(loss(model))(params), jax.grad(loss(free))(params)
    chex.assert_trees_all_equal(frozen[0], full[0])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(frozen[1])) and (full[1]["weight"] != 0).any()


def test_a_frozen_layer_has_the_initial_values_of_the_layer():
    chex.assert_trees_all_equal(jseq.freeze(CHAIN).init(KEY), CHAIN.init(KEY))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: jseq.parametrize(CHAIN, "0.wieght", jax.nn.relu), "'0.wieght'. Did you mean '0.weight'? There are: "
         "0.bias, 0.weight, 2.bias, 2.weight"),
        (lambda: jseq.parametrize(CHAIN, (), jax.nn.relu), 'expected select to be a path such as "0.weight"'),
        (lambda: jseq.parametrize(CHAIN, 3, jax.nn.relu), "expected select to be a path"),
        (lambda: jseq.parametrize(CHAIN, "0.weight", jseq.dropout(0.5)), "expected fn to be a function of one array"),
        (lambda: jseq.parametrize(CHAIN, "0.weight", jseq.linear(5, 5)), "got linear(in_features=5"),
        (lambda: jseq.weight_norm(CHAIN, "weight"), "no parameter is called 'weight'. Did you mean"),
        (lambda: jseq.weight_norm(jseq.linear(5, 3), dim=2).init(KEY), "dim=2 is no axis of a weight of shape (5, 3)"),
        (lambda: jseq.spectral_norm(CHAIN, "1.weight"), "no parameter is called '1.weight'. Did you mean"),
        (lambda: jseq.spectral_norm(CHAIN, "0.weight", 0), "n_power_iterations must be a whole number"),
        (lambda: jseq.spectral_norm(CHAIN, "0.weight", eps=0.0), "expected eps above 0, got 0.0"),
        (lambda: jseq.lora(CHAIN, 0), "rank must be a whole number of at least 1, got 0"),
        (lambda: jseq.lora(CHAIN, 2, select="**/wight"), "no weight of two axes matches '**/wight'. There are: "
         "0.weight, 2.weight"),
        (lambda: jseq.lora(CHAIN, 2, select="2.weigt"), "no parameter is called '2.weigt'. Did you mean '2.weight'?"),
        (lambda: jseq.lora(CHAIN, 2, select="0.bias"), "expected weights of two axes, got float32[6] at '0.bias'"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "3.weight"), "'3.weight'. Did you mean"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "0.weight"), "expected two places to tie, got '0.weight' twice"),
        (lambda: jseq.tie(LANGUAGE, "0.weight", "2.weight"), "got float32[7,5] at '0.weight' and float32[5,7] at "
         "'2.weight'. Call it with transpose=True."),
        (lambda: jseq.tie(CHAIN, "0.bias", "2.bias", transpose=True), "transpose needs two axes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_named(wrong, text):
    with pytest.raises(OptionError) as caught:
        wrong()
    assert text in str(caught.value)


def test_a_path_in_a_model_of_inferred_sizes_is_refused_at_init():
    model = jseq.parametrize(jseq.linear(None, 3), "wieght", jax.nn.relu)
    with pytest.raises(OptionError, match="Did you mean 'weight'"):
        model.init(KEY, X)
    with pytest.raises(ShapeError, match=r"expected fn to keep the shape, got float32\[15\] of float32\[5,3\]"):
        jseq.parametrize(jseq.linear(5, 3), "weight", jnp.ravel).init(KEY)


def test_errors_inside_a_parametrized_layer_name_the_place():
    with pytest.raises(ShapeError, match=r'^linear\(in_features=6.*at "2": expected x of shape \(..., 6\)'):
        jseq.parametrize(jseq.sequential(jseq.tanh(), jseq.tanh(), jseq.linear(6, 3)), "2.weight", jnp.tanh).init(
            KEY, X
        )


def test_weight_norm_starts_as_the_layer_itself():
    model, params = jseq.weight_norm(jseq.linear(5, 3)), jseq.linear(5, 3).init(KEY)
    split = model.init(KEY)
    chex.assert_trees_all_close(model.apply(split, X), jseq.linear(5, 3).apply(params, X), rtol=1e-5, atol=1e-6)
    longer = {**split, "weight_v": 3 * split["weight_v"]}
    chex.assert_trees_all_close(model.apply(longer, X), model.apply(split, X), rtol=1e-5, atol=1e-6)
    with pytest.raises(ParamsError, match=r"weight_g: expected float32\[1,3\], got float32\[3\]"):
        model.apply({**split, "weight_g": jnp.ones(3)}, X)
    with pytest.raises(ParamsError, match="no parameter is called 'weight_g'"):
        model.apply(params, X)


def numpy_spectral(weight, u, v, steps):
    for _ in range(steps):
        u = weight.T @ v
        u /= np.linalg.norm(u)
        v = weight @ u
        v /= np.linalg.norm(v)
    return weight / (u @ weight.T @ v), u, v


def test_spectral_norm_is_power_iteration_in_training_and_fixed_in_evaluation():
    init, apply = jseq.with_state(jseq.spectral_norm(jseq.linear(5, 3), n_power_iterations=2))
    params, state = init(KEY)
    weight = np.asarray(params["layer"]["weight"], np.float64)
    for train in (True, False, True):
        u, v = (np.asarray(state["spectral"][name], np.float64) for name in "uv")
        y, state = apply(params, state, X, train=train)
        scaled, u, v = numpy_spectral(weight, u, v, 2 * train)
        np.testing.assert_allclose(
            y, np.asarray(X) @ scaled + np.asarray(params["layer"]["bias"]), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(state["spectral"]["u"], u, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state["spectral"]["v"], v, rtol=1e-4, atol=1e-5)


def test_spectral_norm_starts_near_the_largest_singular_value_and_reaches_it():
    init, apply = jseq.with_state(jseq.power_iteration(200))
    weight = jax.random.normal(KEY, (6, 4))
    y, _ = apply(*init(KEY, weight), weight, train=True)
    assert np.linalg.norm(y, 2) == pytest.approx(1, rel=1e-5)
    params, state = jseq.with_state(jseq.spectral_norm(jseq.linear(40, 30))).init(KEY)
    u, v = state["spectral"]["u"], state["spectral"]["v"]
    sigma = float(u @ params["layer"]["weight"].T @ v)
    assert sigma == pytest.approx(np.linalg.norm(params["layer"]["weight"], 2), rel=0.1)
    with pytest.raises(ShapeError, match="two axes or more"):
        jseq.with_state(jseq.spectral_norm(jseq.linear(5, 3), "bias")).init(KEY)
    with pytest.raises(CallError, match=r'power_iteration.* at "spectral" keeps state'):
        jseq.spectral_norm(jseq.linear(5, 3)).init(KEY)


LAYERS = {
    "linear": (jseq.linear(5, 3), "nn.Linear(5, 3)", (6, 5), lambda w: w.T),
    "conv2d": (jseq.conv2d(4, 3, 3), "nn.Conv2d(4, 3, 3)", (2, 7, 6, 4), lambda w: np.transpose(w, (2, 3, 1, 0))),
}


def torch_side(kind, wrap):
    """A torch module in float64 with the wrapper around it, the same x on both sides, and the way of its weights."""
    import torch

    layer, source, shape, move = LAYERS[kind]
    torch.manual_seed(0)
    module = wrap(eval(source, {"nn": torch.nn}).double())
    x = np.random.RandomState(0).standard_normal(shape)
    channels_first = np.moveaxis(x, -1, 1) if kind == "conv2d" else x
    return layer, module, x, torch.from_numpy(np.ascontiguousarray(channels_first)), move


def last(y):
    y = y.detach().numpy()
    return np.moveaxis(y, 1, -1) if y.ndim == 4 else y


@live
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dim", [0, None])
def test_weight_norm_has_torchs_values_and_gradients(kind, dim):
    import torch

    wrap = lambda m: torch.nn.utils.parametrizations.weight_norm(m, dim=dim)  # noqa: E731
    layer, module, x, theirs, move = torch_side(kind, wrap)
    g, v = module.parametrizations.weight.original0, module.parametrizations.weight.original1
    with torch.no_grad():
        g.mul_(1.5)
    with jax.enable_x64(True):
        model = jseq.weight_norm(layer, dim=None if dim is None else -1)
        length = move(g.detach().numpy()) if dim == 0 else g.detach().numpy().reshape((1,) * v.ndim)
        params = {"weight_g": jnp.asarray(length), "weight_v": jnp.asarray(move(v.detach().numpy())),
                  "bias": jnp.asarray(module.bias.detach().numpy())}  # fmt: skip
        y = module(theirs)
        torch.sin(y).sum().backward()
        np.testing.assert_allclose(model.apply(params, jnp.asarray(x)), last(y), rtol=1e-10, atol=1e-10)
        gradient = jax.grad(loss(model, jnp.asarray(x)))(params)
        np.testing.assert_allclose(gradient["weight_g"].ravel(), g.grad.numpy().ravel(), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(gradient["weight_v"], move(v.grad.numpy()), rtol=1e-9, atol=1e-10)


@live
@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_has_torchs_numbers_over_training_steps(kind):
    import torch

    wrap = lambda m: torch.nn.utils.parametrizations.spectral_norm(m, n_power_iterations=2)  # noqa: E731
    layer, module, x, theirs, move = torch_side(kind, wrap)
    weight, vectors = module.parametrizations.weight.original, module.parametrizations.weight[0]

    def across(v):
        """torch flattens (in, h, w), jseq (h, w, in)."""
        return move(np.broadcast_to(v.reshape(1, *weight.shape[1:]), weight.shape))[..., 0].ravel()

    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    with jax.enable_x64(True):
        _, apply = jseq.with_state(jseq.spectral_norm(layer, n_power_iterations=2))
        arrays = {"weight": move(weight.detach().numpy()), "bias": module.bias.detach().numpy()}
        params = {"layer": jax.tree.map(lambda a: jnp.asarray(np.array(a)), arrays), "spectral": ()}
        uv = {"u": jnp.array(vectors._u.numpy()), "v": jnp.array(across(vectors._v.numpy()))}
        state = {"layer": (), "spectral": uv}

        def step(params, state):
            y, new = apply(params, state, jnp.asarray(x), train=True)
            return jnp.sum(jnp.sin(y)), (y, new)

        for _ in range(4):
            optimiser.zero_grad()
            y = module(theirs)
            torch.sin(y).sum().backward()
            optimiser.step()
            gradient, (ours, state) = jax.grad(step, has_aux=True)(params, state)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
            np.testing.assert_allclose(ours, last(y), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(params["layer"]["weight"], move(weight.detach().numpy()), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(state["spectral"]["u"], vectors._u.numpy(), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(state["spectral"]["v"], across(vectors._v.numpy()), rtol=1e-9, atol=1e-9)
        evaluated, same = apply(params, state, jnp.asarray(x))
        np.testing.assert_allclose(evaluated, last(module.eval()(theirs)), rtol=1e-9, atol=1e-9)
        chex.assert_trees_all_equal(same, state)


def test_lora_starts_as_the_base_and_trains_the_adapters_alone():
    model = jseq.lora(CHAIN, 2, 8)
    params = model.init(KEY)
    chex.assert_trees_all_equal(params["base"], CHAIN.init(KEY))
    chex.assert_trees_all_equal(model.apply(params, X), CHAIN.apply(params["base"], X))
    gradient = jax.grad(loss(model))(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["base"]))
    assert all((pair["b"] != 0).any() for pair in gradient["lora"].values())


def test_lora_passes_over_what_is_no_matrix():
    model = jseq.sequential(jseq.conv2d(1, 2, 3), jseq.flatten(), jseq.linear(8, 8), jseq.layer_norm(8))
    assert list(jseq.lora(model, 2).init(KEY)["lora"]) == ["2.weight"]
    late = jseq.lora(jseq.sequential(jseq.linear(None, 3)), 2)
    assert late.init(KEY, X)["lora"]["0.weight"]["a"].shape == (5, 2)


def trained(model):
    params, state = jseq.with_state(model).init(KEY)
    moved = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    return moved, state


@pytest.mark.parametrize(
    "model",
    [
        jseq.lora(CHAIN, 2, 8),
        jseq.lora(CHAIN, 2, select=("0.weight",)),
        jseq.sequential(jseq.lora(jseq.linear(5, 4), 2), jax.nn.relu, jseq.sequential({"a": jseq.lora(jseq.linear(4, 4), 1)})),
        jseq.branch({"one": jseq.lora(jseq.linear(5, 4), 2, 1.0), "two": jseq.tanh()}),
        jseq.lora(jseq.sequential(jseq.lora(jseq.linear(5, 4), 1)), 2, select="0.base.weight"),
    ],
)  # fmt: skip
def test_merging_gives_the_plain_model_with_the_same_numbers(model):
    params, _ = trained(model)
    plain, merged = jseq.merge_lora(model, params)
    assert "lora" not in repr(plain)
    chex.assert_trees_all_equal_shapes_and_dtypes(merged, plain.init(KEY))
    chex.assert_trees_all_close(plain.apply(merged, X), model.apply(params, X), rtol=1e-5, atol=1e-5)


def test_merging_keeps_functions_and_names():
    model = jseq.sequential({"fc": jseq.lora(jseq.linear(5, 4), 2), "act": jax.nn.relu})
    plain, merged = jseq.merge_lora(model, model.init(KEY))
    assert plain == jseq.sequential({"fc": jseq.linear(5, 4), "act": jax.nn.relu}) and list(merged) == ["fc", "act"]


def test_merging_and_adapting_refuse_what_does_not_fit():
    model = jseq.lora(CHAIN, 2)
    params = model.init(KEY)
    with pytest.raises(CallError, match=r"sequential.*no lora layer is in this model"):
        jseq.merge_lora(CHAIN, params)
    with pytest.raises(CallError, match=r"remat.*not into this"):
        jseq.merge_lora(jseq.remat(model), params)
    with pytest.raises(ParamsError, match=r'dict of base, lora.*\{"base": params'):
        model.apply(params["base"], X)
    with pytest.raises(ParamsError, match=r"adapters do not fit: missing '0.weight.a'"):
        model.apply({"base": params["base"], "lora": {"2.weight": params["lora"]["2.weight"]}}, X)
    with pytest.raises(ParamsError, match=r"0.weight.a: expected float32\[5,2\], got float32\[5,3\]"):
        model.apply(jseq.lora(CHAIN, 3).init(KEY), X)


def test_a_tied_embedding_and_head_own_one_leaf_and_their_gradients_add_up():
    ids = jnp.array([[1, 2, 3], [4, 4, 0]])
    model = jseq.tie(LANGUAGE, "0.weight", "2.weight", transpose=True)
    params = model.init(KEY)
    assert params == ({"weight": params[0]["weight"]}, (), {})
    table = params[0]["weight"]
    full = ({"weight": table}, (), {"weight": table.T})
    chex.assert_trees_all_equal(model.apply(params, ids), LANGUAGE.apply(full, ids))
    tied, apart = jax.grad(loss(model, ids))(params), jax.grad(loss(LANGUAGE, ids))(full)
    np.testing.assert_allclose(tied[0]["weight"], apart[0]["weight"] + apart[2]["weight"].T, rtol=1e-5, atol=1e-6)
    assert (apart[0]["weight"] != 0).any() and (apart[2]["weight"] != 0).any()
    with pytest.raises(ParamsError, match="unexpected parameter '2.weight'"):
        model.apply(full, ids)


def test_ties_nest():
    same = jseq.sequential(*[jseq.linear(5, 5)] * 3)
    model = jseq.tie(jseq.tie(same, "0.weight", "1.weight"), "0.weight", "2.weight")
    params = model.init(KEY)
    assert len(jax.tree.leaves(params)) == 4
    full = tuple({"weight": params[0]["weight"], "bias": p["bias"]} for p in params)
    chex.assert_trees_all_equal(model.apply(params, X), same.apply(full, X))


MIXED = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.arange(3), jnp.float32(7), ()), "c": jnp.ones(2, jnp.bfloat16)}


def test_packing_and_unpacking_are_exact():
    packed = jseq.pack(MIXED)
    assert {name: array.shape for name, array in packed.items()} == {"float32": (7,), "int32": (3,), "bfloat16": (2,)}
    chex.assert_trees_all_equal(jseq.unpack(packed, MIXED), MIXED)
    chex.assert_trees_all_equal_shapes_and_dtypes(jseq.unpack(packed, MIXED), MIXED)
    structs = jax.eval_shape(lambda: MIXED)
    chex.assert_trees_all_equal(jax.jit(lambda p: jseq.unpack(p, structs))(packed), MIXED)
    assert jseq.pack(()) == {} and jseq.unpack({}, ()) == ()


def test_a_packed_layer_computes_what_the_layer_does():
    model = jseq.packed(CHAIN)
    params = CHAIN.init(KEY)
    chex.assert_trees_all_equal(model.init(KEY), jseq.pack(params))
    chex.assert_trees_all_close(model.apply(jseq.pack(params), X), CHAIN.apply(params, X), rtol=1e-6, atol=1e-6)
    gradient = jax.grad(loss(model))(jseq.pack(params))
    plain = jseq.pack(jax.grad(loss(CHAIN))(params))
    chex.assert_trees_all_close(gradient, plain, rtol=1e-5, atol=1e-6)
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), jseq.pack(params))
    assert model.apply(half, X).dtype == jnp.float32


def test_the_gradient_of_packed_params_joins_each_group_once():
    """Slices would add arrays of the full size, one for each leaf."""
    model = jseq.packed(jseq.sequential(*[jseq.linear(5, 5)] * 8))
    text = str(jax.make_jaxpr(jax.grad(loss(model)))(model.init(KEY)))
    assert "concatenate" in text and " pad[" not in text


def test_packed_params_of_another_size_are_refused():
    model = jseq.packed(CHAIN)
    for wrong in ({"float32": jnp.ones(5)}, {}, CHAIN.init(KEY), {"float16": model.init(KEY)["float32"]}):
        with pytest.raises(
            ParamsError, match=r"packed\(\.\.\.\): expected packed params \{'float32': float32\[57\]\}, got"
        ):
            model.apply(wrong, X)
    with pytest.raises(CallError, match="expected a tree of arrays, got int 3"):
        jseq.pack({"a": 3})


def test_wrappers_compose():
    deep = jseq.repeat(jseq.weight_norm(jseq.freeze(jseq.linear(5, 5))), 3)
    model = jseq.ensemble(jseq.packed(deep), 2)
    params = model.init(KEY)
    assert params["float32"].shape == (2, 3 * (5 + 25 + 5))
    for y, member in zip(model.apply(params, X), jseq.unstack_params(params), strict=True):
        tree = jseq.unpack(member, jax.eval_shape(deep.init, KEY))
        chex.assert_trees_all_close(y, deep.apply(tree, X), rtol=1e-5, atol=1e-6)


def test_a_wrapped_models_tree_is_drawn_with_its_options():
    assert str(jseq.lora(jseq.linear(5, 3), 2)) == (
        "lora(rank=2,\n  (base): linear(in_features=5, out_features=3, bias=True)\n)"
    )
