"""Compiled code speaks of the model: every operation carries the path of its layer, forward and backward."""

import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest

import jseq

MODEL = jseq.sequential(
    {
        "encoder": jseq.sequential(jseq.conv2d(1, 4, 3), jseq.batch_norm(4), jax.nn.relu, jseq.flatten(),
                                   jseq.linear(16, 8)),
        "deep": jseq.repeat(jseq.residual(jseq.sequential(jseq.layer_norm(8), jseq.linear(8, 8))), 2, remat=True),
        "members": jseq.ensemble(jseq.linear(8, 4), 3),
        "wired": jseq.graph({"block": jseq.sequential(jseq.linear(4, 2), jnp.tanh)},
                            {"a": ("block.0", "x"), "y": ("block.1", "a")}),
        "head": jseq.adapt(jseq.weight_norm(jseq.linear(2, 2)), jnp.square),
    }
)  # fmt: skip
STRUCTURE = {"while", "body", "cond", "branch_0_fun", "closed_call", "eval_jaxpr", "checkpoint", "rematted_computation"}
# Instructions that compute nothing; XLA puts in most of them by itself.
IDLE = re.compile(r" (parameter|constant|tuple|get-tuple-element|bitcast|copy|broadcast|transpose)\(")
REDUCER = re.compile(r"^%?[\w.-]+ \([^\n]*-> \(?f32\[\][^\n]*\{\n.*?^\}", re.MULTILINE | re.DOTALL)  # the sum in a sum


@pytest.fixture
def names_in_the_key_of_the_cache() -> Iterator[None]:
    """By default a compiled program is taken from the cache with the names that it had when it was put there."""
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    yield
    jax.config.update("jax_compilation_cache_include_metadata_in_key", False)


def paths(names: list[str]) -> set[str]:
    """The names of operations, without what jit, grad, vmap and loops add."""
    plain = [re.sub(r"jit\([^()]*\)/?|transpose\(|jvp\(|vmap\(|\)", "", name) for name in names]
    return {"/".join(part for part in name.split("/") if part and part not in STRUCTURE) for name in plain}


def test_every_operation_of_compiled_code_carries_its_path(names_in_the_key_of_the_cache: None) -> None:
    init, apply = jseq.with_state(MODEL)
    x = jax.ShapeDtypeStruct((2, 4, 4, 1), jnp.float32)

    def loss(params, state, x):
        y, state = apply(params, state, x, train=True)
        with jax.named_scope("loss"):
            return y.sum(), state

    trees = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)), x)
    text = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(*trees, x).compile().as_text() or ""
    lines = [line for line in REDUCER.sub("", text).splitlines() if re.match(r"\s+(ROOT )?%?[\w.-]+ = ", line)]
    work = [line for line in lines if not IDLE.search(line)]
    named = [name for line in work for name in re.findall(r'op_name="([^"]*)"', line)]
    # The rest is what XLA puts in by itself: fusions of copies, and a convolution that it rewrites.
    assert len(named) > 0.9 * len(work)
    known = {*MODEL.children, "loss"}
    assert {path.split("/")[0] for path in paths([name for name in named if "params[" not in name])} == known

    forward = paths([name for name in named if "transpose(" not in name and "rematted" not in name])
    backward = paths([name for name in named if "transpose(" in name])
    assert {
        "encoder/0.conv2d/conv_general_dilated", "encoder/2.relu/max", "encoder/4.linear/dot_general",
        "deep/residual/add", "deep/residual/layer/0.layer_norm/rsqrt", "deep/residual/layer/1.linear/dot_general",
        "members/linear/dot_general", "wired/block/0.linear/dot_general", "wired/block/1.tanh/tanh",
        "head/square", "head/weight_norm/sqrt", "head/weight_norm/linear/dot_general",
    } <= forward  # fmt: skip
    assert {
        "encoder/0.conv2d/reduce_sum", "encoder/4.linear/dot_general", "head/weight_norm/linear/dot_general",
        "deep/residual/layer/1.linear/dot_general", "members/linear/dot_general", "wired/block/0.linear/dot_general",
    } <= backward  # fmt: skip


def test_the_keys_of_children_are_derived_under_their_names() -> None:
    model = jseq.sequential({"a": jseq.sequential(jseq.dropout()), "b": jseq.repeat(jseq.dropout(), 2)})
    text = jax.jit(lambda x, key: model.apply({"a": ((),), "b": ()}, x, key=key, train=True)).lower(
        jnp.ones(3), jax.random.key(0)
    ).as_text(debug_info=True)  # fmt: skip
    assert paths(re.findall(r'"(jit[^"]*)/jit\(mixed\)[^"]*"', text)) == {"a", "a/0.dropout", "b"}
