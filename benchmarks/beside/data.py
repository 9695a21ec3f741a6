"""What every program trains on, and the mistakes that every library is asked about."""

from typing import Any, NamedTuple

import numpy as np

BATCH, CLASSES, STEPS = 64, 10, 20
PARAMETERS = 3 * 3 * 3 * 32 + 32 + 2 * 32 + 16 * 16 * 32 * 10 + 10  # convolution, batch norm, dense

LIBRARIES = {
    "jseq": "jseq", "stax": "stax", "nnx": "Flax NNX", "linen": "Flax Linen", "haiku": "Haiku", "equinox": "Equinox",
    "keras": "Keras", "torch": "torch",
}  # fmt: skip


class Mistake(NamedTuple):
    """What is done wrong, and the words by which a message names the kind of layer at fault."""

    title: str
    text: str
    kind: str


CONV, NORM, DROPOUT, DENSE = r"conv(?!_general)(?!olution_)", "norm", "dropout", r"linear|dense"
MISTAKES = {
    "size": Mistake("wrong size", "images of 28 by 28 pixels, where the model was made for 32 by 32", DENSE),
    "axes": Mistake("axes swapped", "images whose channels stand first where they should be last, or last where "
                                    "they should be first", CONV),
    "key": Mistake("no key", "a training step without a key for dropout", DROPOUT),
    "train": Mistake("training unsaid", "a training step that does not say that it is one", f"{DROPOUT}|{NORM}"),
    "evaluate": Mistake("evaluation unsaid", "an evaluation that does not say that it is one", f"{DROPOUT}|{NORM}"),
    "params": Mistake("params of another model", "the params of the same model without its last layer", DENSE),
    "channels": Mistake("channels disagree", "batch norm of 64 channels after a convolution to 32", NORM),
}  # fmt: skip


class Batch(NamedTuple):
    """Images and labels; the same images cut to 28 by 28, and with their axes in the other order."""

    x: Any
    y: Any
    small: Any
    swapped: Any


def batch(channels_first: bool) -> Batch:
    """The batch, as numpy arrays: noise, and labels to be learnt by heart."""
    random = np.random.default_rng(0)
    last = random.normal(size=(BATCH, 32, 32, 3)).astype(np.float32)
    y = random.integers(0, CLASSES, BATCH).astype(np.int32)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    if channels_first:
        return Batch(first, y, np.ascontiguousarray(first[:, :, :28, :28]), last)
    return Batch(last, y, np.ascontiguousarray(last[:, :28, :28]), first)
