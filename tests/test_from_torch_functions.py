"""from_torch of functions of torch."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from tests.test_from_torch import float64  # noqa: E402, F401
from tests.test_from_torch_forwards import agrees, conv, image, refused, written  # noqa: E402

RESIZED = {
    "a factor": lambda s, x: F.interpolate(s.c(x), scale_factor=2),
    "a size": lambda s, x: F.interpolate(s.c(x), size=(9, 7)),
    "a bilinear factor": lambda s, x: F.interpolate(s.c(x), scale_factor=2, mode="bilinear", align_corners=True),
    "a bilinear size": lambda s, x: F.interpolate(s.c(x), (5, 11), mode="bilinear", antialias=False),
    "a sequence": lambda s, x: F.interpolate(s.c(x).flatten(2), scale_factor=2.0),
    "a line": lambda s, x: F.interpolate(s.c(x).flatten(2), size=20, mode="linear"),
}


@pytest.mark.parametrize("name", RESIZED)
def test_interpolation_is_torchs(name):
    agrees(written(RESIZED[name], c=conv()), image())


def test_interpolation_that_is_not_known_is_refused():
    smooth = written(lambda s, x: F.interpolate(s.c(x), scale_factor=0.5, mode="bilinear", antialias=True), c=conv())
    refused(smooth, r"step 'interpolate': arguments \['antialias'\] are not converted")
    like = written(lambda s, x: F.interpolate(s.c(x), size=x.shape[2:]), c=conv())
    refused(like, "step 'interpolate': size=getitem of interpolate is read off an array. Give it as numbers")
    pair = written(lambda s, x: F.interpolate(s.c(x), size=(x.size(2), 4)), c=conv())
    refused(pair, "step 'interpolate': size=.* of interpolate is read off an array")
