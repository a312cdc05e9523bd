"""Which files are videos, by their first bytes or their names; knows no decoder and costs nothing to import."""

from pathlib import Path

# Containers that can be written, by suffix
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "mkv", ".mov": "mov", ".webm": "webm"}
SUFFIXES = frozenset(CONTAINERS).union(
    (".avi", ".divx", ".xvid", ".qt", ".f4v", ".flv", ".3gp", ".3g2", ".wmv", ".asf", ".wm", ".rm", ".rmvb"),
    (".ts", ".mts", ".m2ts", ".m2t", ".tod", ".tp", ".trp", ".mpg", ".mpeg", ".mpe", ".m2p", ".vob", ".vro"),
    (".ogv", ".ogm", ".mk3d", ".y4m", ".mxf", ".ivf", ".nut", ".dv"),
    (".m1v", ".m2v", ".mpv", ".mp2v", ".h264", ".264", ".h265", ".265", ".hevc"),  # without a container
)
DOUBTFUL = frozenset((".mod",))  # of videos, and of files of other kinds

# ISO brands of pictures
_STILLS = (
    *(b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    *(b"mif1", b"msf1", b"jxl ", b"jp2 ", b"crx "),
)
_HEADS = (
    b"\x1aE\xdf\xa3",  # Matroska and WebM
    b"FLV\x01",
    b"OggS",
    b"YUV4MPEG2",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video, bare
    b"\x00\x00\x00\x01",  # H.264 and HEVC, bare
    b"\x1f\x07\x00",  # DV
    b".RMF",  # RealMedia
    b"DKIF",  # IVF
    b"nut/multimedia",
    b"\x30\x26\xb2\x75",  # ASF
    b"\x06\x0e\x2b\x34",  # MXF
)


def is_video(path: Path) -> bool:
    """Tell by the first bytes whether a file is a video container rather than a picture."""
    try:
        if path.is_fifo():  # to open one is to wait for its writer
            return False
        with path.open("rb") as file:
            return looks_like_video(file.read(400))
    except OSError:
        return False


def looks_like_video(head: bytes) -> bool:
    """Tell by the first bytes; of MPEG transport streams by three of their packets, 188 or 192 bytes apart."""
    if head.startswith((b"GIF87a", b"GIF89a")):  # G is what packets begin with
        return False
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return head[8:12] not in _STILLS
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    stream, disc = head[:377:188] == b"\x47" * 3, head[4:389:192] == b"\x47" * 3
    return riff or stream or disc or head.startswith(_HEADS)


def container_of(path: Path) -> str:
    """Name the container that the result of a video gets: its own where it can be written, else Matroska."""
    return CONTAINERS.get(path.suffix.lower(), "mkv")


def suffix_of(container: str) -> str:
    """Give the usual suffix of a container."""
    return next(suffix for suffix, name in CONTAINERS.items() if name == container)
