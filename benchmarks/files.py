"""Measures files: kills in the middle of a save, flipped bits, seconds, and memory (Linux).

The files, of 96 MiB each, go to a temporary folder in `--folder`. python benchmarks/files.py --kills 30
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

import jseq
from jseq._interop.files import read_tensors, write_tensors
from jseq.errors import FileError

ROOT = str(Path(__file__).resolve().parent.parent)
MEMORY = """
import re, jax.numpy as jnp, jseq
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
jnp.zeros(3).block_until_ready()  # starts JAX
before = peak()
loaded = jseq.load("ours")
print(peak() - before)
"""


def arrays(number: int) -> dict[str, np.ndarray]:
    """96 MiB in six arrays that all hold this number."""
    return {f"{i}.weight": np.full((2048, 2048), number, np.float32) for i in range(6)}


def kill(trials: int) -> None:
    """Overwrites a file again and again in a child that is killed at a random moment."""
    write_tensors("killed", arrays(0), {})
    whole = midway = 0
    for trial in range(trials):
        child = os.fork()  # nothing of jax's runs yet
        if child == 0:
            for number in range(1, 1000):
                write_tensors("killed", arrays(1000 * trial + number), {})
        time.sleep(random.uniform(0.05, 1.0))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for file in Path().glob(".tmp-jseq-*"):
            midway += 1
            file.unlink()
        tensors, _ = read_tensors("killed")  # checks the sum
        whole += len({number for array in tensors.values() for number in array[:, 0]}) == 1 and len(tensors) == 6
    print(
        f"kill -9 during a save of 96 MiB: {trials} trials, {midway} of them while writing; {whole} leave a whole file"
    )


def flip(trials: int) -> None:
    """Flips one bit of a small file, anywhere, and loads it."""
    model = jseq.sequential(jseq.linear(8, 8), jseq.batch_norm(8), jax.nn.relu, jseq.dropout(0.5))
    trees = jseq.with_state(model).init(jax.random.key(0))
    jseq.save("flipped", model, *trees)
    data = Path("flipped").read_bytes()
    found = Counter[str]()
    for _ in range(trials):
        changed, position = bytearray(data), random.randrange(8 * len(data))
        changed[position // 8] ^= 1 << position % 8
        Path("flipped").write_bytes(changed)
        try:
            again, *read = jseq.load("flipped")
        except FileError:
            found["detected"] += 1
            continue
        bits = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)] for tree in (trees, read)]
        found["harmless" if again == model and bits[0] == bits[1] else "wrong"] += 1
    print(f"one flipped bit in {len(data)} bytes: {trials} trials, {found['detected']} detected, "
          f"{found['harmless']} harmless, {found['wrong']} loaded wrong")  # fmt: skip


def seconds() -> None:
    """Saves and loads, beside safetensors' own functions, which neither sync nor check; the best of five."""
    plain, model = arrays(1), jseq.sequential(*[jseq.linear(2048, 2048, bias=False)] * 6)
    params = tuple({"weight": array} for array in plain.values())
    calls: dict[str, Callable[[], Any]] = {
        "jseq.save": lambda: jseq.save("ours", model, params),
        "safetensors.numpy.save_file": lambda: safetensors.numpy.save_file(plain, "theirs"),
        "jseq.load": lambda: jax.block_until_ready(jseq.load("ours")[1]),
        "safetensors.numpy.load_file": lambda: safetensors.numpy.load_file("theirs"),
    }
    for name, call in calls.items():
        print(f"{name:28} {min(timeit.repeat(call, number=1, repeat=5)):.3f} s")
    done = subprocess.run([sys.executable, "-c", MEMORY], env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True)
    print(f"one load of {os.path.getsize('ours') / 2**20:.1f} MiB takes {int(done.stdout) / 1024:.1f} MiB at its peak")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures kills while saving, flipped bits, seconds and memory.")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--flips", type=int, default=3000)
    parser.add_argument("--folder", help="where to write; the default is the system's temporary folder")
    options = parser.parse_args()
    random.seed(0)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.chdir(folder)
        kill(options.kills)
        flip(options.flips)
        seconds()


if __name__ == "__main__":
    main()
