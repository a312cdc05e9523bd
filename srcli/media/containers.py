"""Upscaled tracks and all else that a source carries into one file, without encoding again.

Audio, subtitles, chapters, attachments, cover pictures and tags are copied. Text subtitles are rewrapped, and sound is encoded
anew, where the container wants another kind. What it cannot carry is said, in a line each.
"""

import heapq
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path

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
from srcli.media.copying import Copy, Window, packets_of, shift, time_of
from srcli.media.encoding import MUXERS, AnyPacket, configure, decode_times
from srcli.media.segments import UpscaledTrack
from srcli.media.transcoding import Sound, Words, codec_name, sound_encoder
from srcli.media.verification import Span, Written, verify
from srcli.media.video import Clip, decoding, open_video, real_videos

_TEXT = {"mkv": "subrip", "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}  # the kind of subtitles each is found with
_PICTURES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
# Tags of a file that are true of that file only
_OWN = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "bps", "alpha_mode"}
# Languages, as QuickTime has them
_IN_MOV = {"deu": "ger", "zho": "chi", "nld": "dut", "ell": "gre", "isl": "ice", "fre": "fra"}
_CLOCKED = ("mpegts", "mpeg")  # whose time stamps are those of the clock of who sent them
_NO_DATE = "1970-01-01T00:00:00"
_OWN_PREFIXES = ("number_of_", "_statistics_", "bps-")


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
            sources.append(_measured(packets_of(given, plan.copies, tracks[0].anew, window=window, silenced=silenced), sounds))
            _add_chapters(output.container, given, window)
        try:
            for packet in heapq.merge(*sources, key=time_of):
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
        self.copies: dict[int, Copy] = {}
        self.converters: list[Words | Sound] = []
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
                self.notes.append(
                    f"stream {stream.index} (video, {codec_name(stream)}) has no frame to upscale, and is left out"
                )
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
            elif not (self._chapters and codec_name(stream) in ("bin_data", "text")):  # MP4 lists its chapters as a track too
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
        what = f"stream {stream.index} ({stream.type}, {codec_name(stream)})"
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
        self.copies[stream.index] = Copy(target)
        return True

    def _add_sound(self, stream: AudioStream) -> None:
        if self._add_copy(stream):
            return
        others = (name for name in ("mkv", "mov") if name != self._container and _takes(name, stream))
        hint = "".join(f"; {name} carries it" for name in islice(others, 1))
        if (first := _decoded(self._container, stream)) is None:
            self._lost(stream, hint)
            return
        target = sound_encoder(self._output, self._container, stream, first)
        self._describe(target, stream.metadata, stream.disposition)
        sound = Sound(stream, target)
        what = f"{codec_name(stream)} sound, which {self._container} cannot carry, encoded as {codec_name(target)}"
        self.notes.append(f"stream {stream.index}: {what}{hint}")
        self.converters.append(sound)
        self.copies[stream.index] = Copy(target, sound.convert, sound.finish)

    def _add_cover(self, stream: VideoStream) -> None:
        name = codec_name(stream)
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
            self.copies[stream.index] = Copy(target)
            return
        name, wanted = codec_name(stream), _TEXT[self._container]
        if name not in ("mov_text", "subrip", "ass", "ssa", "webvtt", "text"):
            self._lost(stream, "" if self._container == "mkv" else "; mkv carries most")
            return
        target = self._output.add_stream(wanted)
        assert isinstance(target.codec_context, SubtitleCodecContext)
        words = Words(stream, target.codec_context)
        self._describe(target, stream.metadata, stream.disposition)
        styled = ": their styles may be simpler" if name in ("ass", "ssa") else ""
        self.notes.append(f"stream {stream.index}: {name} subtitles rewrapped as {wanted}{styled}")
        self.converters.append(words)
        self.copies[stream.index] = Copy(target, words.convert)


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
                target = sound_encoder(output.container, container, stream, first)
                output.container.mux([*target.encode(first), *target.encode(None)])
                return first
    except (ValueError, av.FFmpegError, BadVideo):
        pass
    return None


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


def _window(given: InputContainer | None, tracks: Sequence[UpscaledTrack], clip: Clip) -> Window:
    tick = tracks[0].source.time_base  # of an AVI a whole frame: all streams move by as many
    begin, first = Fraction(0), Fraction((given.start_time if given else 0) or 0, av.time_base)
    if clip.start:
        begin = math.ceil((max(first, begin) + clip.start) / tick) * tick
    elif given and given.format.name in _CLOCKED:
        begin = round(first / tick) * tick
    ends = [(max(done.shown) + done.segments[-1].last_duration) * done.source.time_base for done in tracks]
    return Window(begin, None if clip.end is None and clip.frames is None else max(ends), late=bool(clip.start))


def _video_packets(stream: VideoStream, done: UpscaledTrack, begin: Fraction) -> Iterator[AnyPacket]:
    extradata = stream.codec_context.extradata or b""
    times = decode_times(done.shown)
    for segment in done.segments:
        if segment.extradata != extradata:
            raise BadVideo(f"'{segment.path}' was encoded with other settings; start anew with --no-resume")
        for record in segment.records():
            packet = record.packet()
            packet.dts, packet.time_base, packet.stream = next(times), done.encoding.time_base, stream
            shift(packet, begin)
            yield packet


def _measured(packets: Iterator[AnyPacket], sounds: Mapping[int, Span]) -> Iterator[AnyPacket]:
    """Pass packets on, and note how far those of each sound track reach."""
    for packet in packets:
        if packet.stream.index in sounds:
            sounds[packet.stream.index].add(packet)
        yield packet


def _add_chapters(output: OutputContainer, given: InputContainer, window: Window) -> None:
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
