"""What the papers print: counts, scores, challenge rows; each with its source and a note where it is counted otherwise.

Only data and look-ups; nothing here is computed or measured. A figure that no source gives is None or absent.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from srcli.models import ALIASES, ARCHS

DATASETS = ("Set5", "Set14", "B100", "U100", "M109")

_OTHER_NAMES = {  # as data sets' folders are called, in small letters
    "bsd100": "B100",
    "bsds100": "B100",
    "cbsd100": "B100",
    "urban100": "U100",
    "manga109": "M109",
}

Counting = Literal["macs", "macs_without_weight_norm", "macs_on_output_grid"]
_COUNTED: dict[str, Counting] = {  # multi-adds that are not all multiply-accumulates, see the rows' notes
    "fsrcnn": "macs_on_output_grid",
    "fdiwn": "macs_without_weight_norm",
    "fdiwn-m": "macs_without_weight_norm",
}


class Score(NamedTuple):
    """Mean PSNR in dB and SSIM on Y, the border of `scale` px shaved off."""

    psnr: float
    ssim: float | None


@dataclass(frozen=True, slots=True)
class Published:
    """One network at one scale as a paper's tables have it; `name` is ours where srcli has the network."""

    name: str
    scale: int
    parameters: float | None  # K
    multi_adds: float | None  # G, for a 1280x720 output
    scores: Mapping[str, Score]
    source: str
    note: str = ""
    config: Mapping[str, float] = field(default_factory=dict)  # of an ablation: what differs from the named network

    @property
    def ours(self) -> bool:
        """Whether srcli has this network."""
        return self.name in ARCHS

    @property
    def score_note(self) -> str:
        """What the note says of scores, not of counts alone."""
        return self.note if any(word in self.note for word in ("figures", *DATASETS)) else ""

    @property
    def label(self) -> str:
        return ARCHS[self.name].label if self.ours else self.name


@dataclass(frozen=True, slots=True)
class Challenge:
    """A row of the NTIRE 2022 efficient super-resolution table: x4, counts for a 256x256 input, PSNR on DIV2K in RGB."""

    name: str
    parameters: float  # M
    flops: float  # G, multiply-accumulates and activations: srcli's `ntire_flops`
    activations: float  # M
    convolutions: int
    memory: float  # MiB allocated at the peak
    milliseconds: float
    psnr_valid: float
    psnr_test: float
    source: str
    note: str = ""


def published_for(name: str, scale: int, config: Mapping[str, Any] | None = None) -> Published | None:
    """Return the papers' row of a network, ours, an ablation of ours or another, or None where no table has it."""
    key = ALIASES.get(name.lower(), name.lower())
    rows = ABLATIONS if config else ROWS
    return next((r for r in rows if (r.name.lower(), r.scale, r.config) == (key, scale, config or {})), None)


def dataset_of(name: str) -> str | None:
    """Return which data set of the papers' tables a folder's name means, or None."""
    known = {dataset.lower(): dataset for dataset in DATASETS} | _OTHER_NAMES
    return known.get(name.lower())


def scored_on(datasets: Collection[str], scale: int) -> list[Published]:
    """Return the papers' rows that have a score on one of `datasets` at least."""
    return [row for row in ROWS if row.scale == scale and any(dataset in row.scores for dataset in datasets)]


def counting_of(name: str) -> Counting:
    """Return which of srcli's counts the published multi-adds of a network are."""
    return _COUNTED.get(name, "macs")


def challenge_for(name: str) -> Challenge | None:
    """Return the NTIRE 2022 row of a network, or None where it did not take part."""
    key = ALIASES.get(name.lower(), name.lower())
    return next((row for row in CHALLENGE if row.name == key), None)


def deviation(ours: float, published: float | None) -> float | None:
    """Return how far `ours` lies above what is published, as a fraction of it; None where nothing or zero is."""
    return (ours - published) / published if published else None


def _row(
    name: str,
    scale: int,
    parameters: float | None,
    multi_adds: float | None,
    scores: str,
    source: str,
    note: str = "",
    config: Mapping[str, float] | None = None,
) -> Published:
    """Build a row; `scores` has psnr/ssim for each data set in turn, - where the source has none."""
    pairs = zip(DATASETS, scores.split(), strict=False)
    return Published(
        name, scale, parameters, multi_adds, {d: _score(s) for d, s in pairs if s != "-"}, source, note, config or {}
    )


def _score(text: str) -> Score:
    psnr, _, ssim = text.partition("/")
    return Score(float(psnr), float(ssim) if ssim else None)


_CARN = "Ahn et al., ECCV 2018, table 1"
_IMDN = "Hui et al., ACM MM 2019"
_CARN_IMDN = f"{_CARN}; M109: {_IMDN}"
_IMDN_CARN = f"{_IMDN}; multi-adds: {_CARN}"
_IMDN_LATER = f"{_IMDN}; multi-adds: as later tables quote them"
_MSRN = "Li et al., ECCV 2018; counts: as later tables quote them"
_RDN = "Zhang et al., CVPR 2018; counts: the sum over its layers, as later tables quote it"
_EDSR = "Lim et al., CVPR workshops 2017"
_EDSR_X4 = f"{_EDSR}; M109: Wang et al., ECCV workshops 2018"
_VDSR = "Kim et al., CVPR 2016 (VDSR), table 3"
_RFDN = "Liu et al., ECCV workshops 2020, table 3"
_PAN = "Zhao et al., ECCV workshops 2020; scores: the authors' logs"
_FDIWN = "Gao et al., AAAI 2022"
_RDSRN = "the RDSRN paper and its authors' repository"
_DRN = "the DRN paper"
_SWINIR = "Liang et al., ICCV workshops 2021, table 3"
_NTIRE = "Li et al., NTIRE 2022 efficient super-resolution report"

_UNVERIFIED = "figures not checked against the paper itself"
_AREA = "multi-adds for the exact area of 1280x720; an input of 426x240 gives 0.2 % less"
_SRCNN = "57 K is 9-5-5; the 8 K of IMDN's table are 9-1-5"
_SRCNN_X3 = f"{_SRCNN}; {_AREA}; CARN's table has Set14 29.28/.8209 and U100 .7989"
_FSRCNN = "multi-adds count the transposed convolution on its output grid; on its input it is {} G"
_IDN = "FDIWN's table says 590 K; the authors' repository says 552,769"
_RFDN_MIX = "FDIWN's table counts multi-adds with spatial attention beside the parameters of the contrast channel attention"
_NORMED = "multi-adds leave out every weight-normalised convolution; the true ones are {} G"
_INFERRED = f"{_NORMED}; no public code, the network is inferred from the six counts"
_MULTI_SCALE = "parameters with the upsamplers of all scales"
_CARN_X3 = f"{_MULTI_SCALE}; {_AREA}"
_SIX = "multi-adds are those of 6 recursions; 9 have 309.8 G"
_MULTICOG = "the entry is called Multicog; the paper retrained RFDN to 28.36 / 28.14 for comparison"
_LAPSRN = "CARN's table says 813 K at every scale"

ROWS: tuple[Published, ...] = (
    # networks that srcli has
    _row("bicubic", 2, None, None, "33.66/.9299 30.24/.8688 29.56/.8431 26.88/.8403 30.80/.9339", _IMDN),
    _row("bicubic", 3, None, None, "30.39/.8682 27.55/.7742 27.21/.7385 24.46/.7349 26.95/.8556", _IMDN),
    _row("bicubic", 4, None, None, "28.42/.8104 26.00/.7027 25.96/.6675 23.14/.6577 24.89/.7866", _IMDN),
    _row("srcnn", 2, 57, 52.7, "36.66/.9542 32.45/.9067 31.36/.8879 29.50/.8946 35.60/.9663", _CARN_IMDN, _SRCNN),
    _row("srcnn", 3, 57, 52.7, "32.75/.9090 29.30/.8215 28.41/.7863 26.24/.7889 30.48/.9117", _CARN_IMDN, _SRCNN_X3),
    _row("srcnn", 4, 57, 52.7, "30.48/.8628 27.49/.7503 26.90/.7101 24.52/.7221 27.58/.8555", _CARN_IMDN, _SRCNN),
    _row("fsrcnn", 2, 12, 6.0, "37.00/.9558 32.63/.9088 31.53/.8920 29.88/.9020 36.67/.9710", _CARN_IMDN, _FSRCNN.format(2.87)),
    _row("fsrcnn", 3, 12, 5.0, "33.16/.9140 29.43/.8242 28.53/.7910 26.43/.8080 31.10/.9210", _CARN_IMDN, _FSRCNN.format(1.27)),
    _row("fsrcnn", 4, 12, 4.6, "30.71/.8657 27.59/.7535 26.98/.7150 24.62/.7280 27.90/.8610", _CARN_IMDN, _FSRCNN.format(0.72)),
    _row("vdsr", 2, 665, 612.6, "37.53/.9587 33.03/.9124 31.90/.8960 30.76/.9140 37.22/.9750", _CARN_IMDN),
    _row("vdsr", 3, 665, 612.6, "33.67/.9210 29.78/.8320 28.83/.7990 27.14/.8290 32.01/.9340", _CARN_IMDN, _AREA),
    _row("vdsr", 4, 665, 612.6, "31.35/.8838 28.01/.7674 27.29/.7251 25.18/.7524 28.83/.8870", _CARN_IMDN),
    _row("carn", 2, 1592, 222.8, "37.76/.9590 33.52/.9166 32.09/.8978 31.92/.9256 38.36/.9765", _CARN_IMDN, _MULTI_SCALE),
    _row("carn", 3, 1592, 118.8, "34.29/.9255 30.29/.8407 29.06/.8034 28.06/.8493 33.50/.9440", _CARN_IMDN, _CARN_X3),
    _row("carn", 4, 1592, 90.9, "32.13/.8937 28.60/.7806 27.58/.7349 26.07/.7837 30.47/.9084", _CARN_IMDN, _MULTI_SCALE),
    _row("carn-m", 2, 412, 91.2, "37.53/.9583 33.26/.9141 31.92/.8960 31.23/.9193", _CARN, _MULTI_SCALE),
    _row("carn-m", 3, 412, 46.1, "33.99/.9236 30.08/.8367 28.91/.8000 27.55/.8385", _CARN, _MULTI_SCALE),
    _row("carn-m", 4, 412, 32.5, "31.92/.8903 28.42/.7762 27.44/.7304 25.62/.7694", _CARN, _MULTI_SCALE),
    _row("idn", 2, 553, None, "37.83/.9600 33.30/.9148 32.08/.8985 31.27/.9196 38.01/.9749", _IMDN, _IDN),
    _row("idn", 3, 553, None, "34.11/.9253 29.99/.8354 28.95/.8013 27.42/.8359 32.71/.9381", _IMDN, _IDN),
    _row("idn", 4, 553, None, "31.82/.8903 28.25/.7730 27.41/.7297 25.41/.7632 29.41/.8942", _IMDN, _IDN),
    _row("imdn", 2, 694, 158.8, "38.00/.9605 33.63/.9177 32.19/.8996 32.17/.9283 38.88/.9774", _IMDN),
    _row("imdn", 3, 703, 71.5, "34.36/.9270 30.32/.8417 29.09/.8046 28.17/.8519 33.61/.9445", _IMDN, _AREA),
    _row("imdn", 4, 715, 40.9, "32.21/.8948 28.58/.7811 27.56/.7353 26.04/.7838 30.45/.9075", _IMDN),
    _row("imdn-baseline", 4, 894, None, "", _NTIRE),
    _row("pan", 2, 261, 70.5, "38.00/.9605 33.59/.9181 32.18/.8997 32.01/.9273 38.70/.9773", _PAN),
    _row("pan", 3, 261, 39.0, "34.40/.9272 30.36/.8422 29.10/.8049 28.11/.8510 33.58/.9448", _PAN),
    _row("pan", 4, 272, 28.2, "32.13/.8948 28.61/.7822 27.59/.7363 26.11/.7854 30.51/.9095", _PAN),
    _row("rfdn", 4, 433, None, "", _NTIRE, "the tables of the paper are of rfdn-c48, not of this network"),
    _row("rfdn-c48", 2, 534, None, "38.05/.9606 33.68/.9184 32.16/.8994 32.12/.9278 38.88/.9773", _RFDN),
    _row("rfdn-c48", 3, 541, 55.4, "34.41/.9273 30.34/.8420 29.09/.8050 28.21/.8525 33.67/.9449", _RFDN, _RFDN_MIX),
    _row("rfdn-c48", 4, 550, 31.6, "32.24/.8952 28.61/.7819 27.57/.7360 26.11/.7858 30.58/.9089", _RFDN, _RFDN_MIX),
    _row("rfdn-c52", 2, 626, None, "38.08/.9606 33.67/.9190 32.18/.8996 32.24/.9290 38.95/.9773", _RFDN, _UNVERIFIED),
    _row("rfdn-c52", 3, 633, None, "34.47/.9280 30.35/.8421 29.11/.8053 28.32/.8547 33.78/.9458", _RFDN, _UNVERIFIED),
    _row("rfdn-c52", 4, 643, None, "32.28/.8957 28.61/.7818 27.58/.7363 26.20/.7883 30.61/.9096", _RFDN, _UNVERIFIED),
    _row("mfdn", 4, 312, None, "", _NTIRE, "published in RGB on DIV2K only"),
    _row("drn", 3, None, None, "34.45/.9274 30.30/.8664 29.12/.8055", _DRN, "the SSIM on Set14 is as printed"),
    _row("drn-plus", 3, None, None, "34.68/.9293 30.57/.8466 29.26/.8090 28.73/.8627", _DRN, "no counts are printed"),
    _row("fdiwn", 2, 629, 112.0, "38.07/.9608 33.75/.9201 32.23/.9003 32.40/.9305 38.85/.9774", _FDIWN, _NORMED.format(270.9)),
    _row("fdiwn", 3, 645, 51.5, "34.52/.9281 30.42/.8438 29.14/.8065 28.36/.8567 33.77/.9456", _FDIWN, _NORMED.format(122.0)),
    _row("fdiwn", 4, 664, 28.4, "32.23/.8955 28.66/.7829 27.62/.7380 26.28/.7919 30.63/.9098", _FDIWN, _NORMED.format(71.2)),
    _row("fdiwn-m", 2, 433, 73.6, "38.03/.9606 33.60/.9179 32.17/.8995 32.19/.9284", _FDIWN, _INFERRED.format(187.9)),
    _row("fdiwn-m", 3, 446, 35.9, "34.46/.9274 30.35/.8423 29.10/.8051 28.16/.8528", _FDIWN, _INFERRED.format(82.9)),
    _row("fdiwn-m", 4, 454, 19.6, "32.17/.8941 28.55/.7806 27.58/.7364 26.02/.7844", _FDIWN, _INFERRED.format(48.2)),
    _row("rdsrn", 2, None, None, "38.08/.9610 33.64/.9181 32.33/.9004 32.25/.9294", _RDSRN),
    _row("rdsrn", 3, None, None, "34.42/.9270 30.36/.8425 29.11/.8047 28.08/.8503", _RDSRN),
    _row("rdsrn", 4, 684, 136, "32.34/.8959 28.72/.7848 27.66/.7390 26.29/.7918", _RDSRN),
    # networks that the papers compare with
    _row("A+", 2, None, None, "36.54/.9544 32.28/.9056 31.21/.8863 29.20/.8938", _VDSR),
    _row("A+", 3, None, None, "32.58/.9088 29.13/.8188 28.29/.7835 26.03/.7973", _VDSR),
    _row("A+", 4, None, None, "30.28/.8603 27.32/.7491 26.82/.7087 24.32/.7183", _VDSR),
    _row("DRCN", 2, 1774, 17974.3, "37.63/.9588 33.04/.9118 31.85/.8942 30.75/.9133 37.55/.9732", _IMDN_CARN),
    _row("DRCN", 3, 1774, 17974.3, "33.82/.9226 29.76/.8311 28.80/.7963 27.15/.8276 32.24/.9343", _IMDN_CARN),
    _row("DRCN", 4, 1774, 17974.3, "31.53/.8854 28.02/.7670 27.23/.7233 25.14/.7510 28.93/.8854", _IMDN_CARN),
    _row("LapSRN", 2, 251, 29.9, "37.52/.9591 32.99/.9124 31.80/.8952 30.41/.9103 37.27/.9740", _IMDN_CARN, _LAPSRN),
    _row("LapSRN", 3, 502, None, "33.81/.9220 29.79/.8325 28.82/.7980 27.07/.8275 32.21/.9350", _IMDN_CARN, _LAPSRN),
    _row("LapSRN", 4, 502, 149.4, "31.54/.8852 28.09/.7700 27.32/.7275 25.21/.7562 29.09/.8900", _IMDN_CARN, _LAPSRN),
    _row("EDSR-baseline", 2, 1370, 316.3, "37.99/.9604 33.57/.9175 32.16/.8994 31.98/.9272 38.54/.9769", _IMDN_LATER),
    _row("EDSR-baseline", 3, 1555, None, "34.37/.9270 30.28/.8417 29.09/.8052 28.15/.8527 33.45/.9439", _IMDN_LATER),
    _row("EDSR-baseline", 4, 1518, 114.0, "32.09/.8938 28.58/.7813 27.57/.7357 26.04/.7849 30.35/.9067", _IMDN_LATER),
    _row("EDSR", 2, 40_700, None, "38.11/.9601 33.92/.9195 32.32/.9013 32.93/.9351", _EDSR),
    _row("EDSR", 3, 43_700, None, "34.65/.9282 30.52/.8462 29.25/.8093 28.80/.8653", _EDSR),
    _row("EDSR", 4, 43_090, None, "32.46/.8968 28.80/.7876 27.71/.7420 26.64/.8033 31.02/.9148", _EDSR_X4),
    _row("SRMDNF", 2, 1511, 347.7, "37.79/.9601 33.32/.9159 32.05/.8985 31.33/.9204 38.07/.9761", _IMDN_LATER),
    _row("SRMDNF", 3, 1528, 156.3, "34.12/.9254 30.04/.8382 28.97/.8025 27.57/.8398 33.00/.9403", _IMDN_LATER),
    _row("SRMDNF", 4, 1552, 89.3, "31.96/.8925 28.35/.7787 27.49/.7337 25.68/.7731 30.09/.9024", _IMDN_LATER),
    _row("MSRN", 2, 5930, 1367.5, "38.08/.9605 33.74/.9170 32.23/.9013 32.22/.9326 38.82/.9868", _MSRN),
    _row("MSRN", 3, 6114, 625.7, "34.38/.9262 30.34/.8395 29.08/.8041 28.08/.8554 33.44/.9427", _MSRN),
    _row("MSRN", 4, 6078, 349.8, "32.07/.8903 28.60/.7751 27.52/.7273 26.04/.7896 30.17/.9034", _MSRN),
    _row("RDN", 2, 22_123, 5096.2, "38.24/.9614 34.01/.9212 32.34/.9017 32.89/.9353 39.18/.9780", _RDN),
    _row("RDN", 3, 22_308, 2281.2, "34.71/.9296 30.57/.8468 29.26/.8093 28.80/.8653 34.13/.9484", _RDN),
    _row("RDN", 4, 22_271, 1309.2, "32.47/.8990 28.81/.7871 27.72/.7419 26.61/.8028 31.00/.9151", _RDN),
    _row("AWSRN-M", 2, 1063, 244.1, "38.04/.9605 33.66/.9181 32.21/.9000 32.23/.9294", "Wang et al., 2019", _UNVERIFIED),
    _row("AWSRN-M", 3, 1143, 116.6, "34.42/.9275 30.32/.8419 29.13/.8059 28.26/.8545", "Wang et al., 2019", _UNVERIFIED),
    _row("AWSRN-M", 4, 1254, 72.0, "32.21/.8954 28.65/.7832 27.60/.7368 26.15/.7884", "Wang et al., 2019", _UNVERIFIED),
    _row("MADNet", 2, 878, 187.1, "", "Lan et al., IEEE Trans. Cybernetics 2020", _UNVERIFIED),
    _row("MADNet", 3, 930, 88.4, "", "Lan et al., IEEE Trans. Cybernetics 2020", _UNVERIFIED),
    _row("MADNet", 4, 1002, 54.1, "", "Lan et al., IEEE Trans. Cybernetics 2020", _UNVERIFIED),
    _row("MAFFSRN", 2, 402, 77.2, "37.97/.9603 33.49/.9170 32.14/.8994 31.96/.9268", "Muqeet et al., 2020", _UNVERIFIED),
    _row("MAFFSRN", 3, 418, 34.2, "34.32/.9269 30.35/.8429 29.09/.8052 28.13/.8521", "Muqeet et al., 2020", _UNVERIFIED),
    _row("MAFFSRN", 4, 441, 19.3, "32.18/.8948 28.58/.7812 27.57/.7361 26.04/.7848", "Muqeet et al., 2020", _UNVERIFIED),
    _row("LAPAR-A", 2, 548, 171.0, "38.01/.9605 33.62/.9183 32.19/.8999 32.10/.9283 38.67/.9772", _SWINIR),
    _row("LAPAR-A", 3, 544, 114.0, "34.36/.9267 30.34/.8421 29.11/.8054 28.15/.8523 33.51/.9441", _SWINIR),
    _row("LAPAR-A", 4, 659, 94.0, "32.15/.8944 28.61/.7818 27.61/.7366 26.14/.7871 30.42/.9074", _SWINIR),
    _row("ECBSR", 2, 596, 137.3, "37.90/.9615 33.34/.9178 32.10/.9018 31.71/.9250", "Zhang et al., ACM MM 2021", _UNVERIFIED),
    _row("ECBSR", 4, 603, 34.7, "31.92/.8946 28.34/.7817 27.48/.7393 25.81/.7773", "Zhang et al., ACM MM 2021", _UNVERIFIED),
)

ABLATIONS: tuple[Published, ...] = (
    _row("rdsrn", 4, 680, 77, "- - - 25.95", _RDSRN, config={"recursions": 1}),
    _row("rdsrn", 4, 684, 136, "- - - 26.29", _RDSRN, config={"recursions": 3}),
    _row("rdsrn", 4, 710, 223, "- - - 26.46", _RDSRN, _SIX, config={"recursions": 9}),
    _row("rdsrn", 4, 1010, 192, "- - - 26.36", _RDSRN, config={"split": 0.25}),
    _row("rdsrn", 4, 490, 102, "- - - 26.07", _RDSRN, config={"split": 0.75}),
)

CHALLENGE: tuple[Challenge, ...] = (
    Challenge("rfdn", 0.433, 27.10, 112.03, 64, 788.0, 41.97, 29.04, 28.75, _NTIRE),
    Challenge("imdn-baseline", 0.894, 58.53, 154.14, 43, 472.0, 50.86, 29.13, 28.78, _NTIRE),
    Challenge("mfdn", 0.312, 37.67, 430.23, 130, 1461.6, 207.98, 28.38, 28.16, _NTIRE, _MULTICOG),
)
