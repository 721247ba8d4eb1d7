/* An event file is a row of TFRecords (length, masked CRC of the length, bytes, masked CRC of the bytes), each an Event of
 * tensorboard.proto. protobuf-c packs; the messages under construction live in an arena that every event empties. */
#include "io/tensorboard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "tensorboard.pb-c.h"

enum { MAX_VALUES = 4096, BUCKETS = 64, SESSION_START = 1 };
enum { RECORD_HEAD = 12, RECORD_TAIL = 4 };

struct tensorboard {
    vkg_log log;
    char path[PATH_MAX];
    int fd;
    struct arena arena; /* of the event that is being made */
    Tensorboard__Value *values[MAX_VALUES];
    size_t count;
    uint64_t step;
    bool failed; /* memory was out, or there were too many values */
    uint8_t *record; /* kept from event to event */
    size_t capacity;
};

/* --- records --- */

uint32_t crc32c(const void *data, size_t size)
{
    uint32_t crc = ~0u;
    for (const uint8_t *byte = data; size-- > 0; byte++) {
        crc ^= *byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
    }
    return ~crc;
}

/* A CRC of bytes that hold CRCs is weak; hence the format's mask. */
static uint32_t masked_crc(const void *data, size_t size)
{
    const uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static void put_little(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* Room for a record with `size` bytes of data; NULL when memory is out. */
static uint8_t *record_room(struct tensorboard *board, size_t size)
{
    const size_t needed = RECORD_HEAD + size + RECORD_TAIL;
    if (needed > board->capacity) {
        uint8_t *moved = realloc(board->record, needed * 2);
        if (!moved)
            return NULL;
        board->record = moved;
        board->capacity = needed * 2;
    }
    return board->record + RECORD_HEAD;
}

/* Appends the record in one write; what a full disk took of it is taken back. */
static vkg_result append(struct tensorboard *board, size_t size)
{
    uint8_t *record = board->record;
    put_little(record, size, 8);
    put_little(record + 8, masked_crc(record, 8), 4);
    put_little(record + RECORD_HEAD + size, masked_crc(record + RECORD_HEAD, size), 4);
    const size_t bytes = RECORD_HEAD + size + RECORD_TAIL;
    const off_t before = lseek(board->fd, 0, SEEK_END);
    ssize_t put;
    do
        put = write(board->fd, record, bytes);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)bytes)
        return VKG_OK;
    int error = put < 0 ? errno : ENOSPC;
    if (put > 0 && before >= 0 && ftruncate(board->fd, before) != 0)
        error = errno;
    return vkg_fail(&board->log, VKG_ERROR_IO, "%s: an event cannot be written: %s", board->path, strerror(error));
}

static vkg_result write_event(struct tensorboard *board, Tensorboard__Event *event)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    const size_t size = tensorboard__event__get_packed_size(event);
    uint8_t *data = record_room(board, size);
    if (!data)
        return vkg_fail(&board->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for an event of %zu bytes", board->path, size);
    tensorboard__event__pack(event, data);
    return append(board, size);
}

/* --- files --- */

/* TensorBoard reads the files of a folder in the order of their names, so the time comes first; a name that is taken is that
 * of a session of the same second. */
static vkg_result create_file(struct tensorboard *board, const char *folder)
{
    const intmax_t seconds = (intmax_t)time(NULL);
    for (int attempt = 0; attempt < 1000; attempt++) {
        const int length = snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%010jd.%03d.vkgan", folder, seconds,
                                    attempt);
        errno = ENAMETOOLONG;
        if (length < 0 || (size_t)length >= sizeof board->path)
            break;
        board->fd = open(board->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        if (board->fd >= 0)
            return VKG_OK;
        if (errno != EEXIST)
            break;
    }
    return vkg_fail(&board->log, VKG_ERROR_IO, "%s: an event file cannot be made: %s", folder, strerror(errno));
}

static vkg_result write_beginning(struct tensorboard *board, uint64_t step)
{
    char version[] = "brain.Event:2";
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    event.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    event.file_version = version;
    vkg_result result = write_event(board, &event);
    Tensorboard__SessionLog session = TENSORBOARD__SESSION_LOG__INIT;
    session.status = SESSION_START;
    event.step = (int64_t)step + 1; /* the first that is dropped of earlier files */
    event.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    event.session_log = &session;
    return result == VKG_OK ? write_event(board, &event) : result;
}

vkg_result tensorboard_open(const vkg_log *log, const char *folder, uint64_t step, struct tensorboard **board)
{
    *board = NULL;
    struct tensorboard *opened = calloc(1, sizeof *opened);
    if (!opened)
        return vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for an event file", folder);
    if (log)
        opened->log = *log;
    opened->fd = -1;
    vkg_result result = create_file(opened, folder);
    if (result == VKG_OK)
        result = write_beginning(opened, step);
    if (result != VKG_OK)
        tensorboard_close(&opened);
    *board = opened;
    return result;
}

void tensorboard_close(struct tensorboard **board)
{
    struct tensorboard *open = *board;
    if (!open)
        return;
    if (open->fd >= 0)
        close(open->fd);
    arena_free(&open->arena);
    free(open->record);
    free(open);
    *board = NULL;
}

/* --- events --- */

void tensorboard_begin(struct tensorboard *board, uint64_t step)
{
    board->step = step;
    board->count = 0;
    board->failed = false;
}

static void *in_event(struct tensorboard *board, size_t bytes)
{
    void *memory = arena_alloc(&board->arena, bytes);
    board->failed |= !memory;
    return memory;
}

/* The event's next value, or NULL when memory is out. */
static Tensorboard__Value *add_value(struct tensorboard *board, const char *tag)
{
    Tensorboard__Value *value = in_event(board, sizeof *value);
    char *copy = arena_strdup(&board->arena, tag);
    if (!value || !copy || board->count == MAX_VALUES) {
        board->failed = true;
        return NULL;
    }
    *value = (Tensorboard__Value)TENSORBOARD__VALUE__INIT;
    value->tag = copy;
    board->values[board->count++] = value;
    return value;
}

void tensorboard_scalar(struct tensorboard *board, const char *tag, double number)
{
    Tensorboard__Value *value = add_value(board, tag);
    if (!value)
        return;
    value->value_case = TENSORBOARD__VALUE__VALUE_SIMPLE_VALUE;
    value->simple_value = (float)number;
}

void tensorboard_image(struct tensorboard *board, const char *tag, uint32_t width, uint32_t height, uint32_t channels,
                       const void *png, size_t size)
{
    Tensorboard__Value *value = add_value(board, tag);
    Tensorboard__Image *image = in_event(board, sizeof *image);
    uint8_t *bytes = in_event(board, size);
    if (!value || !image || !bytes)
        return;
    memcpy(bytes, png, size);
    *image = (Tensorboard__Image)TENSORBOARD__IMAGE__INIT;
    image->width = (int32_t)width;
    image->height = (int32_t)height;
    image->colorspace = (int32_t)channels;
    image->encoded_image_string = (ProtobufCBinaryData){.len = size, .data = bytes};
    value->value_case = TENSORBOARD__VALUE__VALUE_IMAGE;
    value->image = image;
}

static void measure_values(Tensorboard__Histogram *histogram, const float *values, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const double x = (double)values[i];
        if (!isfinite(x))
            continue;
        histogram->min = histogram->num == 0 || x < histogram->min ? x : histogram->min;
        histogram->max = histogram->num == 0 || x > histogram->max ? x : histogram->max;
        histogram->num += 1;
        histogram->sum += x;
        histogram->sum_squares += x * x;
    }
}

/* Buckets of one width from the least value to the greatest; one bucket where they are equal. */
static void fill_buckets(Tensorboard__Histogram *histogram, const float *values, uint64_t count)
{
    const double low = histogram->min, width = (histogram->max - low) / BUCKETS;
    const size_t buckets = width > 0 ? BUCKETS : 1;
    histogram->n_bucket = histogram->n_bucket_limit = buckets;
    for (size_t b = 0; b < buckets; b++)
        histogram->bucket_limit[b] = b + 1 == buckets ? histogram->max : low + width * (double)(b + 1);
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        const size_t b = width > 0 ? (size_t)(((double)values[i] - low) / width) : 0;
        histogram->bucket[b < buckets ? b : buckets - 1] += 1;
    }
}

void tensorboard_histogram(struct tensorboard *board, const char *tag, const float *values, uint64_t count)
{
    Tensorboard__Value *value = add_value(board, tag);
    Tensorboard__Histogram *histogram = in_event(board, sizeof *histogram);
    double *numbers = in_event(board, 2 * BUCKETS * sizeof *numbers);
    if (!value || !histogram || !numbers)
        return;
    *histogram = (Tensorboard__Histogram)TENSORBOARD__HISTOGRAM__INIT;
    histogram->bucket_limit = numbers;
    histogram->bucket = numbers + BUCKETS;
    measure_values(histogram, values, count);
    fill_buckets(histogram, values, count);
    value->value_case = TENSORBOARD__VALUE__VALUE_HISTO;
    value->histo = histogram;
}

vkg_result tensorboard_end(struct tensorboard *board)
{
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    summary.n_value = board->count;
    summary.value = board->values;
    event.step = (int64_t)board->step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    vkg_result result = board->failed ? vkg_fail(&board->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory for the event of step %"
                                                 PRIu64, board->path, board->step)
                                      : write_event(board, &event);
    arena_free(&board->arena);
    board->count = 0;
    return result;
}
