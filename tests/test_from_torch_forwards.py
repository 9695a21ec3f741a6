"""from_torch of a forward of the user's own: its numbers are torch's, or it is refused with the step's name."""

import jax.numpy as jnp
import pytest

import jseq
from jseq.errors import ConversionError

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tests.test_from_torch import equal, float64  # noqa: E402, F401


def written(forward, **children):
    """A module with this forward."""

    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            for name, child in children.items():
                setattr(self, name, child)

    Written.forward = forward
    torch.manual_seed(0)
    return Written()


def agrees(module, *xs, bound=1e-10):
    """Holds the converted model against torch in evaluation."""
    for buffer_name, buffer in module.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    model, params, state = jseq.from_torch(module.double().eval())
    xs = [x.double() if x.is_floating_point() else x for x in xs]
    ours = [jnp.asarray(x.numpy()) if x.is_floating_point() else jnp.asarray(x.numpy(), jnp.int32) for x in xs]
    y, _ = jseq.with_state(model).apply(params, state, ours[0] if len(ours) == 1 else tuple(ours))
    with torch.no_grad():
        theirs = module(*[x.clone() for x in xs])
    equal(y, theirs, bound)
    return model


def refused(module, text):
    with pytest.raises(ConversionError, match=text):
        jseq.from_torch(module)


def conv(i=4, o=4):
    return nn.Conv2d(i, o, 3, padding=1)


def image(*shape):
    return torch.randn(*(shape or (2, 4, 6, 6)))


def both(s, x):
    y = s.f(x)
    return (y, x) if s.training else y


BY_MODE = {
    "a number": lambda s, x: s.f(x) / (4.0 if s.training else 1.0),
    "a number of a sum": lambda s, x: s.f(x) + 0.1 if s.training else s.f(x) + 0.0,
    "an array": lambda s, x: s.f(x) * (s.g(x) if s.training else s.f(x)) + s.g(x),
    "the mode of a child": lambda s, x: s.f(x) / (4.0 if s.f.training else 1.0),
    "the output": both,
    "an argument": lambda s, x: torch.cat((s.f(x), x), 1 if s.training else 0),
    "a type": lambda s, x: s.f(x) * (1 if s.training else 1.0),
}


@pytest.mark.parametrize("name", BY_MODE)
def test_numbers_that_depend_on_the_mode_are_refused(name):
    module = written(BY_MODE[name], f=nn.Linear(4, 4), g=nn.Linear(4, 4))
    refused(module, "other steps in training than in evaluation")
    refused(nn.Sequential(nn.Linear(4, 4), module.eval()), 'Written at "1": its forward takes other steps')
    assert not module.f.training


def test_dropout_may_follow_the_mode():
    p = written(lambda s, x: F.dropout(s.f(x), 0.5 if s.training else 0.0, s.training), f=nn.Linear(4, 4))
    agrees(p, torch.randn(2, 4))
    agrees(written(lambda s, x: F.dropout(input=s.f(x), training=s.training), f=nn.Linear(4, 4)), torch.randn(2, 4))
    other = written(lambda s, x: F.dropout(s.f(x) if s.training else s.g(x), training=s.training) + s.f(x) + s.g(x),
                    f=nn.Linear(4, 4), g=nn.Linear(4, 4))  # fmt: skip
    refused(other, "other steps in training than in evaluation")


def masked(s, x):
    return s.a(x, x, x, attn_mask=x, need_weights=False)[0]


def test_arguments_of_modules_are_taken_by_name():
    x = torch.randn(2, 3, 8)
    a = nn.MultiheadAttention(8, 2, batch_first=True)
    agrees(written(lambda s, x: s.a(query=x, value=x, key=x + 1, need_weights=False)[0], a=a), x)
    agrees(written(lambda s, x: s.a(x, value=x, key=x + 1, attn_mask=None, need_weights=False)[0], a=a), x)
    agrees(written(lambda s, x: s.a(x, x + 1, x, None, False)[0], a=a), x)
    d = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    agrees(written(lambda s, x: s.d(memory=x * 2, tgt=x), d=d), x)
    t = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    agrees(written(lambda s, x: s.t(tgt=x * 2, src=x), t=t), x)
    child = written(lambda s, a, b: s.f(a) - b, f=nn.Linear(8, 8))
    agrees(written(lambda s, x: s.c(b=x, a=x * 2), c=child), x)


def options(s, a, relu=True, b=None):
    return torch.relu(s.f(a)) if relu else s.f(a)


def test_arguments_that_say_something_are_refused():
    child = written(options, f=nn.Linear(8, 8))
    x = torch.randn(2, 8)
    agrees(written(lambda s, x: s.c(x, b=None), c=child), x)
    refused(written(lambda s, x: s.c(x, relu=False), c=child), "argument relu=False of c .* Set it once, in Written")
    refused(written(lambda s, x: s.c(x, False), c=child), "argument relu=False of c")
    refused(written(lambda s, x: s.c(x, b=x), c=child), "argument b=x of c is not converted")
    own = written(lambda s, x, need_weights=True: s.f(x) if need_weights else x, f=nn.Linear(8, 8))
    refused(written(lambda s, x: s.c(x, need_weights=False), c=own), "argument need_weights=False of c")
    refused(written(lambda s, x: s.c(), c=child), "c cannot be called so: missing a required argument")
    refused(written(masked, a=nn.MultiheadAttention(8, 2)), "argument attn_mask=x of a .* in context")
    layer = nn.TransformerEncoderLayer(8, 2)
    refused(written(lambda s, x: s.e(x, x), e=layer), "argument src_mask=x of e .* in context")


def flagged(s, x, flag=False, k=2.0, how="a", sizes=(1, 2), skip=None):
    h = s.f(x) * k if how == "a" and skip is None else x
    return (s.g(h), h) if flag else torch.cat((s.g(h), h), sizes[0])


def keyword_only(s, x, /, *, y):
    return s.f(x) - y


def test_arguments_with_a_default_stay_at_it():
    module = written(flagged, f=nn.Linear(4, 4), g=nn.Linear(4, 4))
    agrees(module, torch.randn(2, 4))
    agrees(nn.Sequential(nn.Linear(3, 4), module), torch.randn(2, 3))
    agrees(written(lambda s, x, *rest, **more: s.f(x), f=nn.Linear(4, 4)), torch.randn(2, 4))
    refused(written(lambda s, *xs: s.f(xs[0]), f=nn.Linear(4, 4)), "no argument that must be given")
    child = written(keyword_only, f=nn.Linear(4, 4))
    agrees(written(lambda s, x: s.c(x * 2, y=x), c=child), torch.randn(2, 4))


def kept(s, x):
    return s.c(x).mean((2, 3), keepdims=True) + x.mean(axis=(2, 3), keepdim=True)


NUMPYS = {
    "cat": lambda s, x: torch.cat((s.c(x), x), axis=1),
    "mean": lambda s, x: s.c(x).mean(axis=(2, 3)),
    "keepdims": kept,
    "chunk": lambda s, x: torch.chunk(s.c(x), 2, axis=1)[1],
    "split": lambda s, x: s.c(x).split(split_size=2, dim=1)[1],
    "split of a function": lambda s, x: torch.split(x, split_size_or_sections=3, dim=2)[1],
    "softmax": lambda s, x: torch.softmax(x=s.c(x), axis=1),
    "squeeze": lambda s, x: s.c(x).mean((2, 3), True).squeeze(axis=3),
    "input": lambda s, x: torch.transpose(input=s.c(x), dim1=1, dim0=2) * torch.add(input=x, other=1, alpha=1),
    "other": lambda s, x: torch.mul(x1=s.c(x), x2=x),
    "permute": lambda s, x: torch.permute(input=x, dims=(0, 2, 3, 1)),
    "reshape": lambda s, x: torch.reshape(input=s.c(x), shape=(2, -1)),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMPYS)
def test_arguments_of_functions_are_taken_by_torchs_names_and_numpys(name):
    agrees(written(NUMPYS[name], c=conv()), image(2, 4, 4, 4) if name == "input" else image())


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda s, x: s.c(x).mean((2, 3), dtype=torch.float32), r"arguments \['dtype'\] of mean are not converted"),
        (lambda s, x: torch.cat(s.c(x), 1), "cat of c along 1 is not converted"),
        (lambda s, x: s.c(x).mean((2, 3), False, out=x), r"mean\(out=...\) writes into an array"),
    ],
)
def test_other_arguments_of_functions_are_refused(forward, text):
    refused(written(forward, c=conv()), text)
