"""One library's program in one process: it trains, is timed, and makes the mistakes when asked."""

import importlib
import re
import sys
import time
import traceback
from typing import Any

import numpy as np

from benchmarks.beside import data
from benchmarks.worker import Worker, serve, wait_for

JAX_NOTE = "\n--------------------\nFor simplicity, JAX has removed"  # the same below every error under jit


def told(error: BaseException, mistake: data.Mistake, place: str | None, program: str) -> dict[str, Any]:
    """What an error says: its text with its notes, whether it names the layer, and the program's line above it."""
    text = "".join(traceback.format_exception_only(error)).partition(JAX_NOTE)[0].strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == program]
    names = "place" if place and place in text else "kind" if re.search(mistake.kind, text, re.IGNORECASE) else ""
    return {"error": text, "names": names, "line": (frames[-1].line or "") if frames else ""}


class Beside(Worker):
    """The commands of this comparison, and `round` of the benchmarks."""

    def __init__(self, library: str):
        self.library = importlib.import_module(f"benchmarks.beside.drivers.{library}")
        self.batch = data.batch(getattr(self.library, "CHANNELS_FIRST", False))
        if hasattr(self.library, "arrays"):
            self.batch = self.library.arrays(self.batch)
        else:
            import jax.numpy as jnp

            self.batch = data.Batch(*map(jnp.asarray, self.batch))
        self.jobs = {"program": self.library.job(self.batch)}

    def variants(self) -> dict[str, Any]:
        """There is one program a library."""
        return {"program": ["*"]}

    def trained(self) -> dict[str, Any]:
        """Runs the program to its end: the number of its parameters, its losses, its accuracy on what it saw."""
        losses, answers = self.library.program.main(self.batch.x, self.batch.y, data.STEPS)
        accuracy = (np.asarray(answers) == np.asarray(self.batch.y)).mean()
        parameters = int(self.jobs["program"].parameters)
        return {"parameters": parameters, "losses": [float(value) for value in losses], "accuracy": float(accuracy)}

    def first(self) -> float | None:
        """Seconds of a training step with empty caches: tracing, compiling, and one run."""
        if not getattr(self.library, "COMPILES", True):
            return None
        import jax

        jax.clear_caches()
        start = time.perf_counter()
        job = self.jobs["program"]
        wait_for(job, job.step())
        return time.perf_counter() - start

    def mistakes(self) -> dict[str, dict[str, Any]]:
        """What the library does with each mistake."""
        found: dict[str, dict[str, Any]] = {}
        for name, mistake in data.MISTAKES.items():
            if name in self.library.CANNOT:
                found[name] = {"cannot": self.library.CANNOT[name]}
                continue
            try:
                self.library.MISTAKES[name](self.batch)
                found[name] = {"ran": True}
            except Exception as error:
                place = self.library.LAYERS.get(name)
                found[name] = told(error, mistake, place, self.library.program.__file__)
        return found


if __name__ == "__main__":
    serve(sys.argv[1], Beside)
