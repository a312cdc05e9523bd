"""Frames to packets: which codec, pixel format and quality a result gets, and the encoder that makes it."""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import av
import av.filter
import numpy as np
from av.codec.codec import PixFmtLoss, find_best_pix_fmt_of_list
from av.codec.context import CodecContext
from av.codec.context import Flags as CodecFlags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from srcli.errors import BadVideo, UsageError
from srcli.media.formats import FORMATS
from srcli.media.picture import Array
from srcli.media.video import (
    BT709,
    EXACT,
    FULL,
    LIGHT,
    LIMITED,
    MASTERING,
    MATRICES,
    RGB,
    UNSPECIFIED,
    Colors,
    Timed,
    Track,
    guessed_matrix,
)

if TYPE_CHECKING:
    AnyPacket: TypeAlias = Packet[Stream]
else:
    AnyPacket = Packet  # which is generic in its stub only

MUXERS = {"mp4": "mp4", "mkv": "matroska", "mov": "mov", "webm": "webm"}


class Codec(NamedTuple):
    """What is particular to an encoder."""

    containers: tuple[str, ...]
    crf: int | None = None  # default; None: it has no such setting
    worst: int = 51  # the largest crf
    crf_option: str = "crf"
    preset: str = ""  # default
    preset_option: str = "preset"
    presets: tuple[str, ...] = ()  # by name: an unknown one it tells on stderr, past every setting
    speeds: range = range(0)  # presets by number
    options: dict[str, str] = {}
    odd: bool = False  # takes odd sizes with subsampled chroma
    formats: tuple[str, ...] = ()  # where it does not encode all that it lists
    shape: bool = False  # its packets say the shape of the pixels, for which PyAV has no place in mkv and webm


_QUIET = {"x265-params": "log-level=none"}
_X26X_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_NVENC = {"rc": "vbr", "b": "0"}
_NVENC_FORMATS = ("yuv420p", "p010le", "yuv444p", "yuv444p16le")
# FFmpeg 8.1 lists yuva422p, yuva444p and gbrap for it too, and refuses them
_VP9_FORMATS = ("yuv420p", "yuva420p", "yuv422p", "yuv440p", "yuv444p", "gbrp")
_X265_FORMATS = (*(f"yuv{chroma}p{depth}" for depth in ("", "10le", "12le") for chroma in (420, 422, 444)), "gray")

CODECS = {
    "libx264": Codec(("mp4", "mkv", "mov"), 18, preset="medium", presets=_X26X_PRESETS, speeds=range(10), shape=True),
    "libx265": Codec(
        ("mp4", "mkv", "mov"),
        20,
        preset="medium",
        presets=_X26X_PRESETS,
        speeds=range(10),
        options=_QUIET,
        formats=_X265_FORMATS,
        shape=True,
    ),
    "libsvtav1": Codec(("mp4", "mkv", "webm"), 25, 63, preset="8", speeds=range(-2, 14)),
    "libvpx-vp9": Codec(
        ("mp4", "mkv", "webm"),
        24,
        63,
        preset="4",
        preset_option="cpu-used",
        speeds=range(-8, 9),
        options={"b": "0", "row-mt": "1"},
        odd=True,
        formats=_VP9_FORMATS,
    ),
    "ffv1": Codec(("mkv",), options={"level": "3"}, odd=True),
    "prores_ks": Codec(("mov", "mkv")),
    "h264_nvenc": Codec(("mp4", "mkv", "mov"), 19, 51, "cq", "p5", options=_NVENC, formats=("yuv420p", "yuv444p"), shape=True),
    "hevc_nvenc": Codec(("mp4", "mkv", "mov"), 21, 51, "cq", "p5", options=_NVENC, formats=_NVENC_FORMATS, shape=True),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the encoder; None leaves it to the container and the source."""

    codec: str | None = None
    crf: int | None = None
    preset: str | None = None
    pix_fmt: str | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that an encoder of one track is opened with; `height` and `width` are those of the picture."""

    codec: str
    pix_fmt: str
    height: int
    width: int
    time_base: Fraction
    rate: Fraction
    colors: Colors  # as tagged
    aspect: Fraction | None = None
    options: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left: bool = False  # chroma lies left of the middle of its px, else in the middle
    matrix: int = UNSPECIFIED  # that the source is converted with where it names none that swscale has

    @property
    def coded(self) -> tuple[int, int]:
        """Height and width as coded: chroma at half the size needs even sides in most codecs."""
        chroma = VideoFormat(self.pix_fmt, 2, 2)
        if self.codec not in CODECS or CODECS[self.codec].odd:
            return self.height, self.width
        tall, wide = chroma.chroma_height(2), chroma.chroma_width(2)
        return self.height + (self.height % 2 if tall == 1 else 0), self.width + (self.width % 2 if wide == 1 else 0)


def default_codec(container: str, track: Track) -> str:
    """Choose the codec that the container is mostly found with; alpha and more than 8 bits ask for one that has them."""
    if container == "webm":
        return "libsvtav1" if track.depth > 8 and not track.alpha else "libvpx-vp9"  # libvpx is built for 8 bits
    if track.alpha and container != "mp4":
        return "prores_ks" if container == "mov" else "ffv1" if track.depth > 8 else "libvpx-vp9"
    return "libx265" if track.depth > 8 else "libx264"


def plan_encoding(track: Track, size: tuple[int, int], container: str, wishes: Wishes) -> Encoding:
    """Settle every setting of the encoder for a track at `size` (height, width).

    Raises UsageError for what does not go together. `notes` says what of the source the codec cannot hold.
    """
    name = wishes.codec or default_codec(container, track)
    codec = _codec(name, container)
    options = dict(codec.options)
    if wishes.crf is not None and codec.crf is None:
        raise UsageError(f"{name} has no --crf")
    if codec.crf is not None:
        crf = codec.crf if wishes.crf is None else wishes.crf
        if not 0 <= crf <= codec.worst:
            raise UsageError(f"--crf of {name} is 0 to {codec.worst}, not {crf}")
        options[codec.crf_option] = str(crf)
    if wishes.preset is not None and not codec.preset:
        raise UsageError(f"{name} has no --preset")
    preset = wishes.preset.lower() if wishes.preset and codec.presets else wishes.preset  # x264 knows Fast, x265 does not
    known = [*codec.presets, *map(str, codec.speeds)]
    if preset is not None and known and preset not in known:
        said = f"one of {', '.join(codec.presets)}" if codec.presets else f"a number from {known[0]} to {known[-1]}"
        raise UsageError(f"--preset of {name} is {said}, not '{wishes.preset}'")
    if name == "libx264":
        options |= repeatable()
    if codec.preset:
        options[codec.preset_option] = preset or codec.preset
    pix_fmt, notes = _pix_fmt(name, track, wishes.pix_fmt)
    params = _hdr(track) if name == "libx265" else {}
    if params:
        options["x265-params"] = ":".join((options["x265-params"], *params.values()))
    if lost := [what for what in track.side if what not in params]:
        notes = (*notes, f"{name} is not given what the frames carry: {', '.join(lost)}")
    colors, told = _tags(track, size, pix_fmt)
    if name == "prores_ks":
        colors = colors._replace(range=LIMITED)  # ProRes cannot say another
    aspect = track.aspect if codec.shape or container in ("mp4", "mov") else None
    if (aspect or 1) != (track.aspect or 1):
        keeping = " and ".join(c for c in codec.containers if c in ("mp4", "mov"))
        others = f"{keeping or 'libx264 and libx265'} keep{'s' if keeping in ('mp4', 'mov') else ''} it"
        notes = (*notes, f"{name} in {container} loses the shape of the pixels, {track.aspect}; {others}")
    encoding = Encoding(name, pix_fmt, *size, track.time_base, track.rate, colors, aspect, options)
    if encoding.coded != size:
        height, width = encoding.coded
        notes = (*notes, f"{pix_fmt} needs even sides: the last row or column is repeated, {width} x {height} px")
    return replace(
        encoding,
        notes=(*notes, *told),
        left=_left(track, name, pix_fmt),
        matrix=track.colors.conversion(track.height, track.width)[0],
    )


# Codecs whose decoders name where chroma lies, and pictures, whose px are whole
_SITED = frozenset(("h264", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", *FORMATS))


def _left(track: Track, name: str, pix_fmt: str) -> bool:
    """Tell whether to put chroma where H.264 and HEVC are read with it, rather than in the middle.

    Frames of VP8, VP9, AV1, FFV1 and others are read as if it lay in the middle, and PyAV cannot tell whether that was
    named: it stays there, so that what is off on the way in is not added to on the way out.
    """

    def sited(codec: str, format: VideoFormat) -> bool:
        return codec in _SITED or (codec == "hevc" and format.chroma_height(2) == 1)  # HEVC's decoder: 4:2:0 alone

    codec, source = av.Codec(name, "w").canonical_name, VideoFormat(track.pix_fmt, 2, 2)
    known = source.chroma_width(2) == 2 or sited(track.codec, source)
    return known and codec in ("h264", "hevc") and sited(codec, VideoFormat(pix_fmt, 2, 2))


def _hdr(track: Track) -> dict[str, str]:
    """Put the HDR10 metadata of a track as x265 takes them: chromaticity in 0.00002, luminance in 0.0001 cd/m2."""
    params = {}
    mastering = struct.unpack("=22i", track.side[MASTERING]) if len(track.side.get(MASTERING, b"")) == 88 else ()
    if mastering and all(mastering[20:]) and all(mastering[1:20:2]):  # has_primaries and has_luminance, after 10 fractions
        values = [Fraction(*mastering[i : i + 2]) for i in range(0, 20, 2)]
        red, green, blue, white = (",".join(str(round(v * 50000)) for v in values[i : i + 2]) for i in range(0, 8, 2))
        low, high = (round(v * 10000) for v in values[8:])
        params[MASTERING] = f"master-display=G({green})B({blue})R({red})WP({white})L({high},{low})"
    if len(track.side.get(LIGHT, b"")) == 8:
        params[LIGHT] = "max-cll={},{}".format(*struct.unpack("=2I", track.side[LIGHT]))
    return params


@cache
def repeatable() -> dict[str, str]:
    """Return the options with which x264 gives the same every time: with AVX-512 its mbtree does not."""
    with suppress(OSError):
        if "avx512" in Path("/proc/cpuinfo").read_text():
            return {"x264-params": "asm=avx2,fma3,bmi2"}
    return {}


def _codec(name: str, container: str) -> Codec:
    if name not in CODECS:
        raise UsageError(f"--codec is one of {', '.join(CODECS)}, not '{name}'")
    codec = CODECS[name]
    if container not in codec.containers:
        fitting = ", ".join(other for other, row in CODECS.items() if container in row.containers)
        known = " or ".join(codec.containers)
        raise UsageError(f"{name} does not go into {container}, only into {known}; {container} takes {fitting}")
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise UsageError(f"this build of FFmpeg has no {name}; choose another --codec") from error
    return codec


def _pix_fmt(name: str, track: Track, wanted: str | None) -> tuple[str, tuple[str, ...]]:
    known = [format.name for format in av.Codec(name, "w").video_formats or []]
    known = [format for format in known if not format.startswith("yuvj") and format in (CODECS[name].formats or known)]
    if wanted is not None and wanted not in known:
        raise UsageError(f"--pix-fmt of {name} is one of {', '.join(known)}, not '{wanted}'")
    best = wanted
    if best is None and track.pix_fmt in known:
        best = track.pix_fmt
    if best is None:
        # the first of equals would be one with less chroma or an odd layout
        found, _ = find_best_pix_fmt_of_list(known, track.pix_fmt, track.alpha)
        best = found.name if found else known[0]
    given = VideoFormat(best, 2, 2)
    _, loss = find_best_pix_fmt_of_list([best], track.pix_fmt, track.alpha)
    lines = []
    if track.alpha and not any(component.is_alpha for component in given.components):
        lines.append(f"{name} in {best} has no alpha: transparency is lost")
    depth = max(component.bits for component in given.components)
    if depth < track.depth:
        lines.append(f"{name} in {best}: {track.depth} bits reduced to {depth}")
    gray = track.pix_fmt.startswith(("gray", "ya", "mono"))
    if loss & PixFmtLoss.RESOLUTION and not gray:
        lines.append(f"{best} stores less colour detail than {track.pix_fmt}")
    return best, tuple(lines)


def _tags(track: Track, size: tuple[int, int], pix_fmt: str) -> tuple[Colors, tuple[str, ...]]:
    """Keep the source's tags, as far as they can be true of the result."""
    said = track.colors
    if VideoFormat(pix_fmt).is_rgb:
        return said._replace(matrix=RGB, range=FULL), ()
    if VideoFormat(track.pix_fmt).is_rgb:
        return said._replace(matrix=BT709, range=LIMITED), ()
    if track.pix_fmt.startswith("gray") and not said.range:
        said = said._replace(range=FULL)  # as it is read
    if said.matrix != UNSPECIFIED:
        return said, ()
    guess = guessed_matrix(track.height, track.width)
    if guess == guessed_matrix(*size):
        return said, ()
    name = "BT.709" if guess == BT709 else "BT.601"
    return said._replace(matrix=guess), (f"tagged {name}, which players take for the source but not for this size",)


def configure(context: VideoCodecContext, encoding: Encoding) -> None:
    """Set an encoder, or the context of an output stream, up for a track."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only; its banner goes to stderr past every other setting
    context.height, context.width = encoding.coded
    context.pix_fmt = encoding.pix_fmt
    context.time_base = encoding.time_base
    context.framerate = encoding.rate
    context.colorspace = encoding.colors.matrix
    context.color_primaries = encoding.colors.primaries
    context.color_trc = encoding.colors.transfer
    context.color_range = encoding.colors.range
    if encoding.aspect:
        context.sample_aspect_ratio = encoding.aspect
    context.options = dict(encoding.options)
    context.flags |= CodecFlags.global_header
    context.thread_count = 0


class Encoder:
    """One encoder, from its first frame to its last; opening raises BadVideo where it refuses its settings."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        context = CodecContext.create(encoding.codec, "w")
        assert isinstance(context, VideoCodecContext)
        configure(context, encoding)
        try:
            context.open()
        except (av.FFmpegError, ValueError) as error:
            height, width = encoding.coded
            given = ", ".join(f"{key} {value}" for key, value in encoding.options.items() if not key.endswith("-params"))
            hint = "; it needs an NVIDIA GPU with its driver" if encoding.codec.endswith("nvenc") else ""
            what = f"{encoding.codec} refuses {width} x {height} px {encoding.pix_fmt} ({given}){hint}"
            raise BadVideo(what) from error
        self._context = context
        self._converter = VideoReformatter()
        self._durations: dict[int, int] = {}  # of frames that are inside the encoder, which forgets them
        self.extradata = context.extradata or b""

    def encode(self, frame: Timed) -> Sequence[AnyPacket]:
        """Hand a frame over and return the packets that are ready, in decoding order."""
        self._durations[frame.pts] = frame.duration
        return self._timed(self._context.encode(to_frame(frame, self.encoding, self._converter)))

    def finish(self) -> Sequence[AnyPacket]:
        """Return the packets that are left."""
        return self._timed(self._context.encode(None))

    def _timed(self, packets: Sequence[AnyPacket]) -> Sequence[AnyPacket]:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts if packet.pts is not None else -1, 0)
        return packets


def to_frame(timed: Timed, encoding: Encoding, converter: VideoReformatter | None = None) -> VideoFrame:
    """Convert RGB in full range to what the encoder takes; a `converter` keeps its tables for the next frame."""
    converter = converter or VideoReformatter()
    rgb, alpha = timed.pixels, timed.alpha
    given = VideoFormat(encoding.pix_fmt)
    name = "rgb24" if rgb.dtype == np.uint8 else "rgb48le"
    if rgb.shape[2] == 1:
        rgb = np.repeat(rgb, 3, axis=2)
    if any(component.is_alpha for component in given.components):
        if alpha is None:
            alpha = np.full(rgb.shape[:2], np.iinfo(rgb.dtype).max, rgb.dtype)
        rgb = np.concatenate([rgb, alpha[..., None]], axis=2)
        name = "rgba" if rgb.dtype == np.uint8 else "rgba64le"
    frame = VideoFrame.from_ndarray(_even(rgb, encoding.coded), name)
    frame.color_range = FULL
    if encoding.left:
        frame = siting_left(frame)(frame)
    colors = encoding.colors
    known = colors if colors.matrix in MATRICES else colors._replace(matrix=encoding.matrix)
    matrix, values = known.conversion(encoding.height, encoding.width)
    to_yuv = {"src_color_range": FULL, "dst_color_range": values, "dst_colorspace": MATRICES[matrix]}
    how = {} if given.is_rgb else to_yuv
    frame = converter.reformat(frame, format=encoding.pix_fmt, interpolation=EXACT, **how)
    frame.colorspace, frame.color_range = colors.matrix, colors.range
    frame.color_primaries, frame.color_trc = colors.primaries, colors.transfer
    frame.pts, frame.time_base, frame.duration = timed.pts, encoding.time_base, timed.duration
    return frame


def siting_left(like: VideoFrame) -> Callable[[VideoFrame], VideoFrame]:
    """Return what names, of frames like this, where chroma made of them is to lie: PyAV has no attribute for it."""
    graph = av.filter.Graph()
    graph.threads = 1  # nothing is computed, and a pool of them takes longer than all else
    source = graph.add_buffer(width=like.width, height=like.height, format=like.format, time_base=Fraction(1))
    graph.link_nodes(source, graph.add("setparams", "chroma_location=left"), graph.add("buffersink")).configure()

    def sited(frame: VideoFrame) -> VideoFrame:
        frame.pts = 0
        graph.vpush(frame)
        return graph.vpull()

    return sited


def _even(array: Array, size: tuple[int, int]) -> Array:
    below, right = size[0] - array.shape[0], size[1] - array.shape[1]
    return np.pad(array, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else np.ascontiguousarray(array)


def decode_times(shown: Sequence[int]) -> Iterator[int]:
    """Give packets in decoding order, of which `shown` holds the time stamps, the times at which to decode them.

    They rise, and none is later than its frame is shown: as many frames early as the order is off by at most. This
    depends on nothing but the time stamps, so that packets of encoders run one after the other join into one stream.
    """
    order = sorted(shown)
    rank = {pts: i for i, pts in enumerate(order)}
    delay = max((i - rank[pts] for i, pts in enumerate(shown)), default=0)
    step = order[1] - order[0] if len(order) > 1 else 1
    for i in range(len(shown)):
        yield order[i - delay] if i >= delay else order[0] - (delay - i) * step
