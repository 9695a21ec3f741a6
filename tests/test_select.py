"""One language for parts of params and state: patterns, kinds of layers, predicates."""

import jax
import jax.numpy as jnp
import pytest

import jseq
from jseq.errors import CallError, ParamsError, SelectionError

BLOCK = jseq.residual(jseq.sequential(jseq.layer_norm(4), jseq.linear(4, 4)))
MODEL = jseq.sequential(
    {
        "encoder": jseq.sequential(jseq.linear(3, 4), jseq.batch_norm(4), jax.nn.relu),
        "deep": jseq.repeat(BLOCK, 2),
        "copies": jseq.repeat(BLOCK, 2, stacked=False),
        "head": jseq.freeze(jseq.weight_norm(jseq.linear(4, 2))),
    }
)
PARAMS, STATE = jax.eval_shape(jseq.with_state(MODEL).init, jax.random.key(0))


def chosen(*select, tree=PARAMS, **options):
    marked = jseq.mask(tree, *select, **options)
    leaves = jax.tree_util.tree_leaves_with_path(marked)
    return {jax.tree_util.keystr(path, simple=True, separator=".") for path, leaf in leaves if leaf}


@pytest.mark.parametrize(
    ("select", "options", "found"),
    [
        (["encoder/0/weight"], {}, {"encoder.0.weight"}),
        (["encoder.*.weight"], {}, {"encoder.0.weight", "encoder.1.weight"}),
        (["encoder/1"], {}, {"encoder.1.weight", "encoder.1.bias"}),
        (["**/weight_*", "head/bias"], {}, {"head.weight_g", "head.weight_v", "head.bias"}),
        (["**/1/weight"], {"exclude": "copies"}, {"encoder.1.weight", "deep.layer.1.weight"}),
        (["copies/*/layer/1/bias"], {}, {"copies.0.layer.1.bias", "copies.1.layer.1.bias"}),
        ([jseq.batch_norm], {"model": MODEL}, {"encoder.1.weight", "encoder.1.bias"}),
        ([jseq.weight_norm], {"model": MODEL}, {"head.weight_g", "head.weight_v", "head.bias"}),
        (
            [jseq.layer_norm],
            {"model": MODEL, "exclude": "**/bias"},
            {"deep.layer.0.weight", "copies.0.layer.0.weight", "copies.1.layer.0.weight"},
        ),
        ([lambda path, leaf: "head" in path and leaf.ndim > 1], {}, {"head.weight_g", "head.weight_v"}),
        (["**/running_mean"], {"tree": STATE}, {"encoder.1.running_mean"}),
        ([jseq.batch_norm], {"tree": STATE, "model": MODEL, "exclude": ["**/running_*"]},
         {"encoder.1.num_batches_tracked"}),
    ],
)  # fmt: skip
def test_a_selector_selects(select, options, found):
    assert chosen(*select, **options) == found


def test_without_selectors_everything_is_selected():
    assert all(jax.tree.leaves(jseq.mask(PARAMS)))
    assert jseq.count(PARAMS) == 16 + 8 + 2 * 2 * 28 + 12 and jseq.count(STATE) == 9
    assert jseq.count(PARAMS, "deep/**/weight") == 2 * 20
    assert jseq.count(PARAMS, exclude=("encoder", "deep", "copies")) == 12


def test_the_first_label_that_fits_is_given():
    labels = jseq.label(PARAMS, {("encoder/0", jseq.weight_norm): "a", "encoder": "b"}, "c", model=MODEL)
    assert jax.tree.structure(labels) == jax.tree.structure(PARAMS)
    assert labels["encoder"][:2] == ({"bias": "a", "weight": "a"}, {"bias": "b", "weight": "b"})
    assert set(labels["head"].values()) == {"a"} and set(jax.tree.leaves(labels["deep"])) == {"c"}


def test_parts_merge_to_the_whole_in_plain_containers_and_under_jit():
    tree = {"a": [jnp.ones(2), (jnp.zeros(3), ())], "b": jnp.ones(1), "c": {}}

    @jax.jit
    def run(tree):
        chosen, rest = jseq.partition(tree, "a/1", "b")
        assert chosen["a"][0] is None and rest["b"] is None and chosen["c"] == {}
        gradient = jax.grad(lambda part: sum(leaf.sum() for leaf in jax.tree.leaves(jseq.merge(part, rest))))(chosen)
        return jseq.map_at(jnp.exp, jseq.merge(rest, chosen), "**/0", exclude="a/0"), gradient

    mapped, gradient = run(tree)
    assert jax.tree.map(float, jax.tree.map(jnp.sum, mapped)) == {"a": [2.0, (3.0, ())], "b": 1.0, "c": {}}
    assert gradient["a"][0] is None and gradient["b"] == 1.0


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda: jseq.mask(PARAMS, "encodr/**/weight"), SelectionError,
         r"no leaf is at 'encodr/\*\*/weight'. Did you mean 'encoder/\*\*/weight'\? There are: copies.0.layer.0"),
        (lambda: jseq.mask(PARAMS, "wight"), SelectionError, r"Did you mean '\*\*/weight'\?"),
        (lambda: jseq.mask(PARAMS, "encoder/0/weight/deeper"), SelectionError, r"Did you mean 'encoder.0.weight' or "),
        (lambda: jseq.count((), "**/weight"), SelectionError, r"no leaf is at '\*\*/weight'. There are: none."),
        (lambda: jseq.mask(PARAMS, "**/bias", exclude="**/bas"), SelectionError, r"Did you mean '\*\*/bias'"),
        (lambda: jseq.mask(PARAMS, "head", exclude=("**/bias", "**/weight*")), SelectionError,
         r"nothing is selected: all 3 leaves are excluded by '\*\*/bias', '\*\*/weight\*'."),
        (lambda: jseq.mask(PARAMS, lambda path, leaf: leaf.ndim > 9), SelectionError, "the predicate .* selects none"),
        (lambda: jseq.mask(PARAMS, jseq.batch_norm), CallError, r"mask\(params, jseq.batch_norm, model=model\)"),
        (lambda: jseq.mask(PARAMS, jseq.group_norm, model=MODEL), SelectionError,
         "no layer of this model is a group_norm. Did you mean '(batch|layer)_norm'.* Its kinds: sequential, linear"),
        (lambda: jseq.mask(STATE, jseq.linear, model=MODEL), SelectionError,
         "no leaves where linear layers stand .encoder.0, deep.layer.1, copies.*.layer.1, head"),
        (lambda: jseq.mask(MODEL, "**/weight"), CallError, "sequential.*got a layer. The call that works"),
        (lambda: jseq.mask(PARAMS, 3), CallError, r"expected a selector: a pattern .* got 3"),
        (lambda: jseq.mask(PARAMS, jseq.linear(3, 4), model=MODEL), CallError, r"got jseq.linear\(3, 4\)"),
        (lambda: jseq.label(PARAMS, "head"), CallError, "labels are a dict from selectors to labels, got 'head'"),
        (lambda: jseq.label(PARAMS, {"**/weight*": 1}), SelectionError, "9 of 19 leaves have no label: copies.0"),
        (lambda: jseq.merge({"a": 1.0}, {"a": 2.0}), ParamsError, "two parts have a leaf in the same place"),
        (lambda: jseq.merge({"a": 1.0}, {"b": None}), ParamsError, "parts in the same containers"),
    ],
)  # fmt: skip
def test_what_selects_nothing_is_an_error_that_says_what_was_meant(wrong, error, text):
    with pytest.raises(error, match=text):
        wrong()
