"""Every example runs to its end in a few steps, on its own, with warnings as errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_the_example_runs(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(script), "--steps", "3"]
    if "--out" in script.read_text(encoding="utf-8"):
        command += ["--out", str(tmp_path)]  # the pictures of the real run stay
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "accuracy" in done.stdout or "loss" in done.stdout, "an example ends with a number"


def test_there_are_examples() -> None:
    assert {"digits_mlp", "digits_cnn"} <= {script.stem for script in EXAMPLES}
