"""srcli train: a network from a folder of pictures."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, get_type_hints

import typer

from srcli import console
from srcli.commands.options import Device, Json, need_folder, one_of
from srcli.commands.outputs import DRAWING, check_output
from srcli.commands.run_file import assignments, check_used, choices_of, length, merge, read, setting_names
from srcli.errors import INTERRUPTED, UsageError, counted
from srcli.models import ARCHS

if TYPE_CHECKING:
    from srcli.engine.events import Event, Saved, Step, Validated

_EXAMPLE = "as in: srcli train --arch rfdn --scale 4 --data FOLDER --out RUN --minutes 60"
_TRAINED = [name for name in ARCHS if name != "bicubic"]  # which has nothing to train
LOSSES = ("l1", "smooth-l1", "mse", "charbonnier", "frequency")


def train(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Folder for last.pt, best.safetensors and log.jsonl.  [required]")] = None,
    arch: Annotated[str | None, typer.Option(help=f"The network: {', '.join(_TRAINED)}.  [required]")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of the network, such as channels=48; may be repeated."),
    ] = None,
    scale: Annotated[int | None, typer.Option("--scale", "-s", help="2, 3 or 4.  [required]")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder of HR pictures; several are pooled.  [required]")
    ] = None,
    lr_dir: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the LR of --data (DIV2K, EDSR, BasicSR layouts), one for each; else made from it.",
        ),
    ] = None,
    degradation: Annotated[
        str | None, typer.Option(help="How LR is made: bicubic, photo (blur, noise, JPEG), video (H.264).  [default: bicubic]")
    ] = None,
    shrink: Annotated[
        float | None, typer.Option(help="Reduce pictures by random factors from this, such as 0.6, to 1.  [default: 1]")
    ] = None,
    drawings: Annotated[
        float | None, typer.Option(help="Share of the pairs with text, lines and shapes drawn over them.  [default: 0]")
    ] = None,
    clean: Annotated[
        float | None, typer.Option(help="With photo: share of the pairs that are bicubic, then JPEG or not.  [default: 0]")
    ] = None,
    cache_mib: Annotated[
        int | None, typer.Option(help="Stream pictures from disk, with this much in memory; without it all are held.", min=1)
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="Only draw some pairs of LR and HR to this PNG.")] = None,
    val: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Folder of HR pictures to validate on, one.")] = None,
    val_lr_dir: Annotated[Path | None, typer.Option(help="Folder with the LR of --val, else made from it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run.  [required, or --minutes]")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length of the run in minutes of training, over all resumes.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patches a step.  [default: 16]", min=1)] = None,
    patch: Annotated[int | None, typer.Option(help="Side of a patch in LR px.  [default: 48]", min=1)] = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches whose gradients make one step.  [default: 1]", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.  [default: muon 5e-3, adam and adamw 1e-3]")] = None,
    adam_lr: Annotated[float | None, typer.Option(help="With muon: the rate of what Adam trains.  [default: 1e-3]")] = None,
    loss: Annotated[str | None, typer.Option(help=f"{', '.join(LOSSES)}.  [default: l1]")] = None,
    beta: Annotated[float | None, typer.Option(help="Knee of smooth-l1.  [default: 0.5]")] = None,
    frequency: Annotated[
        float | None, typer.Option(help="Weight of the spectra in the frequency loss.  [default: 0.05]")
    ] = None,
    teacher: Annotated[str | None, typer.Option(help="Weights, as -m takes them, whose SR is learnt besides HR.")] = None,
    teacher_dir: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Folder with a teacher's SR of --data instead, one for each, as 'srcli eval --save' makes it.",
        ),
    ] = None,
    teacher_weight: Annotated[float | None, typer.Option(help="Its share of the loss.  [default: 0.9]", min=0, max=1)] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw or muon.  [default: muon]")] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="Of adamw and muon (muon: of the kernels it trains).  [default: 0]")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, step or constant.  [default: cosine]")] = None,
    halve_every: Annotated[int | None, typer.Option(help="Steps, with schedule step.  [default: 200000]", min=1)] = None,
    milestones: Annotated[
        str | None, typer.Option(help="Steps at which schedule step halves instead, such as 200000,300000.")
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(help="Steps of rising rate, at most a tenth of the run.  [default: 100]", min=0)
    ] = None,
    finish: Annotated[
        float | None, typer.Option(help="Last part of the run with its own patch, loss and rate, such as 0.2.  [default: 0]")
    ] = None,
    finish_patch: Annotated[
        int | None, typer.Option(help="Side of its patches in LR px.  [default: twice --patch]", min=1)
    ] = None,
    finish_loss: Annotated[str | None, typer.Option(help="Its loss.  [default: mse]")] = None,
    finish_rate: Annotated[
        float | None, typer.Option(help="Its first rate, as a share of the peak.  [default: 0.1]", min=0)
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest gradient norm, 0: off.  [default: 1]", min=0)] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of the averaged weights, 0: off.  [default: 0.999]", min=0, max=1)
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="auto, upsampler, random, or weights as -m takes them.  [default: auto]")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.  [default: auto]")] = None,
    compile: Annotated[
        str | None, typer.Option(help="Compile the network: auto (on CUDA), on or off.  [default: auto]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every draw.  [default: 0]", min=0)] = None,
    validate_every: Annotated[float | None, typer.Option(help="Minutes between validations.  [default: 10]")] = None,
    validate_steps: Annotated[int | None, typer.Option(help="Steps between validations instead.", min=1)] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of these options; flags win over it.")] = None,
    recipe: Annotated[str | None, typer.Option(help="paper: the values of the network's paper.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out, by default as it was: nothing else is required.")
    ] = False,
    stop_after: Annotated[int | None, typer.Option(help="Save and stop after N steps in all.", min=1)] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write curves and crops to OUT/tensorboard too.")] = False,
    device: Device = "auto",
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Train a network.

    Example: srcli train --arch rfdn --scale 4 --data photos --val kodak24 --out runs/rfdn --minutes 60
    """
    several = {"data": data, "lr_dir": lr_dir, "teacher_dir": teacher_dir, "val": val}
    if val and len(val) > 1:
        raise UsageError(f"--val is one folder, not {len(val)}: 'srcli eval' scores the weights on others")
    from srcli.engine.settings import FOLDERS, NEEDED, TrainConfig, each, flag, listed

    given = {name: str(value) if isinstance(value, Path) else value for name, value in context.params.items()}
    given |= {name: each(tuple(map(str, folders or ())), str) for name, folders in several.items()}
    given |= {"network": assignments(settings, "--set") if settings else None}
    given |= {"milestones": _steps(milestones) if milestones is not None else None}
    flags = {name: given[name] for name in setting_names() if given.get(name) is not None}
    values = merge(flags, read(config), recipe)
    if samples:
        values.setdefault("arch", "bicubic")  # no network is needed
    for name in ("arch", "scale", "data"):
        if name not in values and (samples or not resume):
            raise UsageError(f"--{name} is missing; {_EXAMPLE}")
    if out is None and not samples:
        raise UsageError(f"--out is missing; {_EXAMPLE}")
    for name, hint in get_type_hints(TrainConfig).items():
        if name in values and (choices := choices_of(hint)):
            one_of(flag(name), values[name], choices)
    leads = os.environ.get("RANK", "0") == "0"
    for name in FOLDERS if leads else ():  # others may lack what rank 0 alone reads
        for folder in listed(values.get(name)):
            need_folder(Path(folder))

    from srcli.engine.distributed import rank_and_world
    from srcli.engine.events import Saved
    from srcli.engine.train import draw_samples
    from srcli.engine.train import train as run

    if samples:
        if samples.suffix.lower() != ".png":
            raise UsageError(f"--samples is a .png file, not '{samples}'")
        if any(samples.resolve().is_relative_to(Path(folder).resolve()) for folder in listed(values["data"])):
            raise UsageError(f"'{samples}' is to lie in --data, and would be trained on; name another file")
        check_output(samples, own=DRAWING)
        for line in draw_samples(TrainConfig(**values), samples):
            console.note(line)
        console.result(str(samples))
        return
    assert out is not None
    begins = not resume or (leads and not (out / "last.pt").exists())  # what a run has is not refused
    if begins and values.keys() >= NEEDED:
        check_used(flags, values)
    stop = _StopSignal()
    follows = rank_and_world()[0] > 0
    with console.bar(1.0, counted=False, quiet=quiet or json or follows) as bar:
        events = run(
            values,
            out,
            device=device,
            resume=resume,
            length=length(recipe, values),
            meant=flags.keys(),
            stop_after=stop_after,
            stopping=stop.asked,
            tensorboard=tensorboard,
        )
        for event in events:
            if not stop.unheard:
                with _heard(stop):
                    _tell(event, stop, bar, json=json)
            if isinstance(event, Saved):
                stop.saved = event
    if stop.saved and not json and not stop.unheard:
        console.note(
            f"step {stop.saved.step:,} saved; continue with --resume"
            if stop.was_asked or (stop.latest and stop.latest.fraction < 1)
            else f"done: weights in {out}/best.safetensors, after {counted(stop.saved.step, 'step')}"
        )
    if stop.was_asked:
        raise typer.Exit(INTERRUPTED)


def _tell(event: "Event", stop: "_StopSignal", bar: console.Bar, *, json: bool) -> None:
    """Print what became of a run, or draw it."""
    from srcli.engine.events import Noted, Saved, Started, Step, Validated

    if json:
        console.record(event, event=type(event).__name__.lower())
        return
    match event:
        case Started():
            console.note(
                f"{event.arch} x{event.scale}: {event.parameters:,} parameters, {counted(event.pictures, 'picture')} of "
                f"{event.megapixels:.1f} megapixels, on {event.device} in {event.precision}, from step {event.step}"
            )
            for line in event.notes:
                console.note(line)
        case Step():
            stop.latest = event
            bar.update(
                event.fraction,
                f"step {event.step:,}  loss {event.loss:.5f}  lr {event.lr:.1e}  {event.steps_per_s:.2f} steps/s"
                + (f"  {last.psnr:.2f} dB" if (last := stop.validated) else ""),
            )
        case Validated():
            stop.validated = event
            best = ", the best so far" if event.best else ""
            console.note(f"step {event.step:,}: {event.psnr:.2f} dB, SSIM {event.ssim:.4f}{best}")
        case Noted():
            console.note(event.text)
        case Saved():
            if (now := stop.latest) and now.fraction < 1:
                done = f"{now.fraction:.0%} done, loss {now.loss:.5f}, {now.steps_per_s:.2f} steps/s"
                bar.instead(f"step {now.step:,}: {done}, saved")


@contextmanager
def _heard(stop: "_StopSignal") -> Iterator[None]:
    """Let a run whose reader is gone, a closed pipe or terminal, be saved and end as by Ctrl-C."""
    with suppress(OSError):
        yield
        if not console.unheard():
            return
    stop.was_asked = stop.unheard = True
    sys.stdout = None


class _StopSignal:
    """Ctrl-C, SIGTERM and a closed terminal ask for a checkpoint and an end after the step; a second one ends at once."""

    def __init__(self) -> None:
        self.was_asked = False
        self.unheard = False  # nobody reads what is told
        self.latest: Step | None = None
        self.validated: Validated | None = None
        self.saved: Saved | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        hangup = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; Windows has none
        if hangup and signal.getsignal(hangup) is not signal.SIG_IGN:  # as it is behind nohup
            signal.signal(hangup, self._ask)

    def asked(self) -> bool:
        return self.was_asked

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.was_asked:
            raise KeyboardInterrupt
        self.was_asked = True


def _steps(text: str) -> tuple[int, ...]:
    """Read step numbers with commas between them."""
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(f"--milestones are steps such as 200000,300000, not '{text}'") from None
