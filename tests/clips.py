"""Small videos made for tests, with what the clips of the data folder lack, and a look at what a file holds."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from tests.conftest import photograph

BASE = Fraction(1, 12800)  # seconds a tick, of 512 ticks a frame


def make_clip(
    path: Path,
    *,
    frames: int = 12,
    height: int = 48,
    width: int = 64,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    still: Sequence[int] = (),
    panning: bool = False,
    ticks: int = 512,
    interlaced: bool = False,
    tone: bool = False,
    sound: str = "aac",
    seconds: float | None = None,
    subtitles: Sequence[tuple[int, int, str]] = (),
    chapters: bool = False,
    attachment: bool = False,
    cover: bool = False,
    aspect: Fraction | None = None,
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    format: str | None = None,
) -> Path:
    """Write a clip; `still` are the frames equal to the one before, `subtitles` (start, end, text) in ms.

    The tone, stored as `sound`, lasts so many `seconds`, or as long as the picture. With `panning` the frames
    are one picture that moves, else each is another. A frame lasts so many `ticks`. `format` is FFmpeg's name of
    the container, where the suffix does not tell.
    """
    with av.open(str(path), "w", format=format) as container:
        container.metadata.update(metadata or {})
        rate, base = Fraction(25), Fraction(1, 25 * ticks)
        options = {"flags": "+ildct+ilme", "x264-params": "tff=1"} if interlaced else options or {}
        video = container.add_stream(codec, rate=rate, options=options)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.time_base, video.codec_context.sample_aspect_ratio = base, aspect or Fraction(0)
        hum = container.add_stream(sound, rate=16000, layout="mono") if tone else None
        text = None
        if subtitles:
            text = container.add_stream("subrip" if path.suffix == ".mkv" else "mov_text")
            text.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
            text.metadata["language"] = "deu"
        if attachment:
            container.add_attachment("font.ttf", "application/x-truetype-font", b"no font " * 8)
        picture_stream = None
        if cover:
            picture_stream = container.add_stream("mjpeg", rate=1)
            picture_stream.width, picture_stream.height, picture_stream.pix_fmt = 16, 16, "yuvj420p"
            picture_stream.disposition = av.stream.Disposition.attached_pic
        if chapters:
            times = {"time_base": Fraction(1, 1000)}
            container.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 200, "metadata": {"title": "One"}, **times},
                    {"id": 2, "start": 200, "end": 400, "metadata": {"title": "Two"}, **times},
                ]
            )
        seen = 0
        for i in range(frames):
            seen += i not in still
            picture = np.roll(photograph(height, width), 2 * i, axis=1) if panning else photograph(height, width, seen)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = (pts[i] if pts else i * ticks), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if hum:
            for start in range(0, round(seconds * 16000) if seconds else frames * 640, 1024):
                wave = np.sin(np.arange(start, start + 1024) * 0.1).astype(np.float32)[None]
                samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
                samples.sample_rate, samples.pts = 16000, start
                container.mux(hum.encode(samples))
            container.mux(hum.encode(None))
        if text:
            for start, end, line in subtitles:
                shown = av.subtitles.subtitle.SubtitleSet.create(f"0,0,Default,,0,0,0,,{line}".encode(), 0, end - start)
                packet = text.codec_context.encode_subtitle(shown)
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = end - start, Fraction(1, 1000), text
                container.mux(packet)
        if picture_stream:
            frame = av.VideoFrame.from_ndarray(photograph(16, 16), "rgb24").reformat(format="yuvj420p")
            container.mux(picture_stream.encode(frame))
            container.mux(picture_stream.encode(None))
    return path


class Held(NamedTuple):
    """What a file holds: streams, times of the frames and of the sound in seconds, and texts of subtitles."""

    kinds: list[str]
    times: list[list[float]]
    sound: list[list[float]]
    texts: list[list[str]]
    chapters: list[tuple[float, float, str]]
    metadata: dict[str, str]


def held(path: Path) -> Held:
    """Read a file back with PyAV."""
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        times: dict[int, list[float]] = {}
        texts: dict[int, list[str]] = {}
        sound: dict[int, list[float]] = {}
        for packet in container.demux():
            if not packet.size:
                continue
            index = packet.stream.index
            if packet.stream.type == "subtitle":
                texts.setdefault(index, []).extend(rect.dialogue.decode() for rect in packet.decode())
            elif packet.pts is not None:
                into = times if packet.stream.type == "video" else sound
                into.setdefault(index, []).append(float(packet.pts * packet.time_base))
        chapters = [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"].get("title", ""))
            for c in container.chapters()
        ]
        metadata = dict(container.metadata)
    return Held(kinds, [sorted(t) for t in times.values()], list(sound.values()), list(texts.values()), chapters, metadata)


def decoded(path: Path, track: int = 0, format: str = "rgb24", most: int | None = None) -> list[np.ndarray]:
    """Decode the frames of a track, or the first of them."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=format) for frame in islice(container.decode(video=track), most)]
