# Copyright: (c) 2026, bulkhead.microseg contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pages say what happens: their files are written, their commands run, and what they say is printed is printed.

A fenced block counts where a comment stands in front of it: `<!-- file: PATH -->` writes it, `<!-- run -->` runs it
with sh, `<!-- prints -->` must be, line by line, part of what the run before it printed. Each page has a directory of
its own. Links between pages are followed, and files that the page about architecture names must be there.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
MARKED = re.compile(r"^<!-- (file: (?P<path>\S+)|run|prints) -->\n```\w*\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
#: `plugins/…/x.py` or, in pages about the engine, `policy/compile.py`.
NAMED = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|yml|md))`")
PLACES = (ROOT, ROOT / "plugins" / "plugin_utils")


def marked(page: pathlib.Path) -> Iterator[tuple[str, str, str]]:
    for found in MARKED.finditer(page.read_text(encoding="utf-8")):
        yield found[1].partition(":")[0], found["path"] or "", found["body"]


def name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


EXAMPLES = [page for page in PAGES if any(kind == "run" for kind, *_rest in marked(page))]


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_the_commands_of_a_page_do_what_it_says(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed: list[str] = []
    for kind, path, body in marked(page):
        if kind == "file":
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(body, encoding="utf-8")
        elif kind == "run":
            environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path / ".ansible"), "COLUMNS": "100"}
            run = subprocess.run(
                ["sh", "-euc", body], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert run.returncode == 0, f"{body}\n{run.stdout}{run.stderr}"
            printed = run.stdout.splitlines()
        else:
            missing = [line for line in body.splitlines() if line.rstrip() not in printed]
            assert not missing, "\n".join([*printed, "does not have:", *missing])


def test_there_are_examples() -> None:
    assert ROOT / "docs" / "concepts.md" in EXAMPLES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: pathlib.Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_architecture_page_names_files_and_rooms_that_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in NAMED.findall(text):
        assert any((place / path).exists() for place in PLACES), path
    rooms = {path.name for path in PLACES[1].iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES} - {"index.md"}
    assert pages <= set(LINK.findall(index)), "add a line for it to docs/index.md"
