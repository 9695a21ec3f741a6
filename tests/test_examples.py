"""The examples: the quick ones run to their end in a few steps with warnings as errors, all of them are of one form.

The examples leg of .ci/run runs every one of them, with warnings as errors too.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
QUICK = ("architectures", "digits_cnn", "digits_mlp")
each_example = pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    script = ROOT / "examples" / f"{name}.py"
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


@each_example
def test_the_example_is_short_and_says_what_it_does(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    assert (ast.get_docstring(ast.parse(text)) or "").split("\n")[0].endswith(".")


@each_example
def test_the_example_takes_its_number_of_steps(script: Path) -> None:
    assert re.search(r'add_argument\("--steps", type=int, default=\d+\)', script.read_text(encoding="utf-8"))


@each_example
def test_the_example_saves_its_picture_under_its_own_name_where_it_is_asked_to(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    if "savefig" in text:
        assert f'options.out / "{script.stem}.' in text and 'add_argument("--out", type=Path' in text


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "gallery").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_of_the_gallery_shows_an_example_and_its_small_picture(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:literalinclude\} |python |image\} |figure\} |\]\()([\w./]*\.(?:py|png|svg))", text)
    for path in named:
        base = ROOT if path.startswith("examples/") else page.parent
        assert (base / path).resolve().is_file(), path
        assert not path.endswith(".png") or (base / path).stat().st_size < 100_000, path
    assert page.stem == "index" or any(path.endswith(f"/{page.stem}.py") for path in named)


def test_there_are_examples() -> None:
    assert {*QUICK, "characters", "sine", "sweep"} <= {script.stem for script in EXAMPLES}
