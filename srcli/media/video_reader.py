"""The frames of a video's track, in the order they are shown: their numbers, time stamps, and what is wrong with them."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from srcli.errors import BadVideo, counted
from srcli.media.matroska import cut_short
from srcli.media.restart import is_restart
from srcli.media.video import SETBACK, Clip, Timed, Track, decoder_of, decoding, open_video, rgb

if TYPE_CHECKING:
    from av.packet import Packet

_WHOLE = Clip()
_STEPS_BACK = (0, 10, 60)  # seconds before --start at which to look for a place to decode from


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


@dataclass(slots=True)
class _Met:
    """What was met of a track that is not as it should be."""

    damaged: int = 0  # packets that did not decode
    marked: int = 0  # packets, by what unpacked them
    corrupt: int = 0  # frames, by the decoder
    mended: int = 0  # time stamps
    unstamped: int = 0  # frames
    resampled: int = 0  # frames of another size
    headless: int = 0  # packets before the first key frame, of which nothing was decoded
    ends_early: bool = False
    anew: list[Fraction] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.damaged + self.marked + self.corrupt + self.mended + self.unstamped


class VideoReader:
    """The frames of one track, in the order they are shown, each once.

    A frame without a time stamp, or with one that does not rise, is given the next possible one; where they fall back by
    more than half a second, as in MPEG-TS files put one after the other, all that follows is later. `count` is how many there
    are, and `damage` what did not decode, in a line each; both hold once `frames` is read to its end.
    """

    def __init__(self, path: Path, track: Track, clip: Clip = _WHOLE, *, deinterlace: bool = False) -> None:
        self.path, self.track, self.clip = path, track, clip
        self.deinterlace = deinterlace
        self.count = 0
        self.decoded = 0  # frames, with those that were not given
        self._converter = VideoReformatter()
        self._met = _Met()

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
                self._met.resampled += (shown.frame.height, shown.frame.width) != (self.track.height, self.track.width)
                yield (
                    shown.number,
                    Timed(*rgb(shown.frame, self.track, self._converter), shown.pts, shown.duration, self._met.faults - faults),
                )
                faults = self._met.faults

    def _verified(self, known: Known, restart: _Restart) -> Iterator[_Shown]:
        """Number the frames from a restart on; raise _Astray as soon as they are not the known ones."""
        last = len(known.stamps) - 1
        for shown in self._numbered(restart):
            if shown.number <= last and (self._met.faults or shown.pts != known.stamps[shown.number]):
                raise _Astray
            if shown.number == last and checksum(Timed(*rgb(shown.frame, self.track, self._converter), 0, 0)) != known.checksum:
                raise _Astray
            yield shown
        if self.count <= last:
            raise _Astray

    def _numbered(self, restart: _Restart) -> Iterator[_Shown]:
        """Decode, count, and give every frame a time stamp later than the one before."""
        self._met = _Met()
        self.count = restart.number
        last: int | None = None
        for frame, following in self._chosen(restart.packets):
            if last is None and restart.pts is not None and frame.pts is not None and frame.pts < restart.pts:
                continue  # of an open GOP: it refers to what was left out
            duration = frame.duration or self._tick
            self._met.unstamped += frame.pts is None
            self._met.corrupt += frame.is_corrupt
            pts = frame.pts if frame.pts is not None else (last or 0) + duration
            if last is not None and pts <= last:
                pts, self._met.mended = last + 1, self._met.mended + 1
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
    def anew(self) -> list[Fraction]:
        """Seconds by which what follows is put later, each time that the clock of the file begins anew."""
        return self._met.anew

    @property
    def damage(self) -> tuple[str, ...]:
        """Say what is lost of the source."""
        lines = []
        if self._met.damaged:
            lines.append(f"{self._met.damaged} of its packets did not decode")
        if self._met.ends_early:
            lines.append(f"its data end after {counted(self.count, 'frame')}, before what its header says")
        return tuple(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what was not as it should be, and was put right."""
        met, lines = self._met, []
        if met.headless:
            lines.append(f"left out: {counted(met.headless, 'frame')} before the first key frame, which cannot be decoded")
        if met.corrupt:
            lines.append(f"{counted(met.corrupt, 'frame')} damaged in the source, and upscaled as decoded")
        if met.marked > len(met.anew):  # where the clock begins anew, the last before is marked
            lines.append(f"{counted(met.marked, 'packet')} marked as incomplete: data were lost there, or files joined")
        if met.mended:
            lines.append(f"{counted(met.mended, 'time stamp')} did not rise, now put right")
        if met.anew:
            lines.append(f"the clock of the file begins anew ({len(met.anew)} x): what follows is put behind")
        if met.resampled:
            size = f"{self.track.width} x {self.track.height} px"
            lines.append(f"{counted(met.resampled, 'frame')} of another size, resampled to {size}")
        return tuple(lines)

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
                    self._met.anew.append(later * base)
                frame.pts += later
                last, duration = max(last or frame.pts, frame.pts), frame.duration or self._tick
            yield frame

    def _decoded(self, container: InputContainer, stream: VideoStream, skip: int) -> Iterator[VideoFrame]:
        decoder = _InOrder(decoder_of(stream)) if _reorders(container, stream) else decoder_of(stream)
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
                self._met.marked += packet.is_corrupt
                if entry is None and packet.size:
                    entry, leading = (packet.pts, leading) if packet.is_keyframe else (None, leading + 1)
                try:
                    for frame in decoder.decode(packet if packet.size else None):
                        if not self.decoded and leading and None not in (entry, frame.pts) and not self.clip.start:
                            self._met.headless = leading * (frame.pts >= entry)  # type: ignore[operator]
                        self.decoded += 1
                        yield frame
                except av.EOFError:
                    pass
                except av.FFmpegError:
                    self._met.damaged += 1
        except av.FFmpegError:
            self._met.damaged += 1
        short = not self.clip.start and self._falls_short(container, stream, packets, reached)
        self._met.ends_early = short or cut_short(self.path)

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
