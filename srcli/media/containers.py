"""Upscaled tracks and all else that a source carries into one file, without encoding again.

Audio, subtitles, chapters, attachments, cover pictures and tags are copied. Text subtitles are rewrapped, and sound is encoded
anew, where the container wants another kind. What it cannot carry is said, in a line each.
"""

import heapq
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from srcli.errors import BadVideo
from srcli.files import unwritten
from srcli.media.encoding import MUXERS, AnyPacket, configure, decode_times
from srcli.media.segments import UpscaledTrack
from srcli.media.verification import Span, Written, verify
from srcli.media.video import SETBACK, Clip, decoding, open_video, real_videos

_TEXT = {"mkv": "subrip", "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}  # the kind of subtitles each is found with
_SOUNDS = {"webm": "libopus"}  # what sound is encoded as where it cannot be copied, else AAC
_LOSSLESS = {"mkv": "flac", "mov": "alac"}  # where it was without loss
_SOUND_RATE = 96_000  # bits a second, for each channel
_LEAST_RATE = 16_000  # Hz, below which a packet of AAC lasts longer than a track may be off
_OPUS = {3: "3.0", 4: "quad"}  # which it takes others than these by no name
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SOUND_PAUSE = Fraction(1, 20)  # seconds from which on a step of the time stamps is a pause, and no rounding
_PICTURES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
# Tags of a file that are true of that file only
_OWN = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "bps", "alpha_mode"}
# Languages, as QuickTime has them
_IN_MOV = {"deu": "ger", "zho": "chi", "nld": "dut", "ell": "gre", "isl": "ice", "fre": "fra"}
_CLOCKED = ("mpegts", "mpeg")  # whose time stamps are those of the clock of who sent them
_NO_DATE = "1970-01-01T00:00:00"
_LONGEST_WORDS = 60  # seconds before a cut at which a subtitle that is still shown may have begun
_OWN_PREFIXES = ("number_of_", "_statistics_", "bps-")


class _Window(NamedTuple):
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
            _shift(packet, self.begin)
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


class _Copy(NamedTuple):
    """How packets of a source's stream reach the result."""

    target: Stream
    convert: Callable[[AnyPacket], Iterable[AnyPacket]] = lambda packet: (packet,)
    finish: Callable[[], Iterable[AnyPacket]] = tuple


class _Sound:
    """Sound encoded anew; what is damaged is left out."""

    def __init__(self, stream: AudioStream, target: AudioStream) -> None:
        self._index, self._decoder, self._encoder = stream.index, stream.codec_context, target.codec_context
        self._damaged = 0
        self._end: int | None = None  # samples

    @property
    def notes(self) -> list[str]:
        """Say what did not decode."""
        return [f"stream {self._index}: packets of sound that are damaged, left out: {self._damaged}"] * bool(self._damaged)

    def convert(self, packet: AnyPacket | None) -> list[AnyPacket]:
        """Decode a packet, or what waits in the decoder, and return what the encoder gives."""
        try:
            frames = self._decoder.decode(packet)
            return [made for frame in frames for made in self._encoder.encode(self._timed(frame))]
        except (av.FFmpegError, ValueError):  # the latter for another rate or number of channels than before
            self._damaged += 1
            return []

    def finish(self) -> list[AnyPacket]:
        """Return the last packets."""
        return [*self.convert(None), *(self._encoder.encode(None) if self._end is not None else ())]

    def _timed(self, frame: AudioFrame) -> AudioFrame:
        """Let a frame begin where the one before ends, unless there is a pause between them."""
        rate, end = frame.sample_rate, self._end
        at = end or 0
        if frame.pts is not None and frame.time_base:
            at = round(frame.pts * frame.time_base * rate)
        if end is not None and at < end + _SOUND_PAUSE * rate:
            at = end
        frame.pts, frame.time_base = at, Fraction(1, rate)
        self._end = at + frame.samples
        return frame


class _Words:
    """Text subtitles as another kind of them; what is wrong with one is no matter of the others."""

    def __init__(self, stream: SubtitleStream, encoder: SubtitleCodecContext) -> None:
        self._index, self._decoder, self._encoder = stream.index, stream.codec_context, encoder
        self._decoder.open(strict=False)
        encoder.subtitle_header = self._decoder.subtitle_header
        self._counted = _name(stream) == "mov_text"  # whose packets begin with how many bytes the text has
        self._guessed = self._damaged = 0

    @property
    def notes(self) -> list[str]:
        """What became of those that were not as they should be."""
        found = (self._guessed, "not UTF-8, read as Windows-1252"), (self._damaged, "damaged, left out")
        return [f"stream {self._index}: subtitles that are {what}: {count}" for count, what in found if count]

    def convert(self, packet: AnyPacket) -> list[AnyPacket]:
        """Return what shows the same."""
        with suppress(av.FFmpegError):
            return self._converted(packet)
        if not self._counted:
            guess = av.Packet(bytes(packet).decode("cp1252", "replace").encode())
            guess.pts, guess.duration, guess.time_base = packet.pts, packet.duration, packet.time_base
            with suppress(av.FFmpegError):
                converted = self._converted(guess)
                self._guessed += 1
                return converted
        self._damaged += 1
        return []

    def _converted(self, packet: AnyPacket) -> list[AnyPacket]:
        shown = self._decoder.decode2(packet)
        if not shown or not len(shown):
            return []
        text = self._encoder.encode_subtitle(shown)
        text.pts, text.dts, text.duration, text.time_base = packet.pts, packet.pts, packet.duration, packet.time_base
        return [text] if text.size else []


def rehearse(source: Path | None, container: str, tracks: Sequence[UpscaledTrack]) -> tuple[str, ...]:
    """Write the header into memory and say what cannot be carried; raise BadVideo where the container refuses."""
    with ExitStack() as stack:
        given = _open(stack, source)
        output = stack.enter_context(_Output(io.BytesIO(), container))
        plan = _Plan(output.container, given, container, tracks)
        _start(output.container, container)
        return tuple(plan.notes)


def join(source: Path | None, target: Path, container: str, tracks: Sequence[UpscaledTrack], clip: Clip) -> tuple[str, ...]:
    """Write the upscaled tracks and what the source carries, and verify the result; say what could not be kept."""
    with ExitStack() as stack:
        given = _open(stack, source)
        output = stack.enter_context(_Output(target, container, tracks))
        plan = _Plan(output.container, given, container, tracks)
        _start(output.container, container)
        window = _window(given, tracks, clip)
        sources = [_video_packets(stream, done, window.begin) for stream, done in plan.videos]
        silenced: dict[int, Fraction] = {}
        sounds = {stream.index: Span() for stream in output.container.streams if stream.type == "audio"}
        if given:
            copied = _copied(given, plan.copies, tracks[0].anew, window=window, silenced=silenced)
            sources.append(_measured(copied, sounds))
            _add_chapters(output.container, given, window)
        try:
            for packet in heapq.merge(*sources, key=_time):
                output.container.mux_one(packet)
        except (av.FFmpegError, ValueError) as error:
            raise unwritten(target, error, BadVideo) from error
        languages = [stream.metadata.get("language") for stream in output.container.streams]
        written = Written(plan.kinds, dict(output.container.metadata), languages, list(sounds.values()))
    notes = [note for each in plan.converters for note in each.notes]
    for index, seconds in silenced.items():
        notes.append(f"stream {index}: {float(seconds):.2f} s of sound left out, whose clock falls back without the picture's")
    return (*notes, *verify(target, tracks, window.begin, written))


class _Output(AbstractContextManager["_Output"]):
    """An output container whose file goes where something went wrong."""

    def __init__(self, file: Path | io.BytesIO, container: str, tracks: Sequence[UpscaledTrack] = ()) -> None:
        ticks = math.lcm(*(done.source.time_base.denominator for done in tracks))
        # MP4 counts the time before a track begins in ticks of its own, which are ms unless said
        precise = {"movie_timescale": str(ticks)} if ticks < 2**31 else {}
        flags = {
            "mp4": {"movflags": "+faststart", **precise},
            "mov": {"movflags": "+faststart+use_metadata_tags", **precise},
        }
        self._path = file if isinstance(file, Path) else None
        options = flags.get(container, {"avoid_negative_ts": "disabled"}) if self._path else {}
        opened = str(file.absolute()) if isinstance(file, Path) else file
        self.container: OutputContainer = av.open(opened, "w", format=MUXERS[container], options=options)

    def __exit__(self, kind: object, *_: object) -> None:
        failure: Exception | None = None
        try:
            self.container.close()
        except (av.FFmpegError, ValueError) as error:  # Matroska's muxer tells of a full disk here only
            failure = error
        if self._path and (kind or failure):
            self._path.unlink(missing_ok=True)  # a part of a result, which would take the room that the whole one needs
        if failure and kind is None:
            raise unwritten(self._path or "the streams", failure, BadVideo) from failure


def _open(stack: ExitStack, source: Path | None) -> InputContainer | None:
    if source is None:
        return None
    with decoding(source):
        return stack.enter_context(open_video(source))


def _start(output: OutputContainer, container: str) -> None:
    try:
        output.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        raise BadVideo(f"{container} cannot hold these streams: {error}") from error


class _Plan:
    """Which stream of the result comes from where, in the order of the source."""

    def __init__(
        self, output: OutputContainer, given: InputContainer | None, container: str, tracks: Sequence[UpscaledTrack]
    ) -> None:
        self._output, self._container = output, container
        self.videos: list[tuple[VideoStream, UpscaledTrack]] = []
        self.copies: dict[int, _Copy] = {}
        self.converters: list[_Words | _Sound] = []
        self.notes: list[str] = []
        upscaled = {done.source.index: done for done in tracks}
        if given is None:
            for done in tracks:
                self._add_video(done)
            return
        output.metadata.update(_tags(given.metadata))
        self._chapters = bool(given.chapters())
        films = real_videos(given)
        for stream in given.streams:
            if stream.index in upscaled:
                self._add_video(upscaled[stream.index])
            elif isinstance(stream, VideoStream) and stream in films:
                self.notes.append(f"stream {stream.index} (video, {_name(stream)}) has no frame to upscale, and is left out")
            elif isinstance(stream, VideoStream):
                self._add_cover(stream)
            elif isinstance(stream, AudioStream):
                self._add_sound(stream)
            elif isinstance(stream, SubtitleStream):
                self._add_subtitles(stream)
            elif isinstance(stream, AttachmentStream):
                self._add_attachment(stream)
            elif self._container == "mov" and "timecode" in stream.metadata:
                continue  # a track that the muxer makes of the tag
            elif not (self._chapters and _name(stream) in ("bin_data", "text")):  # MP4 lists its chapters as a track too
                self._lost(stream)

    @property
    def kinds(self) -> list[str]:
        """The types of the streams, without data streams."""
        # Matroska's cover pictures are attachments, which FFmpeg reads as video
        return [
            "video" if stream.type == "attachment" and stream.metadata.get("mimetype", "").startswith("image/") else stream.type
            for stream in self._output.streams
        ]

    def _lost(self, stream: Stream, hint: str = "") -> None:
        what = f"stream {stream.index} ({stream.type}, {_name(stream)})"
        self.notes.append(f"{what} cannot be carried by {self._container}{hint}")

    def _add_video(self, done: UpscaledTrack) -> None:
        encoding, track = done.encoding, done.source
        try:
            stream = self._output.add_stream(encoding.codec, rate=encoding.rate, options=encoding.options)
        except ValueError as error:
            raise BadVideo(f"{encoding.codec} does not go into {self._container}") from error
        assert isinstance(stream, VideoStream)
        configure(stream.codec_context, encoding)
        stream.time_base = encoding.time_base
        if encoding.codec in ("libx265", "hevc_nvenc") and self._container in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # the name that Apple's players know
        if track.matrix:
            matrix = list(track.matrix)
            matrix[6] = matrix[6] * encoding.width // track.width
            matrix[7] = matrix[7] * encoding.height // track.height
            stream.set_display_matrix(matrix)
        self._describe(stream, track.metadata or {}, Disposition(track.disposition))
        if encoding.pix_fmt.startswith("yuva") and encoding.codec == "libvpx-vp9":
            stream.metadata["alpha_mode"] = "1"
        self.videos.append((stream, done))

    def _template(self, stream: Stream) -> Stream | None:
        try:
            target = self._output.add_stream_from_template(stream)
        except (ValueError, av.FFmpegError):
            return None
        self._describe(target, stream.metadata, stream.disposition)
        return target

    def _describe(self, target: Stream, metadata: Mapping[str, str], disposition: Disposition) -> None:
        target.metadata.update(_of_stream(metadata, self._container))
        target.disposition = disposition

    def _add_copy(self, stream: Stream) -> bool:
        if not _takes(self._container, stream) or (target := self._template(stream)) is None:
            return False
        self.copies[stream.index] = _Copy(target)
        return True

    def _add_sound(self, stream: AudioStream) -> None:
        if self._add_copy(stream):
            return
        others = (name for name in ("mkv", "mov") if name != self._container and _takes(name, stream))
        hint = "".join(f"; {name} carries it" for name in islice(others, 1))
        if (first := _decoded(self._container, stream)) is None:
            self._lost(stream, hint)
            return
        target = _encoder(self._output, self._container, stream, first)
        self._describe(target, stream.metadata, stream.disposition)
        sound = _Sound(stream, target)
        what = f"{_name(stream)} sound, which {self._container} cannot carry, encoded as {_name(target)}"
        self.notes.append(f"stream {stream.index}: {what}{hint}")
        self.converters.append(sound)
        self.copies[stream.index] = _Copy(target, sound.convert, sound.finish)

    def _add_cover(self, stream: VideoStream) -> None:
        name = _name(stream)
        if self._container == "mkv" and name in _PICTURES:
            assert isinstance(stream.container, InputContainer)
            with open_video(stream.container.name) as again:
                packet = next((p for p in again.demux(again.streams[stream.index]) if p.size), None)
            if packet:
                file, kind = _PICTURES[name]
                self._output.add_attachment(stream.metadata.get("filename", file), kind, bytes(packet))
            return
        if self._container in ("webm", "mov"):  # the muxer of mov takes a picture and writes none
            self._lost(stream)
        elif not self._add_copy(stream):
            self._lost(stream, "; mkv carries it" if name in _PICTURES else "")

    def _add_attachment(self, stream: AttachmentStream) -> None:
        if self._container == "mkv":
            name = stream.metadata.get("filename", "attachment")
            self._output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        else:
            name = stream.metadata.get("filename", "")
            self.notes.append(f"the attachment '{name}' cannot be carried by {self._container}; mkv carries it")

    def _add_subtitles(self, stream: SubtitleStream) -> None:
        if (target := self._template(stream)) is not None:
            self.copies[stream.index] = _Copy(target)
            return
        name, wanted = _name(stream), _TEXT[self._container]
        if name not in ("mov_text", "subrip", "ass", "ssa", "webvtt", "text"):
            self._lost(stream, "" if self._container == "mkv" else "; mkv carries most")
            return
        target = self._output.add_stream(wanted)
        assert isinstance(target.codec_context, SubtitleCodecContext)
        words = _Words(stream, target.codec_context)
        self._describe(target, stream.metadata, stream.disposition)
        styled = ": their styles may be simpler" if name in ("ass", "ssa") else ""
        self.notes.append(f"stream {stream.index}: {name} subtitles rewrapped as {wanted}{styled}")
        self.converters.append(words)
        self.copies[stream.index] = _Copy(target, words.convert)


def _takes(container: str, stream: Stream) -> bool:
    """Tell by writing one packet into memory: some are refused only when they come, or at the end."""
    try:
        with open_video(stream.container.name) as again, _Output(io.BytesIO(), container) as output:
            source = again.streams[stream.index]
            target = output.container.add_stream_from_template(source)
            packet = next((p for p in again.demux(source) if p.size and p.dts is not None), None)
            if packet:
                packet.stream = target
                output.container.mux_one(packet)
    except (ValueError, av.FFmpegError, BadVideo):
        return False
    return True


def _decoded(container: str, stream: AudioStream) -> AudioFrame | None:
    """Return the first of a stream's sound, None where it does not decode or cannot be encoded for the container."""
    try:
        with open_video(stream.container.name) as again, _Output(io.BytesIO(), container) as output:
            first = next(again.decode(again.streams[stream.index]), None)
            if isinstance(first, AudioFrame):
                target = _encoder(output.container, container, stream, first)
                output.container.mux([*target.encode(first), *target.encode(None)])
                return first
    except (ValueError, av.FFmpegError, BadVideo):
        pass
    return None


def _encoder(output: OutputContainer, container: str, stream: AudioStream, first: AudioFrame) -> AudioStream:
    """Add a stream for sound of the form that its first frame has, in a rate that the encoder knows."""
    lossless = stream.codec_context.codec.lossless and container in _LOSSLESS
    name = _LOSSLESS[container] if lossless else _SOUNDS.get(container, "aac")
    codec, rate = av.Codec(name, "w"), first.sample_rate
    if known := codec.audio_rates:
        rate = min((each for each in known if each >= max(rate, _LEAST_RATE)), default=max(known))
    target = output.add_stream(name, rate=rate)
    assert isinstance(target, AudioStream)
    unnamed = first.layout.name.endswith(" channels")  # as in AVI
    channels = first.layout.nb_channels
    usual = (_OPUS if name == "libopus" else {}).get(channels, _LAYOUTS.get(channels, "stereo"))
    target.codec_context.layout = usual if unnamed or name == "libopus" else first.layout
    if lossless:
        sizes = {format.bytes: format.name for format in codec.audio_formats or ()}
        target.codec_context.format = sizes[2 if first.format.bytes <= 2 else 4]
    else:
        # 6 bits a sample are the most that AAC can have
        target.codec_context.bit_rate = min(_SOUND_RATE, 6 * rate) * target.codec_context.layout.nb_channels
    return target


def _name(stream: Stream) -> str:
    if stream.codec_context:
        return stream.codec_context.codec.canonical_name
    return getattr(stream, "name", None) or "unknown"  # PyAV has a name for data only where FFmpeg has no decoder


def _of_stream(metadata: Mapping[str, str], container: str) -> dict[str, str]:
    """Keep the tags of a stream, under the names that the muxers know: FFmpeg reads the title of an MP4's as its name."""
    kept = _tags(metadata)
    if "name" in kept and "title" not in kept:
        kept["title"] = kept.pop("name")
    if container == "mov" and (language := kept.get("language")):
        kept["language"] = _IN_MOV.get(language, language)
    return kept


def _tags(metadata: Mapping[str, str]) -> dict[str, str]:
    kept = {}
    for key, value in metadata.items():
        low = key.lower()
        twice = key[-4:-3] == "-" and metadata.get(key[:-4]) == value  # QuickTime's tags also come with their language
        said = value.strip() and not (low == "creation_time" and value.startswith(_NO_DATE))
        if low not in _OWN and not low.startswith(_OWN_PREFIXES) and said and not twice:
            kept[key] = value
    return kept


def _window(given: InputContainer | None, tracks: Sequence[UpscaledTrack], clip: Clip) -> _Window:
    tick = tracks[0].source.time_base  # of an AVI a whole frame: all streams move by as many
    begin, first = Fraction(0), Fraction((given.start_time if given else 0) or 0, av.time_base)
    if clip.start:
        begin = math.ceil((max(first, begin) + clip.start) / tick) * tick
    elif given and given.format.name in _CLOCKED:
        begin = round(first / tick) * tick
    ends = [(max(done.shown) + done.segments[-1].last_duration) * done.source.time_base for done in tracks]
    return _Window(begin, None if clip.end is None and clip.frames is None else max(ends), late=bool(clip.start))


def _time(packet: AnyPacket) -> Fraction:
    return packet.dts * packet.time_base if packet.dts is not None else Fraction(0)


def _shift(packet: AnyPacket, begin: Fraction) -> None:
    by = round(begin / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - by
    packet.dts = None if packet.dts is None else packet.dts - by


def _video_packets(stream: VideoStream, done: UpscaledTrack, begin: Fraction) -> Iterator[AnyPacket]:
    extradata = stream.codec_context.extradata or b""
    times = decode_times(done.shown)
    for segment in done.segments:
        if segment.extradata != extradata:
            raise BadVideo(f"'{segment.path}' was encoded with other settings; start anew with --no-resume")
        for record in segment.records():
            packet = record.packet()
            packet.dts, packet.time_base, packet.stream = next(times), done.encoding.time_base, stream
            _shift(packet, begin)
            yield packet


def _copied(
    given: InputContainer,
    copies: Mapping[int, _Copy],
    anew: Sequence[Fraction],
    *,
    window: _Window,
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
        clock = clocks.setdefault(index, _StreamClock(_time(packet), _time(packet) - 1))
        if _time(packet) < clock.read - SETBACK:
            if clock.anew < len(anew):
                clock.anew += 1
            elif sound and cut:
                over.add(index)
                continue
            elif sound:
                silenced.setdefault(index, Fraction(0))
        clock.read = _time(packet)
        _shift(packet, -anew[clock.anew - 1] if clock.anew else Fraction(0))
        time, before = _time(packet), clock.written
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


def _measured(packets: Iterator[AnyPacket], sounds: Mapping[int, Span]) -> Iterator[AnyPacket]:
    """Pass packets on, and note how far those of each sound track reach."""
    for packet in packets:
        if packet.stream.index in sounds:
            sounds[packet.stream.index].add(packet)
        yield packet


def _add_chapters(output: OutputContainer, given: InputContainer, window: _Window) -> None:
    begin, end, _ = window
    chapters = []
    for chapter in given.chapters():
        base = chapter["time_base"] or Fraction(1, 1000)
        start, stop = chapter["start"] * base - begin, chapter["end"] * base - begin
        if stop > 0 and (end is None or start < end - begin):
            last = stop if end is None else min(stop, end - begin)
            chapter["start"], chapter["end"] = round(max(start, Fraction(0)) / base), round(last / base)
            chapters.append(chapter)
    output.set_chapters(chapters)
