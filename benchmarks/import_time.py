"""Measures what `import jseq` adds to `import jax`: fresh interpreters, bytecode compiled, best of several.

The two programs alternate, so that a busy moment of the machine hits both. python benchmarks/import_time.py
"""

import argparse
import compileall
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {"import jax": "import jax", "import jax, jseq": "import jax, jseq"}


def seconds(program: str) -> tuple[float, float]:
    """Runs one interpreter: wall time and user CPU time."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--limit", type=float, help="fail when jseq adds more user CPU seconds than this")
    options = parser.parse_args()
    compileall.compile_dir(ROOT / "jseq", quiet=1)
    for program in PROGRAMS.values():  # a first run fills the disk cache and compiles jax's bytecode
        seconds(program)
    rounds = [{name: seconds(program) for name, program in PROGRAMS.items()} for _ in range(options.rounds)]
    best = {name: [min(r[name][clock] for r in rounds) for clock in (0, 1)] for name in PROGRAMS}
    for name, (wall, user) in best.items():
        print(f"{name:18} {wall:6.3f} s wall {user:6.3f} s user CPU")
    added = [with_jseq - jax for jax, with_jseq in zip(*best.values(), strict=True)]
    print(f"{'jseq adds':18} {added[0]:6.3f} s wall {added[1]:6.3f} s user CPU (best of {options.rounds})")
    if options.limit is not None and added[1] > options.limit:
        sys.exit(f"import jseq adds {added[1]:.3f} s, more than {options.limit} s")


if __name__ == "__main__":
    main()
