"""The commands of README.md and docs/*.md, found by the info strings of their fenced blocks, and run.

After the language, a block of ``console`` or ``python`` says how it is run; Markdown ignores these words:

    run          in this repository as it is: it writes nothing
    run slow     in a small repository whose pipeline has run, beside a user's own files (``belongings``)
    each         each command of the block starts from the last commit
    clone        in a clone of that repository
    skip=REASON  not at all: it needs a network, say

Commands begin with ``$ ``. Other lines are what they print, where ``...`` stands for any lines and a number for any number.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pipelines import REPOSITORY, Pipeline

PAGES = {path.name: path for path in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))}

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<!\w)(?:[<>] ?)?[-+]?(\d[\d.,]*|nan)%?")


@dataclass(frozen=True)
class Command:
    """One command of a page, and what it prints by that page."""

    line: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int  # of its first line in the page
    language: str
    words: tuple[str, ...]  # how it is run
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def is_code(self) -> bool:
        """Whether somebody might type it."""
        return self.language in ("console", "python", "sh", "bash")

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands of a console; a Python block is one."""
        if self.language == "python":
            return (Command(f"python -c {shlex.quote(self.text)}", ()),)
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if found and found[-1][0].endswith("\\") and not found[-1][1]:
                found[-1] = (f"{found[-1][0][:-1]}{line.strip()}", [])
            elif line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return tuple(Command(line, tuple(output)) for line, output in found)


def read_blocks(page: str, text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    blocks = []
    for match in _FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        if words and words[0].startswith("skip="):
            words = [" ".join(words)]
        blocks.append(Block(page, text.count("\n", 0, match.start()) + 2, language, tuple(words), match["text"]))
    return blocks


def all_blocks() -> Iterator[Block]:
    """Yield the blocks of all pages."""
    for name, path in PAGES.items():
        yield from read_blocks(name, path.read_text(encoding="utf-8"))


def find_difference(expected: Sequence[str], printed: str, *, exact: bool = False) -> str | None:
    """Return the first line of a page that was not printed where it should be, or None.

    Args:
        expected: lines; at the start, and for ``...``, any lines may stand.
        printed: what the command wrote.
        exact: compare numbers too.
    """
    found = "".join(f"{_simplify(line, exact)}\n" for line in printed.splitlines() if line.strip())
    pattern = r"^"
    for line in filter(str.strip, expected):
        pattern += r"(?:.*\n)*?" if line.strip() == "..." else f"{re.escape(_simplify(line, exact))}\n"
        if not re.search(pattern, found, re.MULTILINE):
            return line
    return None


def run_command(command: Command, pipeline: Pipeline, *, exact: bool = False) -> None:
    """Run a command and compare what it prints; AssertionError says what differs."""
    printed = pipeline.run("bash", "-euo", "pipefail", "-c", command.line)
    missing = find_difference(command.output, printed, exact=exact)
    assert missing is None, f"$ {command.line}\nshould print\n{missing}\nand printed\n{printed}"


def add_command(pipeline: Pipeline) -> None:
    """Let ``galaxies`` be that of the folder it is called in, installed or not."""
    folder = pipeline.folder.parent / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "galaxies").write_text('#!/bin/sh\nexec python -m galaxies "$@"\n')
    (folder / "galaxies").chmod(0o755)
    pipeline.environment["PATH"] = f"{folder}{os.pathsep}{pipeline.environment['PATH']}"


def put_back(folder: Path) -> None:
    """Make tracked files, and what DVC tracks, what they were at the last commit."""
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=folder, check=True, capture_output=True, text=True).stdout
    if changed:
        pipeline = Pipeline(folder)
        pipeline.run("git", "checkout", "--quiet", "--force", ".")
        pipeline.run("dvc", "checkout", "--quiet", "--force")


def _simplify(line: str, exact: bool) -> str:
    text = line if exact else _NUMBER.sub("0", line)
    return " ".join(text.split())
