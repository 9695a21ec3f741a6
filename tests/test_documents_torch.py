"""The code blocks of torch in the pages, and the pages of libraries that the everyday suite lacks: the parity leg's."""

from pathlib import Path

import pytest

from tests.pages import PAGES, blocks, importable, needed, relative, run

TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
TORCH_PAGES = [page for page, text in TEXTS.items() if "py" in {kind for kind, _, _ in blocks(text)}]
OTHER_PAGES = [page for page, text in TEXTS.items() if needed(text)]


@pytest.mark.skipif(not importable("torch"), reason="torch is not installed")
@pytest.mark.parametrize("page", TORCH_PAGES, ids=relative)
def test_the_torch_code_on_this_page_runs(page: Path) -> None:
    run(page, TEXTS[page], torch=True)


@pytest.mark.parametrize("page", OTHER_PAGES, ids=relative)
def test_the_code_on_the_page_of_this_library_runs(page: Path) -> None:
    if not importable(needed(TEXTS[page])):
        pytest.skip(f"{needed(TEXTS[page])} is not installed")
    run(page, TEXTS[page])


def test_there_are_pages_of_both_kinds() -> None:
    assert "docs/how-to/coming-from-torch.md" in map(relative, TORCH_PAGES)
    assert {"docs/how-to/onnx.md", "docs/how-to/checkpoints-with-orbax.md"} <= set(map(relative, OTHER_PAGES))
