"""A small bar chart as PNG, drawn here: mails can load nothing, and many show no SVG."""

import struct
import zlib
from collections.abc import Sequence
from decimal import Decimal

WIDTH, HEIGHT = 1120, 200  # twice the size at which it is shown, for fine screens
# Transparent, and two colours of which each stands out on white and on a dark ground.
PALETTE = ((0, 0, 0, 0), (91, 141, 201, 255), (214, 112, 34, 255), (128, 140, 152, 255))
GROUND, BAR, LAST, LINE = range(4)


def bars(values: Sequence[Decimal | None]) -> bytes:
    """Return a PNG of bars from zero, the last in a colour of its own; None has no bar."""
    rows = [bytearray(WIDTH) for _ in range(HEIGHT)]
    rows[-1][:] = bytes([LINE]) * WIDTH
    rows[-2][:] = rows[-1]
    most = max((value for value in values if value is not None), default=Decimal(0))
    step = WIDTH / max(1, len(values))
    for number, value in enumerate(values):
        if value is None or value <= 0:
            continue
        tall = max(2, round((HEIGHT - 4) * value / most))
        left, right = round(number * step), round((number + 0.75) * step)
        colour = LAST if number == len(values) - 1 else BAR
        for row in rows[HEIGHT - 2 - tall : HEIGHT - 2]:
            row[left:right] = bytes([colour]) * (right - left)
    return _png(rows)


def _png(rows: Sequence[bytearray]) -> bytes:
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)  # 8 bits a pixel, by a palette
    palette = b"".join(bytes(colour[:3]) for colour in PALETTE)
    opacity = bytes(colour[3] for colour in PALETTE)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    parts = [(b"IHDR", head), (b"PLTE", palette), (b"tRNS", opacity), (b"IDAT", pixels)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
