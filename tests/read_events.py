#!/usr/bin/env python3
"""Reads TensorBoard event files without any of the code that wrote them, and prints a line a value.

usage: read_events.py FILE...

Both CRCs of every record are checked; the fields are those of tensorflow/core/util/event.proto and
tensorflow/core/framework/summary.proto. Anything else in a file ends the program with an error.
"""
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        size, size_crc = struct.unpack_from("<QI", data, at)
        assert size_crc == masked(crc32c(data[at:at + 8])), f"byte {at}: the CRC of the length"
        body = data[at + 12:at + 12 + size]
        assert len(body) == size, f"byte {at}: a record is cut off"
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked(crc32c(body)), f"byte {at}: the CRC of the data"
        yield body
        at += 16 + size


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            return value, at


def fields(data):
    """Field numbers and values of a message: an int, a float, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        elif kind == 5:
            value, at = struct.unpack_from("<f", data, at)[0], at + 4
        else:
            assert kind == 2, f"wire type {kind}"
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "a field is cut off"
        yield key >> 3, value


def doubles(data):
    return struct.unpack(f"<{len(data) // 8}d", data)


def value_text(message):
    tag, text = None, "nothing"
    for number, value in fields(message):
        if number == 1:
            tag = value.decode()
        elif number == 2:
            text = f"scalar {value:.6g}"
        elif number == 4:
            image = dict(fields(value))
            assert image[4][:8] == b"\x89PNG\r\n\x1a\n", "an image that is no PNG"
            assert struct.unpack(">II", image[4][16:24]) == (image[2], image[1]), "a PNG of another size"
            text = f"image {image[1]}x{image[2]}x{image[3]}"
        elif number == 5:
            histogram = {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0, **dict(fields(value))}
            limits, buckets = doubles(histogram[6]), doubles(histogram[7])
            assert len(limits) == len(buckets) and list(limits) == sorted(limits), "limits that do not grow"
            assert sum(buckets) == histogram[3], "buckets that do not hold all values"
            text = "histogram " + " ".join(f"{histogram[i]:.6g}" for i in range(1, 6)) + f" in {len(buckets)}"
        else:
            sys.exit(f"field {number} of a value")
    return f"{tag} {text}"


def main():
    for path in sys.argv[1:]:
        with open(path, "rb") as file:
            data = file.read()
        for record in records(data):
            event = {2: 0, **dict(fields(record))}
            step = event[2]
            assert 1.7e9 < event[1] < 1e10, "the time"
            if 3 in event:
                print(step, event[3].decode())
            elif 7 in event:
                assert dict(fields(event[7])) == {1: 1}, "a session that does not start"
                print(step, "session starts")
            else:
                for number, value in fields(event[5]):
                    assert number == 1, "a field of a summary"
                    print(step, value_text(value))


main()
