"""Raw frames through pipes: YUV4MPEG2, which says its size and rate itself, and bare RGB, which does not."""

from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Literal, NamedTuple

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from srcli.errors import BadVideo
from srcli.files import writing_to_stdout
from srcli.media.encoding import Encoding, to_frame
from srcli.media.picture import Array
from srcli.media.video import FULL, UNSPECIFIED, Clip, Colors, Timed, Track, decoding, rgb, track_of

Kind = Literal["y4m", "rgb"]

_CHROMA = {
    "yuv420p": "420jpeg",
    "yuv422p": "422",
    "yuv444p": "444",
    "gray": "mono",
    "yuv420p10le": "420p10",
    "yuv422p10le": "422p10",
    "yuv444p10le": "444p10",
    "yuv420p12le": "420p12",
    "yuv422p12le": "422p12",
    "yuv444p12le": "444p12",
}


class Raw(NamedTuple):
    """What bare RGB does not say of itself."""

    height: int
    width: int
    rate: Fraction


def lost_in_stream(track: Track, kind: Kind) -> list[str]:
    """Say what of a track's frames a pipe does not carry, and what it says wrong of them."""
    lines = ["transparency is lost: a pipe carries none"] * track.alpha
    most = 8 if kind == "rgb" else track.depth if track.pix_fmt in _CHROMA else 8 if track.depth <= 8 else 10
    if track.depth > most:
        lines.append(f"{track.depth} bits reduced to {most}")
    if track.interlaced:
        lines.append(f"{kind} does not say that the frames are interlaced")
    return lines


class Y4mReader:
    """The frames of a YUV4MPEG2 stream, read once and as they come."""

    damage: tuple[str, ...] = ()

    def __init__(self, file: BinaryIO, clip: Clip) -> None:
        self.count = 0
        self._clip = clip
        self._converter = VideoReformatter()
        with decoding("stdin"):
            self._container = av.open(file, "r", format="yuv4mpegpipe")
            self._stream = self._container.streams.video[0]
            self._decoded = self._container.decode(self._stream)
            first = next(self._decoded, None)
        if first is None:
            raise BadVideo("stdin holds no frame")
        self._first = first
        self.track = track_of(self._stream, first)

    def frames(self) -> Iterator[tuple[int, Timed]]:
        """Yield the frames with their numbers."""
        for frame in self._all():
            if self._clip.frames is not None and self.count >= self._clip.frames:
                return
            self.count += 1
            yield self.count - 1, Timed(*rgb(frame, self.track, self._converter), frame.pts or 0, 1)

    def _all(self) -> Iterator[VideoFrame]:
        yield self._first
        try:
            yield from self._decoded
        except av.FFmpegError:
            self.damage = (f"stdin ends within frame {self.count + 1}",)


class RgbReader:
    """Frames of bare 8-bit RGB, three bytes a pixel and no header."""

    damage: tuple[str, ...] = ()

    def __init__(self, file: BinaryIO, raw: Raw, clip: Clip) -> None:
        self._file, self._raw, self._clip = file, raw, clip
        self.count = 0
        self.track = Track(0, raw.height, raw.width, "rgb24", "rawvideo", 1 / raw.rate, raw.rate, Colors(range=FULL))

    def frames(self) -> Iterator[tuple[int, Timed]]:
        """Yield the frames with their numbers."""
        size = self._raw.height * self._raw.width * 3
        while self._clip.frames is None or self.count < self._clip.frames:
            data = self._file.read(size)
            if len(data) < size:
                if data:
                    self.damage = (f"stdin ends within frame {self.count + 1}",)
                return
            self.count += 1
            pixels = np.frombuffer(data, np.uint8).reshape(self._raw.height, self._raw.width, 3).copy()
            yield self.count - 1, Timed(pixels, None, self.count - 1, 1)


class StreamWriter:
    """Frames to a pipe, as YUV4MPEG2 in the source's chroma and depth or as bare RGB in 8 bits."""

    def __init__(self, file: BinaryIO, kind: Kind, track: Track, size: tuple[int, int]) -> None:
        self._file, self._kind = file, kind
        self._before = b""  # the next frame
        pix_fmt = track.pix_fmt if track.pix_fmt in _CHROMA else "yuv444p" if track.depth <= 8 else "yuv444p10le"
        colors = track.colors._replace(matrix=UNSPECIFIED)  # which y4m cannot name: readers guess it by the size
        if VideoFormat(track.pix_fmt).is_rgb:
            colors = Colors()
        self._converter = VideoReformatter()
        self._encoding = Encoding("rawvideo", pix_fmt, *size, track.time_base, track.rate, colors, track.aspect)
        if kind == "y4m":
            height, width = size
            aspect = track.aspect or Fraction(0, 1)
            colour = "FULL" if colors.range == FULL else "LIMITED"
            ratio = f"{aspect.numerator}:{aspect.denominator if aspect else 0}"
            rate = f"{track.rate.numerator}:{track.rate.denominator}"
            head = f"YUV4MPEG2 W{width} H{height} F{rate} Ip A{ratio} C{_CHROMA[pix_fmt]} XCOLORRANGE={colour}\n"
            self._before = head.encode()

    def write(self, frame: Timed) -> None:
        """Write one frame; raise BadVideo where nobody reads any more, BadFolder where no more fits."""
        try:
            with writing_to_stdout():
                for part in self._parts(frame):
                    self._file.write(part.tobytes())
                self._file.flush()
        except BrokenPipeError as error:
            raise BadVideo("stdout was closed before the last frame") from error

    def _parts(self, frame: Timed) -> Iterator[Array]:
        if self._kind == "y4m":
            yield np.frombuffer(self._before + b"FRAME\n", np.uint8)
            self._before = b""
            yield from _planes(to_frame(frame, self._encoding, self._converter))
        elif frame.pixels.dtype == np.uint8:
            yield frame.pixels
        else:
            yield ((frame.pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _planes(frame: VideoFrame) -> Iterator[Array]:
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        yield rows[:, : plane.width * (2 if frame.format.components[0].bits > 8 else 1)]
