"""What the tests of state dicts share, with torch and without."""

import jseq
from tests.cases import VARIANTS


def cases_of(name):
    """One case for each layer and module: inputs make no difference to weights."""
    return list({(case.layer, case.torch): case for case in VARIANTS if case.name == name}.values())


def shapes(entries):
    return {name: tuple(array.shape) for name, array in entries.items()}


TIED = jseq.tie(
    jseq.sequential({"embedding": jseq.embedding(7, 5), "head": jseq.linear(5, 7)}),
    "embedding.weight", "head.weight", transpose=True,
)  # fmt: skip
