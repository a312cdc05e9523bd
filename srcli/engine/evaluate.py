"""PSNR and SSIM of models, or of ready pictures, against HR folders, as the papers count them."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from srcli.engine.bootstrap import Interval, differences, mean_interval, rounded
from srcli.engine.degrade import Kind, degrade_picture
from srcli.engine.device import Precision
from srcli.engine.folders import HR_FOLDERS, counterpart, hr_folder, list_pictures, partner, partners, read_rgb
from srcli.engine.upscale import Upscaler
from srcli.errors import BadPicture, UsageError
from srcli.media.picture import Picture
from srcli.media.probe import probe
from srcli.media.write import write_image
from srcli.ops.color import luma
from srcli.ops.metrics import psnr, shave, ssim
from srcli.ops.pixels import UINT8, quantize, to_array, to_tensor
from srcli.ops.resize import resize

Channel = Literal["y", "rgb", "both"]

BASELINE = "bicubic"


@dataclass(frozen=True, slots=True)
class Score:
    """One picture's scores; SSIM is nan where less than 11 px are left. `gray`: read as three equal channels.

    `rgb`: PSNR and SSIM of RGB beside those of Y, where both were asked for. `precision`: what a network computed in.
    """

    picture: str
    psnr: float
    ssim: float
    seconds: float
    gray: bool = False
    rgb: tuple[float, float] | None = None
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The means over a data set with their 95 % bootstrap intervals, and how they were counted.

    `rgb_psnr` and `rgb_ssim`: the means of RGB beside those of Y, where both were asked for.
    """

    model: str
    dataset: str
    scale: int
    pictures: int
    psnr: float
    psnr_interval: Interval
    ssim: float
    ssim_interval: Interval
    protocol: str
    seconds: float
    rgb_psnr: float | None = None
    rgb_ssim: float | None = None


@dataclass(frozen=True, slots=True)
class Versus:
    """`model` against `other` on the same pictures: on how many it is better, and the mean differences with their intervals."""

    model: str
    other: str
    dataset: str
    pictures: int
    wins: int
    losses: int
    psnr: float
    psnr_interval: Interval
    ssim: float
    ssim_interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval of the PSNR difference leaves 0 out."""
        return self.psnr_interval.low > 0 or self.psnr_interval.high < 0

    @property
    def sign(self) -> str:
        """What stands between the names: = where every picture has the same PSNR, ~ where nothing puts one first."""
        if math.isnan(self.psnr) and self.wins == self.losses:
            return "~"
        return ">" if self.wins or self.losses else "="

    @property
    def difference(self) -> str:
        """The mean difference of PSNR in words; there is none where infinite ones of both signs meet."""
        return "no mean difference" if math.isnan(self.psnr) else f"{rounded(self.psnr, 2, sign=True)} dB"

    def __str__(self) -> str:
        interval = self.psnr_interval.text(2) + ("" if self.clear else ", no clear difference")
        if math.isnan(self.psnr_interval.low):
            interval = "no interval"
        pictures = self.pictures if self.sign == "=" else self.wins
        wins = f"{self.model} {self.sign} {self.other} on {pictures} of {self.pictures}" + (" each" if self.sign == "~" else "")
        return f"{wins}, {self.difference}, {interval}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """HR pictures under one name, and how their LR comes about: from a folder, by a degradation, or else by bicubic."""

    name: str
    folder: Path
    pictures: list[Path]
    lr_folder: Path | None = None
    degradation: Kind | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is scored: a network ready for pictures, or the folder of a tool's ready ones. `label`: its short name."""

    name: str
    label: str
    source: Upscaler | Path


@dataclass(frozen=True, slots=True)
class Result:
    """The scores of one entry on one data set, in the order of its pictures."""

    entry: Entry
    dataset: Dataset
    scores: list[Score]
    summary: Summary


class Pair(NamedTuple):
    """An HR picture, (s*H, s*W, 3) uint8, its LR (H, W, 3), and whether the file is gray."""

    lr: np.ndarray
    hr: np.ndarray
    gray: bool


@dataclass(frozen=True, slots=True)
class Protocol:
    """How scores are counted: on Y, RGB or both, `border` px shaved off, LR made by bicubic or given."""

    scale: int
    channel: Channel = "y"
    border: int | None = None  # None: the scale
    lr_given: bool = False
    sr_given: bool = False

    @property
    def shave(self) -> int:
        return self.scale if self.border is None else self.border

    def __str__(self) -> str:
        channel = {"y": "Y (BT.601)", "rgb": "RGB", "both": "Y (BT.601) and RGB"}[self.channel]
        source = "SR given" if self.sr_given else "LR given" if self.lr_given else "LR MATLAB bicubic, 8 bit"
        return f"{channel}, shave {self.shave}, modcrop {self.scale}, {source}, SR 8 bit RGB"


def evaluate(
    source: Upscaler | Path, folder: Path, protocol: Protocol, *, lr_folder: Path | None = None, save: Path | None = None
) -> Iterator[Score]:
    """Score a network, or the folder of a tool's ready pictures, on every HR picture in `folder`, as `score` does one."""
    dataset = Dataset("", folder, list_pictures(folder), lr_folder)
    for path in dataset.pictures:
        yield score(source, dataset, path, protocol, save=save)


def score(source: Upscaler | Path, dataset: Dataset, path: Path, protocol: Protocol, *, save: Path | None = None) -> Score:
    """Score a network, or the folder of a tool's ready pictures, on one HR picture of a data set.

    LR is made by bicubic where no folder has it. `save`: a folder that takes a network's SR as PNG. Raises BadFolder,
    BadPicture.
    """
    name = within(path, dataset.folder)
    if isinstance(source, Path):
        hr, gray = _read_hr(path, protocol.scale)
        return _score(name, _read_ready(source, dataset, path, hr=hr, scale=protocol.scale), hr, protocol=protocol, gray=gray)
    pair = read_pair(dataset, path, protocol)
    started = time.monotonic()
    precision = source.choose(pair.lr)
    sr = source.pixels(pair.lr, precision=precision)
    seconds = time.monotonic() - started
    if save:
        write_image(Picture(pixels=sr, alpha=None), counterpart(path, dataset.folder, save), format="png")
    scored = _score(name, sr, pair.hr, protocol=protocol, gray=pair.gray)
    return replace(scored, seconds=seconds, precision=precision)


def check_pictures(datasets: Sequence[Dataset], entries: Sequence[Entry], protocol: Protocol) -> None:
    """Raise before anything is computed what the headers and names of the pictures tell.

    UsageError where HR is to be scored as SR; BadPicture where one is too small to be scored, or its LR or ready SR has
    another size; BadFolder where it has none of them. What cannot be read is left for its turn.
    """
    s = protocol.scale
    for dataset in datasets:
        sizes = {path: _size(path) for path in dataset.pictures}
        for path, hr in sizes.items():
            if hr and min(hr) // s * s <= 2 * protocol.shave:
                border = f"x{s} and a border of {protocol.shave} px leave nothing of it to score"
                raise BadPicture(f"'{path}' is {hr[1]}x{hr[0]}: {border}; remove it, or give a smaller --shave")
        if dataset.lr_folder:
            for file, (path, hr) in zip(
                partners(dataset.pictures, dataset.lr_folder, s, dataset.folder), sizes.items(), strict=True
            ):
                if hr and (lr := _size(file)):
                    _check_lr(path, lr, hr, s)
        for folder in [_of_dataset(entry.source, dataset) for entry in entries if isinstance(entry.source, Path)]:
            if folder.resolve() == dataset.folder.resolve():
                raise UsageError(f"--sr '{folder}' is the HR itself; it takes a tool's SR of that")
            for file, hr in zip(partners(dataset.pictures, folder, s, dataset.folder), sizes.values(), strict=True):
                if hr and (sr := _size(file)):
                    _check_ready(file, sr, [n // s * s for n in hr], s)


def _size(path: Path) -> tuple[int, int] | None:
    """Return (height, width) as the header tells; None where it cannot be read."""
    try:
        facts = probe(path)
    except BadPicture:
        return None
    return facts.height, facts.width


def restore(entry: Entry, dataset: Dataset, path: Path, pair: Pair, *, scored: Score) -> np.ndarray:
    """Return the SR that `score` scored for one picture, (s*H, s*W, 3) uint8, from what it said of it."""
    if isinstance(entry.source, Path):
        scale = pair.hr.shape[0] // pair.lr.shape[0]
        return _read_ready(entry.source, dataset, path, hr=pair.hr, scale=scale)
    return entry.source.pixels(pair.lr, precision=scored.precision)


def read_pair(dataset: Dataset, path: Path, protocol: Protocol) -> Pair:
    """Read an HR picture of a data set, and its LR or make it; raise BadPicture where they do not fit."""
    (hr, gray), scale = _read_hr(path, protocol.scale), protocol.scale
    given = dataset.lr_folder and partner(path, dataset.lr_folder, scale, dataset.folder)
    if given:
        lr = read_rgb(given)
    elif dataset.degradation:
        lr = degrade_picture(hr, scale, (0, dataset.pictures.index(path) + 1), dataset.degradation)
    else:
        lr = shrink(hr, scale)
    _check_lr(path, lr.shape[:2], hr.shape[:2], scale)
    return Pair(lr, hr, gray)


def _read_ready(folder: Path, dataset: Dataset, path: Path, *, hr: np.ndarray, scale: int) -> np.ndarray:
    """Read the SR of the HR picture at `path` that a tool put into `folder`, cropped to the HR; raise BadPicture, BadFolder.

    It may be larger by a px of LR, as MATLAB makes the LR of sizes that are no multiple of the scale.
    """
    ready = partner(path, _of_dataset(folder, dataset), scale, dataset.folder)
    sr = read_rgb(ready)
    _check_ready(ready, sr.shape[:2], hr.shape[:2], scale)
    return sr[: hr.shape[0], : hr.shape[1]]


def _check_lr(path: Path, lr: Sequence[int], hr: Sequence[int], scale: int) -> None:
    height, width = (n // scale for n in hr)
    if tuple(lr) == (height, width):
        return
    why = f"1/{scale} of its HR of {hr[1]}x{hr[0]}: the LR is of another scale (-s), or of other pictures"
    if lr[0] - height in (0, 1) and lr[1] - width in (0, 1):
        why = (
            f"HR is cropped to a multiple of x{scale}, here {width * scale}x{height * scale}; crop LR whose size was rounded "
            "up too, at its right and lower edge"
        )
    raise BadPicture(f"the LR of '{path.name}' is {lr[1]}x{lr[0]}, not {width}x{height}: {why}")


def _check_ready(ready: Path, sr: Sequence[int], hr: Sequence[int], scale: int) -> None:
    beyond = [a - b for a, b in zip(sr, hr, strict=True)]
    if not all(0 <= n <= scale for n in beyond):
        smaller = "smaller than" if min(beyond) < 0 else f"no SR at x{scale} of"
        raise BadPicture(f"'{ready}' is {sr[1]}x{sr[0]}, {smaller} its HR {hr[1]}x{hr[0]}")


def compare(sr: np.ndarray, hr: np.ndarray, protocol: Protocol) -> tuple[float, float]:
    """Return (PSNR in dB, SSIM) of two (H, W, 3) uint8 pictures; those of Y where the protocol asks for both."""
    pictures = (to_tensor(pixels).double() for pixels in (sr, hr))
    a, b = (shave(x if protocol.channel == "rgb" else luma(x), protocol.shave) for x in pictures)
    if min(a.shape[-2:]) < 1:
        raise UsageError(f"--shave {protocol.shave} leaves nothing of a {hr.shape[1]}x{hr.shape[0]} picture")
    return psnr(a, b), ssim(a, b) if min(a.shape[-2:]) >= 11 else math.nan


def shrink(hr: np.ndarray, scale: int) -> np.ndarray:
    """Make the LR of (s*H, s*W, 3) uint8: MATLAB bicubic in double precision, rounded to 8 bit."""
    lr = resize(to_tensor(hr).double(), hr.shape[0] // scale, hr.shape[1] // scale)
    return to_array(quantize(lr), UINT8)


def summarize(model: str, dataset: str, protocol: Protocol, scores: list[Score]) -> Summary:
    """Return the means of `scores`; pictures too small for SSIM do not count in its mean."""
    psnrs, ssims = [s.psnr for s in scores], [s.ssim for s in scores if not math.isnan(s.ssim)]
    rgb = [s.rgb for s in scores if s.rgb]
    return Summary(
        model,
        dataset,
        protocol.scale,
        len(scores),
        _mean(psnrs),
        mean_interval(psnrs),
        _mean(ssims),
        mean_interval(ssims),
        str(protocol) + (", gray as 3 equal channels" if any(s.gray for s in scores) else ""),
        sum(s.seconds for s in scores),
        _mean([psnr for psnr, _ in rgb]) if rgb else None,
        _mean([ssim for _, ssim in rgb if not math.isnan(ssim)]) if rgb else None,
    )


def precision_of(results: Sequence[Result]) -> str:
    """Return what the networks of these results computed in; more than one where auto took it for some pictures only."""
    return " and ".join(sorted({s.precision for r in results for s in r.scores if s.precision}))


def score_cells(s: Summary) -> tuple[str, ...]:
    """Return the cells of a table: PSNR and SSIM with their intervals, and those of RGB beside Y where they were asked for."""
    rgb = () if s.rgb_psnr is None else (rounded(s.rgb_psnr, 2), rounded(s.rgb_ssim, 4))
    return rounded(s.psnr, 2), s.psnr_interval.text(2), rounded(s.ssim, 4), s.ssim_interval.text(4), *rgb


def versus(a: Result, b: Result) -> Versus:
    """Compare two results on the same data set picture by picture."""
    psnr = differences([s.psnr for s in a.scores], [s.psnr for s in b.scores])
    ssim = [d for d in differences([s.ssim for s in a.scores], [s.ssim for s in b.scores]) if not math.isnan(d)]
    return Versus(
        a.entry.name,
        b.entry.name,
        a.summary.dataset,
        len(psnr),
        sum(d > 0 for d in psnr),
        sum(d < 0 for d in psnr),
        _mean(psnr),
        mean_interval(psnr),
        _mean(ssim),
        mean_interval(ssim),
    )


def conclude(entry: Entry, dataset: Dataset, protocol: Protocol, scores: list[Score]) -> Result:
    """Gather the scores of an entry on a data set with their means."""
    return Result(entry, dataset, scores, summarize(entry.name, dataset.name, protocol, scores))


def duels(results: Sequence[Result], *, baseline: bool = False) -> list[Versus]:
    """Compare every two results on each data set, the better model first.

    Without `baseline`, bicubic only takes part where there is but one model to meet it.
    """
    found = []
    for dataset in dict.fromkeys(r.summary.dataset for r in results):
        of_dataset = [r for r in results if r.summary.dataset == dataset]
        models = [r for r in of_dataset if r.entry.name != BASELINE]
        contest = models if len(models) > 1 and not baseline else of_dataset
        for a, b in combinations(contest, 2):
            duel = versus(a, b)
            # where infinite PSNR on both sides leaves no mean difference, who wins on more pictures is better
            behind = duel.losses > duel.wins if math.isnan(duel.psnr) else duel.psnr < 0
            found.append(versus(b, a) if behind else duel)
    return found


def open_datasets(folders: Sequence[Path], lr_folders: Sequence[Path] = ()) -> list[Dataset]:
    """List the pictures of data sets, each under a name of its own; raise BadFolder, UsageError for one given twice.

    A folder without pictures that has one called HR, GT or the like (EDSR's and BasicSR's benchmarks) stands for that one.
    """
    pictures = [hr_folder(folder) for folder in folders]
    if len({folder.resolve() for folder in pictures}) < len(folders):
        raise UsageError("the same data set is given twice")
    names = _different([dataset_name(folder) for folder in folders], pictures)
    lr: Sequence[Path | None] = lr_folders or [None] * len(folders)
    return [Dataset(name, hr, list_pictures(hr), given) for name, hr, given in zip(names, pictures, lr, strict=True)]


def _different(names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return `names`, in place of equal ones as much of their folders' paths as makes them differ."""
    parts = [folder.resolve().parts for folder in folders]
    different = list(names)
    for depth in range(2, max(map(len, parts), default=0)):
        if len(set(different)) == len(different):
            break
        different = [
            name if names.count(name) == 1 else " ".join(part[-depth:]) for name, part in zip(names, parts, strict=True)
        ]
    return different


def dataset_name(folder: Path) -> str:
    """Return what a data set is called: its folder, or the folder above one that is called HR or the like."""
    whole = folder.resolve()
    return whole.parent.name if whole.name.lower() in HR_FOLDERS else whole.name


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _of_dataset(ready: Path, dataset: Dataset) -> Path:
    """Return where a tool's pictures of a data set lie: a folder of its name where there is one."""
    return next((ready / name for name in (dataset.name, dataset.folder.name) if name and (ready / name).is_dir()), ready)


def within(path: Path, folder: Path) -> str:
    """Return a picture's name, with the folders it has below `folder`."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _score(picture: str, sr: np.ndarray, hr: np.ndarray, *, protocol: Protocol, gray: bool) -> Score:
    rgb = compare(sr, hr, replace(protocol, channel="rgb")) if protocol.channel == "both" else None
    return Score(picture, *compare(sr, hr, protocol), 0.0, gray, rgb)


def _read_hr(path: Path, scale: int) -> tuple[np.ndarray, bool]:
    """Return the picture cropped to a multiple of `scale`, and whether it is gray."""
    pixels = read_rgb(path)
    height, width = (n // scale * scale for n in pixels.shape[:2])
    if not height or not width:
        raise BadPicture(f"'{path}' is smaller than {scale} px")
    gray = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    return pixels[:height, :width], gray
