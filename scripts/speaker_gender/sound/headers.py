"""What a sound file says of its own length, where that shows that sound is missing or that there is more of it."""

import os
import re
import struct
from typing import BinaryIO

# Containers made of chunks: bytes before the first chunk and of a chunk's name, a chunk's size as struct reads it, the
# bytes to which chunks are aligned, and the name of the sound's chunk. Sizes in W64 ('riff') count name and size, too.
CHUNKS = {
    b"RIFF": (12, 4, "<I", 2, b"data"),
    b"RF64": (12, 4, "<I", 2, b"data"),
    b"RIFX": (12, 4, ">I", 2, b"data"),
    b"FORM": (12, 4, ">I", 2, b"SSND"),
    b"caff": (8, 4, ">q", 1, b"data"),
    b"riff": (40, 16, "<q", 8, b"data"),
}
MOST_CHUNKS = 1_000  # before the sound
NO_SIZE = range(0x7F000000, 0x1_0000_0000)  # what programs write that do not know a 32-bit size yet, as into a pipe
TAGS = (b"ID3", b"TAG", b"APETAGEX")
XING = re.compile(rb"(?:Xing|Info)...[\x01\x03\x05\x07\x09\x0b\x0d\x0f](....)", re.DOTALL)  # with a number of frames
OGG_PAGE = 65_307  # bytes at most


def skip_id3(file: BinaryIO) -> int:
    """Where a file begins after ID3v2 tags (id3.org, ID3v2.4 structure, 3.1), in bytes; the file stands there."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:]) > 0x7F:
            file.seek(start)
            return start
        start += 10 + sum(byte << 7 * place for byte, place in zip(head[6:], (3, 2, 1, 0)))


def sound_bytes(file: BinaryIO) -> tuple[int, int] | None:
    """How many bytes of sound the header of an uncompressed file declares, and how many there are.

    There are more than declared where no other chunk follows the sound, as when a recorder updates its header late, or
    the file is larger than its 32-bit size can say. None: the header does not say, or is another format's.
    """
    start = skip_id3(file)
    size = os.fstat(file.fileno()).st_size
    head = file.read(12)
    if head[:4] == b".snd" and len(head) == 12:
        offset, declared = struct.unpack(">II", head[4:])
        return None if declared in NO_SIZE else (declared, size - start - offset)
    if head[:4] not in CHUNKS:
        return None
    first, name_size, size_format, alignment, sound = CHUNKS[head[:4]]
    head_size, counted = name_size + struct.calcsize(size_format), head[:4] == b"riff"
    place, long_size = start + first, None
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        chunk = file.read(head_size + 16)
        if len(chunk) < head_size:
            return None
        (declared,) = struct.unpack(size_format, chunk[name_size:head_size])
        declared -= head_size * counted
        if chunk[:4] == b"ds64" and len(chunk) == head_size + 16:
            (long_size,) = struct.unpack("<Q", chunk[-8:])
        if chunk[:4] == sound:
            declared = long_size if long_size and declared == 0xFFFFFFFF else declared
            break
        place += head_size + -(-declared // alignment) * alignment
        if declared < 0 or place > size:
            return None
    else:
        return None
    if declared <= 0 or declared in NO_SIZE and declared > size:
        return None
    place += head_size
    ends = {place + declared, place + -(-declared // alignment) * alignment}  # not all programs align
    is_whole = any(_is_tag_or_chunk(file, end, name_size, size_format, size) for end in ends)
    return declared, declared if is_whole else size - place


def _is_tag_or_chunk(file: BinaryIO, place: int, name_size: int, size_format: str, file_size: int) -> bool:
    """Whether a tag begins at a place in a file, or another chunk: a name in ASCII, and a size within the file."""
    head_size = name_size + struct.calcsize(size_format)
    file.seek(min(place, file_size))
    head = file.read(head_size)
    if head.startswith(TAGS):
        return True
    if len(head) < head_size or not (head[:4].isascii() and head[:4].decode("ascii").isprintable()):
        return False
    (size,) = struct.unpack(size_format, head[name_size:])
    return 0 <= size <= file_size - place


def size_behind_id3(file: BinaryIO) -> int:
    """Bytes of a file without the ID3v2 tags before its sound."""
    return os.fstat(file.fileno()).st_size - skip_id3(file)


def mp3_seconds(file: BinaryIO, sample_rate: int) -> float:
    """How long an MP3 says that it is in its first frame, as most with a variable bit rate do; 0 where it does not."""
    skip_id3(file)
    found = XING.search(file.read(4_096))
    return int.from_bytes(found[1]) * (1_152 if sample_rate >= 32_000 else 576) / sample_rate if found else 0.0


def is_torn_ogg(file: BinaryIO) -> bool:
    """Whether an Ogg file ends without the page that ends its stream (RFC 3533, 6: the flag 4 in a page's header)."""
    file.seek(max(os.fstat(file.fileno()).st_size - OGG_PAGE, 0))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 27 else b""
    return not page[5:6] or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments)
