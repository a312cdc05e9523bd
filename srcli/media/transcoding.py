"""Sound encoded anew and text subtitles rewrapped, packet by packet, where a container wants another kind."""

from contextlib import suppress
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from srcli.media.encoding import AnyPacket

_SOUNDS = {"webm": "libopus"}  # what sound is encoded as where it cannot be copied, else AAC
_LOSSLESS = {"mkv": "flac", "mov": "alac"}  # where it was without loss
_SOUND_RATE = 96_000  # bits a second, for each channel
_LEAST_RATE = 16_000  # Hz, below which a packet of AAC lasts longer than a track may be off
_OPUS = {3: "3.0", 4: "quad"}  # which it takes others than these by no name
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SOUND_PAUSE = Fraction(1, 20)  # seconds from which on a step of the time stamps is a pause, and no rounding


class Sound:
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


class Words:
    """Text subtitles as another kind of them; what is wrong with one is no matter of the others."""

    def __init__(self, stream: SubtitleStream, encoder: SubtitleCodecContext) -> None:
        self._index, self._decoder, self._encoder = stream.index, stream.codec_context, encoder
        self._decoder.open(strict=False)
        encoder.subtitle_header = self._decoder.subtitle_header
        self._counted = codec_name(stream) == "mov_text"  # whose packets begin with how many bytes the text has
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


def sound_encoder(output: OutputContainer, container: str, stream: AudioStream, first: AudioFrame) -> AudioStream:
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


def codec_name(stream: Stream) -> str:
    if stream.codec_context:
        return stream.codec_context.codec.canonical_name
    return getattr(stream, "name", None) or "unknown"  # PyAV has a name for data only where FFmpeg has no decoder
