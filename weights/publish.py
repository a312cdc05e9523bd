"""Bundle trained weights: python weights/publish.py DATA [BEST.safetensors ...]

Stores each file in float16 under its name, with its scores on Set5 and Set14 (final), Kodak24 (choice) and drawings in the
card, if it beats the file bundled under that name on Kodak24; A+B is the mean of two files of one network. Then writes
SHA256SUMS and README.md from the cards. DATA is the data folder with eval/Set5, eval/Set14 and val/kodak24. Without files,
only the sums and the table are written again. What others of the scale have on drawings and on such LR is printed too.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import torch
from PIL import Image

from srcli import checkpoint
from srcli.checkpoint import Card
from srcli.engine.data import Degradation, Making, Patches
from srcli.engine.degrade import Kind
from srcli.engine.device import pick_device
from srcli.engine.evaluate import Protocol, dataset_name, evaluate, summarize
from srcli.engine.folders import degrade_folder, list_pictures, read_rgb
from srcli.engine.published import published_for
from srcli.engine.upscale import Upscaler
from srcli.modelcard import earlier_run, train_command
from srcli.models import ARCHS, create
from srcli.models.base import SRModel
from srcli.ops.pixels import UINT8, to_array
from srcli.zoo import hash_of

HERE = Path(__file__).parent
SETS = ("eval/Set5", "eval/Set14", "val/kodak24")
CHOICE = "kodak24"
KINDS = get_args(Kind)  # of degradation
DRAWINGS = "drawings"  # what the set is called that Kodak24 becomes with scenes drawn over it
SOURCE = "trained by srcli, begun from none but srcli's own weights"
PAPERS = ("bicubic", "vdsr", "rfdn-c48", "imdn")
DATA = (
    "`train` is a folder of 2,634 tiles of photographs and some graphics, mostly 320 px a side, 238 megapixels: of CID22",
    "(CC BY-SA 4.0, Cloudinary), of CLIC 2025 and other photographs under the Unsplash and Pexels licences, of Wikipedia",
    "(CC and public domain), of gb82 and facade (CC0), and of desktop wallpapers of elementary, Pop!_OS, KDE, deepin and",
    "Budgie (CC0, public domain, CC BY, CC BY-SA, Unsplash). What came as JPEG was reduced to half or less first; it was",
    "checked that nothing of Set5 and Set14 is among them. The tiles do not ship with srcli: a folder of sharp",
    "photographs serves as well. `kodak24` is the Kodak Lossless True Color Image Suite.",
)
# the authors' released files, by `srcli eval` in float32 (tests/test_foreign.py repeats it)
AUTHORS = {4: [("E-RFDN", "32.16 / 0.8945", "28.65 / 0.7825"), ("MFDN", "31.41 / 0.8817", "28.10 / 0.7678")]}


def main(data: Path, files: list[str]) -> None:
    """Bundle `files` where they are better than what is there."""
    for file in files:
        bundle(data, file)
    weights = sorted(HERE.glob("*.safetensors"))
    (HERE / "SHA256SUMS").write_text("".join(f"{hash_of(path)}  {path.name}\n" for path in weights))
    (HERE / "README.md").write_text(readme({path: checkpoint.read_card(path) for path in weights}))


def bundle(data: Path, file: str) -> None:
    """Store one file with its scores, unless the bundled one is as good on the pictures that choose."""
    model, card = mean(*(Path(part) for part in file.split("+")))
    degradation = card.training.get("degradation", "bicubic")
    kind, choice = ("", CHOICE) if degradation == "bicubic" else (f"-{degradation}", f"{CHOICE}-{degradation}")
    target = HERE / f"{card.arch}_x{card.scale}{kind}.safetensors"
    for name, tensor in model.state_dict().items():  # what is scored is what is stored
        if tensor.is_floating_point():
            model.state_dict()[name].copy_(tensor.half().float())
    scores = score(model, data, degradation)
    new = {s["dataset"]: s["psnr"] for s in scores}
    if target.exists():
        old = {s["dataset"]: s["psnr"] for s in checkpoint.read_card(target).scores}
        if old.get(choice, 0.0) >= new[choice]:
            print(f"{target.name} stays: {old[choice]:.3f} dB on {choice}, {file} has {new[choice]:.3f}")
            return
    card = replace(card, licence="MIT", source=SOURCE, scores=scores)
    checkpoint.save(target, model, card, torch.float16)
    print(f"{target.name}: " + ", ".join(f"{name} {value:.3f} dB" for name, value in new.items()))


def mean(*files: Path) -> tuple[SRModel, Card]:
    """Return the mean of the files' weights; the card is the last one's, and names the other runs in it with their shares."""
    *others, (model, card) = [checkpoint.load(file) for file in files]
    state = model.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor.copy_(sum((other.state_dict()[name] for other, _ in others), tensor) / len(files))
    own, shares = card.training.get("seed"), dict[int | None, dict[str, Any]]()
    for run in (run for each in (*(c for _, c in others), card) for run in _runs(each)):
        before = shares.get(run["seed"], run | {"share": 0.0})
        shares[run["seed"]] = run | {"share": before["share"] + run["share"] / len(files)}
    training = {**card.training, "averaged_with": [run for seed, run in shares.items() if seed != own]}
    return model, replace(card, training=training) if len(shares) > 1 else card


def _runs(card: Card) -> list[dict[str, Any]]:
    """Return the runs whose weights a file is the mean of, with the share of each; a run is known by its seed."""
    before = card.training.get("averaged_with", [])
    others = [{"share": 1 / (1 + len(before)), **run} for run in before]
    facts = {key: card.training.get(key) for key in ("loss", "lr", "steps_done", "minutes_done", "seed")}
    return [*others, facts | {"share": 1 - sum(run["share"] for run in others)}]


def score(model: SRModel, data: Path, degradation: Degradation) -> list[dict[str, Any]]:
    """Return what `srcli eval` would print, without the seconds; also on LR by the degradation, with seed 0."""
    found = [_scored(model, data / name) for name in SETS]
    others = {path.stem: checkpoint.load(path)[0] for path in sorted(HERE.glob(f"*_x{model.scale}*.safetensors"))}
    others = {"bicubic": create("bicubic", model.scale), **others}
    with TemporaryDirectory() as folder:
        drawn, drawn_lr, degraded_lr = (Path(folder) / name for name in ("drawn", "lr", "degraded"))
        draw_folder(data / SETS[-1], drawn, drawn_lr, model.scale)
        made = [(DRAWINGS, drawn, drawn_lr, "drawings 1")]
        if degradation != "bicubic":
            degrade_folder(data / SETS[-1], degraded_lr, model.scale, degradation, seed=0)
            made.append((f"{CHOICE}-{degradation}", data / SETS[-1], degraded_lr, f"degradation {degradation}"))
        for dataset, hr, lr, how in made:
            found.append(_scored(model, hr, lr, how) | {"dataset": dataset})
            for name, other in others.items():
                print(f"{name} on {dataset}: {_scored(other, hr, lr, how)['psnr']} dB")
    return found


def draw_folder(folder: Path, hr: Path, lr: Path, scale: int) -> None:
    """Write 48 pairs of patches of `folder`, 64 px of LR a side, that `--drawings 1` with seed 0 has drawn over, as PNG."""
    patches = Patches(scale, 64, torch.device("cpu"), Making(drawings=1.0))
    for path in list_pictures(folder):
        patches.add(read_rgb(path))
    batch = patches.draw(0, 0, 48)
    for target, pictures in ((hr, batch.hr), (lr, batch.lr)):
        target.mkdir()
        for i, picture in enumerate(pictures):
            Image.fromarray(to_array(picture[None], UINT8)).save(target / f"{i:02}.png")


def _scored(model: SRModel, folder: Path, lr: Path | None = None, made: str = "") -> dict[str, Any]:
    upscaler = Upscaler(model, device=pick_device("auto"), precision="fp32")
    protocol = Protocol(model.scale, lr_given=lr is not None)
    summary = summarize("", dataset_name(folder), protocol, list(evaluate(upscaler, folder, protocol, lr_folder=lr)))
    return {
        "dataset": summary.dataset,
        "pictures": summary.pictures,
        "psnr": round(summary.psnr, 5),  # to be rounded once more, where it is printed
        "ssim": round(summary.ssim, 6),
        "protocol": summary.protocol.replace("LR given", f"LR by --{made}, seed 0"),
    }


def readme(cards: dict[Path, Card]) -> str:
    """Write the table of all files, and each one's recipe."""
    lines = [
        "# Weights that ship with srcli",
        "",
        "The weights files that come with srcli, their scores, and the commands that trained them. To list and use them:",
        "",
        "```sh",
        "srcli models list",
        "srcli upscale photo.jpg -m rfdn",
        "```",
        "",
        "`python weights/publish.py DATA FILE...` writes this page from the cards inside the files; `srcli eval DATA/eval/Set5",
        "DATA/eval/Set14 -m NAME` prints the scores again. Licence: MIT. Checked against SHA256SUMS when loaded.",
        "",
        "PSNR in dB / SSIM on Y (BT.601), border of `scale` px shaved, LR by MATLAB bicubic rounded to 8 bit, SR rounded to",
        "8-bit RGB; computed in float32 from the float16 weights stored here. Rows in italics are for comparison: the authors'",
        "released files scored the same way, and the papers' printed figures (trained on DIV2K or DF2K). Set14's gray picture",
        "counts as three equal channels, as in most papers since IMDN; the published rows of bicubic and VDSR take its gray as",
        "Y, which lowers bicubic by 0.09 dB there (x4: 26.00, and 26.09 by `srcli eval`).",
        "",
        "The columns photo and video are Kodak24 with LR by `--degradation photo` (blurred, noisy and compressed) and `video`",
        "(coded as H.264), seed 0. Drawings is 48 patches of Kodak24, 64 px of LR a side, with what `--drawings 1`, seed 0,",
        "draws over them.",
        "",
        "| weights | network | Set5 | Set14 | Kodak24 | drawings | photo | video | parameters | MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for path, card in cards.items():
        means = {s["dataset"]: f"{s['psnr']:.2f} / {s['ssim']:.4f}" for s in card.scores}
        parameters = sum(
            v.numel() for k, v in checkpoint.read_tensors(path).items() if "running" not in k and "tracked" not in k
        )
        cells = [f"`{path.stem}`", f"{ARCHS[card.arch].label} x{card.scale}"]
        cells += [means.get(name, "-") for name in ("Set5", "Set14", CHOICE, DRAWINGS, *(f"{CHOICE}-{kind}" for kind in KINDS))]
        lines.append(f"| {' | '.join(cells)} | {parameters:,} | {path.stat().st_size / 2**20:.2f} |")
    for scale in sorted({card.scale for card in cards.values()}):
        for name, set5, set14 in AUTHORS.get(scale, []):
            lines.append(f"| *the authors' file* | *{name} x{scale}* | {set5} | {set14} | - | - | - | - | | |")
        for arch in PAPERS:
            row = published_for(arch, scale)
            if row:
                means = {name: f"{s.psnr:.2f} / {s.ssim:.4f}" for name, s in row.scores.items()}
                lines.append(
                    f"| *published* | *{row.label} x{scale}* | {means['Set5']} | {means['Set14']} | - | - | - | - | | |"
                )
    lines += [
        "",
        "## Data",
        "",
        *DATA,
        "",
        "## Recipes",
        "",
        "`--init NAME` began from the file that had this name before the run: repeated from today's file, a command goes",
        "on from there and does not give the same file again. The runs before are in",
        "[docs/experiments.md](../docs/experiments.md#runs).",
        "",
    ]
    for path, card in cards.items():
        t = card.training
        lines += [
            f"### {path.stem}",
            "",
            f"{t.get('steps_done', 0):,} steps in {t.get('minutes_done', 0)} minutes of training ({t.get('machine', '?')})",
            f"on the pictures of `{t.get('data')}`; of its validations on `{t.get('val')}` the best was kept.",
            *(f"Of the weights {earlier_run(run)}." for run in reversed(_runs(card)[:-1])),
            "",
            "```",
            train_command(card),
            "```",
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main(Path(sys.argv[1]), sys.argv[2:])
