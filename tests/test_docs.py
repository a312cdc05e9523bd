"""The documentation keeps up with the program: commands parse, files and headings that are linked exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from srcli.cli import app

COMMAND = typer.main.get_command(app)
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "weights/README.md", ROOT / "examples/README.md"]
BLOCK = re.compile(r"^```(?:sh|bash)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(srcli [^`]+)`")
CALL = re.compile(r"(?:^|[\s|;&/]|-m )srcli (?=[a-z-])")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def calls(text: str) -> list[str]:
    """Return the arguments of every `srcli ...` in a page's shell blocks and code spans, each on one line."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    # a code span may be broken over two lines
    lines += [" ".join(span.split()) for span in INLINE.findall(BLOCK.sub("", text))]
    return [line[match.end() :] for line in lines for match in CALL.finditer(line.partition(" # ")[0])]


def words(call: str) -> list[str]:
    """Split as the shell does and stop where this command does: at a pipe, a redirection, the next command."""
    lexer = shlex.shlex(call, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        found.append(word)
    return found


def parse(arguments: list[str]) -> None:
    """Find the command and check its flags, as Typer would before it calls anything. Raises ValueError."""
    command: Any = COMMAND
    context = typer.Context(command, info_name="srcli")
    while subcommands := getattr(command, "commands", None):
        if not arguments or arguments[0].startswith("-"):
            break
        name, *arguments = arguments
        if name not in subcommands:
            raise ValueError(f"no command is called '{name}'")
        command = subcommands[name]
    flags = {flag for parameter in command.get_params(context) for flag in parameter.opts + parameter.secondary_opts}
    for word in arguments:
        if re.match(r"--?[A-Za-z]", word) and word.partition("=")[0] not in flags:
            raise ValueError(f"{command.name} has no {word}")


def heading(line: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_parses(page):
    for call in calls(page.read_text()):
        parse(words(call))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in [heading(line) for line in re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)]


def test_the_readme_leads_to_every_page():
    linked = {path for path, _ in LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - linked == set()


def test_commands_are_found_in_blocks_spans_and_pipes():
    text = "```sh\nsrcli eval A -m x  # srcli no\nsrcli upscale - \\\n  -o b | less --x\n```\nsee `srcli models\nlist`\n"
    assert [words(call) for call in calls(text)] == [["eval", "A", "-m", "x"], ["upscale", "-", "-o", "b"], ["models", "list"]]


@pytest.mark.parametrize("call", ["upscale a --scal 2", "upscaled a", "models lst", "eval A --models b", "profile -z"])
def test_a_command_that_is_not_there_is_found(call):
    with pytest.raises(ValueError, match=r"has no|no command"):
        parse(words(call))
