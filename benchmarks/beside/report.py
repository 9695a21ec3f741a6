"""The tables of the comparison: of the results alone, so that the page and the file can be held against them."""

import re
import statistics
from typing import Any

from benchmarks.beside.data import LIBRARIES, MISTAKES, PARAMETERS, STEPS
from benchmarks.report import ratios, seconds, table

SHOWN = 8  # lines of an error message
PARTS = ("model", "training step", "evaluation", "use")


def counted(source: str) -> dict[str, int]:
    """Lines of code of a program by part; what stands before the first part is imports. Blanks and comments are none.

    Example:
        >>> counted("import jax" + chr(10) + "# --- model" + chr(10) * 2 + "a = 1  # one" + chr(10) + "# two")
        {'imports': 1, 'model': 1, 'whole': 2}
    """
    found = {"imports": 0}
    part = "imports"
    for line in source.splitlines():
        marker = re.fullmatch(r"# --- (.+)", line)
        if marker:
            part = marker[1]
            found[part] = 0
        elif line.strip() and not line.lstrip().startswith("#"):
            found[part] += 1
    return {**found, "whole": sum(found.values())}


def lines_table(results: dict[str, Any]) -> str:
    """Lines of code."""
    rows = [[LIBRARIES[name], *(str(found["lines"][part]) for part in (*PARTS, "whole"))]
            for name, found in results["libraries"].items()]  # fmt: skip
    return table(["lines of", *PARTS, "whole, with imports"], rows)


def cell(answer: dict[str, Any], kind: str) -> str:
    """What came of a mistake, in a word.

    Example:
        >>> cell({"ran": True}, "conv"), cell({"error": "", "names": "", "line": "x = self.conv(x)"}, "conv")
        ('**ran**', 'line')
    """
    if "ran" in answer:
        return "**ran**"
    if "cannot" in answer:
        return "-"
    return answer["names"] or ("line" if re.search(kind, answer["line"], re.IGNORECASE) else "error")


def mistakes_table(results: dict[str, Any]) -> str:
    """What came of each mistake in each library."""
    rows = [[mistake.title, *(cell(found["mistakes"][name], mistake.kind) for found in results["libraries"].values())]
            for name, mistake in MISTAKES.items()]  # fmt: skip
    return table(["", *(LIBRARIES[name] for name in results["libraries"])], rows)


def times_table(results: dict[str, Any]) -> str:
    """A training step, and the first one with its compilation, as ratios to jseq."""

    def columns(times: dict[str, list[float]], name: str) -> list[str]:
        if name not in times:
            return ["-", "-"]
        middle, low, high = ratios(times[name], times["jseq"])
        return [seconds(statistics.median(times[name])), f"{middle:.2f} ({low:.2f}-{high:.2f})"]

    rows = [[LIBRARIES[name], *columns(results["step"], name), *columns(results["first"], name)]
            for name in results["libraries"]]  # fmt: skip
    return table(["", "step", "step / jseq", "first step", "first step / jseq"], rows)


def trained_table(results: dict[str, Any]) -> str:
    """What was checked before anything was timed."""
    rows = [[LIBRARIES[name], f"{found['parameters']:,}", f"{found['losses'][0]:.2f}", f"{found['losses'][-1]:.2f}",
             f"{found['accuracy']:.0%}"] for name, found in results["libraries"].items()]  # fmt: skip
    return table(["", "parameters", "first loss", f"loss after {STEPS} steps", "of the batch learnt by heart"], rows)


def messages(results: dict[str, Any]) -> str:
    """Every message, as printed, and the last line of the program in its traceback."""
    sections: list[str] = []
    for name, mistake in MISTAKES.items():
        sections.append(f"**{mistake.title[0].upper()}{mistake.title[1:]}:** {mistake.text}.")
        for library, found in results["libraries"].items():
            answer, title = found["mistakes"][name], LIBRARIES[library]
            if "ran" in answer:
                sections.append(f"- {title}: no error, it ran.")
            elif "cannot" in answer:
                sections.append(f"- {title}: cannot happen, {answer['cannot']}.")
            else:
                lines = answer["error"].expandtabs(4).splitlines()
                more = [f"... ({len(lines) - SHOWN} more lines)"] if len(lines) > SHOWN else []
                text = "\n".join(f"  {line}".rstrip() for line in [*lines[:SHOWN], *more])
                line = f" at `{answer['line']}`" if answer["line"] else ""
                sections.append(f"- {title}{line}:\n\n  ```text\n{text}\n  ```")
    return "\n\n".join(sections)


TABLES = {"lines": lines_table, "mistakes": mistakes_table, "times": times_table, "trained": trained_table}


def machine(results: dict[str, Any]) -> str:
    """Where and with what it was measured."""
    found = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (f"{found['processor']}, {found['used']} of {found['cores']} cores, {results['rounds']} rounds. {versions}. "
            f"{found['date']}.")  # fmt: skip


def markdown(results: dict[str, Any]) -> str:
    """The whole file."""
    parts = [
        "# The same model in eight libraries",
        f"Written by `python -m benchmarks.beside`. {machine(results)}",
        "## Checked",
        f"All have {PARAMETERS:,} parameters.",
        *(part for name, title in (("trained", ""), ("lines", "## Lines"), ("times", "## Times"),
          ("mistakes", "## Mistakes")) for part in (title, TABLES[name](results)) if part),
        "## Messages",
        "<!-- messages -->",
        messages(results),
        "<!-- end of messages -->",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def marked(name: str) -> re.Pattern[str]:
    """Where a page shows a table: between `<!-- beside: name -->` and `<!-- end -->`."""
    return re.compile(rf"(?<=<!-- beside: {name} -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def filled(page: str, results: dict[str, Any]) -> str:
    """The page with the tables of these results.

    Raises:
        ValueError: if the page does not show one of them.
    """
    for name, make in {**TABLES, "machine": machine}.items():
        text = make(results)
        page, times = marked(name).subn(lambda _, text=text: text, page)
        if times != 1:
            raise ValueError(f"the page shows {name!r} {times} times, not once.")
    return page
