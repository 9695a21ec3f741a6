"""Law 7: randomness is stable."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._combinators.children import stable_number

KEY = jax.random.key(0)


def mlp(*extra):
    return jseq.sequential(jseq.linear(4, 8), *extra, jseq.linear(8, 2))


def test_inserting_a_layer_of_another_kind_changes_no_initial_value():
    plain = mlp(jseq.relu()).init(KEY)
    longer = mlp(jseq.relu(), jseq.dropout(0.5), jseq.layer_norm(8), jseq.relu()).init(KEY)
    chex.assert_trees_all_equal((plain[0], plain[-1]), (longer[0], longer[-1]))


def test_appending_changes_no_initial_value():
    model = mlp(jseq.relu())
    longer = model + jseq.sequential(jseq.linear(2, 2))
    chex.assert_trees_all_equal(model.init(KEY), longer.init(KEY)[:3])


def test_siblings_of_one_kind_differ():
    first, second = jseq.sequential(jseq.linear(4, 4), jseq.linear(4, 4)).init(KEY)
    assert not np.allclose(first["weight"], second["weight"])


def test_a_named_childs_key_depends_on_its_name_alone():
    model = jseq.sequential({"a": jseq.linear(4, 4), "b": jseq.linear(4, 4)})
    swapped = jseq.sequential({"b": jseq.linear(4, 4), "new": jseq.linear(4, 4), "a": jseq.linear(4, 4)})
    params, other = model.init(KEY), swapped.init(KEY)
    chex.assert_trees_all_equal(params["a"], other["a"])
    chex.assert_trees_all_equal(params["b"], other["b"])


def dropped(model, x):
    return model.apply(model.init(KEY), x, key=jax.random.key(3), train=True)


def test_inserting_layers_changes_no_other_mask():
    x = jnp.ones((64, 64))
    mask = dropped(jseq.sequential(jseq.dropout(0.5)), x)
    longer = jseq.sequential(jseq.identity(), jseq.relu(), jseq.dropout(0.5), jseq.identity())
    chex.assert_trees_all_equal(mask, dropped(longer, x))
    appended = jseq.sequential({"first": jseq.dropout(0.5), "then": jseq.dropout(0.25)})
    again = jseq.sequential({"before": jseq.dropout(0.0), "first": jseq.dropout(0.5)})
    first = dropped(again, x)
    kept = np.asarray(dropped(appended, x)) != 0
    assert (np.asarray(first) != 0)[kept].all()


def test_two_dropouts_draw_different_masks():
    x = jnp.ones((64, 64))
    masks = dropped(jseq.sequential(jseq.dropout(0.5), jseq.dropout(0.5)), x)
    assert 0.2 < float((masks != 0).mean()) < 0.3


def test_no_key_operation_without_a_random_layer():
    model = mlp(jseq.relu())
    params = model.init(KEY)
    text = str(jax.make_jaxpr(lambda p, x, k: model.apply(p, x, key=k, train=True))(params, jnp.ones((2, 4)), KEY))
    assert "random" not in text and "threefry" not in text


def test_masks_and_params_are_the_same_when_sharded():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    model = jseq.sequential(jseq.linear(8, 8), jseq.dropout(0.5))
    params = model.init(KEY)
    born_sharded = jax.jit(model.init, out_shardings=sharding)(KEY)
    # jax 0.10.2: same bits, other vectorisation of the scaling (practice.md section 6)
    chex.assert_trees_all_close(born_sharded, params, atol=1e-6)
    apply = jax.jit(model.apply, static_argnames="train")
    x = jnp.ones((16, 8))
    one = apply(params, x, key=jax.random.key(1), train=True)
    two = apply(params, jax.device_put(x, sharding), key=jax.random.key(1), train=True)
    chex.assert_trees_all_close(two, one, rtol=1e-5, atol=1e-6)
    assert ((np.asarray(one) == 0) == (np.asarray(two) == 0)).all()


def test_the_derivation_of_keys_does_not_drift():
    """Stored numbers: another derivation would change every user's initial values."""
    positional = jseq.Children([jseq.linear(1, 1), jax.nn.relu, jseq.linear(1, 1)])
    named = jseq.Children({"head": jseq.linear(1, 1)})
    assert [child.fold for child in positional] == [1733924844, 442043996, 2505156909]
    assert [child.fold for child in named] == [2045576407]


def own_key(key, name):
    """The key of a child: the fold that law 7 says, by itself."""
    return jax.random.fold_in(key, stable_number(name))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg", "raw"])
def test_a_childs_key_is_the_fold_of_its_kind_and_ordinal_or_name(impl):
    """So a part of a model has the initial values and the masks that it has in the whole, also if it stands alone."""
    key = jax.random.PRNGKey(3) if impl == "raw" else jax.random.key(3, impl=impl)
    x = jnp.ones((8, 8))
    chain = jseq.sequential(jseq.linear(8, 8), jseq.dropout(0.5), jseq.linear(8, 8), jseq.dropout(0.25))
    branches = jseq.branch({"a": jseq.dropout(0.5), "b": jseq.sequential(jseq.linear(8, 8), jseq.dropout(0.5))})
    for run in (lambda f: f, jax.jit):
        params = run(chain.init)(key)
        for place, name in ((0, "linear:0"), (2, "linear:1")):
            chex.assert_trees_all_close(
                params[place], run(chain[place].init)(own_key(key, name)), rtol=1e-6
            )  # rounding
        y = chain[0].apply(params[0], x)
        y = chain[1].apply((), y, key=own_key(key, "dropout:0"), train=True)
        y = chain[2].apply(params[2], y)
        wanted = chain[3].apply((), y, key=own_key(key, "dropout:1"), train=True)
        found = run(lambda params, x: chain.apply(params, x, key=key, train=True))(params, x)
        chex.assert_trees_all_close(found, wanted, rtol=1e-5, atol=1e-5)  # float32; other masks are off by 0.1 and more
        a, _ = run(lambda params, x: branches.apply(params, x, key=key, train=True))(branches.init(key), x)
        chex.assert_trees_all_equal(a, jseq.dropout(0.5).apply((), x, key=own_key(key, "a"), train=True))
