"""Writes tests/vectors/*.npz: torch's numbers for every case, for machines without torch.

Run from the root of the repository: `python -m tests.make_vectors` (torch 2.13.0).
"""

import jax
import numpy as np

from tests import parity, torch_side
from tests.cases import CASES, families


def main() -> None:
    parity.VECTORS.mkdir(exist_ok=True)
    total = 0
    for family, cases in families().items():
        arrays: dict[str, np.ndarray] = {}
        for case in cases:
            if case.torch:
                with jax.enable_x64(True):
                    found = torch_side.vectors(case)
                if case in CASES and case.init and any(name.startswith("dparams.") for name in found):
                    found |= torch_side.initial(case)
                arrays |= {f"{parity.identifier(case)}|{name}": value for name, value in found.items()}
        if arrays:
            path = parity.VECTORS / f"{family}.npz"
            np.savez_compressed(path, **arrays)
            total += path.stat().st_size
            print(f"{path.name}: {len(arrays)} arrays, {path.stat().st_size / 1e3:.0f} kB")
    print(f"{total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
