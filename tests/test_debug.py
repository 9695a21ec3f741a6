"""Planted numbers that are not finite are found where they were made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.debug import find_nonfinite, report_nonfinite
from jseq.errors import CallError

LINEAR = {"weight": np.eye(2, dtype=np.float32), "bias": np.zeros(2, np.float32)}
X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
DEEP = jseq.sequential(
    {"in": jseq.linear(2, 2), "deep": jseq.repeat(jseq.residual(jseq.sequential(jseq.linear(2, 2), jseq.tanh())), 3)}
)


def stacked(**changes):
    """Params of DEEP, all finite but for changes in its second copy."""
    copies = [LINEAR, {**LINEAR, **changes}, LINEAR]
    inner = {name: np.stack([np.asarray(copy[name]) for copy in copies]) for name in LINEAR}
    return {"in": LINEAR, "deep": {"layer": (inner, ())}}


def test_the_first_layer_in_the_forward_pass_is_found_in_its_copy():
    found = find_nonfinite(DEEP, stacked(bias=np.array([0, np.inf], np.float32)), X)
    assert (found.direction, found.path, found.copy) == ("forward", "deep.layer.0", (1,))
    assert found.what == "gave 2 NaN or inf for a finite input; 1 of its params are not finite"
    np.testing.assert_allclose(found.x, X + np.tanh(X), rtol=1e-6)
    assert np.isinf(found.params["bias"]).tolist() == [False, True]
    figures = {row.name: row for row in found.statistics}
    assert figures["params.bias"].infs == 1 and figures["params.bias"].high == 0 and figures["x"].nans == 0
    assert (
        str(found)
        .splitlines()[0]
        .startswith(
            'forward: linear(in_features=2, out_features=2, bias=True) at "deep.layer.0", copy 1 gave 2 NaN or inf'
        )
    )
    assert "params.bias    float32[2]    0 .. 0" in str(found)


def test_a_combinator_whose_own_sum_overflows_is_found_itself():
    found = find_nonfinite(jseq.sequential(jseq.residual(jseq.identity())), ({"layer": ()},), X * np.float32(8e37))
    assert (found.path, found.layer) == ("0", "residual(...)")


def test_the_second_use_of_a_layer_is_told_from_the_first():
    twice = jseq.graph({"log": jnp.log}, {"a": ("log", "x"), "b": ("log", "a")})
    found = find_nonfinite(twice, {"log": ()}, np.array([1.0, 4.0], np.float32))
    assert found.path == "log" and np.asarray(found.x).tolist() == [0.0, np.log(np.float32(4))]


def test_the_first_layer_in_the_backward_pass_is_found_in_its_copy():
    roots = jseq.ensemble(jseq.sequential({"scale": jseq.scale(2), "root": jnp.sqrt}), 2)
    params = {"scale": {"weight": np.array([[1, 1], [0, 0]], np.float32)}, "root": ()}
    found = find_nonfinite(jseq.sequential(roots, jnp.sin), (params, ()), X, loss=lambda y: 2 * y.sum())
    assert (found.direction, found.path, found.copy) == ("backward", "0.root", (1,))
    assert found.what == "made a gradient that is not finite (4 of x) of a finite one"
    assert np.asarray(found.x).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("x", "loss", "what"),
    [
        (X, None, None),
        (X * np.nan, None, "was given an x that is not finite"),
        (X, lambda y: jnp.log(0 * y).sum(), "gave finite numbers, of which the loss is not finite"),
        (X, lambda y: jnp.sqrt(0 * y).sum(), "gave numbers at which the gradient of the loss is not finite"),
    ],
)
def test_a_model_that_gives_finite_numbers_is_not_suspected(x, loss, what):
    found = find_nonfinite(jseq.linear(2, 2), LINEAR, x, loss=loss)
    assert (found and found.what, found and found.path) == (what, found and "")


def test_compiled_code_reports_each_layer_once_and_goes_on():
    lines = []
    deep = jseq.repeat(jseq.sequential(jseq.bias(2), jnp.tanh), 2)
    model = jseq.sequential({"deep": deep, "zero": jseq.scale(2), "root": jnp.sqrt})
    bias = np.array([[0, 0], [0, np.inf]], np.float32)
    params = {"deep": ({"bias": bias}, ()), "zero": {"weight": np.zeros(2, np.float32)}, "root": ()}
    slope = jax.grad(lambda params, x: model.apply(params, x).sum())
    step = jax.jit(report_nonfinite(slope, lines.append))
    for _ in range(2):
        slopes = jax.block_until_ready(step(params, X))
    jax.effects_barrier()
    assert np.isposinf(slopes["zero"]["weight"]).all()
    assert sorted(lines) == [
        'backward: jax.numpy.sqrt at "root" made 4 NaN or inf in gradients: x 0 .. 0',
        'forward: bias(features=2, init=0.0) at "deep.0" gave 2 NaN or inf: x 0.7616 .. 0.9993, '
        "params 1 not finite, the others 0 .. 0",
    ]


def test_what_cannot_be_searched_is_an_error():
    for call, text in (
        (lambda: find_nonfinite(jnp.sqrt, (), X), "takes"),
        (lambda: find_nonfinite(jseq.batch_norm(2), LINEAR, X), r"find_nonfinite\(model, params, x, state=state\)"),
        (lambda: jax.jit(lambda x: find_nonfinite(jseq.linear(2, 2), LINEAR, x))(X), "report_nonfinite"),
        (lambda: find_nonfinite(jseq.linear(2, 2), LINEAR, X, loss=lambda y: y), "gives one floating number"),
        (lambda: report_nonfinite(jseq.linear(2, 2)), "takes a function such as model.apply"),
    ):
        with pytest.raises(CallError, match=text):
            call()
