"""from_torch of modules that take or give several arrays."""

import jax.numpy as jnp
import pytest

import jseq

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.test_from_torch import equal, float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402


def whole_states(s, x):
    states = s.l(x)
    return s.l(x, states)[0]


def states_one_by_one(s, x):
    h, c = s.l(x)
    h, c = s.l(x * 2, (h, c))
    return s.l(x, hx=(torch.tanh(h), c))[1]


def unpooled(s, x):
    y, places = s.p(s.c(x))
    return s.u(y * 2, places)


def difference(s, x):
    a, b = s.t(x)
    return a - b


def two(s, x):
    return s.l(x), x


def dense(s, x):
    features = [x]
    for layer in s.f:
        features.append(layer(torch.cat(features, 1)))
    return torch.cat(features, 1)


def layer(i):
    return nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(inplace=True), conv(i, 2))


STEPS = {
    "one array joined": (dense, {"f": nn.ModuleList([layer(4), layer(6)])}, image()),
    "no states": (lambda s, x: s.l(x, None)[0], {"l": nn.LSTM(4, 3)}, torch.randn(2, 3, 4)),
    "a cell": (lambda s, x: s.l(x, s.l(x)), {"l": nn.GRUCell(4, 3)}, torch.randn(2, 4)),
    "a cell of two states": (whole_states, {"l": nn.LSTMCell(4, 3)}, torch.randn(2, 4)),
    "states one by one": (states_one_by_one, {"l": nn.LSTMCell(4, 3)}, torch.randn(2, 4)),
    "pooling and back": (unpooled, {"p": nn.MaxPool2d(2, return_indices=True), "u": nn.MaxUnpool2d(2)}, image()),
    "pooling alone": (lambda s, x: s.p(s.c(x))[0], {"p": nn.MaxPool2d(2, return_indices=True)}, image()),
    "a child": (difference, {"t": written(two, l=nn.Linear(4, 4))}, torch.randn(2, 4)),
    "a child of images": (difference, {"t": nn.Sequential(conv(), written(two, l=conv()))}, image()),
    "bags of one length": (lambda s, x: s.e(x), {"e": nn.EmbeddingBag(5, 3)}, torch.tensor([[1, 2], [3, 4]])),
}


@pytest.mark.parametrize("name", STEPS)
def test_several_arrays_are_torchs(name):
    forward, children, x = STEPS[name]
    agrees(written(forward, c=conv(), **children), x)


def test_several_images_have_the_layout_that_is_said():
    module = written(lambda s, x, y: torch.cat((s.c(x), y), 1), c=conv()).double()
    x = image(2, 4, 6, 5).double()
    for spatial_dims in (None, 2):
        model, params, _ = jseq.from_torch(module, spatial_dims=spatial_dims)
        equal(model.apply(params, (jnp.asarray(x.numpy()),) * 2), module(x, x), 1e-10)


def test_states_and_offsets_that_layers_do_not_take_are_refused():
    text = "argument hx=.* of l is not converted. Its layer begins with zeros"
    refused(written(lambda s, x, h: s.l(x, h)[0], l=nn.GRU(4, 3)), text)
    refused(written(lambda s, x, h, c: s.l(x, (h, c))[0], l=nn.LSTM(4, 3)), text)
    bag = written(lambda s, x, o: s.e(x, o), e=nn.EmbeddingBag(5, 3))
    refused(bag, r"argument offsets=o of e is not converted. Give it bags of one length, an array \(N, L\)")
    refused(written(lambda s, x: s.t(x)[:1], t=written(two, l=nn.Linear(4, 4))), "index .* of a tuple is not converted")
