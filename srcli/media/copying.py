"""Packets of a source's streams on their way into the result: cut to a part of it, and moved where its clock begins anew."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from srcli.media.encoding import AnyPacket
from srcli.media.video import SETBACK, open_video

_LONGEST_WORDS = 60  # seconds before a cut at which a subtitle that is still shown may have begun


class Window(NamedTuple):
    """The part of a source that is copied, in seconds of its clock."""

    begin: Fraction  # becomes the result's zero
    end: Fraction | None
    late: bool  # what lies before is cut off; else nothing does

    @property
    def cut(self) -> bool:
        return self.late or self.end is not None

    def holds(self, start: Fraction, stop: Fraction, *, sound: bool) -> bool:
        """Tell whether a packet is copied; of cut sound only what begins within."""
        if self.end is not None and start >= self.end:
            return False
        return not self.begin or start >= self.begin or (stop > self.begin and not (self.late and sound))

    def placed(self, packet: AnyPacket, target: Stream, *, still: bool = False) -> AnyPacket:
        """Put a packet into a stream, moved as the window is, `still` ones but for that; a subtitle is cut to it."""
        words = target.type == "subtitle"
        if self.begin and not still:
            shift(packet, self.begin)
            if packet.pts is not None and packet.pts < 0 and words:
                packet.duration = (packet.duration or 0) + packet.pts
                packet.pts = packet.dts = 0
        if self.end is not None and packet.pts is not None and words:
            left = math.ceil((self.end - self.begin) / packet.time_base) - packet.pts
            packet.duration = max(min(packet.duration or 0, left), 1)
        if packet.dts is None:
            packet.dts = packet.pts
        packet.stream = target
        return packet


class Copy(NamedTuple):
    """How packets of a source's stream reach the result."""

    target: Stream
    convert: Callable[[AnyPacket], Iterable[AnyPacket]] = lambda packet: (packet,)
    finish: Callable[[], Iterable[AnyPacket]] = tuple


def packets_of(
    given: InputContainer,
    copies: Mapping[int, Copy],
    anew: Sequence[Fraction],
    *,
    window: Window,
    silenced: dict[int, Fraction],
) -> Iterator[AnyPacket]:
    """Yield what is copied and lies within the window."""
    streams = [stream for stream in given.streams if stream.index in copies]
    if not streams:
        return
    if window.late and not anew:  # else a later part could be taken for the first
        back = _LONGEST_WORDS if any(stream.type == "subtitle" for stream in streams) else 0
        if (at := _sought(given, streams, window.begin - back)) is not None:
            given.seek(at)
    with suppress(av.FFmpegError):  # the data end early, which the reader of the video track has said
        for packet in _continued(given.demux(streams), anew, cut=window.cut, silenced=silenced):
            still = bool(packet.stream.disposition & Disposition.attached_pic)
            if still and packet.pts is None:
                packet.pts = packet.dts = 0
            time = packet.dts if packet.pts is None else packet.pts
            if not packet.size or time is None:
                continue
            start, stop = time * packet.time_base, (time + (packet.duration or 0)) * packet.time_base
            if not still and not window.holds(start, stop, sound=packet.stream.type == "audio"):
                continue
            copy = copies[packet.stream.index]
            for converted in copy.convert(packet):
                yield window.placed(converted, copy.target, still=still)
    for copy in copies.values():
        for converted in copy.finish():
            yield window.placed(converted, copy.target)


def _continued(
    packets: Iterator[AnyPacket], anew: Sequence[Fraction], *, cut: bool, silenced: dict[int, Fraction]
) -> Iterator[AnyPacket]:
    """Put packets later as the picture is, each time that their clock begins anew; what would overlap there is left out.

    Sound that falls back where the picture does not is left out until it has caught up, and for how many seconds is put into
    `silenced`, by streams; of a `cut` clip, whose picture was not read to the end, it is over there.
    """
    clocks: dict[int, _StreamClock] = {}
    over = set[int]()  # streams whose clock began anew behind all that the picture was read of
    for packet in packets:
        index, sound = packet.stream.index, packet.stream.type == "audio"
        if index in over:
            continue
        if packet.dts is None:
            yield packet
            continue
        clock = clocks.setdefault(index, _StreamClock(time_of(packet), time_of(packet) - 1))
        if time_of(packet) < clock.read - SETBACK:
            if clock.anew < len(anew):
                clock.anew += 1
            elif sound and cut:
                over.add(index)
                continue
            elif sound:
                silenced.setdefault(index, Fraction(0))
        clock.read = time_of(packet)
        shift(packet, -anew[clock.anew - 1] if clock.anew else Fraction(0))
        time, before = time_of(packet), clock.written
        clock.written = max(before, time)
        if packet.stream.type == "subtitle":
            if time < before:  # no muxer takes it as it is
                packet.pts = packet.dts = math.ceil(before / packet.time_base)
        elif time <= before:
            if sound and time < before:
                silenced.setdefault(index, Fraction(0))
            if index in silenced:
                silenced[index] += (packet.duration or 0) * packet.time_base
            if clock.anew or index in silenced:
                continue
        yield packet


@dataclass(slots=True)
class _StreamClock:
    """Where a stream is, in seconds, and how often its clock began anew."""

    read: Fraction  # by the file
    written: Fraction  # the latest, by the result
    anew: int = 0


def _sought(given: InputContainer, streams: Sequence[Stream], time: Fraction) -> int | None:
    """Find where to seek to, so that all from a time on follows; None where only the beginning will do.

    FFmpeg seeks in the video: where no key frame lies before the time, it goes to the first one behind it.
    """
    at = max(int((time - 1) * av.time_base), given.start_time or 0)  # some sound comes a little before its picture
    with suppress(av.FFmpegError), open_video(given.name) as again:
        again.seek(at)
        packets = again.demux([again.streams[stream.index] for stream in streams])
        first = next((packet for packet in packets if packet.size and packet.pts is not None), None)
        if first and first.pts is not None and first.pts * first.time_base <= time:
            return at
    return None


def time_of(packet: AnyPacket) -> Fraction:
    return packet.dts * packet.time_base if packet.dts is not None else Fraction(0)


def shift(packet: AnyPacket, begin: Fraction) -> None:
    by = round(begin / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - by
    packet.dts = None if packet.dts is None else packet.dts - by
