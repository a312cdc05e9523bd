"""Arrows of the architecture point one way; imports are read from the source, nothing is run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import srcli

ROOT = Path(srcli.__file__).parent
# what each layer may import of srcli; the order is that of docs/architecture.md
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "records": set(),
    "ops": {"ops", "errors"},
    "models": {"models", "ops", "errors"},
    "media": {"media", "files", "errors"},
    "checkpoint": {"models", "records", "files", "errors"},
    "foreign": {"checkpoint", "models", "errors"},
    "community": {"models", "errors"},
    "modelcard": {"engine", "checkpoint", "models", "records", "errors"},
    "hub": {"errors", "files"},
    "pages": {"pages"},
    "preview": set(),
    "exported": {"checkpoint", "models", "ops", "errors"},
    "zoo": {"exported", "hub", "checkpoint", "foreign", "community", "models", "errors"},
    "engine": {
        "engine",
        "exported",
        "checkpoint",
        "zoo",
        "hub",
        "foreign",
        "models",
        "media",
        "ops",
        "pages",
        "records",
        "files",
        "errors",
    },
    "api": {"engine", "zoo", "checkpoint", "models", "media", "errors"},
    "pretrained": {"zoo", "checkpoint", "modelcard", "models", "errors"},
    "console": {"records", "files", "errors"},
    "commands": {
        "commands",
        "engine",
        "zoo",
        "hub",
        "checkpoint",
        "foreign",
        "modelcard",
        "models",
        "media",
        "preview",
        "console",
        "files",
        "errors",
    },
    "cli": {"commands", "console", "errors"},
}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT or p.stem in ALLOWED)


def _imports(path: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_layer_imports_only_what_lies_below(path):
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in _imports(path) if name.startswith("srcli.")} - {"__version__"}
    assert used <= ALLOWED[layer]


@pytest.mark.parametrize("layer", ["media", "errors", "files", "console", "pages", "preview"])
def test_these_layers_never_import_torch(layer):
    for path in MODULES:
        if path.relative_to(ROOT).parts[0].removesuffix(".py") == layer:
            assert not {name for name in _imports(path) if name.split(".")[0] in ("torch", "srcli.ops", "srcli.models")}


@pytest.mark.parametrize("layer", ["engine", "ops", "models", "media", "checkpoint", "foreign", "community", "hub", "zoo"])
def test_the_engine_knows_neither_rich_nor_typer(layer):
    for path in MODULES:
        if path.relative_to(ROOT).parts[0].removesuffix(".py") == layer:
            assert not {name for name in _imports(path) if name.split(".")[0] in ("rich", "typer")}


def test_help_answers_without_torch():
    code = "import sys; sys.argv = ['srcli', '--help']\nfrom srcli.cli import app\n"
    code += "try: app()\nexcept SystemExit: print(sorted(m for m in sys.modules if m in ('torch', 'numpy', 'PIL', 'imageio')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_training_imports_no_more_than_it_must():
    code = "import sys, srcli.engine.train, srcli.commands.train\n"
    code += (
        "print([m for m in ('imageio', 'av', 'tifffile', 'matplotlib', 'huggingface_hub', 'torchvision') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
