"""from_torch knows which axis is which: sizes that are read, the number of axes, and where the channels are."""

import pytest

import jseq

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.test_from_torch import float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402

SIZES = {
    "a state": (lambda s, x: s.l(x)[1].view(x.size(0), -1), {"l": nn.GRU(4, 3, batch_first=True)}),
    "a state in three": (lambda s, x: s.l(x)[1].view(x.shape[0], 3, -1), {"l": nn.GRU(4, 3, batch_first=True)}),
    "a permuted array": (lambda s, x: x.permute(1, 0, 2).reshape(x.size(0), -1), {}),
    "after a permutation": (lambda s, x: s.f(x.permute(2, 0, 1)).reshape(x.size()[0], -1), {"f": nn.Linear(3, 2)}),
    "all other sizes": (lambda s, x: x.permute(1, 0, 2).reshape(x.size(0), 6, 2), {}),
    "no other size": (lambda s, x: s.f(x.flatten(1)).reshape(x.size(0)), {"f": nn.Linear(12, 1)}),
    "a child": (lambda s, x: s.p(x).reshape(x.size(0), -1), {"p": written(lambda s, x: x.transpose(-1, -3))}),
    "a flattened batch": (lambda s, x: s.p(x).view(x.size(0), -1), {"p": nn.Sequential(nn.Flatten(0, 1))}),
    "an unflattened batch": (lambda s, x: s.p(x).view(x.size(0), -1), {"p": nn.Unflatten(0, (2, 2))}),
    "of another": (lambda s, x: s.f(x).view(s.f(x).size(0), -1), {"f": nn.Linear(4, 2)}),
    "halves": (lambda s, x: s.g(x).view(x.size(0), -1), {"g": nn.GLU(0)}),
    "of no spatial axes": (lambda s, x: x.flatten(0, 1).view(x.size(0), -1), {}),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_size_in_front_is_that_of_the_array_it_is_taken_from(name):
    forward, children = SIZES[name]
    agrees(written(forward, **children), torch.randn(4, 3, 4))


def test_a_batch_that_stays_in_front_is_a_flattening():
    module = written(lambda s, x: s.g(s.f(torch.relu(s.c(x)))).view(x.size(0), -1), c=conv(), f=nn.MaxPool2d(2),
                     g=nn.Sequential(conv(), nn.Dropout()))  # fmt: skip
    assert "Reshaped" not in str(agrees(module, image()))
    permuted = [agrees(written(SIZES["a permuted array"][0]), torch.randn(4, 3, 2)) for _ in range(2)]
    assert "Reshaped" in str(permuted[0]) and permuted[0] == permuted[1]


def ids(*shape):
    return torch.randint(0, 5, shape)


def patches(s, x):
    return s.d(s.p(x).flatten(2).permute(0, 2, 1).transpose(1, 2))


def of_a_child(s, x):
    return s.p(x).transpose(1, 2).unsqueeze(1)


def states(s, x):
    h, c = s.l(x)
    return h.unsqueeze(2) + c.unsqueeze(2)


PATCH = written(lambda s, x: s.c(x).flatten(2), c=nn.Conv2d(4, 6, 2, 2))
TO_THREE = nn.Sequential(nn.Linear(8, 12), nn.Unflatten(1, (3, 4)))
RANKS = {
    "a sequential": (lambda s, x: s.g(x.flatten(1)).transpose(0, 1), {"g": TO_THREE}, torch.randn(2, 2, 4)),
    "an embedding": (lambda s, x: s.r(s.e(x.flatten(1)).transpose(0, 1))[0],
                     {"e": nn.Embedding(5, 4), "r": nn.GRU(4, 3)}, ids(2, 2, 3)),
    "a traced child": (lambda s, x: s.d(s.p(x).flatten(2).permute(0, 2, 1).transpose(1, 2)),
                       {"p": PATCH, "d": nn.Conv1d(6, 2, 1)}, image()),
    "a child in a sequential": (of_a_child, {"p": nn.Sequential(PATCH, nn.ReLU())}, image()),
    "patches": (lambda s, x: s.c(x).flatten(2).transpose(1, 2), {"c": conv()}, image()),
    "patches of a module": (lambda s, x: s.f(s.c(x)).transpose(1, 2), {"c": conv(), "f": nn.Flatten(2)}, image()),
    "a flattening within": (lambda s, x: torch.flatten(s.c(x), 1, 2).transpose(0, 2), {"c": conv()}, image()),
    "a view": (lambda s, x: x.view(2, 4, 36).transpose(1, 2).unsqueeze(3), {}, image()),
    "a recurrence": (lambda s, x: s.r(x)[0].transpose(1, 2), {"r": nn.GRU(4, 3)}, torch.randn(2, 3, 4)),
    "a cell": (states, {"l": nn.LSTMCell(4, 3)}, torch.randn(2, 4)),
    "an entry": (lambda s, x: s.c(x)[:, 0].transpose(1, 2).unsqueeze(3), {"c": conv()}, image()),
    "a squeeze": (lambda s, x: s.c(x).mean((2, 3), True).squeeze(3).transpose(1, 2), {"c": conv()}, image()),
    "pieces": (lambda s, x: s.c(x).chunk(2, 1)[1].permute(0, 2, 3, 1).transpose(1, 3), {"c": conv()}, image()),
}  # fmt: skip


@pytest.mark.parametrize("name", RANKS)
def test_axes_are_counted_through(name):
    forward, children, x = RANKS[name]
    agrees(written(forward, **children), x)


def test_a_number_of_axes_that_is_not_known_is_none_that_an_exchange_needs():
    @jseq.torch_converter(Reshapes)
    def reshapes(module):
        return jseq.reshape((2, 2), 1)

    swapped = (written(lambda s, x: s.f(x).transpose(1, 2), f=f) for f in (nn.Linear(4, 4), Reshapes(), nn.Identity()))
    for module, shape in zip(swapped, ((3, 2, 4), (3, 4), (3, 2, 4)), strict=True):
        agrees(module, torch.randn(shape))


class Reshapes(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), 2, 2)


BY_RANK = {
    "a group norm": (lambda s, x: s.n(s.c(x).flatten(2)), nn.GroupNorm(2, 4), image(2, 4, 2, 2)),
    "a batch norm": (lambda s, x: s.n(s.c(x).flatten(2).permute(0, 2, 1)), nn.BatchNorm1d(4), image(2, 4, 2, 2)),
    "a batch norm of two axes": (lambda s, x: s.n(s.c(x).mean((2, 3))), nn.BatchNorm1d(4), image(4, 4, 2, 2)),
    "an activation": (lambda s, x: s.n(s.c(x).view(2, 4, 4)), nn.PReLU(4), image(2, 4, 2, 2)),
    "one of all channels": (lambda s, x: s.n(s.c(x).transpose(-1, -3)), nn.PReLU(), image(2, 4, 4, 4)),
    "an instance norm": (lambda s, x: s.n(s.c(x).flatten(2).transpose(1, 2)), nn.InstanceNorm1d(4, affine=True),
                         image(2, 4, 2, 2)),
    "a sequential": (lambda s, x: s.n(s.c(x)), nn.Sequential(nn.Flatten(2), nn.GroupNorm(2, 4)), image(2, 4, 2, 2)),
    "an unflattening": (lambda s, x: s.n(s.c(x).flatten(1)),
                        nn.Sequential(nn.Unflatten(1, (4, 4)), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 2)),
                        image(2, 4, 2, 2)),
    "a shuffle": (lambda s, x: s.n(s.c(x).flatten(2).transpose(1, 2)), nn.ChannelShuffle(2), image(2, 4, 2, 2)),
    "a neighbourhood": (lambda s, x: s.n(s.c(x).permute(0, 3, 1, 2)), nn.LocalResponseNorm(2), image(2, 4, 4, 4)),
    "resizing": (lambda s, x: s.n(s.c(x).flatten(2)), nn.Upsample(scale_factor=2), image(2, 4, 2, 2)),
    "after an entry": (lambda s, x: s.n(s.c(x)[:, :, 0]), nn.BatchNorm1d(4), image(2, 4, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_RANK)
def test_channels_are_axis_1_whatever_the_number_of_axes(name):
    forward, norm, x = BY_RANK[name]
    agrees(written(forward, c=conv(), n=norm), x)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.GroupNorm(2, 4), nn.PReLU(4)])
def test_channels_of_an_unknown_number_of_axes_are_refused(norm):
    text = r"its channels are axis 1, and the number of axes of its input is not known .* x.flatten\(1\) has 2"
    refused(written(lambda s, x: s.n(x.transpose(-1, -2)), n=norm), text)
    refused(written(lambda s, x: s.n(s.e(x)), n=norm, e=nn.Embedding(5, 4)), text)
    refused(nn.Sequential(nn.Embedding(5, 4), nn.Sequential(norm)), f'{type(norm).__name__} at "1.0": {text}')
    refused(nn.Sequential(nn.TransformerEncoderLayer(4, 2, 4, batch_first=True), norm), text)
    agrees(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(), norm), torch.randn(2, 3))


def test_a_batch_of_other_axes_is_refused():
    refused(
        written(lambda s, x: s.c(x.flatten(1)), c=nn.Conv1d(4, 4, 1)), "1 spatial axes, and gets an array of 2 axes"
    )
