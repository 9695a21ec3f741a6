"""Cases of jseq/_layers/vision.py and upsample.py."""

import jseq
from tests.case import Case, floats

SEQUENCE = floats(2, 5, 3)
IMAGE = floats(2, 4, 5, 3)
VOLUME = floats(2, 2, 3, 4, 2)


def same(name: str, torch_name: str, arguments: str, x, extra: str = "", **options) -> Case:
    """The same arguments in both libraries; `extra` are jseq's own."""
    layer = eval(f"jseq.{name}({arguments}{extra})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", layout="channels", **options)


def upsample(arguments: str, x, extra: str = "", **options) -> Case:
    return same("upsample", "Upsample", arguments, x, extra, **options)


ONE, THREE = ", spatial_dims=1", ", spatial_dims=3"
NEAREST = (
    upsample("scale_factor=2", SEQUENCE, ONE),
    upsample("scale_factor=2", VOLUME, THREE),
    upsample("scale_factor=(2.5, 1.5)", IMAGE),
    upsample("scale_factor=(2.5, 1.5), recompute_scale_factor=True", IMAGE),
    upsample("scale_factor=0.7", IMAGE),
    upsample("(7, 3)", IMAGE),
    upsample("7", SEQUENCE, ONE),
    upsample("(5, 2, 3)", VOLUME, THREE),
    upsample("(7, 3), mode='nearest-exact'", IMAGE),
    upsample("scale_factor=1.7, mode='nearest-exact'", SEQUENCE, ONE),
    upsample("scale_factor=2, mode='nearest-exact'", VOLUME, THREE),
    upsample("(3, 7), mode='area'", IMAGE),
    upsample("scale_factor=0.5, mode='area'", IMAGE),
    upsample("3, mode='area'", SEQUENCE, ONE),
    upsample("(3, 2, 2), mode='area'", VOLUME, THREE),
)
SMOOTH = (
    upsample("scale_factor=2, mode='linear'", SEQUENCE),
    upsample("scale_factor=2, mode='linear', align_corners=True", SEQUENCE),
    upsample("3, mode='linear', align_corners=False", SEQUENCE),
    upsample("1, mode='linear', align_corners=True", SEQUENCE),
    upsample("scale_factor=2, mode='bilinear'", IMAGE),
    upsample("scale_factor=(2.5, 0.7), mode='bilinear'", IMAGE),
    upsample("scale_factor=(2.5, 0.7), mode='bilinear', recompute_scale_factor=True", IMAGE),
    upsample("scale_factor=(2.5, 1.7), mode='bilinear', align_corners=True", IMAGE),
    upsample("(9, 3), mode='bilinear'", IMAGE),
    upsample("(4, 5), mode='bilinear', align_corners=True", IMAGE),
    upsample("scale_factor=2, mode='bicubic'", IMAGE),
    upsample("scale_factor=(1.6, 0.6), mode='bicubic'", IMAGE),
    upsample("(7, 3), mode='bicubic', align_corners=True", IMAGE),
    upsample("scale_factor=2, mode='trilinear'", VOLUME),
    upsample("(3, 5, 2), mode='trilinear', align_corners=True", VOLUME),
    upsample("scale_factor=(1.5, 2.0, 0.8), mode='trilinear', recompute_scale_factor=True", VOLUME),
)

CASES = [
    same(
        "pixel_shuffle", "PixelShuffle", "2", floats(2, 3, 2, 8),
        variants=(
            same("pixel_shuffle", "PixelShuffle", "3", floats(2, 1, 2, 9)),
            same("pixel_shuffle", "PixelShuffle", "1", IMAGE),
            Case(jseq.pixel_shuffle(2), floats(2, 3, 1, 2, 8), "nn.PixelShuffle(2)",
                 torch_call="module(x[0].movedim(-1, -3)).movedim(-3, -1)"),
        ),
    ),
    same(
        "pixel_unshuffle", "PixelUnshuffle", "2", floats(2, 4, 6, 3),
        variants=(
            same("pixel_unshuffle", "PixelUnshuffle", "3", floats(2, 3, 6, 2)),
            Case(jseq.pixel_unshuffle(2), floats(2, 3, 2, 4, 2), "nn.PixelUnshuffle(2)",
                 torch_call="module(x[0].movedim(-1, -3)).movedim(-3, -1)"),
        ),
    ),
    same(
        "channel_shuffle", "ChannelShuffle", "2", floats(2, 3, 2, 6),
        variants=(
            same("channel_shuffle", "ChannelShuffle", "3", floats(2, 5, 6)),
            same("channel_shuffle", "ChannelShuffle", "1", IMAGE),
            same("channel_shuffle", "ChannelShuffle", "4", floats(2, 2, 1, 3, 8)),
        ),
    ),
    upsample("scale_factor=2", IMAGE, variants=NEAREST + SMOOTH),
    same(
        "upsampling_nearest2d", "UpsamplingNearest2d", "scale_factor=2", IMAGE,
        variants=(
            same("upsampling_nearest2d", "UpsamplingNearest2d", "(7, 3)", IMAGE),
            same("upsampling_nearest2d", "UpsamplingNearest2d", "scale_factor=(1.5, 0.6)", IMAGE),
        ),
    ),
    same(
        "upsampling_bilinear2d", "UpsamplingBilinear2d", "scale_factor=2", IMAGE,
        variants=(
            same("upsampling_bilinear2d", "UpsamplingBilinear2d", "(7, 3)", IMAGE),
            same("upsampling_bilinear2d", "UpsamplingBilinear2d", "7", IMAGE),
            same("upsampling_bilinear2d", "UpsamplingBilinear2d", "scale_factor=(1.5, 0.6)", IMAGE),
        ),
    ),
    same(
        "unfold", "Unfold", "(2, 3)", IMAGE,
        variants=(
            same("unfold", "Unfold", "2, dilation=2, padding=1, stride=2", IMAGE),
            same("unfold", "Unfold", "(3, 2), (1, 2), (2, 0), (1, 3)", IMAGE),
            Case(jseq.unfold(2), floats(4, 5, 3), "nn.Unfold(2)", batched=False,
                 torch_call="module(x[0].movedim(-1, 0)).mT"),
        ),
    ),
    same(
        "fold", "Fold", "(4, 5), (2, 3)", floats(2, 9, 12),
        variants=(
            same("fold", "Fold", "(4, 5), 2, dilation=2, padding=1, stride=2", floats(2, 6, 8)),
            same("fold", "Fold", "(4, 5), (3, 2), (1, 2), (2, 0), (1, 3)", floats(2, 6, 12)),
            same("fold", "Fold", "4, 2, stride=2", floats(2, 4, 4)),
            Case(jseq.fold(4, 2), floats(9, 8), "nn.Fold(4, 2)", batched=False,
                 torch_call="module(x[0].mT).movedim(0, -1)"),
        ),
    ),
]  # fmt: skip
