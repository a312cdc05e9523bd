"""Short labels that tell references, files and folders apart."""

from collections.abc import Sequence
from pathlib import Path

_ANY_RUN = {"best", "last"}  # what srcli train calls its weights
_WEIGHTS = {".safetensors", ".pth", ".pt", ".ckpt"}


def short_names(references: Sequence[str]) -> list[str]:
    """Return labels that differ: a file's name without its kind, with as many of its folders as that takes."""
    paths = [Path(r).resolve() if Path(r).is_dir() else Path(r) for r in references]  # . and .. have no names
    parts = [(p.with_suffix("") if p.suffix.lower() in _WEIGHTS else p).parts for p in paths]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        labels = ["/".join(p[-max(depth, 2 if p[-1] in _ANY_RUN else 1) :]) for p in parts]
        if len(set(labels)) == len(labels):
            return labels
    return list(references)
