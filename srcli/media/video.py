"""Video files to frames: every frame with its own time stamp, colours by the matrix and range that the file says.

Knows FFmpeg's decoders through PyAV; knows no encoders, and writes nothing.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from srcli.errors import BadVideo, counted
from srcli.media.matroska import cut_short
from srcli.media.picture import Array
from srcli.media.restart import is_restart

if TYPE_CHECKING:
    from av.packet import Packet

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
_STEPS_BACK = (0, 10, 60)  # seconds before --start at which to look for a place to decode from

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
        decoder = _decoder(again)
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


def _decoder(stream: VideoStream) -> VideoCodecContext:
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


def _reorders(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether packets come in another order than frames are shown in, and nothing says in which."""
    h26x = stream.codec_context.codec.canonical_name in ("h264", "hevc")  # of others FFmpeg knows
    return container.format.name == "avi" and h26x and bool(stream.codec_context.has_b_frames)


class _InOrder:
    """A decoder for AVI, which tells no times to show frames at: FFmpeg gives its packets rising ones as they are decoded.

    The nth frame that is shown gets the nth of them. What a damaged packet leaves over goes at the next key frame.
    """

    def __init__(self, decoder: VideoCodecContext) -> None:
        self._decoder = decoder
        self._stamps: list[int] = []

    def decode(self, packet: "Packet[Stream] | None") -> list[VideoFrame]:
        if packet is not None and packet.pts is not None:
            heappush(self._stamps, packet.pts)
        frames = self._decoder.decode(packet)
        for frame in frames:
            while frame.key_frame and frame.pts is not None and self._stamps and self._stamps[0] < frame.pts:
                heappop(self._stamps)
            frame.pts = heappop(self._stamps) if self._stamps else frame.pts
        return frames


class Known(NamedTuple):
    """The first frames of a track, as an earlier run that met no fault among them had them."""

    stamps: Sequence[int]
    checksum: int  # of the last


def checksum(frame: Timed) -> int:
    """Return the CRC-32 of a frame's px and alpha."""
    start = 0 if frame.alpha is None else zlib.crc32(np.ascontiguousarray(frame.alpha).data)
    return zlib.crc32(np.ascontiguousarray(frame.pixels).data, start)


class _Restart(NamedTuple):
    """Where decoding can begin: the number of the frame, how many packets come before it, and its time stamp."""

    number: int
    packets: int
    pts: int | None = None


class _Shown(NamedTuple):
    """A decoded frame, with its number, and its time stamp as it is given out."""

    number: int
    frame: VideoFrame
    pts: int
    duration: int


class _Astray(Exception):
    """The frames after a restart are not the known ones."""


class VideoReader:
    """The frames of one track, in the order they are shown, each once.

    A frame without a time stamp, or with one that does not rise, is given the next possible one; where they fall back by
    more than half a second, as in MPEG-TS files put one after the other, all that follows is later. `count` is how many there
    are, and `damage` what did not decode, in a line each; both hold once `frames` is read to its end.
    """

    def __init__(self, path: Path, track: Track, clip: Clip = Clip(), *, deinterlace: bool = False) -> None:
        self.path, self.track, self.clip = path, track, clip
        self.deinterlace = deinterlace
        self.count = 0
        self.decoded = 0  # frames, with those that were not given
        self._converter = VideoReformatter()
        self._forget()

    def _forget(self) -> None:
        self._damaged = 0  # packets that did not decode
        self._marked = 0  # packets, by what unpacked them
        self._corrupt = 0  # frames, by the decoder
        self._mended = 0  # time stamps
        self._unstamped = 0  # frames
        self._resampled = 0  # frames of another size
        self.anew: list[Fraction] = []  # seconds by which what follows is put later, each time that the clock begins anew
        self._ends_early = False
        self._headless = 0  # packets before the first key frame, of which nothing was decoded

    def frames(
        self, wanted: Callable[[int], bool] = lambda number: True, known: Known | None = None
    ) -> Iterator[tuple[int, Timed]]:
        """Yield the frames that are `wanted`, with their numbers from 0; the others are decoded, but not converted.

        None of the `known` frames is wanted: decoding begins at the last of them from which all that follow are exactly the
        same, and at the first where there is none such, or where they do not come as known.
        """
        restart = self._restart(known.stamps) if known else None
        if known and restart:
            with suppress(_Astray):
                yield from self._converted(self._verified(known, restart), wanted)
                return
        yield from self._converted(self._numbered(_Restart(0, 0)), wanted)

    def _converted(self, frames: Iterator[_Shown], wanted: Callable[[int], bool]) -> Iterator[tuple[int, Timed]]:
        faults = 0
        for shown in frames:
            if wanted(shown.number):
                self._resampled += (shown.frame.height, shown.frame.width) != (self.track.height, self.track.width)
                yield (
                    shown.number,
                    Timed(*rgb(shown.frame, self.track, self._converter), shown.pts, shown.duration, self._faults - faults),
                )
                faults = self._faults

    def _verified(self, known: Known, restart: _Restart) -> Iterator[_Shown]:
        """Number the frames from a restart on; raise _Astray as soon as they are not the known ones."""
        last = len(known.stamps) - 1
        for shown in self._numbered(restart):
            if shown.number <= last and (self._faults or shown.pts != known.stamps[shown.number]):
                raise _Astray
            if shown.number == last and checksum(Timed(*rgb(shown.frame, self.track, self._converter), 0, 0)) != known.checksum:
                raise _Astray
            yield shown
        if self.count <= last:
            raise _Astray

    def _numbered(self, restart: _Restart) -> Iterator[_Shown]:
        """Decode, count, and give every frame a time stamp later than the one before."""
        self._forget()
        self.count = restart.number
        last: int | None = None
        for frame, following in self._chosen(restart.packets):
            if last is None and restart.pts is not None and frame.pts is not None and frame.pts < restart.pts:
                continue  # of an open GOP: it refers to what was left out
            duration = frame.duration or self._tick
            self._unstamped += frame.pts is None
            self._corrupt += frame.is_corrupt
            pts = frame.pts if frame.pts is not None else (last or 0) + duration
            if last is not None and pts <= last:
                pts, self._mended = last + 1, self._mended + 1
            last = pts
            self.count += 1
            yield _Shown(self.count - 1, frame, pts, duration if following is None else max(following - pts, 1))
            if self.count == self.clip.frames:
                return

    def _restart(self, known: Sequence[int]) -> _Restart | None:
        """Find the last packet of a known frame, but not of the very last, at which decoding can begin."""
        numbers = {pts: number for number, pts in enumerate(known[:-1])}
        found = None
        last = -(2**62)
        with suppress(BadVideo):
            entry = self._entry() if numbers else None
            with self._opened(entry) as (container, stream):
                packets = (packet for packet in container.demux(stream) if packet.size)
                for count, packet in enumerate(packets if numbers else ()):
                    dts = last if packet.dts is None else packet.dts
                    if not last - SETBACK / self.track.time_base <= dts <= known[-1]:
                        break
                    last = dts
                    if packet.pts in numbers and self._restarts(packet, stream):
                        found = _Restart(numbers[packet.pts], count, packet.pts)
        return found

    def _restarts(self, packet: "Packet[VideoStream]", stream: VideoStream) -> bool:
        codec = stream.codec_context.codec
        if _reorders(cast(InputContainer, stream.container), stream):
            return False  # frames before this packet's could come behind it, unknown
        if self.track.alpha and not codec.intra_only:
            return False  # VP8 and VP9 have their alpha in a stream of its own, which has other key frames
        if codec.canonical_name == "h264" and "444" in self.track.pix_fmt:
            return False  # FFmpeg decodes what an x264 before build 151 wrote by what the first packet says of the build
        return is_restart(packet, codec.canonical_name, stream.codec_context.extradata or b"", intra_only=codec.intra_only)

    @property
    def damage(self) -> tuple[str, ...]:
        """Say what is lost of the source."""
        lines = []
        if self._damaged:
            lines.append(f"{self._damaged} of its packets did not decode")
        if self._ends_early:
            lines.append(f"its data end after {counted(self.count, 'frame')}, before what its header says")
        return tuple(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was not as it should be, and was put right."""
        lines = []
        if self._headless:
            lines.append(f"left out: {counted(self._headless, 'frame')} before the first key frame, which cannot be decoded")
        if self._corrupt:
            lines.append(f"{counted(self._corrupt, 'frame')} damaged in the source, and upscaled as decoded")
        if self._marked > len(self.anew):  # where the clock begins anew, the last before is marked
            lines.append(f"{counted(self._marked, 'packet')} marked as incomplete: data were lost there, or files joined")
        if self._mended:
            lines.append(f"{counted(self._mended, 'time stamp')} did not rise, now put right")
        if self.anew:
            lines.append(f"the clock of the file begins anew ({len(self.anew)} x): what follows is put behind")
        if self._resampled:
            lines.append(
                f"{counted(self._resampled, 'frame')} of another size, resampled to {self.track.width} x {self.track.height} px"
            )
        return tuple(lines)

    @property
    def _faults(self) -> int:
        return self._damaged + self._marked + self._corrupt + self._mended + self._unstamped

    @property
    def _tick(self) -> int:
        return max(round(1 / (self.track.rate * self.track.time_base)), 1)

    @contextmanager
    def _opened(self, at: int | None) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file at its beginning, or at a time in ticks of the track."""
        with decoding(self.path), open_video(self.path) as container:
            stream = next(stream for stream in container.streams.video if stream.index == self.track.index)
            if at is not None:
                container.seek(at, stream=stream)
            yield container, stream

    def _entry(self) -> int | None:
        """Find a time to seek to, from which all from --start on decodes exactly; None where only the beginning will do."""
        for back in _STEPS_BACK if self.clip.start else ():
            with suppress(BadVideo), self._opened(None) as (container, stream):  # without an index it cannot be sought
                first = self._begin(container) + self.clip.start
                at = int((first - back) / self.track.time_base)
                container.seek(at, stream=stream)
                packet = next((packet for packet in container.demux(stream) if packet.size), None)
                if packet is None or packet.pts is None or packet.pts * self.track.time_base > first:
                    continue
                if self._restarts(packet, stream):
                    return at
        return None

    @staticmethod
    def _begin(container: InputContainer) -> Fraction:
        return Fraction(max(container.start_time or 0, 0), av.time_base)

    def _chosen(self, skip: int) -> Iterator[tuple[VideoFrame, int | None]]:
        """Yield the decoded frames within the clip, without those of the first packets, each with the next one's time stamp."""
        base = self.track.time_base
        with self._opened(self._entry()) as (container, stream):
            begin = self._begin(container)
            first, end = begin + self.clip.start, None if self.clip.end is None else begin + self.clip.end
            frames = self._continued(self._decoded(container, stream, skip))
            for frame, following in _followed(self._deinterlaced(frames, stream) if self.deinterlace else frames):
                if frame.pts is not None and self.clip.start and frame.pts * base < first:
                    continue
                if frame.pts is not None and end is not None and frame.pts * base >= end:
                    return
                yield frame, following

    def _continued(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        """Let the time go on where the clock of the file begins anew."""
        base = self.track.time_base
        later, last, duration = 0, None, 0
        for frame in frames:
            if frame.pts is not None:
                if last is not None and frame.pts + later < last - SETBACK / base:
                    later = last + duration - frame.pts
                    self.anew.append(later * base)
                frame.pts += later
                last, duration = max(last or frame.pts, frame.pts), frame.duration or self._tick
            yield frame

    def _decoded(self, container: InputContainer, stream: VideoStream, skip: int) -> Iterator[VideoFrame]:
        decoder = _InOrder(_decoder(stream)) if _reorders(container, stream) else _decoder(stream)
        packets = leading = 0
        entry: int | None = None  # when the first key frame is shown
        reached = 0.0
        # where the header gives no length of the track, but one of the file, the last packet of any stream is waited for
        own = self.track.seconds is not None
        try:
            for packet in container.demux([stream] if own else list(container.streams)):
                if packet.pts is not None and packet.time_base:
                    reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                packets += packet.size > 0
                if packet.size and packets <= skip:
                    continue
                self._marked += packet.is_corrupt
                if entry is None and packet.size:
                    entry, leading = (packet.pts, leading) if packet.is_keyframe else (None, leading + 1)
                try:
                    for frame in decoder.decode(packet if packet.size else None):
                        if not self.decoded and leading and None not in (entry, frame.pts) and not self.clip.start:
                            self._headless = leading * (frame.pts >= entry)  # type: ignore[operator]
                        self.decoded += 1
                        yield frame
                except av.EOFError:
                    pass
                except av.FFmpegError:
                    self._damaged += 1
        except av.FFmpegError:
            self._damaged += 1
        short = not self.clip.start and self._falls_short(container, stream, packets, reached)
        self._ends_early = short or cut_short(self.path)

    def _falls_short(self, container: InputContainer, stream: VideoStream, packets: int, reached: float) -> bool:
        """Tell whether so many packets, the last of which ends at `reached` seconds, are fewer than the header says."""
        if self.track.seconds is not None:
            start, seconds = float((stream.start_time or 0) * self.track.time_base), self.track.seconds
        else:
            start, seconds = ((time or 0) / av.time_base for time in (container.start_time, container.duration))
        if container.format.name == "avi" and self.track.frames:
            # FFmpeg cuts the duration by the size of the file; the count is of ticks, with those of dropped frames
            seconds = float(self.track.frames * self.track.time_base)
        fewer = packets < self.track.frames
        if not seconds:
            return fewer
        length = reached - start
        # the count alone proves nothing: an edit list may not show all
        most = 1.5 * length / max(packets, 1) if fewer else max(1.0, float(3 / self.track.rate))
        return seconds - length > most

    def _deinterlaced(self, frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
        """Put bwdif between: one frame out for one in, with its time stamp; frames not marked interlaced pass."""
        graph = av.filter.Graph()
        source = graph.add_buffer(template=stream, time_base=self.track.time_base)
        graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")).configure()

        def pull() -> Iterator[VideoFrame]:
            while True:
                try:
                    frame = graph.vpull()
                except (av.BlockingIOError, av.EOFError):
                    return
                ratio = (frame.time_base or self.track.time_base) / self.track.time_base
                frame.pts = None if frame.pts is None else round(frame.pts * ratio)
                frame.duration = round(frame.duration * ratio)
                frame.time_base = self.track.time_base
                yield frame

        for frame in frames:
            frame.time_base = self.track.time_base
            graph.vpush(frame)
            yield from pull()
        graph.vpush(None)
        yield from pull()


def _followed(frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, int | None]]:
    """Put beside each frame when the next is shown: what MP4 tells as a duration is how long until the next is decoded."""
    before: VideoFrame | None = None
    for frame in frames:
        if before:
            yield before, frame.pts
        before = frame
    if before:
        yield before, None


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
