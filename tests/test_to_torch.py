"""to_torch: modules that compute what the model computes, under the names of its state dict.

The way there and back is compared in torch alone: tests/test_from_torch.py holds the model in between.
`python -m tests.test_to_torch` prints the errors of the way there and back.
"""

import copy
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq._interop.to_torch.registry import CONVERTERS
from jseq.errors import ConversionError, ParamsError
from tests.case import Case, Input, floats, ints
from tests.cases import VARIANTS

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests import torch_side, torch_zoo  # noqa: E402
from tests.test_from_torch import built, float64, modern  # noqa: E402, F401

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch deprecates its older weight norm
    pytest.mark.filterwarnings("ignore::UserWarning"),  # torch speaks of its own speed and of defaults to come
]
KEY = jax.random.key(0)


def round_trip(module):
    return jseq.to_torch(*jseq.from_torch(module))


def close(ours, theirs, bound=1e-10):
    for a, b in zip(torch_side.tensors(ours), torch_side.tensors(theirs), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=bound, atol=bound)


def backward(module, x):
    """Outputs, and the gradients of `sum(sin(y))` by torch's newer names; "x" is the input's."""
    torch.manual_seed(0)  # dropout draws the same in both
    x = x.clone().requires_grad_(x.is_floating_point())
    y = torch_side.tensors(module(x))
    sum(torch.sin(t).sum() for t in y).backward()
    gradients = {modern(name): parameter.grad for name, parameter in module.named_parameters()}
    return y, gradients | ({"x": x.grad} if x.is_floating_point() else {})


def alike(module, back, x):
    (y, expected), (z, gradients) = backward(module, x), backward(back, x)
    close(z, y)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-10, atol=1e-10)
    module.zero_grad()
    back.zero_grad()


def same_entries(module, back):
    own = {modern(name): value for name, value in module.state_dict().items()}
    assert list(back.state_dict()) == list(own)
    close(tuple(back.state_dict().values()), tuple(own.values()))


@pytest.mark.parametrize("name", torch_zoo.ZOO)
def test_a_model_of_torch_comes_back(name):
    module, x, _ = built(name)
    back = round_trip(module)
    assert not back.training
    same_entries(module, back)
    alike(module.eval(), back, x)
    if name != "legacy norms":  # the older spectral norm begins a step with v, the newer with u
        alike(module.train(), back.train(), x)
        same_entries(module, back)


ONE_BY_ONE = "module(*x)", "module(x[0])[0]", "module(x[0], (x[1], x[2]))"
UNSUITED = [
    jseq.layer_norm(None, elementwise_affine=False),  # sizes that no array tells
    jseq.rms_norm(None, elementwise_affine=False),
]
SINGLE = [
    case for case in VARIANTS
    if case.torch and not case.context and case.torch_call in ONE_BY_ONE and case.layer not in UNSUITED
]  # fmt: skip


@pytest.mark.parametrize("variant_", SINGLE, ids=[f"{case.torch}"[:80] for case in SINGLE])
def test_every_layer_is_the_module_it_is_named_for(variant_):
    case = variant_
    xs = [torch_side.input_to_torch(case, leaf) for leaf in jax.tree.leaves(case.inputs(np.float64))]
    module = torch_side.module_of(case, xs, {}).eval()
    params, state = case.trees()
    back = jseq.to_torch(case.layer, params, state, spatial_dims=xs[0].ndim - 2 if case.layout == "channels" else None)
    assert sorted(back.state_dict()) == sorted(module.state_dict())
    x = jax.tree.unflatten(jax.tree.structure(case.x, is_leaf=lambda leaf: isinstance(leaf, Input)), xs)
    torch.manual_seed(0)
    ours = back(*x) if isinstance(x, tuple) else back(x)
    torch.manual_seed(0)
    close(ours, torch_side.call(case, module, xs, {}))


# Layers that torch lacks, held against numpy. Of images they are compared below.
REFUSED = ("in_dtype", "lora", "over_batch", "packed", "parametrize", "quantized", "recurrent", "streaming",
           "bidirectional")  # fmt: skip
OURS = [
    case for case in VARIANTS
    if case.reference and not case.torch and not case.context and case.name not in (*REFUSED, "channels_first")
]  # fmt: skip


@pytest.mark.parametrize("variant_", OURS, ids=[str(case)[:80] for case in OURS])
def test_a_layer_that_torch_lacks_is_a_module_too(variant_):
    case = variant_
    params, state = case.trees()
    x = jax.tree.map(torch.from_numpy, case.inputs(np.float64))
    y = jseq.to_torch(case.layer, params, state)(x)
    expected = jax.tree.leaves(case.reference(params or state, case.inputs(np.float64)))
    for ours, theirs in zip(torch_side.tensors(y), expected, strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, rtol=1e-10, atol=1e-10)


BLOCK = jseq.sequential(jseq.conv2d(4, 4, 3, padding=1, bias=False), jseq.batch_norm(4), jax.nn.silu)
MODELS = {
    "mlp": (jseq.sequential(jseq.linear(5, 7), jseq.batch_norm(7), jax.nn.gelu, jseq.mlp(7, 6, 3)), floats(4, 5), 0, 0),
    "cnn": (
        jseq.sequential({
            "stem": jseq.conv2d(3, 4, 3, padding=((1, 1), (2, 0))), "act": jseq.relu(), "pool": jseq.max_pool2d(2),
            "block": jseq.residual(BLOCK), "norm": jseq.layer_norm(4), "gate": jseq.squeeze_excitation(4, 2),
            "mix": jseq.linear(4, 6), "depth": jseq.separable_conv2d(6, 5, 2), "flat": jseq.flatten(),
            "head": jseq.linear(20, 3),
        }), floats(2, 6, 6, 3), 2, 0,
    ),
    "image to image": (
        jseq.sequential(
            jseq.scale(3),
            jseq.branch(jseq.conv2d(3, 2, 3, padding=1), jseq.sequential(jseq.linear(3, 4), jseq.tanh())),
            jseq.concatenate(), jseq.softmax(), jseq.upsample(scale_factor=2),
        ), floats(2, 4, 5, 3), 2, 2,
    ),
    "tagger": (
        jseq.sequential({"embed": jseq.embedding(11, 4), "lstm": jseq.lstm(4, 3, 2, bidirectional=True),
                         "norm": jseq.batch_norm(6), "out": jseq.linear(6, 5), "p": jseq.log_softmax()}),
        ints(11, 2, 6), 0, 0,
    ),
    "transformer": (
        jseq.sequential(
            jseq.embedding(11, 8), jseq.learned_positions(6, 8),
            jseq.transformer_encoder(jseq.transformer_encoder_layer(8, 2, 16, 0, is_causal=True), 2, jseq.rms_norm(8)),
            jseq.repeat(jseq.residual(jseq.sequential(jseq.layer_norm(8), jseq.swiglu(8, 6))), 2),
            jseq.grouped_query_attention(8, 4, 2), jseq.linear(8, 11),
        ), ints(11, 2, 6), 0, 0,
    ),
    "conv over time": (
        jseq.sequential(jseq.gru(4, 3), jseq.weight_norm(jseq.conv1d(3, 5, 2)), jseq.spectral_norm(jseq.linear(5, 4))),
        floats(2, 6, 4), 0, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_written_in_jseq_computes_the_same_in_torch(name):
    """Values, gradients and statistics, in training. The layouts of input and output are in MODELS."""
    model, spec, enters, leaves = MODELS[name]
    case = Case(model, spec)
    x, (params, state) = case.inputs(np.float64), case.trees()
    moving = x.dtype.kind == "f"

    @jax.jit
    @partial(jax.grad, argnums=(0, 1) if moving else 0, has_aux=True)
    def gradients_of(params, x):
        y, new = jseq.with_state(model).apply(params, state, x, train=True)
        return jnp.sum(jnp.sin(y)), (y, new)

    gradient, (y, new) = gradients_of(params, x)
    module = jseq.to_torch(model, params, state).train()
    (ours,), gradients = backward(module, torch.from_numpy(np.moveaxis(x, -1, 1).copy() if enters else x))
    np.testing.assert_allclose(ours.detach(), np.moveaxis(y, -1, 1) if leaves else y, rtol=1e-10, atol=1e-10)
    entries = jseq.torch_state_dict(model, gradient[0] if moving else gradient, state)
    if moving:
        entries["x"] = np.moveaxis(gradient[1], -1, 1) if enters else gradient[1]
    for path, value in gradients.items():
        np.testing.assert_allclose(value, entries[path], rtol=1e-9, atol=1e-9)
    entries = jseq.torch_state_dict(model, params, new)
    assert sorted(module.state_dict()) == sorted(entries)
    for path, value in module.state_dict().items():
        np.testing.assert_allclose(value.detach(), entries[path], rtol=1e-10, atol=1e-10)


def test_a_chain_is_a_sequential_with_the_same_names():
    model = jseq.sequential({"fc": jseq.linear(2, 3), "act": jax.nn.relu, "inner": jseq.sequential(jseq.linear(3, 1))})
    module = jseq.to_torch(model, model.init(KEY))
    assert type(module) is nn.Sequential and type(module.inner) is nn.Sequential
    assert (
        isinstance(module.fc, nn.Linear) and isinstance(module.act, nn.ReLU) and isinstance(module.inner[0], nn.Linear)
    )


def test_no_axes_move_where_torch_has_the_order_already():
    model, params, state = jseq.from_torch(torch_zoo.LeNet())
    hooks = [m for m in jseq.to_torch(model, params, state).modules() if m._forward_pre_hooks or m._forward_hooks]
    assert not hooks


def test_the_module_goes_back_to_jseq():
    module = round_trip(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()))
    model, params, state = jseq.from_torch(module)
    assert model == jseq.sequential(jseq.linear(3, 4), jseq.batch_norm(4), jseq.relu())
    assert params[0]["weight"].shape == (3, 4) and state[1]["running_mean"].shape == (4,)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "float8_e4m3fn"])
def test_parameters_keep_their_dtype(dtype):
    model = jseq.sequential(jseq.linear(2, 3), jseq.prelu())
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(KEY))
    module = jseq.to_torch(model, params)
    assert {p.dtype for p in module.parameters()} == {getattr(torch, dtype)}
    np.testing.assert_array_equal(module[0].weight.detach().float(), np.asarray(params[0]["weight"].T, np.float32))


def test_the_arrays_are_copies_and_no_number_is_drawn():
    model = jseq.linear(2, 3)
    params = model.init(KEY)
    before, random = np.array(params["weight"]), torch.get_rng_state()
    module = jseq.to_torch(model, params)
    with torch.no_grad():
        module.weight.zero_()
    np.testing.assert_array_equal(params["weight"], before)
    assert torch.equal(torch.get_rng_state(), random)


def test_tied_places_are_one_parameter():
    module = round_trip(torch_zoo.tiedlm())
    assert module.emb.weight is module.head.weight


def test_frozen_layers_need_no_gradient():
    model = jseq.sequential(jseq.freeze(jseq.linear(2, 3)), jseq.linear(3, 1))
    module = jseq.to_torch(model, model.init(KEY))
    assert [p.requires_grad for p in module.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("name", ["basic block", "tagger bf", "encoder bf", "wgan"])
def test_modules_pickle_and_copy(name):
    module, x, _ = built(name)
    back = round_trip(module)
    for other in (pickle.loads(pickle.dumps(back)), copy.deepcopy(back)):
        assert type(other) is type(back)
        close(other(x), module.eval()(x))


def test_several_inputs_come_one_by_one_or_as_a_tuple():
    tower = jseq.sequential(jseq.parallel(jseq.linear(3, 2), jseq.linear(4, 2)), jseq.add())
    module = jseq.to_torch(tower, tower.init(KEY))
    a, b = torch.ones(5, 3), torch.ones(5, 4)
    assert module((a, b)).shape == (5, 2)
    pair = jseq.bilinear(3, 4, 2)
    module = jseq.to_torch(pair, pair.init(KEY))
    close(module(a, b), module((a, b)))


def test_spatial_dims_say_what_layers_do_not():
    model = jseq.batch_norm(3)
    trees = jseq.with_state(model).init(KEY)
    assert type(jseq.to_torch(model, *trees, spatial_dims=2)) is nn.BatchNorm2d
    assert jseq.to_torch(model, *trees)(torch.ones(2, 4, 3)).shape == (2, 4, 3)


@jseq.layer
def shift(features, by=1.0):
    def init(key, x):
        return {"offset": jnp.zeros(features)}

    def apply(params, x):
        return x + params["offset"].reshape((1,) * (x.ndim - 1) + (-1,)) + by

    return init, apply


def cube(x):
    return x**3


def test_converters_of_the_users_own_are_used_at_any_depth(monkeypatch):
    for target in (shift, cube):
        monkeypatch.setitem(CONVERTERS, target, None)  # taken out again

    class Shift(nn.Module):
        def __init__(self, features, by):
            super().__init__()
            self.offset, self.by = nn.Parameter(torch.empty(features)), torch.tensor(by)

        def forward(self, x):
            return x + self.offset + self.by

    class Cube(nn.Module):
        def forward(self, x):
            return x**3

    @jseq.to_torch_converter(shift)
    def build_shift(call):
        return Shift(call.options["features"], call.options["by"])

    @jseq.to_torch_converter(cube, spatial_dims=None)
    def build_cube(call):
        return Cube()

    model = jseq.sequential(jseq.conv2d(1, 2, 1), jseq.sequential(cube, shift(2, 3.0)))
    params = model.init(KEY)
    module = jseq.to_torch(model, params)
    x = np.random.RandomState(0).standard_normal((2, 3, 3, 1))
    y = module(torch.from_numpy(np.moveaxis(x, -1, 1).copy()))
    np.testing.assert_allclose(y.detach(), model.apply(params, x), rtol=1e-10, atol=1e-10)  # in jseq's order: 0


def test_a_converter_with_other_names_is_refused(monkeypatch):
    monkeypatch.setitem(CONVERTERS, shift, None)  # taken out again
    jseq.to_torch_converter(shift)(lambda call: nn.Linear(2, 2))
    with pytest.raises(ConversionError, match=r"'0.offset' \(2,\) is missing, '0.weight' \(2, 2\) is unexpected"):
        jseq.to_torch(jseq.sequential(shift(2)), ({"offset": jnp.zeros(2)},))
    jseq.to_torch_converter(shift)(lambda call: 3)
    with pytest.raises(ConversionError, match=r"must return a torch\.nn\.Module, got int"):
        jseq.to_torch(shift(2), {"offset": jnp.zeros(2)})


def test_adapt_takes_composed_layers_on_both_sides():
    plain = jseq.sequential({"act": jax.nn.relu, "more": jseq.residual(jseq.tanh())})
    model, x = jseq.adapt(jseq.linear(3, 4), plain, plain), jax.random.normal(KEY, (2, 3))
    params = model.init(KEY)
    y = torch.tensor(np.asarray(model.apply(params, x)))
    close(jseq.to_torch(model, params)(torch.tensor(np.asarray(x))), y, 1e-5)


SQUARE = jseq.sequential(jseq.linear(3, 3), jseq.linear(3, 3))


@pytest.mark.parametrize(
    ("model", "text", "size"),
    [
        (jseq.sequential({"a": jseq.sequential(shift(2))}),
         r'shift\(.*\) at "a.0": no torch module is known for .*Register one: @jseq.to_torch_converter\(shift\)', 2),
        (jseq.sequential(cube), r'cube at "0": no torch module is known for cube. Register one', 2),
        (jseq.sequential(lambda x: x), r"Give it a name with def. Register one", 2),
        (jseq.lora(jseq.linear(2, 2), 1), "Merge the adapters first: model, params = jseq.merge_lora", 2),
        (jseq.in_dtype(jseq.linear(2, 2), "bfloat16"), r"call module.to\(dtype\)", 2),
        (jseq.tie(SQUARE, "0.weight", "1.weight", transpose=True), "with its axes exchanged, in torch too", 3),
        (jseq.layer_norm(None, elementwise_affine=False), "its size was inferred", 2),
        (jseq.weight_norm(jseq.repeat(jseq.linear(2, 2), 2)), "torch has no parameter at 'weight'", 2),
    ],
)  # fmt: skip
def test_what_has_no_module_is_named(model, text, size):
    with pytest.raises(ConversionError, match=text):
        jseq.to_torch(model, model.init(KEY, jnp.ones((2, size))))


def test_params_of_another_model_are_refused():
    with pytest.raises(ParamsError, match="params do not fit"):
        jseq.to_torch(jseq.linear(2, 3), jseq.linear(3, 2).init(KEY))
    norm = jseq.batch_norm(2)
    with pytest.raises(ParamsError, match=r"keeps state, and none.* works: jseq.to_torch\(model, params, state\)\.$"):
        jseq.to_torch(norm, jseq.with_state(norm).init(KEY)[0])
    with pytest.raises(ConversionError, match="expected spatial_dims to be 0, 1, 2, 3 or None, got '2d'"):
        jseq.to_torch(jseq.relu(), (), spatial_dims="2d")


def show():
    """Prints, for each model of torch, the largest errors of its values and gradients after from_torch and to_torch."""
    torch.set_default_dtype(torch.float64)
    jax.config.update("jax_enable_x64", True)
    print(f"{'model':18s} {'forward':>8s} {'gradient':>8s}  state dict equal")
    for name in torch_zoo.ZOO:
        module, x, _ = built(name)
        back = round_trip(module)
        (y, expected), (z, gradients) = backward(module.eval(), x), backward(back, x)
        forward = max((a - b).abs().max().item() for a, b in zip(y, z, strict=True))
        gradient = max((expected[path] - gradients[path]).abs().max().item() for path in expected)
        own = {modern(path): value for path, value in module.state_dict().items()}
        entries = back.state_dict()
        equal = list(own) == list(entries) and all(torch.equal(own[path], entries[path]) for path in own)
        print(f"{name:18s} {forward:8.1e} {gradient:8.1e}  {'yes' if equal else 'no'}")


if __name__ == "__main__":
    show()
