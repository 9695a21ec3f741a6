"""The distribution of initial values, as a few numbers that two libraries can be compared by."""

from typing import Any

import numpy as np

DRAWS = 100_000
NAMES = ("mean", "std", "kurtosis", "low", "high", "count")


def moments(values: np.ndarray) -> np.ndarray:
    """Mean, standard deviation, kurtosis, bounds and number of the values."""
    flat = np.asarray(values, np.float64).ravel()
    mean, std = flat.mean(), flat.std()
    if np.ptp(flat) == 0:  # a constant
        mean, std = flat[0], 0.0
    square = (flat - mean) ** 2  # squared again: numpy is three times as slow at a fourth power
    kurtosis = (square * square).mean() / std**4 if std else 0.0
    return np.array([mean, std, kurtosis, flat.min(), flat.max(), flat.size])


def differences(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """What differs beyond chance (five standard errors of the difference of two samples)."""
    a, b = (dict(zip(NAMES, row, strict=True)) for row in (ours, theirs))
    if not b["std"]:
        return [] if (a["std"], a["mean"]) == (0, b["mean"]) else [f"expected the constant {b['mean']}, got {a}"]
    error = np.sqrt(1 / a["count"] + 1 / b["count"])
    found: list[Any] = []
    if abs(a["mean"] - b["mean"]) > 5 * b["std"] * error:
        found.append(("mean", a["mean"], b["mean"]))
    if abs(a["std"] / b["std"] - 1) > 5 * error * np.sqrt((b["kurtosis"] - 1) / 4):
        found.append(("std", a["std"], b["std"]))
    if abs(a["kurtosis"] - b["kurtosis"]) > 5 * error * 5 * b["kurtosis"]:
        found.append(("kurtosis", a["kurtosis"], b["kurtosis"]))
    bounded = b["kurtosis"] < 2.2  # uniform: both samples nearly reach the bounds
    span = b["high"] - b["low"]
    if bounded and max(abs(a["low"] - b["low"]), abs(a["high"] - b["high"])) > 20 / min(a["count"], b["count"]) * span:
        found.append(("bounds", a, b))
    return [str(difference) for difference in found]
