"""A video that was put together, read back: whether it has the streams, frames, time stamps and sounds that it should."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from av.video.stream import VideoStream

from srcli.errors import BadVideo
from srcli.media.encoding import AnyPacket
from srcli.media.segments import UpscaledTrack
from srcli.media.video import decoding, open_video, real_videos

_SOUND_OFF = 0.1  # seconds that a sound track may last longer or shorter: containers round, and count the codec's delay
_HELD_BACK = 16  # frames at most that a decoder of H.264 or HEVC holds back to put them in order
_SHAPE_OFF = 0.001  # of the shape of the pixels, whose fraction encoders round


@dataclass(slots=True)
class Span:
    """From when to when the packets of a sound track reach, in seconds."""

    start: Fraction | None = None
    stop: Fraction = Fraction(0)

    def add(self, packet: AnyPacket) -> None:
        if packet.pts is None:
            return
        start = packet.pts * packet.time_base
        stop = start + (packet.duration or 0) * packet.time_base
        self.stop = stop if self.start is None else max(stop, self.stop)
        self.start = start if self.start is None else min(start, self.start)

    @property
    def seconds(self) -> float:
        return 0.0 if self.start is None else float(self.stop - self.start)


class Written(NamedTuple):
    """What went into a file beside its upscaled frames, and is looked for when it is read back."""

    kinds: Sequence[str]  # of its streams, without data streams
    tags: Mapping[str, str]
    languages: Sequence[str | None]  # of its streams
    sounds: Sequence[Span]


def verify(path: Path, tracks: Sequence[UpscaledTrack], begin: Fraction, written: Written) -> tuple[str, ...]:
    """Read the result back; raise BadVideo unless it has the streams, frames and time stamps that it should.

    Time stamps may differ by the rounding of the container, a duration by one frame. Returns which languages and tags are
    missing, which pixels have another shape, and which sounds last longer or shorter than they were copied.
    """
    with decoding(path), open_video(path) as container:
        found = [stream.type for stream in container.streams if stream.type != "data"]
        if sorted(found) != sorted(written.kinds):
            due = ", ".join(written.kinds)
            raise BadVideo(f"the result has the streams {', '.join(found)} instead of {due}: please report this")
        videos = real_videos(container)
        times: dict[int, list[int]] = {stream.index: [] for stream in videos}
        ends: dict[int, tuple[int, Fraction]] = {}  # the largest time stamp, and when its frame ends
        heard = {stream.index: Span() for stream in container.streams.audio}
        for packet in container.demux(*videos, *container.streams.audio):
            if packet.size and packet.stream.index in heard:
                heard[packet.stream.index].add(packet)
            elif packet.size and packet.pts is not None:
                times[packet.stream.index].append(packet.pts)
                end = packet.pts, (packet.pts + (packet.duration or 0)) * packet.time_base
                ends[packet.stream.index] = max(end, ends.get(packet.stream.index, end))
        for stream, done in zip(videos, tracks, strict=True):
            _verify_track(stream, done, times=sorted(times[stream.index]), stop=ends[stream.index][1], begin=begin)
        shapes = [
            (stream.sample_aspect_ratio or Fraction(1), done.encoding.aspect or Fraction(1))
            for stream, done in zip(videos, tracks, strict=True)
        ]
        there = {key.lower() for key in container.metadata}
        languages = [stream.metadata.get("language", "und") for stream in container.streams]
    lost = {
        "languages": _lost_languages(written.languages, languages),
        "tags": sorted(key for key in written.tags if key.lower() not in there),
    }
    notes = [f"{what} that {path.suffix[1:]} does not keep: {', '.join(each)}" for what, each in lost.items() if each]
    for shape, wanted in shapes:
        if abs(shape / wanted - 1) > _SHAPE_OFF:
            notes.append(f"the pixels have the shape {shape} in the result, {wanted} in the source: please report this")
    for number, (kept, copied) in enumerate(zip(heard.values(), written.sounds, strict=True), 1):
        if abs(kept.seconds - copied.seconds) > _SOUND_OFF:
            length = f"lasts {kept.seconds:.2f} s in the result, but {copied.seconds:.2f} s were copied"
            notes.append(f"sound track {number} {length}: listen to its end, and please report this")
    return tuple(notes)


def _lost_languages(said: Sequence[str | None], kept: Sequence[str]) -> list[str]:
    """Return the languages of streams that a container has no code for."""
    if len(said) != len(kept):
        return []  # with cover pictures and chapters, which have none
    pairs = zip(said, kept, strict=True)
    return sorted({language for language, found in pairs if found == "und" and language not in (None, "und")})


def _verify_track(stream: VideoStream, done: UpscaledTrack, *, times: list[int], stop: Fraction, begin: Fraction) -> None:
    base = stream.time_base or Fraction(1)
    if len(times) != done.frames:
        raise BadVideo(f"the result has {len(times)} frames, the source {done.frames}: please report this")
    wanted = [pts * done.source.time_base - begin for pts in sorted(done.shown)]
    worst = max((abs(pts * base - time) for pts, time in zip(times, wanted, strict=True)), default=Fraction(0))
    if worst > base:
        raise BadVideo(f"a frame of the result is shown {float(worst):.4f} s beside its time: please report this")
    frame = done.segments[-1].last_duration * done.source.time_base
    off = abs(stop - (wanted[-1] + frame))
    # MP4 gives a frame the time until the next is decoded, which is the step between two shown before it
    steps = (after - before for before, after in pairwise(wanted[-2 * _HELD_BACK - 1 :]))
    if off > max(frame, 1 / done.source.rate, *steps) + base:
        raise BadVideo(f"the result ends {float(off):.3f} s beside the source: please report this")
