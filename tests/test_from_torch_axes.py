"""from_torch knows which axis is which: sizes that are read, the number of axes, and where the channels are."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.test_from_torch import float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, written  # noqa: E402

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
    assert "reshape_like" not in str(agrees(module, image()))
    assert "reshape_like" in str(agrees(written(SIZES["a permuted array"][0]), torch.randn(4, 3, 2)))
