"""Encoded video in closed pieces on the disk, so that a run that was killed goes on where it stood.

A folder beside the result holds `manifest.json`, which says what is being made of what, and one file for each segment: a
line of JSON, the packets of one encoder from its first frame to its last, then JSON with their number and checksum.
Files appear whole or not at all; a damaged one counts as missing. Time stamps are exact, in ticks of the track, which no
container keeps for every track.
"""

import json
import os
import re
import struct
import weakref
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from av.packet import Packet, PacketSideData, PktSideDataT, packet_sidedata_type_from_literal

from srcli.errors import BadFolder, BadVideo, UsageError
from srcli.files import hold, make_folder, publish, write_text, writing_to
from srcli.media.encoding import AnyPacket, Encoder, Encoding
from srcli.media.jobs import PARTS
from srcli.media.video import Timed, Track

_MANIFEST = "manifest.json"
_OURS = re.compile(r"manifest\.json|track\d+(_\d+\.(seg|open)|\.end)|joined\.\w+|\.[0-9a-f]{12}\.tmp(\.\w+)?")
_HEAD = struct.Struct("<qqBII")  # pts, duration, whether a key frame, bytes of data, bytes of side data
_TAIL = struct.Struct("<I")  # bytes of the JSON before it
_ALPHA: PktSideDataT = "matroska_block_additional"  # where libvpx puts a second picture, that of the alpha


class Record(NamedTuple):
    """One packet as stored."""

    pts: int
    duration: int
    key: bool
    data: bytes
    alpha: bytes = b""

    def packet(self) -> AnyPacket:
        """Make a packet of it that can be muxed."""
        packet: AnyPacket = Packet(self.data)
        packet.pts, packet.duration, packet.is_keyframe = self.pts, self.duration, self.key
        if self.alpha:
            side = cast(Any, PacketSideData)(packet_sidedata_type_from_literal(_ALPHA), len(self.alpha))
            side.update(self.alpha)
            packet.set_sidedata(side)
        return packet


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed segment: which frames of its track, what was counted, and the time stamps of its packets in decoding order."""

    path: Path
    first: int
    frames: int
    extradata: bytes
    shown: tuple[int, ...]
    last_duration: int  # of the frame shown last
    tally: Mapping[str, float] = field(default_factory=dict)

    def records(self) -> Iterator[Record]:
        """Read the packets, one at a time."""
        with self.path.open("rb") as file:
            file.readline()
            for _ in self.shown:
                yield _unpacked(file)[0]


@dataclass(frozen=True, slots=True)
class UpscaledTrack:
    """A track of a result: what it is made of, how it is encoded, and its closed segments."""

    source: Track
    encoding: Encoding
    segments: Sequence[Segment] = ()
    anew: Sequence[Fraction] = ()  # seconds by which it is later, from each time on that the source's clock begins anew

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)

    @property
    def shown(self) -> list[int]:
        """Time stamps in decoding order."""
        return [pts for segment in self.segments for pts in segment.shown]


class Parts:
    """The folder of segments beside one result.

    `work`: what a run must have in common with an earlier one to go on with it, but for the keys `taken`, whose values it
    takes from there.
    """

    def __init__(self, target: Path, work: Mapping[str, Any], *, taken: Collection[str] = ()) -> None:
        self.target = target
        self.folder = _folder(target)
        self.work = json.loads(json.dumps(work))
        self.taken = taken
        self.close: Callable[[], object] = lambda: None  # lets another process begin

    def begin(self, *, afresh: bool = False) -> None:
        """Make the folder, or take over what an earlier run left, and keep other processes from it until `close`.

        Raises UsageError or BadVideo where that run was another, BadFolder where it is at work.
        """
        self._hold(self.folder)
        if afresh:
            self.remove()
        if before := self.before():
            self.work |= {key: before[key] for key in self.taken if key in before}
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            if _is_ours(self.folder):
                raise BadFolder(f"the manifest in '{self.folder}' is damaged; start anew with --no-resume")
            raise BadFolder(f"'{self.folder}' is needed for the segments, but holds something else")
        # the folder is never there without its manifest
        staging = self.folder.with_name(f".{self.folder.name}")
        make_folder(staging)
        self._hold(staging)
        self._write_manifest(staging, None)
        with writing_to(self.folder):
            staging.replace(self.folder)

    def before(self) -> dict[str, Any] | None:
        """Return the work of an earlier run that this one goes on with, None where there is none.

        Raises UsageError where that run was another, BadVideo where only its source or its srcli was.
        """
        there = _manifest(self.folder)
        if not there:
            return None
        before = cast(dict[str, Any], there["work"])
        keys = sorted(key for key in self.work if key not in self.taken and before.get(key) != self.work[key])
        for key, whose in (("version", "another srcli; finish it there"), ("source", "a source that has changed; remove it")):
            if key in keys:
                raise BadVideo(f"'{self.folder}' holds an unfinished run of {whose}, or start anew with --no-resume")
        if keys:
            what = f"an unfinished run with another {', '.join(keys)}"
            raise UsageError(f"'{self.folder}' holds {what}; repeat its command to finish it, or start anew with --no-resume")
        return before

    def _hold(self, folder: Path) -> None:
        """Lock a folder, if it is there; the lock stays where it is renamed, and ends with the process."""
        self.close()
        try:
            number = os.open(folder, os.O_RDONLY)
        except OSError:  # Windows opens no folders
            return
        self.close = weakref.finalize(self, os.close, number)
        if not hold(number):
            self.close()
            raise BadFolder(f"another process is at work on '{self.target}'")

    def _write_manifest(self, folder: Path, published: list[int] | None) -> None:
        write_text(folder / _MANIFEST, json.dumps({"work": self.work, "published": published}, indent=1))

    @property
    def joined(self) -> Path:
        """Where the result is put together."""
        return self.folder / f"joined{self.target.suffix}"

    @property
    def began(self) -> int:
        """When the first of the runs began, in ns."""
        return (self.folder / _MANIFEST).stat().st_mtime_ns

    def publish(self, *, fresh: bool) -> None:
        """Give the result its name, a `fresh` one unless another file has it by now, and remove the segments."""
        with writing_to(self.target):
            with self.joined.open("rb+") as file:
                os.fsync(file.fileno())  # else a crash could leave neither it nor the segments
            state = self.joined.stat()
            self._write_manifest(self.folder, [state.st_size, state.st_mtime_ns])
            publish(self.joined, self.target, fresh=fresh)
        self.remove()

    def path(self, track: int, number: int) -> Path:
        """Name the file of a segment."""
        return self.folder / f"track{track}_{number:06d}.seg"

    def closed(self, track: int, length: int) -> dict[int, Segment]:
        """Read and verify what segments there are, by number."""
        found = {}
        for path in sorted(self.folder.glob(f"track{track}_*.seg")):
            number = int(path.stem.partition("_")[2])
            segment = read_segment(path)
            if segment and segment.first == number * length:
                found[number] = segment
        return found

    def end(self, track: int) -> dict[str, Any] | None:
        """Return what was noted when the track had been read to its end, None where it was not."""
        try:
            return cast(dict[str, Any], json.loads((self.folder / f"track{track}.end").read_text()))
        except (OSError, ValueError):
            return None

    def note_end(self, track: int, facts: Mapping[str, Any]) -> None:
        """Note that the track was read to its end, and what of it is to be known."""
        write_text(self.folder / f"track{track}.end", json.dumps(facts))

    def remove(self) -> None:
        """Delete what this run or another left; the manifest last, so that what a kill leaves is known for what it is."""
        manifest = self.folder / _MANIFEST
        if _is_ours(self.folder):
            for child in list(self.folder.iterdir()):
                if child != manifest and child.is_file():
                    child.unlink(missing_ok=True)
            manifest.unlink(missing_ok=True)
            with suppress(OSError):
                self.folder.rmdir()


def published(target: Path) -> bool:
    """Tell whether the result is whole and only its segments were not removed yet: the run was killed in its last moment."""
    there = _manifest(_folder(target))
    if not there or not there.get("published") or not target.is_file():
        return False
    state = target.stat()
    return bool(there["published"] == [state.st_size, state.st_mtime_ns])


def begun(target: Path) -> bool:
    """Tell whether a run that was stopped left segments of the result."""
    return any(_folder(target).glob("*.seg"))


def _folder(target: Path) -> Path:
    return target.with_name(target.name + PARTS)


def _is_ours(folder: Path) -> bool:
    """Tell whether a run made the folder: by its manifest or, where that is damaged, by all that lies beside it."""
    try:
        names = [child.name for child in folder.iterdir()]
    except OSError:
        return False
    return _MANIFEST in names and (_manifest(folder) is not None or all(_OURS.fullmatch(name) for name in names))


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("work"), dict) else None


class SegmentWriter(AbstractContextManager["SegmentWriter"]):
    """Frames of a track into segments of `length` frames; frames come in order, those of some segments not at all.

    The segment that is open at the end of a `with` is closed, or dropped where that ends in an error.
    """

    def __init__(self, parts: Parts, track: int, open_encoder: Callable[[], Encoder], length: int) -> None:
        self._parts, self._track, self._open, self._length = parts, track, open_encoder, length
        self._segment: _Open | None = None

    def add(self, number: int, frame: Timed, tally: Mapping[str, float]) -> None:
        """Encode the frame with this number; `tally` is summed up over the frames of a segment."""
        segment, within = divmod(number, self._length)
        if within == 0 or self._segment is None:
            self.close()
            self._segment = _Open(self._parts.path(self._track, segment), number, self._open())
        self._segment.add(frame, tally)
        if within == self._length - 1:
            self.close()

    def close(self) -> None:
        """End the segment that is open, if one is."""
        if self._segment:
            self._segment.close()
            self._segment = None

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            if self._segment:
                with suppress(OSError):  # what is still to be written, on a full disk
                    self._segment.file.close()
                self._segment = None


class _Open:
    """A segment that is being written; it takes its name when it is closed."""

    def __init__(self, path: Path, first: int, encoder: Encoder) -> None:
        self.path, self.first, self.encoder = path, first, encoder
        self.frames = self.checksum = 0
        self.shown: list[int] = []
        self.last = (-(2**62), 0)
        self.tally: dict[str, float] = {}
        self.temporary = path.with_suffix(".open")
        with writing_to(self.temporary):
            self.file = self.temporary.open("wb")
        self.file.write(json.dumps({"first": first, "extradata": encoder.extradata.hex()}).encode() + b"\n")

    def add(self, frame: Timed, tally: Mapping[str, float]) -> None:
        self._store(self.encoder.encode(frame))
        self.frames += 1
        self.last = max(self.last, (frame.pts, frame.duration))
        for key, value in tally.items():
            self.tally[key] = self.tally.get(key, 0) + value

    def close(self) -> None:
        self._store(self.encoder.finish())
        if len(self.shown) != self.frames:
            raise BadVideo(f"{self.encoder.encoding.codec} gave {len(self.shown)} packets for {self.frames} frames")
        tail = {
            "frames": self.frames,
            "shown": self.shown,
            "crc32": self.checksum,
            "last_duration": self.last[1],
            "tally": self.tally,
        }
        text = json.dumps(tail).encode()
        with writing_to(self.path):
            with self.file as file:
                file.write(text + _TAIL.pack(len(text)))
                file.flush()
                os.fsync(file.fileno())
            self.temporary.replace(self.path)

    def _store(self, packets: Sequence[AnyPacket]) -> None:
        for packet in packets:
            alpha = bytes(packet.get_sidedata(_ALPHA)) if packet.has_sidedata(_ALPHA) else b""
            pts, data = packet.pts or 0, bytes(packet)
            record = _HEAD.pack(pts, packet.duration or 0, packet.is_keyframe, len(data), len(alpha)) + data + alpha
            self.checksum = zlib.crc32(record, self.checksum)
            self.shown.append(pts)
            with writing_to(self.temporary):
                self.file.write(record)


def read_segment(path: Path) -> Segment | None:
    """Read a segment's head and tail and verify every byte between; None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline())
            begin = file.tell()
            end = file.seek(-_TAIL.size, os.SEEK_END)
            (length,) = _TAIL.unpack(file.read(_TAIL.size))
            file.seek(end - length)
            tail = json.loads(file.read(length))
            file.seek(begin)
            checksum = 0
            for _ in range(tail["frames"]):
                checksum = zlib.crc32(_unpacked(file)[1], checksum)
            if checksum != tail["crc32"] or file.tell() != end - length:
                return None
            extradata, shown = bytes.fromhex(head["extradata"]), tuple(tail["shown"])
            return Segment(path, head["first"], tail["frames"], extradata, shown, tail["last_duration"], tail["tally"])
    except (OSError, ValueError, TypeError, KeyError, struct.error):
        return None


def _unpacked(file: BinaryIO) -> tuple[Record, bytes]:
    head = file.read(_HEAD.size)
    pts, duration, key, size, side = _HEAD.unpack(head)
    body = file.read(size + side)
    if len(body) != size + side:
        raise ValueError("the segment ends early")
    return Record(pts, duration, bool(key), body[:size], body[size:]), head + body
