"""Cases of jseq/_layers/dropout.py, dropout_alpha.py and noise.py: in evaluation; tests/test_dropout.py trains."""

import jseq
from tests.case import Case, floats

X = floats(4, 5)
SEQUENCE = floats(3, 4, 6)
IMAGE = floats(2, 3, 4, 6)
VOLUME = floats(2, 2, 3, 2, 6)


def same(name: str, torch_name: str, arguments: str, x=X, **options) -> Case:
    """The same arguments in both libraries."""
    layer = eval(f"jseq.{name}({arguments})", {"jseq": jseq})
    return Case(layer, x, f"nn.{torch_name}({arguments})", **options)


def channels(n: int, x) -> Case:
    """dropout1d, 2d or 3d."""
    name, torch_name = f"dropout{n}d", f"Dropout{n}d"
    others = tuple(same(name, torch_name, p, x, layout="channels") for p in "01")
    return same(name, torch_name, "0.5", x, layout="channels", variants=others)


def unchanged(params, x):
    return x


CASES = [
    same("dropout", "Dropout", "0.5", variants=(same("dropout", "Dropout", "0"), same("dropout", "Dropout", "1"))),
    channels(1, SEQUENCE),
    channels(2, IMAGE),
    channels(3, VOLUME),
    same(
        "alpha_dropout", "AlphaDropout", "0.5",
        variants=(same("alpha_dropout", "AlphaDropout", "0"), same("alpha_dropout", "AlphaDropout", "1")),
    ),
    same(
        "feature_alpha_dropout", "FeatureAlphaDropout", "0.5", IMAGE, layout="channels",
        variants=(
            same("feature_alpha_dropout", "FeatureAlphaDropout", "0", IMAGE, layout="channels"),
            Case(jseq.feature_alpha_dropout(0.5, spatial_dims=1), SEQUENCE, "nn.FeatureAlphaDropout(0.5)",
                 layout="channels"),
            Case(jseq.feature_alpha_dropout(0.5, spatial_dims=3), VOLUME, "nn.FeatureAlphaDropout(0.5)",
                 layout="channels"),
        ),
    ),
    Case(
        jseq.drop_path(0.5, event_dims=1), floats(12, 5), reference=unchanged,
        variants=(Case(jseq.drop_path(0.1, event_dims=3), IMAGE, reference=unchanged),),
    ),
    Case(jseq.gaussian_noise(0.5), X, reference=unchanged),
]  # fmt: skip
