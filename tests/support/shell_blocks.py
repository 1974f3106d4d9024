"""The shell blocks of a document that are marked `run`, executed as a reader would: in order, in one shell.

A block is marked by its info string, ```` ```sh run ````, which pages show as `sh`; ```` ```sh run slow ```` costs more
than the suite may. The blocks run in a scratch folder that is also the home, without a network, with `fedforge` on
`PATH`; ports that the text names are replaced by free ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from fedforge_runtime.engines.address import free_port
from tests.support.patience import PATIENCE_SECONDS

TREE = Path(__file__).parents[2]
PORTS = ("3000", "8080", "8400", "9092")
"""Those that documents name: a machine that runs the tests may use them."""
_FENCE = re.compile(r"^( *)(`{3,})([^`]*)$")
_PRELUDE = "set -eEo pipefail; trap 'echo \"FAILED AT $LINENO: $BASH_COMMAND\" >&2' ERR"
"""Stands on the document's first line, so that the shell counts lines as the document does."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string, the number of its first line in the document, and its lines."""

    info: str
    line: int
    lines: tuple[str, ...]

    def is_run(self, *, slow: bool) -> bool:
        return self.info == "sh run" or (slow and self.is_slow)

    @property
    def is_slow(self) -> bool:
        return self.info == "sh run slow"


class BlockFailedError(AssertionError):
    """A block of a document does not do what a reader expects of it."""


def blocks_of(text: str) -> Iterator[Block]:
    """All fenced blocks of a Markdown text."""
    opened: tuple[str, str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (fence[2], fence[3].strip(), number + 1), []
        elif opened and fence and fence[2].startswith(opened[0]) and not fence[3].strip():
            yield Block(opened[1], opened[2], tuple(lines))
            opened = None
        elif opened:
            lines.append(line)


def script_of(text: str, *, slow: bool) -> str:
    """The marked blocks as one script in which every command stands on the line that it has in the document."""
    script = [_PRELUDE]
    for block in blocks_of(text):
        if block.is_run(slow=slow):
            script += [""] * (block.line - 1 - len(script))
            script += block.lines
    return "\n".join([*script, ""])


def run_blocks(document: Path, folder: Path, *, slow: bool = False) -> str:
    """Run the marked blocks of a document to their end; what they print.

    Args:
        folder: is made, and is home and working folder.
        slow: those that are marked `slow` too.

    Raises:
        BlockFailedError: with document, line, command and output of the first command that failed.
    """
    folder.mkdir()
    script = script_of(document.read_text(), slow=slow)
    for port in PORTS:
        script = re.sub(rf"(?<![\d.]){port}(?!\d)", str(free_port()), script)
    file, output = folder / ".blocks.sh", folder / ".blocks.log"
    file.write_text(script)
    with _nothing_left(folder), output.open("w") as stream:
        try:
            code = subprocess.run(
                ["bash", str(file)],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    said = output.read_text(errors="replace")
    if code != 0:
        raise BlockFailedError(_failure(document, code, said))
    return said


def _failure(document: Path, code: int | None, said: str) -> str:
    how = f"a block ends with {code}" if code is not None else f"a block has not ended after {PATIENCE_SECONDS:g} s"
    failed = re.findall(r"^FAILED AT (\d+): (.*)$", said, re.MULTILINE)
    if failed:
        line, command = failed[0]
        return f"{document}:{line}: {how}\n$ {command}\n{said}"
    return f"{document}: {how}\n{said}"


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FEDFORGE_")}
    nowhere = "http://127.0.0.1:9"
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(TREE),
        "FEDFORGE_HOME": str(folder / ".fedforge"),
        "COLUMNS": "120",
        "https_proxy": nowhere,  # what asks for a network fails at once
        "http_proxy": nowhere,
        "no_proxy": "127.0.0.1,localhost",
    }


@contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Kill what the blocks have started and not ended: whatever has their home in its environment."""
    try:
        yield
    finally:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("FEDFORGE_HOME") == str(folder / ".fedforge"):
                    process.kill()
