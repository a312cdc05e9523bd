"""The documentation keeps up with the program: its blocks run and print what it says, commands parse, links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from srcli import checkpoint, zoo
from srcli.commands.run_file import merge
from srcli.models import ARCHS, create
from tests.docpages import ROOT, Block, blocks, commands, prepare, promised, run, run_python, shapes
from tests.program import PROGRAM

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "weights/README.md", ROOT / "examples/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(srcli [^`]+)`")
CALL = re.compile(r"(?:^|[\s|;&/]|-m )srcli (?=[a-z-])")
RUN = [page for page in PAGES[:-2] if any(block.language for block in blocks(page))]
SLOW = [page for page in RUN if any(block.mark == "slow" for block in blocks(page))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def calls(text: str) -> list[str]:
    """Return the arguments of every `srcli ...` in a page's shell blocks and code spans, each on one line."""
    shell = [block for language, block in BLOCK.findall(text) if language in ("", "sh", "bash")]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
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
    command: Any = PROGRAM
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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder, with a space in its name, of all that the pages speak of."""
    folder = tmp_path / "a user"
    folder.mkdir()
    prepare(folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SRCLI_HUB", raising=False)
    monkeypatch.setattr("srcli.engine.profile._BUDGET", 0.0)  # the fewest passes that are timed
    monkeypatch.setattr("srcli.engine.forecast._TIMED", 24)  # px of the tile that is timed before the work
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # for `srcli doctor`: nobody is there
    return folder


def run_page(of_page: list[Block], folder: Path, left_out: set[str]) -> None:
    """Run the blocks of a page in one folder, as a reader would, and compare what they print with what the page says."""
    names: dict[str, object] = {}
    printed: str | None = None
    for block in of_page:
        if block.mark in left_out:
            printed = None
            continue
        match block.language:
            case "sh":
                printed = "".join(run(command, folder) for command in commands(block.text))
            case "python":
                printed = run_python(block, names)
            case "text" if printed is not None:
                lines = shapes(printed)
                missing = [sample for sample in shapes(block.text) if not any(line.startswith(sample) for line in lines)]
                assert not missing, f"{block} is not what is printed: {missing}\n{printed}"
            case "toml":
                merge({"arch": "rfdn"}, tomllib.loads(block.text), None)


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page, place):
    run_page(blocks(page), place, {"not run", "slow"})


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_slow_blocks_of_a_page_run(page, place):
    for block in blocks(page):
        if block.mark == "slow" and block.reason.startswith("needs "):
            pytest.importorskip(block.reason.removeprefix("needs "))
    run_page(blocks(page), place, {"not run"})


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


def test_the_readme_lists_the_weights_that_ship():
    rows = [row.split(" | ") for row in re.findall(r"^\| (`.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)]
    table: dict[str, list[str]] = {}
    for shipped in zoo.shipped():
        card = checkpoint.read_card(shipped.path)
        network = create(card.arch, shipped.scale, **card.config)
        row = table.setdefault(f"`{shipped.name}`", [ARCHS[card.arch].label, "-", "-", "-", ""])
        psnr = {score["dataset"]: score["psnr"] for score in card.scores}
        row[shipped.scale - 1] = f"{psnr['Set5']:.2f} / {psnr['Set14']:.2f}"
        row[-1] = f"{network.single_scale_parameters():,}"
    assert {name: row for name, *row, _ in rows} == table  # the last: milliseconds, of one machine


def test_commands_are_found_in_blocks_spans_and_pipes():
    text = "```sh\nsrcli eval A -m x  # srcli no\nsrcli upscale - \\\n  -o b | less --x\n```\nsee `srcli models\nlist`\n"
    assert [words(call) for call in calls(text)] == [["eval", "A", "-m", "x"], ["upscale", "-", "-o", "b"], ["models", "list"]]


@pytest.mark.parametrize("call", ["upscale a --scal 2", "upscaled a", "models lst", "eval A --models b", "profile -z"])
def test_a_command_that_is_not_there_is_found(call):
    with pytest.raises(ValueError, match=r"has no|no command"):
        parse(words(call))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- not run: I had no time -->\n```sh\nsrcli doctor\n```\n", "is no reason"),
        ("```\nsrcli doctor\n```\n", "a block of commands is sh"),
        ("```bash\nsrcli doctor\n```\n", "a block of commands is sh"),
    ],
)
def test_a_block_that_would_be_passed_over_is_found(text, message):
    with pytest.raises(ValueError, match=message):
        blocks(ROOT / "README.md", text)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("srcli upscale nothing.jpg", "ends with 1"),
        ("srcli upscale photo.jpg -m bicubic  # large.png", "writes no large.png"),
        ("srcli upscale - -m bicubic -o - < nothing.jpg > zero.jpg", "ends with 1"),
    ],
)
def test_a_command_that_fails_is_found(place, command, message):
    with pytest.raises(AssertionError, match=message):
        run(command, place)


def test_a_sample_that_is_not_printed_is_found(place):
    text = "```sh\nsrcli models list\n```\n```text\nrfdn   shipped   x9\nrfdn   lost\n```\n"
    with pytest.raises(AssertionError, match=r"not what is printed: \['rfdn lost'\]"):
        run_page(blocks(ROOT / "README.md", text), place, set())


def test_a_command_names_what_it_writes():
    assert list(promised("srcli upscale a -o 'f/%05d.png' --report r.json  # b_x4.png, see docs/a.png")) == [
        "f/00001.png",
        "r.json",
        "b_x4.png",
    ]
