"""from_torch: whole models and every module of torch.nn compute what they computed, for the same arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import ConversionError
from tests.cases import VARIANTS

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests import torch_side, torch_zoo  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # torch deprecates its older weight norm
    pytest.mark.filterwarnings("ignore::UserWarning"),  # torch speaks of its own speed and of defaults to come
]


@pytest.fixture(autouse=True)
def float64():
    """Numbers are compared in float64."""
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True):
        yield
    torch.set_default_dtype(torch.float32)


def built(name):
    """A module with statistics that are not 0 and 1, and its input on both sides."""
    make, x = torch_zoo.ZOO[name]
    torch.manual_seed(0)
    module = make()
    for buffer_name, buffer in module.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif buffer_name.endswith("running_mean"):
            buffer.normal_()
    return module.double(), x, jnp.asarray(x.numpy()) if x.is_floating_point() else jnp.asarray(x.numpy(), jnp.int32)


def equal(ours, theirs, bound):
    theirs = torch_side.tensors(theirs)
    leaves = jax.tree.leaves(ours)
    assert [leaf.shape for leaf in leaves] == [tuple(t.shape) for t in theirs]
    for leaf, t in zip(leaves, theirs, strict=True):
        np.testing.assert_allclose(leaf, t.detach().numpy(), rtol=bound, atol=bound)


def backward(model, params, state, x, train):
    """The outputs, the new state, and the gradients of `sum(sin(y))` under torch's names."""

    @jax.jit
    def loss(params):
        y, new = jseq.with_state(model).apply(params, state, x, train=train)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(y)), (y, new)

    gradient, (y, new) = jax.grad(loss, has_aux=True)(params)
    return y, new, jseq.torch_state_dict(model, gradient, state)


@pytest.mark.parametrize("name", torch_zoo.ZOO)
def test_the_model_has_torchs_values_and_gradients(name):
    module, x, ours = built(name)
    model, params, state = jseq.from_torch(module.eval())
    y, _, gradient = backward(model, params, state, ours, train=False)
    theirs = module(x)
    equal(y, theirs, 1e-10)
    sum(torch.sin(t).sum() for t in torch_side.tensors(theirs)).backward()
    for path, parameter in module.named_parameters():
        np.testing.assert_allclose(gradient[modern(path)], parameter.grad.numpy(), rtol=1e-10, atol=1e-10)


# Two have dropout. The older spectral norm begins a step with v, the newer and ours with u: only their limits agree.
NO_DRAWS = [name for name in torch_zoo.ZOO if name not in ("mnist net", "vgg11_bn", "legacy norms")]


@pytest.mark.parametrize("name", NO_DRAWS)
def test_training_has_torchs_values_and_leaves_its_statistics(name):
    module, x, ours = built(name)
    model, params, state = jseq.from_torch(module)
    y, state, _ = backward(model, params, state, ours, train=True)
    equal(y, module.train()(x), 1e-9)  # batch statistics of few numbers lose a digit
    entries = jseq.torch_state_dict(model, params, state)
    assert sorted(entries) == sorted(modern(name) for name in module.state_dict())
    for path, buffer in module.named_buffers():
        np.testing.assert_allclose(entries[modern(path)], buffer.numpy(), rtol=1e-9, atol=1e-9)


def modern(path):
    """The name that torch's newer parametrizations have for an entry of the older hooks."""
    owner, _, name = path.rpartition(".")
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1",
           "weight_orig": "parametrizations.weight.original", "weight_u": "parametrizations.weight.0._u"}  # fmt: skip
    if path == "1.weight_v":  # of spectral norm
        return "1.parametrizations.weight.0._v"
    return f"{owner}.{new[name]}" if name in new else path


SINGLE = [case for case in VARIANTS if case.torch and case.torch_call in ("module(*x)", "module(x[0])[0]")]
# torch takes a recurrence without a batch; its states then have no axis that could stand before another.
UNBATCHED = [case for case in SINGLE if case.torch_call != "module(*x)" and len(case.x.shape) == 2]
MADE_HERE = [case for case in SINGLE if "type('Map'" in case.torch]  # a class without a module that could be traced
CONVERTED = [case for case in SINGLE if case not in UNBATCHED + MADE_HERE]


@pytest.mark.parametrize("variant_", CONVERTED, ids=[str(case.torch)[:80] for case in CONVERTED])
def test_every_module_of_torch_is_converted(variant_):
    case = variant_
    xs = [torch_side.input_to_torch(case, leaf) for leaf in jax.tree.leaves(case.inputs(np.float64))]
    context = {name: torch.from_numpy(np.array(v)) for name, v in (case.contexts(np.float64) or {}).items()}
    module = torch_side.module_of(case, xs, context).eval()
    spatial = xs[0].ndim - 2 if case.layout == "channels" else None
    model, params, state = jseq.from_torch(module, spatial_dims=spatial)
    structure = jax.tree.structure(case.x, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    x = jax.tree.unflatten(structure, [jnp.asarray(a.numpy()) for a in xs])
    y, _ = jax.jit(jseq.with_state(model).apply)(params, state, x)
    if case.torch_call == "module(*x)":
        equal(y, module(*xs), 1e-10)
    else:
        equal(y[0], module(*xs)[0], 1e-10)


def test_channels_last_gives_the_pure_model():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
    model, params, _ = jseq.from_torch(module, layout="channels_last")
    assert model == jseq.sequential(jseq.conv2d(3, 4, 3), jseq.relu(), jseq.max_pool2d(2, 2))
    x = np.random.RandomState(0).standard_normal((2, 3, 8, 8))
    y = model.apply(params, jnp.moveaxis(jnp.asarray(x), 1, -1))
    np.testing.assert_allclose(jnp.moveaxis(y, -1, 1), module(torch.from_numpy(x)).detach(), rtol=1e-10, atol=1e-10)


def test_names_are_torchs_and_a_chain_is_no_graph():
    model, params, _ = jseq.from_torch(torch_zoo.LeNet())
    assert model.children["layer"].name == "sequential"
    assert [name for name in params if params[name]] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    _, params, state = jseq.from_torch(torch_zoo.BasicBlock(3, 4, 2))
    assert params["downsample"][0]["weight"].shape == (1, 1, 3, 4) and "running_mean" in state["bn1"]


def test_the_arrays_are_copies():
    module = nn.Linear(2, 2)
    _, params, _ = jseq.from_torch(module)
    before = np.array(params["weight"])
    with torch.no_grad():
        module.weight.zero_()
    np.testing.assert_array_equal(params["weight"], before)


def test_float32_and_bfloat16_modules_keep_their_dtypes():
    for dtype in (torch.float32, torch.bfloat16):
        _, params, _ = jseq.from_torch(nn.Linear(2, 3).to(dtype))
        assert str(params["weight"].dtype) == str(dtype).removeprefix("torch.")


class Swish(nn.Module):
    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def forward(self, x):
        return x * torch.special.expit(self.beta * x)


def test_a_converter_of_the_users_own_is_used_at_any_depth():
    class Known(Swish):
        pass

    @jseq.torch_converter(Known, spatial_dims=None)
    def known(module):
        return jseq.silu()

    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Sequential(Known(1.0)), nn.Flatten(), nn.Linear(8, 2))
    x = torch.randn(2, 1, 3, 3)
    model, params, _ = jseq.from_torch(module)
    equal(model.apply(params, jnp.asarray(x.numpy())), module(x), 1e-10)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.ones(2)

    def forward(self, x):
        return x * self.scale


class Drops(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class OnlyInTraining(nn.Module):
    def forward(self, x):
        return torch.relu(x) if self.training else x


class Flags(nn.Module):
    def forward(self, x):
        return x * True


class Squeezes(nn.Module):
    def forward(self, x):
        return x.squeeze()


class Pieces(nn.Module):
    def forward(self, x):
        return torch.relu(torch.chunk(x, 2, 1))


class Uneven(nn.Module):
    def forward(self, x):
        return x.split([1, 2])[0]


class Sorts(nn.Module):
    def forward(self, x):
        return torch.sort(x)


def hooked():
    module = nn.Linear(2, 2)
    module.register_forward_hook(lambda *given: None)
    return module


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: 3, "expected a torch.nn.Module, got int 3"),
        (lambda: nn.Sequential(nn.ReLU(), nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])),
         r'AdaptiveLogSoftmaxWithLoss at "1": no jseq layer is known for torch.nn.modules.adaptive.*Register one: '
         r"@jseq.torch_converter\(AdaptiveLogSoftmaxWithLoss\)"),
        (lambda: nn.Sequential(Swish(1.0)), "Swish, step 'special_expit': no jseq layer is known for the function"),
        (Flags, "step 'mul': only arrays and numbers are combined"),
        (Squeezes, r"squeeze without an axis depends .* x.squeeze\(-1\)"),
        (Pieces, r"the pieces of chunk are taken one by one: a, b = x.chunk\(2, 1\)"),
        (Uneven, r"step 'split': split\(\[1, 2\], 0\) is not converted; pieces of one size are"),
        (Own, "step 'scale': its forward reads 'scale', which is no parameter and no persistent buffer of Own itself"),
        (Drops, "step 'dropout': it drops in evaluation too"),
        (Branches, "torch.fx cannot trace its forward: .*torch_converter"),
        (OnlyInTraining, "takes other steps in training than in evaluation"),
        (Sorts, "no jseq layer is known for the function sort"),
        (hooked, "has no equivalent here. Remove it first"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Softmax()), r'Softmax at "1": without dim it takes an axis'),
        (lambda: nn.GroupNorm(2, 4).register_parameter, "expected a torch.nn.Module"),
        (lambda: nn.ChannelShuffle(2), r"Say it: from_torch\(module, spatial_dims=2\)"),
        (lambda: nn.Sequential(nn.Conv1d(2, 2, 1), nn.Conv2d(2, 2, 1)), "takes 2 spatial axes, and gets 1"),
    ],
)  # fmt: skip
def test_what_has_no_equivalent_is_named(make, text):
    with pytest.raises(ConversionError, match=text):
        jseq.from_torch(make())


def test_another_layout_is_refused():
    with pytest.raises(ConversionError, match=r"expected layout to be .torch. or .channels_last., got"):
        jseq.from_torch(nn.ReLU(), layout="channel_last")


class Own(nn.Module):
    def forward(self, x):
        return x


TORCHS = [nn.Linear(4, 8), nn.Sequential(), Own(), nn.ReLU, nn.functional.relu, nn.functional.gelu, torch.tanh]


@pytest.mark.parametrize("value", [*TORCHS, torch.ops.aten.relu.default], ids=lambda v: str(v).partition(" at ")[0])
def test_a_combinator_refuses_what_is_torchs(value):
    with pytest.raises(jseq.errors.CallError, match=r"is a (torch module|class of torch modules|function of torch)"):
        jseq.sequential(jseq.linear(4, 4), value)
