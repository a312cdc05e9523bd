"""The page a Hub repository of srcli's weights shows: licence, scores, recipe and use, written from the files' cards."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import PurePath
from typing import Any, NamedTuple

from srcli.checkpoint import Card
from srcli.engine.settings import FOLDERS, TrainConfig, idle
from srcli.errors import UsageError
from srcli.models import label_of
from srcli.records import jsonable

# the Hub's identifiers of the licences that weights commonly have (huggingface.co/docs/hub/repositories-licenses)
LICENCES = (
    "mit",
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "gpl-3.0",
    "agpl-3.0",
    "lgpl-3.0",
    "mpl-2.0",
    "unlicense",
    "wtfpl",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "openrail",
    "other",
)


class Entry(NamedTuple):
    """A weights file of the repository."""

    name: str  # in the repository
    card: Card
    parameters: int
    size: int  # bytes
    sha256: str
    licence: str = ""


def licence_on(page: str, name: str) -> str:
    """Return the licence that a page of `page` states for one of its files; empty where it has no such file."""
    row = re.search(rf"^\| `{re.escape(name)}` \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    return row[1].strip() if row else ""


def page(repo: str, entries: Sequence[Entry]) -> str:
    """Return README.md as Markdown with the Hub's YAML head. Raises UsageError where a file has no licence."""
    stated = {entry.name: entry.licence for entry in entries}
    for name, value in stated.items():
        if not value or value == "the authors'":
            raise UsageError(
                f"'{name}' does not say its licence, and nothing goes to the Hub without: --licence mit, or another"
            )
    lines = ["---", _head(repo, entries, list(stated.values())), "---", "", f"# {repo.partition('/')[2]}", ""]
    networks = ", ".join(dict.fromkeys(f"{label_of(e.card.arch)} x{e.card.scale}" for e in entries))
    lines += [f"Super-resolution weights for srcli: {networks}.", "", "## Use", ""]
    first = entries[0]
    reference = f"hf:{repo}" if len(entries) == 1 else f"hf:{repo}/{first.name}"
    lines += ["In a copy of srcli's repository, with Python 3.11 to 3.13: install, and upscale.", ""]
    lines += ["```sh", "pip install -c constraints.txt .", f"srcli upscale photo.jpg -m {reference}", "```", ""]
    lines += ["```python", "import srcli", "", f'up = srcli.load("{reference}")']
    lines += ["large = up(image)  # a PIL image, a numpy array or a torch tensor", "```", "", "## Files", ""]
    sets = list(dict.fromkeys(score["dataset"] for e in entries for score in e.card.scores))
    columns = ["file", "network", "scale", "parameters", "MiB", *sets, "licence"]
    lines += [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for e in entries:
        means = {s["dataset"]: f"{s['psnr']:.2f} / {s['ssim']:.4f}" for s in e.card.scores}
        cells = [f"`{e.name}`", label_of(e.card.arch), f"x{e.card.scale}", f"{e.parameters:,}", f"{e.size / 2**20:.2f}"]
        lines.append(f"| {' | '.join([*cells, *(means.get(name, '-') for name in sets), stated[e.name]])} |")
    protocols = dict.fromkeys(score["protocol"] for e in entries for score in e.card.scores if "protocol" in score)
    if sets:
        lines += ["", f"PSNR in dB / SSIM as `srcli eval` measures them{': ' if protocols else ''}{'; '.join(protocols)}."]
    lines += ["", "SHA-256:", "", "```", *(f"{e.sha256}  {e.name}" for e in entries), "```"]
    for e in entries:
        lines += _recipe(e)
    return "\n".join(lines) + "\n"


# flags of a recipe that is printed: always, where they are not what they are without being said, and where the first is given
_ALWAYS = (
    *("data", "val", "minutes", "steps", "batch", "patch", "loss", "optimizer", "lr", "adam_lr", "schedule", "warmup"),
    *("clip", "ema", "init", "precision", "seed"),
)
_UNLESS = (
    *("lr_dir", "val_lr_dir", "degradation", "shrink", "drawings", "clean", "cache_mib", "validate_every", "validate_steps"),
    *("accumulate", "beta", "frequency", "weight_decay", "halve_every", "milestones"),
)
_TOGETHER = (
    ("teacher", "teacher_weight"),
    ("teacher_dir", "teacher_weight"),
    ("finish", "finish_patch", "finish_loss", "finish_rate"),
)


def train_command(card: Card, *more: str) -> str:
    """Return the command line that repeats a training, of what its card says of it, and the file of what has no flag.

    `more`: flags of the command, not of the run.
    """
    training, unsaid = card.training, {field.name: jsonable(field.default) for field in fields(TrainConfig)}
    names = [n for n in _ALWAYS if training.get(n) is not None]
    names += [n for n in _UNLESS if n in training and training[n] != unsaid[n]]
    names += [n for group in _TOGETHER if training.get(group[0]) for n in group if training.get(n) is not None]
    names = [n for n in names if n not in idle(training)]
    flags = [f"--set {shlex.quote(f'{key}={json.dumps(value)}')}" for key, value in card.config.items()]
    for n in names:  # several folders have a flag each
        values = training[n] if n in FOLDERS and isinstance(training[n], list) else [training[n]]
        flags += [f"--{n.replace('_', '-')} {_flag(value)}" for value in values]
    betas = list(training.get("betas", unsaid["betas"]))
    file = [] if betas == unsaid["betas"] else [f"betas = {json.dumps(betas)}"]
    for stage in training.get("stage") or ():
        file += ["[[stage]]", *(f"{key} = {json.dumps(value)}" for key, value in stage.items() if value is not None)]
    if file:
        flags.append("--config run.toml")
        file.insert(0, "# run.toml:")
    ranks = training.get("ranks", 1)  # each takes a batch of its own
    srcli = f"torchrun --standalone --nproc-per-node {ranks} -m srcli" if ranks > 1 else "srcli"
    return "\n".join(
        [
            " ".join([f"{srcli} train --arch", shlex.quote(card.arch), "--scale", str(card.scale), "--out run", *more, *flags]),
            *file,
        ]
    )


def parts(card: Card) -> list[tuple[str, str]]:
    """Return the commands of a training, each behind a word on the steps that it was for; of one part the word is empty."""
    told: list[tuple[str, str]] = []
    resume: list[str] = []
    for part in card.training.get("parts") or []:
        command = train_command(replace(card, training=part), *resume, f"--stop-after {part['steps_done']}")
        told.append((f"up to step {part['steps_done']:,}", command))
        resume = ["--resume"]
    return [*told, ("from there on" if told else "", train_command(card, *resume))]


def _flag(value: Any) -> str:
    return shlex.quote(",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def _recipe(entry: Entry) -> list[str]:
    card, training = entry.card, entry.card.training
    lines = ["", f"## {PurePath(entry.name).stem}", ""]
    config = ", ".join(f"{k} {v}" for k, v in card.config.items())
    lines.append(f"{label_of(card.arch)} (`{card.arch}`) at x{card.scale}{f', {config}' if config else ''}.")
    if card.source:
        lines[-1] += f" Source: {card.source}."
    if not training:
        return lines
    trained = "Trained"
    if "steps_done" in training:
        minutes = f" in {training['minutes_done']} minutes" if "minutes_done" in training else ""
        machine = f" ({training['machine']})" if training.get("machine") else ""
        trained = f"Trained for {training['steps_done']:,} steps{minutes}{machine}"
    for steps, command in parts(card):
        lines += ["", f"{trained}{f', {steps}' if steps else ''} with", "", "```sh", command, "```"]
        trained = "Resumed with other settings"
    for run in training.get("averaged_with", []):
        lines += ["", f"Of the weights {earlier_run(run)}."]
    return lines


def earlier_run(run: dict[str, Any]) -> str:
    """Say what share an earlier run has in a mean of weights."""
    share = f"a share of {run['share']:.3g}" if "share" in run else "a part"
    minutes = f" in {run['minutes_done']} minutes" if "minutes_done" in run else ""
    return f"{share} is of an earlier run, {run['steps_done']:,} steps{minutes}"


def _head(repo: str, entries: Sequence[Entry], licences: list[str]) -> str:
    """Return the YAML that the Hub reads, scores included."""
    from huggingface_hub import EvalResult, ModelCardData

    names = list(dict.fromkeys(value.lower() for value in licences))
    one = len(names) == 1 and names[0] in LICENCES
    results = [
        EvalResult(
            task_type="image-to-image",
            dataset_type=score["dataset"].lower(),
            dataset_name=f"{score['dataset']} x{e.card.scale}",
            dataset_config=PurePath(e.name).stem,
            metric_type=metric,
            metric_name=metric.upper(),
            metric_value=score[metric],
        )
        for e in entries
        for score in e.card.scores
        for metric in ("psnr", "ssim")
    ]
    data = ModelCardData(
        license=names[0] if one else "other",
        license_name=None if one else "; ".join(dict.fromkeys(licences)),
        library_name="srcli",
        pipeline_tag="image-to-image",
        tags=["super-resolution", *dict.fromkeys(e.card.arch for e in entries)],
        model_name=repo.partition("/")[2],
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()
