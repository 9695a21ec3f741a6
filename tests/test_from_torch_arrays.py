"""from_torch of functions of arrays: products, attention, sizes and entries, reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jseq
from jseq.errors import DtypeError, ShapeError

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from tests.test_from_torch import float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402
from tests.test_from_torch_models import SEQUENCE, ids, own  # noqa: E402


def heads(s, x):
    b, t, c = x.size()
    q, k, v = (f(x).view(b, t, 2, c // 2).transpose(1, 2) for f in (s.q, s.k, s.v))
    weights = torch.softmax(torch.matmul(q, k.transpose(2, 3)) * k.shape[-1] ** -0.5, dim=-1)
    return (weights @ v).transpose(1, 2).contiguous().view(b, t, c)


def einsums(s, x):
    b, t, _ = x.shape
    q, k, v = (f(x).reshape(b, t, 2, -1).permute(0, 2, 1, 3) for f in (s.q, s.k, s.v))
    weights = (torch.einsum("bhid,bhjd->bhij", q, k) * 0.5).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", [weights, v]).permute(0, 2, 1, 3).flatten(2)


def fused(s, x, **options):
    b, t, c = x.shape
    q, k, v = (f(x).view(b, t, 2, c // 2).transpose(1, 2) for f in (s.q, s.k, s.v))
    return F.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).reshape(x.shape)


def causal(s, x):
    t = x.shape[1]
    weights = (s.q(x) @ s.k(x).transpose(-2, -1)).masked_fill(s.tril[:t, :t] == 0, float("-inf"))
    return F.softmax(weights, dim=-1) @ s.v(x)


def pooled_by_attention(s, x):
    h, _ = s.l(x)
    weights = torch.softmax(s.q(h).squeeze(-1), dim=1)
    return torch.bmm(weights.unsqueeze(1), h).squeeze(1)


def shuffled(s, x):
    b, c, h, w = x.shape
    return s.c(x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, -1, h, w))


QKV = {"q": nn.Linear(8, 8), "k": nn.Linear(8, 8), "v": nn.Linear(8, 8)}
PRODUCTS = {
    "heads": (own(heads, **QKV), SEQUENCE),
    "einsums": (own(einsums, **QKV), SEQUENCE),
    "fused attention": (own(fused, **QKV), SEQUENCE),
    "fused and causal": (own(lambda s, x: fused(s, x, is_causal=True, scale=0.3), **QKV), SEQUENCE),
    "fused with a mask": (
        own(lambda s, x: fused(s, x, attn_mask=s.m), (), {"m": torch.randn(5, 5)}, **QKV), SEQUENCE),
    "causal by a mask": (own(causal, (), {"tril": torch.tril(torch.ones(9, 9))}, **QKV), SEQUENCE),
    "pooled": (own(pooled_by_attention, l=nn.LSTM(8, 6, batch_first=True), q=nn.Linear(6, 1)), SEQUENCE),
    "shuffled channels": (own(shuffled, c=nn.Conv2d(4, 3, 1)), image()),
    "stacked": (own(lambda s, x: torch.stack((s.q(x), x), dim=2).sum(2), **QKV), SEQUENCE),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_arrays_are_torchs(name):
    agrees(*PRODUCTS[name])


def excited(s, x):
    x = s.c(x)
    b, c, _, _ = x.size()
    y = torch.sigmoid(s.f(F.adaptive_avg_pool2d(x, 1).view(b, c))).view(b, c, 1, 1)
    return x * y.expand_as(x)


def texts(s, x):
    y = F.relu(s.c(s.e(x).transpose(1, 2)))
    return F.max_pool1d(y, y.shape[2]).squeeze(2) + y.max(dim=2).values + torch.max(y, 2)[0]


def but_the_last(s, x):
    return s.f(x).view(x.shape[:-1] + (2, 2))  # noqa: RUF005


SHAPES = {
    "excited channels": (own(excited, c=conv(), f=nn.Linear(4, 4)), image()),
    "new axes": (own(lambda s, x: x * s.f(x.mean((2, 3)))[:, :, None, None], f=nn.Linear(4, 4)), image()),
    "slices": (own(lambda s, x: s.f(x[:, 1:, ::2])[..., -2:], f=nn.Linear(4, 4)), SEQUENCE),
    "entries and slices": (own(lambda s, x: s.f(x)[:, -1, 1:3], f=nn.Linear(8, 4)), SEQUENCE),
    "the last by its number": (own(lambda s, x: s.f(x)[:, x.shape[1] - 1, None], f=nn.Linear(8, 4)), SEQUENCE),
    "texts": (own(texts, e=nn.Embedding(11, 8), c=nn.Conv1d(8, 4, 3)), ids(2, 7)),
    "a view like another": (own(lambda s, x: s.f(x.flatten(1)).view_as(x) + s.f(x.flatten(1)).view(x.size()),
                                f=nn.Linear(144, 144)), image()),
    "all sizes but the last": (own(but_the_last, f=nn.Linear(8, 4)), SEQUENCE),
    "all sizes but the first": (own(lambda s, x: x.sum(0).view(x.shape[1:]) * s.f(x)[0].view(x.size()[1:]),
                                    f=nn.Linear(8, 8)), SEQUENCE),
    "a size by its name": (own(lambda s, x: s.f(x).view(x.size(dim=0), x.size(dim=1), -1)[:, 0], f=nn.Linear(8, 4)),
                           SEQUENCE),
    "padding by sizes": (own(lambda s, x: F.pad(s.c(x), [0, x.size(3) - s.c(x).size(3), x.shape[2] // 2, 1], value=2.0),
                             c=nn.Conv2d(4, 2, 3)), image()),
    "the size of the input": (own(lambda s, x: F.interpolate(s.c(x), size=x.shape[2:], mode="bilinear"),
                                  c=nn.Conv2d(4, 2, 3, 2)), image()),
    "one size of the input": (own(lambda s, x: F.interpolate(s.c(x), size=(x.size(2), 4)), c=nn.Conv2d(4, 2, 3, 2)),
                              image()),
    "windows of the size": (own(lambda s, x: F.avg_pool2d(s.c(x), s.c(x).size()[2:]), c=conv()), image()),
    "windows of two sizes": (own(lambda s, x: F.max_pool2d(x, kernel_size=(x.shape[2], x.shape[3])).flatten(1)),
                             image()),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_sizes_and_entries_are_torchs(name):
    agrees(*SHAPES[name])


REDUCED = {
    "the mean over time": lambda s, x: s.f(x).mean(dim=1),
    "a sum over two axes": lambda s, x: s.f(x).sum((1, 2)),
    "the sum of all": lambda s, x: s.f(x).sum(),
    "kept axes": lambda s, x: s.f(x) - s.f(x).amax(dim=-1, keepdim=True) + x.amin(1, keepdim=True),
    "the greatest of all": lambda s, x: s.f(x) / x.max(),
    "logsumexp": lambda s, x: torch.logsumexp(s.f(x), dim=-1),
    "unit length": lambda s, x: F.normalize(s.f(x), dim=-1) + F.normalize(x),
    "the greater of two": lambda s, x: torch.max(s.f(x), x) + torch.minimum(x, s.f(x)) + torch.max(x, other=s.f(x)),
    "products and signs": lambda s, x: s.f(x).prod(1) * x.sign()[:, 0],
    "bounds": lambda s, x: s.f(x).clamp(min=0.0) + torch.clamp(x, -0.5, 0.5),
}


@pytest.mark.parametrize("name", REDUCED)
def test_reductions_are_torchs(name):
    agrees(written(REDUCED[name], f=nn.Linear(8, 8)), SEQUENCE)


def test_what_is_reduced_or_multiplied_has_memory_of_its_own():
    def forward(s, x):
        y = x.sum(1)
        y += 1.0
        z = s.f(y) @ y.transpose(0, 1)
        z *= 2.0
        return z + y.sum()

    agrees(written(forward, f=nn.Linear(8, 8)), SEQUENCE)


def test_means_of_images_over_other_axes_are_in_torchs_order():
    agrees(written(lambda s, x: s.c(x).mean(1), c=conv()), image())
    agrees(written(lambda s, x: s.c(x).sum(-1).flatten(1), c=conv()), image())


WRONG = {
    "a truth": (lambda s, x: x if x.sum() > 0 else -x, "the truth of gt is asked for"),
    "an array as index": (lambda s, x: x[x > 0], "the index gt is not converted; numbers, slices, None"),
    "a dropped weight": (lambda s, x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5), "dropout_p is not"),
    "the place of a maximum": (lambda s, x: x.max(1)[1], "the indices of a maximum are not converted"),
    "another norm": (lambda s, x: F.normalize(x, p=1), "normalize with p=1 along 1 is not converted"),
    "bounds of arrays": (lambda s, x: torch.clamp(x, max=x * 2), "clamp is converted between numbers"),
    "another dtype": (lambda s, x: x.to(torch.float16), r"to\(torch.float16,\) is not converted; to a device"),
    "an attribute": (lambda s, x: x.T, "the attribute 'T' of an array is not converted"),
    "windows with a stride": (lambda s, x: F.max_pool1d(x, x.shape[2], 1), r"windows of .* with \['stride'\]"),
    "two arrays compared": (lambda s, x: x == s.f(x), "eq of an array and f is not converted; of an"),
    "both of an extreme": (lambda s, x: x.max(1), "of max_1 the values alone are converted"),
    "half a size": (lambda s, x: torch.arange(x.size(1) * 0.5, 4), "as whole numbers"),
    "another factor": (lambda s, x: torch.add(x, x.shape[1], alpha=2), "only arrays and numbers are combined"),
    "steps of numbers": (lambda s, x: torch.arange(0, x.size(1), 2) + x, "is converted from start to end alone"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_converted_is_named(name):
    forward, text = WRONG[name]
    refused(written(forward, f=nn.Linear(4, 4)), text)


def test_sizes_that_do_not_fit_are_errors_when_they_come():
    model, params, _ = jseq.from_torch(written(lambda s, x: s.f(x)[:, 3, :2], f=nn.Linear(4, 4)))
    with pytest.raises(ShapeError, match=r'at "getitem": the index does not fit .*: index 3 is out of bounds'):
        model.apply(params, jnp.ones((2, 3, 4)))
    model, params, _ = jseq.from_torch(written(lambda s, x: F.max_pool1d(s.c(x), x.shape[2]), c=nn.Conv1d(4, 4, 2)))
    with pytest.raises(ShapeError, match=r"expected windows as large as the image, got \(5,\)"):
        model.apply(params, jnp.ones((2, 4, 5)))


NUMBERS = (0, 1, 1.5, -1, 0.5, 300, -(2**40), 1e20, float("inf"), float("nan"))


@pytest.mark.parametrize("operation", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_are_torchs_for_whole_numbers_and_truth_values(operation):
    x = torch.tensor([0, 1, 2, -1, 300])
    for value in NUMBERS:
        module = written(lambda s, x, value=value: getattr(torch, operation)(x, value))
        model, params, _ = jseq.from_torch(module)
        for one in (x, x.to(torch.uint8), x > 0, x.double() / 2):
            if one.dtype == torch.uint8 and not 0 <= value <= 255:  # torch wraps the number round
                continue
            ours = model.apply(params, jnp.asarray(one.numpy()))
            assert ours.tolist() == module(one).tolist(), (operation, value, one.dtype)


def test_whole_numbers_become_floats_as_torchs():
    module = written(lambda s, x: (x != 2).float() * 0.5)
    model, params, _ = jseq.from_torch(module)
    x = torch.tensor([[1, 2], [3, 2]])
    assert model.apply(params, jnp.asarray(x.numpy())).tolist() == module(x).tolist()
    model, params, _ = jseq.from_torch(written(lambda s, x: x.float()))
    with pytest.raises(DtypeError, match=r"float\(\) is for whole numbers, truth values and float32"):
        model.apply(params, jnp.ones(2, jnp.float16))


def test_a_mask_of_more_axes_gives_its_own():
    mask = torch.rand(4, 2, 3) > 0.5
    agrees(own(lambda s, x: x.view(2, 3).masked_fill(s.m, -1.0).transpose(0, 1), (), {"m": mask}), torch.randn(6))


def test_an_image_is_resized_to_another():
    module = written(lambda s, x, y: F.interpolate(s.c(x), size=y.shape[2:]) + y, c=conv())
    agrees(module, image(), image(2, 4, 9, 7))


def test_an_image_of_unknown_axes_is_resized_as_torchs():
    agrees(written(lambda s, x: F.interpolate(x.view(2, 3, 5, 6), x.size(1) * 2)), torch.randn(2, 3, 5, 6))
    refused(written(lambda s, x: F.interpolate(x, x.size(2) * 2)), "interpolate to .* is not converted")


def test_unit_length_is_right_in_half_precision_and_at_zero():
    model, params, _ = jseq.from_torch(written(lambda s, x: F.normalize(x, dim=-1)))
    x = jnp.array([[300.0, 300.0], [1e-4, 0.0], [0.0, 0.0]], jnp.float16)
    np.testing.assert_allclose(model.apply(params, x), [[0.5**0.5] * 2, [1, 0], [0, 0]], rtol=2**-11)  # half an ulp
    gradient = jax.grad(lambda x: model.apply(params, x)[:, 0].sum())(jnp.zeros((1, 2)))
    theirs = torch.zeros(1, 2, requires_grad=True)
    F.normalize(theirs, dim=-1)[:, 0].sum().backward()
    np.testing.assert_array_equal(gradient, theirs.grad)


def test_arrays_without_axes_get_some():
    agrees(written(lambda s, x: s.f(x).sum().view(1, 1) + x.max().unsqueeze(0), f=nn.Linear(8, 8)), SEQUENCE)


def test_attention_of_one_head_and_no_batch():
    agrees(written(lambda s, x: F.scaled_dot_product_attention(s.f(x), x, x), f=nn.Linear(8, 8)), SEQUENCE[0])
