"""from_torch of steps that change an array in place: what is read again is the new value, as torch has it."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tests.test_from_torch import float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402


def again(s, x):
    h = s.c(x)
    return h + s.b(h)


def statement(s, x):
    h = s.c(x)
    s.a(h)
    return h * 2


def function(s, x):
    h = s.c(x)
    y = F.relu(h, inplace=True)
    F.elu(y, 0.5, True)
    return torch.cat((h, y), 1)


def operators(s, x):
    h = s.c(x)
    r, same = h, h.add_(0.5)
    h += 1
    h *= 2
    h -= x
    h /= 4
    return r * h + same.relu_() + r


def of_an_input(s, x):
    r = x
    x += 1
    return s.c(x) * r


def of_pieces(s, x):
    a, b = s.c(x).chunk(2, 1)
    return torch.tanh_(a) * torch.sigmoid_(b) + a


def of_sizes(s, x):
    h = s.c(x)
    v = h.view(h.size(0), -1)
    h.relu_()
    return h.view(v.size(0), -1)


def for_gradients(s, x):
    h = s.c(x)
    h.requires_grad_()
    return h + torch.relu(input=h)


def of_a_state(s, x):
    y, (h, c) = s.l(x)
    y.relu_()
    return torch.cat((y[:, -1], h[-1], c[-1]), 1)


class Block(nn.Module):
    """The block of a ResNet: what is added in place is read again by others."""

    def __init__(self):
        super().__init__()
        self.c, self.relu = conv(), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.c(x)
        y += x
        return self.relu(y)


def twice(s, x):
    h, g = s.c(x), s.d(x)
    h.add_(g)
    h.mul_(2)
    return torch.relu_(h) * g


IN_PLACE = {
    "a sum whose second array is read again": (lambda s, x: x + s.a(x) + s.b(x), {"a": Block(), "b": Block()}),
    "steps whose second array is read again": (twice, {"d": conv()}),
    "an attribute": (again, {"b": nn.ReLU(inplace=True)}),
    "a nested sequential": (again, {"b": nn.Sequential(nn.ReLU(True), conv())}),
    "one deeper": (again, {"b": nn.Sequential(nn.Sequential(nn.LeakyReLU(0.3, True), nn.ReLU6(True)), conv())}),
    "after an identity": (again, {"b": nn.Sequential(nn.Identity(), nn.Hardtanh(-0.5, 0.7, True), conv())}),
    "all of a sequential": (again, {"b": nn.Sequential(nn.CELU(0.3, inplace=True))}),
    "not in front": (again, {"b": nn.Sequential(conv(), nn.ReLU(True))}),
    "a child that keeps its input": (again, {"b": written(statement, c=conv(), a=nn.ReLU(True))}),
    "a statement": (statement, {"a": nn.SiLU(inplace=True)}),
    "a function": (function, {}),
    "operators": (operators, {}),
    "an input": (of_an_input, {}),
    "pieces": (of_pieces, {}),
    "sizes": (of_sizes, {}),
    "gradients alone": (for_gradients, {}),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_read_again_is_the_new_value(name):
    forward, children = IN_PLACE[name]
    agrees(written(forward, c=conv(), **children), image())


def test_states_share_no_memory_with_the_outputs():
    agrees(written(of_a_state, l=nn.LSTM(4, 3, batch_first=True)), torch.randn(2, 5, 4))


def view_before(s, x):
    h = s.c(x)
    v = h.flatten(1)
    h.relu_()
    return v + 1


def through_view(s, x):
    h = s.c(x)
    h.view(-1).relu_()
    return h + 1


def through_transpose(s, x):
    h = s.c(x)
    h.t().relu_()
    return h + 1


def through_dropout(s, x):
    h = s.c(x)
    y = F.dropout(h, 0.5, s.training)
    y += 1
    return h * y


def into(s, x):
    h = s.c(x)
    torch.add(h, 1, out=h)
    return h + 1


CHANGES = written(lambda s, x: s.c(x.relu_()), c=conv())
HANDS_ON = written(lambda s, x: x.relu_())
SHARED = {
    "a view of it": (view_before, {}, "step 'relu_': it changes an array in place, and so flatten"),
    "what it is a view of": (through_view, {}, "step 'relu_': it changes an array in place, and so c, which is read"),
    "an unknown view": (through_transpose, {}, "step 'relu_': it changes an array in place, and so c, which"),
    "dropout": (through_dropout, {}, "step 'iadd': it changes an array in place, and so c, which"),
    "out": (into, {}, r"add\(out=...\) writes into an array"),
    "a child": (again, {"b": CHANGES}, "step 'b': it changes an array in place, and so c"),
    "a child in a sequential": (again, {"b": nn.Sequential(CHANGES)}, "step 'b': it changes an array in place"),
    "noise in a sequential": (again, {"b": nn.Sequential(nn.RReLU(inplace=True), conv())}, "step 'b': it changes an"),
}


@pytest.mark.parametrize("name", SHARED)
def test_memory_that_is_read_again_otherwise_is_refused(name):
    forward, children, text = SHARED[name]
    refused(written(forward, c=conv(), **children), text)


def test_children_that_change_their_input_are_taken_where_nothing_reads_it_again():
    agrees(nn.Sequential(conv(), CHANGES, HANDS_ON), image())
    agrees(written(lambda s, x: s.d(s.b(s.c(x))), c=conv(), b=CHANGES, d=HANDS_ON), image())


def test_a_child_that_cannot_be_traced_is_named():
    branches = written(lambda s, x: x if x.sum() > 0 else -x)
    refused(written(again, c=conv(), b=branches), 'Written at "b": torch.fx cannot trace its forward')
