/* The markers and lengths of ITU-T T.81, annex B. */
#include "io/jpeg.h"

enum { START_OF_IMAGE = 0xd8, END_OF_IMAGE = 0xd9, START_OF_SCAN = 0xda, TABLES_OF_CODES = 0xc4, LENGTHS = 16, MOST_CODES = 255 };

/* The place behind the next marker, `size` where there is none. */
static size_t find_marker(const uint8_t *bytes, size_t size, size_t at)
{
    for (; at + 1 < size; at++) {
        const uint8_t next = bytes[at + 1];
        const bool of_data = next == 0x00 || next == 0xff || (next >= 0xd0 && next <= 0xd7); /* a byte 255, filling, a restart */
        if (bytes[at] == 0xff && !of_data)
            return at + 2;
    }
    return size;
}

static bool tables_fit(const uint8_t *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t codes = 0;
        if (size - at < 1 + LENGTHS)
            return false;
        for (size_t length = 0; length < LENGTHS; length++)
            codes += bytes[at + 1 + length];
        at += 1 + LENGTHS;
        if (codes > MOST_CODES || codes > size - at)
            return false;
        at += codes;
    }
    return true;
}

bool jpeg_is_sound(const uint8_t *bytes, size_t size)
{
    bool scanned = false;
    for (size_t at = find_marker(bytes, size, 0); at < size; at = find_marker(bytes, size, at)) {
        const uint8_t marker = bytes[at - 1];
        if (marker == START_OF_IMAGE)
            continue;
        if (marker == END_OF_IMAGE)
            break;
        const size_t length = size - at < 2 ? 0 : (size_t)bytes[at] << 8 | bytes[at + 1];
        if (length < 2 || length > size - at)
            return false; /* cut off */
        if (marker == TABLES_OF_CODES && !tables_fit(bytes + at + 2, length - 2))
            return false;
        scanned |= marker == START_OF_SCAN;
        at += length;
    }
    return scanned;
}
