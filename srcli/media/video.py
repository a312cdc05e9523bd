"""Video files: their tracks, how to open and decode them, colours by the matrix and range that the file says.

Knows FFmpeg's decoders through PyAV; knows no encoders, and writes nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from srcli.errors import BadVideo
from srcli.media.picture import Array

# Code points of ITU-T H.273, which FFmpeg's enums are
RGB, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
LIMITED, FULL = 1, 2
# The matrices that swscale converts with, by its own names for them (SWS_CS_*)
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}

MASTERING, LIGHT = "mastering display", "light levels"
# What frames carry beside their px, which nothing but an encoder can put back
SIDE = {
    Type.MASTERING_DISPLAY_METADATA: MASTERING,
    Type.CONTENT_LIGHT_LEVEL: LIGHT,
    Type.DYNAMIC_HDR_PLUS: "HDR10+",
    Type.DOVI_RPU_BUFFER: "Dolby Vision",
    Type.DOVI_METADATA: "Dolby Vision",
    Type.A53_CC: "closed captions",
}

SETBACK = Fraction(1, 2)  # seconds from which on a time stamp that falls back is of a clock that begins anew

# Chroma is interpolated for every pixel, and rounded instead of cut off
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


class Colors(NamedTuple):
    """What a stream says of its colours, as code points of H.273; 2 is unspecified, range 0 too."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0

    def conversion(self, height: int, width: int) -> tuple[int, int]:
        """Return the matrix and range to convert with; what is not said is taken as players take it, by the size."""
        matrix = self.matrix if self.matrix in MATRICES else guessed_matrix(height, width)
        return matrix, self.range or LIMITED


def guessed_matrix(height: int, width: int) -> int:
    """Return the matrix that players (mpv, VLC) take for a stream that names none: BT.709 from HD on, BT.601 below."""
    return BT709 if width >= 1280 or height > 576 else BT601


@dataclass(frozen=True, slots=True)
class Track:
    """One video stream, as its header and its first frame have it."""

    index: int  # of the stream in its file
    height: int
    width: int
    pix_fmt: str  # FFmpeg's name, without the j of full range
    codec: str
    time_base: Fraction
    rate: Fraction  # frames a second, on average
    colors: Colors
    frames: int = 0  # by the header; 0 where it does not say
    seconds: float | None = None  # by the header
    aspect: Fraction | None = None  # of one pixel
    matrix: tuple[int, ...] | None = None  # display matrix: 9 integers, rotation and flips
    interlaced: bool = False
    metadata: Mapping[str, str] | None = None
    disposition: int = 0
    side: Mapping[str, bytes] = field(default_factory=dict)  # what the first frame carries beside its px, by the names in SIDE

    @property
    def depth(self) -> int:
        """Bits of a value."""
        return max(component.bits for component in VideoFormat(self.pix_fmt).components)

    @property
    def alpha(self) -> bool:
        return any(component.is_alpha for component in VideoFormat(self.pix_fmt).components)

    @property
    def turned(self) -> bool:
        """Whether it is shown with its sides swapped."""
        return self.matrix is not None and self.matrix[0] == 0


@dataclass(frozen=True, slots=True)
class Video:
    """A file with at least one video track that decodes."""

    tracks: tuple[Track, ...]
    start: Fraction  # seconds at which its time line begins
    seconds: float | None  # by the header


@dataclass(frozen=True, slots=True)
class Clip:
    """The part of a video to take; times in seconds from its beginning."""

    start: Fraction = Fraction(0)
    end: Fraction | None = None
    frames: int | None = None

    @property
    def empty(self) -> str:
        """What is wrong where no frame was found."""
        if self.end is not None:
            return "no frame lies between --start and --end"
        return "it ends before --start" if self.start else "no frame can be decoded"


class Timed(NamedTuple):
    """One frame: pixels as a Picture has them, and when it is shown, in ticks of its track's time base."""

    pixels: Array  # (H, W, 3) uint8 or uint16
    alpha: Array | None  # (H, W)
    pts: int
    duration: int
    faults: int = 0  # of the source, met since the frame given before


def upright(frame: Timed, track: Track) -> Timed:
    """Turn and flip a frame as players show it, for what carries no display matrix."""
    if not track.matrix:
        return frame
    a, b, _, c, d = track.matrix[:5]  # a pixel at (x, y) is shown at (a x + c y, b x + d y)
    down, right = (b, c) if track.turned else (d, a)

    def turn(array: Array) -> Array:
        array = array.swapaxes(0, 1) if track.turned else array
        return np.ascontiguousarray(array[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])

    return frame._replace(pixels=turn(frame.pixels), alpha=None if frame.alpha is None else turn(frame.alpha))


def open_video(path: Path | str) -> InputContainer:
    """Open a file for FFmpeg to read; raise what PyAV does, which `decoding` turns into BadVideo."""
    # absolute: FFmpeg would take a name such as 12:30.mkv for an address
    return av.open(str(Path(path).absolute()), metadata_errors="replace")


@contextmanager
def decoding(path: Path | str) -> Iterator[None]:
    """Turn what PyAV raises of a file into BadVideo."""
    try:
        yield
    except (av.FFmpegError, av.codec.codec.UnknownCodecError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadVideo(f"'{path}' cannot be read as a video: {reason[:1].lower()}{reason[1:]}") from error


def probe_video(path: Path) -> Video:
    """Read the headers and the first frame of every video track; raise BadVideo in one line."""
    with decoding(path):
        empty = not path.stat().st_size
    if empty:
        raise BadVideo(f"'{path}' is empty")
    with decoding(path), open_video(path) as container:
        tracks = [track for stream in real_videos(container) if (track := _probe(path, stream))]
        if not tracks:
            kinds = sorted({stream.type for stream in container.streams})
            what = "its video has no frame that decodes" if "video" in kinds else f"it has no video, only {', '.join(kinds)}"
            raise BadVideo(f"'{path}': {what if kinds else 'it has no streams'}")
        start = Fraction(max(container.start_time or 0, 0), av.time_base)
        seconds = container.duration / av.time_base if container.duration else None
        return Video(tuple(tracks), start, seconds)


def real_videos(container: InputContainer) -> list[VideoStream]:
    """List the video streams, without cover pictures and thumbnails."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return [stream for stream in container.streams.video if not stream.disposition & still]


def _probe(path: Path, stream: VideoStream) -> Track | None:
    if stream.codec_context is None:
        raise BadVideo(f"'{path}': no decoder for the codec of stream {stream.index}")
    # once more for each: not every file lets itself be sought to its beginning
    with open_video(path) as container:
        again = container.streams[stream.index]
        assert isinstance(again, VideoStream)
        decoder = decoder_of(again)
        for packet in container.demux(again):
            with suppress(av.FFmpegError):
                if first := next(iter(decoder.decode(packet if packet.size else None)), None):
                    return track_of(again, first)
    return None


def track_of(stream: VideoStream, first: VideoFrame) -> Track:
    """Put together what a stream's header and its first frame say."""
    context = stream.codec_context
    # a frame knows more than the header: VP8 names its matrix there only
    said = Colors(
        first.colorspace if first.colorspace != UNSPECIFIED else context.colorspace,
        first.color_primaries if first.color_primaries != UNSPECIFIED else context.color_primaries,
        first.color_trc if first.color_trc != UNSPECIFIED else context.color_trc,
        first.color_range or context.color_range,
    )
    side = cast(Mapping[Type, Any], first.side_data)
    matrix = side.get(Type.DISPLAYMATRIX)
    pix_fmt = first.format.name
    if pix_fmt.startswith("yuvj"):
        pix_fmt, said = pix_fmt.replace("yuvj", "yuv"), said._replace(range=FULL)
    return Track(
        index=stream.index,
        height=first.height,
        width=first.width,
        pix_fmt=pix_fmt,
        codec=context.codec.canonical_name,
        time_base=stream.time_base or Fraction(1, 1000),
        rate=stream.average_rate or stream.guessed_rate or Fraction(25),
        colors=said,
        frames=stream.frames,
        seconds=_seconds(stream),
        aspect=stream.sample_aspect_ratio or None,
        matrix=tuple(int(n) for n in np.frombuffer(bytes(matrix), np.int32)) if matrix else None,
        interlaced=first.interlaced_frame or context.field_order > 1,
        metadata=dict(stream.metadata),
        disposition=int(stream.disposition),
        side={name: bytes(data) for kind, name in SIDE.items() if (data := side.get(kind))},
    )


def _seconds(stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    text = next((value for key, value in stream.metadata.items() if key.upper() == "DURATION"), None)
    try:
        hours, minutes, seconds = (text or "").split(":")
        end = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        return max(end - float((stream.start_time or 0) * (stream.time_base or 0)), 0.0)  # Matroska's is when the track ends
    except ValueError:
        return None


def decoder_of(stream: VideoStream) -> VideoCodecContext:
    """Return what decodes a stream: its own context, or for alpha in VP8 and VP9, which FFmpeg's own drops, libvpx."""
    alpha = any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())
    own = stream.codec_context
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(own.codec.canonical_name)
    if not alpha or not name:
        own.thread_type = "AUTO"
        return own
    context = CodecContext.create(name, "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = own.extradata
    return context


def rgb(frame: VideoFrame, track: Track, converter: VideoReformatter | None = None) -> tuple[Array, Array | None]:
    """Convert to RGB in full range, with alpha where the track has it: 8 bits stay 8, more become 16.

    A `converter` keeps its tables for the next frame: to make them takes about as long as to convert 720p.
    """
    matrix, values = track.colors.conversion(track.height, track.width)
    if not frame.format.is_rgb:
        frame.colorspace, frame.color_range = matrix, values
    name = ("rgba" if track.alpha else "rgb24") if track.depth <= 8 else ("rgba64le" if track.alpha else "rgb48le")
    size = {"height": track.height, "width": track.width}
    converter = converter or VideoReformatter()
    pixels = converter.reformat(frame, format=name, interpolation=EXACT, dst_color_range=FULL, **size).to_ndarray()
    return (np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])) if track.alpha else (pixels, None)
