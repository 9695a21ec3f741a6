"""Cases of jseq/_layers/batch_norm.py, normalisation.py, instance_norm.py and local_response.py."""

import jseq
from tests.case import Case, floats

IMAGE = floats(2, 3, 4, 6)
SEQUENCE = floats(2, 4, 6)
VOLUME = floats(2, 2, 1, 3, 6)


def same(name: str, torch_name: str, arguments: str, x=IMAGE, ours: str = "", **options) -> Case:
    """The same arguments in both libraries; `ours` are jseq's alone. Training is compared as well."""
    layer = eval(f"jseq.{name}({', '.join(filter(None, (arguments, ours)))})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", **{"layout": "channels", "train": True} | options)


def batch(torch_name: str, arguments: str, x=IMAGE, **options) -> Case:
    return same("batch_norm", torch_name, arguments, x, **options)


def plain(name: str, torch_name: str, arguments: str, x=SEQUENCE, **options) -> Case:
    return same(name, torch_name, arguments, x, layout="last", train=False, **options)


def instance(n: int, x) -> Case:
    """instance_norm1d, 2d or 3d with every option."""
    name, torch_name = f"instance_norm{n}d", f"InstanceNorm{n}d"
    unbatched = {"torch_call": "module(x[0].movedim(-1, 0)).movedim(0, -1)", "layout": "last", "batched": False}
    make, lazy = getattr(jseq, name), f"nn.LazyInstanceNorm{n}d()"
    return same(
        name, torch_name, "6", x,
        variants=(
            same(name, torch_name, "6, 0.01, affine=True", x),
            same(name, torch_name, "6, affine=True, bias=False", x),
            same(name, torch_name, "6, track_running_stats=True", x),
            same(name, torch_name, "6, 1e-5, 0.3, True, True", x),
            same(name, torch_name, "6, 1e-5, 0.0, False, True", x),
            same(name, torch_name, "6, 1e-5, 0.3, True, True", floats(*x.shape[1:]), **unbatched),
            Case(make(None, affine=True, track_running_stats=True), x, lazy, layout="channels", train=True),
            Case(make(None), x, f"nn.{torch_name}(6)", layout="channels"),
        ),
    )  # fmt: skip


def group(arguments: str, ours: str = "", x=IMAGE, **options) -> Case:
    return same("group_norm", "GroupNorm", arguments, x, ours, **options)


def cross_map(arguments: str, size: int, channels: int, alpha=1e-4, beta=0.75, k=1.0, **options) -> Case:
    """Values are those of torch's module; gradients, those that autograd finds for the same formula.

    torch's own backward pass (torch/nn/_functions.py, CrossMapLRN2d.backward) sums over a window that is moved
    by one channel; it agrees with no finite difference.
    """
    h = (size + 1) // 2
    window = (
        f"torch.ones({channels}, {channels}).tril({h - 1}).triu({1 - h}) + "
        f"torch.outer((torch.arange({channels}) >= {h}) * 1.0, torch.eye({channels})[0])"
    )
    energy = f"torch.einsum('nchw,dc->ndhw', x[0] ** 2, {window})"
    formula = f"x[0] * ({k} + {alpha / size} * {energy}) ** -{beta}"
    call = f"(y := {formula}, y + (module(x[0]) - y).detach())[-1]"
    return same("cross_map_lrn2d", "CrossMapLRN2d", arguments, floats(2, 3, 2, channels), torch_call=call, **options)


BATCH = (
    batch("BatchNorm1d", "6", floats(8, 6), layout="last"),
    batch("BatchNorm1d", "6", floats(4, 7, 6)),
    batch("BatchNorm3d", "6", VOLUME),
    batch("BatchNorm2d", "6, 0.01, 0.3, False"),
    batch("BatchNorm2d", "6, track_running_stats=False"),
    batch("BatchNorm2d", "6, affine=False, track_running_stats=False"),
    batch("BatchNorm2d", "6, momentum=None"),
    batch("BatchNorm2d", "6, bias=False"),
    Case(jseq.batch_norm(None), IMAGE, "nn.LazyBatchNorm2d()", layout="channels", train=True),
)

CASES = [
    batch("BatchNorm2d", "6", variants=BATCH),
    Case(
        jseq.layer_norm(6), floats(4, 5, 6), "nn.LayerNorm(6)", train=True,
        variants=(
            plain("layer_norm", "LayerNorm", "(5, 6), 0.01", floats(4, 5, 6)),
            plain("layer_norm", "LayerNorm", "6, bias=False"),
            plain("layer_norm", "LayerNorm", "6, 1e-5, False"),
            plain("layer_norm", "LayerNorm", "(3, 4, 6), elementwise_affine=False, bias=False", IMAGE),
            plain("layer_norm", "LayerNorm", "6", floats(6), batched=False),
            Case(jseq.layer_norm(None), floats(4, 6), "nn.LayerNorm(6)"),
            Case(jseq.layer_norm(None, elementwise_affine=False), floats(4, 6), "nn.LayerNorm(6, 1e-5, False)"),
        ),
    ),
    Case(
        jseq.rms_norm(6), floats(4, 5, 6), "nn.RMSNorm(6)", train=True,
        variants=(
            plain("rms_norm", "RMSNorm", "(5, 6), 0.01", floats(4, 5, 6)),
            plain("rms_norm", "RMSNorm", "(5, 6), elementwise_affine=False", floats(4, 5, 6)),
            plain("rms_norm", "RMSNorm", "6, eps=1e-3", floats(6), batched=False),
            Case(jseq.rms_norm(None), floats(4, 6), "nn.RMSNorm(6)"),
            Case(jseq.rms_norm(None, elementwise_affine=False), floats(4, 6), "nn.RMSNorm(6, None, False)"),
        ),
    ),
    group(
        "3, 6",
        variants=(
            group("1, 6"),
            group("6, 6, 0.01"),
            group("2, 6, affine=False"),
            group("2, 6, bias=False"),
            group("3, 6", "spatial_dims=1", SEQUENCE),
            group("3, 6", "spatial_dims=3", VOLUME),
            group("3, 6", "spatial_dims=0", floats(4, 6), layout="last"),
            # Two batch axes: torch sees one.
            group("3, 6", "spatial_dims=1", IMAGE, layout="last",
                  torch_call="module(x[0].flatten(0, 1).mT).mT.unflatten(0, (2, 3))"),
            Case(jseq.group_norm(3, None), IMAGE, "nn.GroupNorm(3, 6)", layout="channels"),
            Case(jseq.group_norm(3, None, affine=False), IMAGE, "nn.GroupNorm(3, 6, affine=False)", layout="channels"),
        ),
    ),
    instance(1, SEQUENCE),
    instance(2, IMAGE),
    instance(3, VOLUME),
    same(
        "local_response_norm", "LocalResponseNorm", "3", SEQUENCE,
        variants=(
            same("local_response_norm", "LocalResponseNorm", "2, 0.5, 1.5, 2.0"),
            same("local_response_norm", "LocalResponseNorm", "5, alpha=0.3", VOLUME),
            same("local_response_norm", "LocalResponseNorm", "4, 0.9", floats(3, 4, 6)),
            same("local_response_norm", "LocalResponseNorm", "1, 0.9", floats(3, 4, 6)),
            same("local_response_norm", "LocalResponseNorm", "13, 0.9", floats(3, 4, 6)),
        ),
    ),
    cross_map(
        "3", 3, 6,
        variants=(
            cross_map("2, 0.5, 1.5, 2.0", 2, 6, 0.5, 1.5, 2.0),
            cross_map("5, alpha=0.3", 5, 7, 0.3),
            cross_map("1, 0.9", 1, 6, 0.9),
            cross_map("4, 0.9, k=0.5", 4, 6, 0.9, k=0.5),
        ),
    ),
]  # fmt: skip
