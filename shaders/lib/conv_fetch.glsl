// How a workgroup brings the next DEPTH summands of its tile from memory: each thread holds pieces of 16 bytes, PIECE elements
// that lie side by side, while what came before is multiplied. A piece is one read where GRAIN_A (of a; GRAIN_B of b) is PIECE,
// else (1) as many as it has elements. Begins at summand `begin`.
// To be defined before: PIECE, 4 floats or 8 halves; THREADS, ROWS, COLUMNS, DEPTH, GRAIN_A, GRAIN_B.

// Two views of each input: words, and pieces.
layout(std430, binding = 0) readonly buffer first_buffer { uint first[]; };
layout(std430, binding = 0) readonly buffer first_pieces_buffer { uvec4 first_pieces[]; };
layout(std430, binding = 1) readonly buffer second_buffer { uint second[]; };
layout(std430, binding = 1) readonly buffer second_pieces_buffer { uvec4 second_pieces[]; };

#if PIECE == 8 // element j of a piece, of which that buffer's element `at` is one
#define SET_ELEMENT(piece, j, buffer, at) piece[(j) / 2] |= (buffer[(at) / 2] >> (at) % 2 * 16 & 0xffff) << (j) % 2 * 16
#else
#define SET_ELEMENT(piece, j, buffer, at) piece[j] = buffer[at]
#endif

// The tiles as lines of what is side by side in memory.
#if DIRECTION == 2
const uint LINES_A = DEPTH, LENGTH_A = ROWS;
#else
const uint LINES_A = ROWS, LENGTH_A = DEPTH;
#endif
#if DIRECTION == 1
const uint LINES_B = COLUMNS, LENGTH_B = DEPTH;
#else
const uint LINES_B = DEPTH, LENGTH_B = COLUMNS;
#endif
const uint PIECES_A = LINES_A * LENGTH_A / PIECE, PIECES_B = LINES_B * LENGTH_B / PIECE;

// A thread's pieces lie at one distance along a line, STRIDE lines apart. There are a multiple of THREADS, or fewer: then some
// threads have none.
const uint LOADS_A = (PIECES_A + THREADS - 1) / THREADS, LOADS_B = (PIECES_B + THREADS - 1) / THREADS;
const uint STRIDE_A = THREADS / (LENGTH_A / PIECE), STRIDE_B = THREADS / (LENGTH_B / PIECE);
uint line_a = gl_LocalInvocationID.x / (LENGTH_A / PIECE), along_a = gl_LocalInvocationID.x % (LENGTH_A / PIECE) * PIECE;
uint line_b = gl_LocalInvocationID.x / (LENGTH_B / PIECE), along_b = gl_LocalInvocationID.x % (LENGTH_B / PIECE) * PIECE;
bool loads_a = PIECES_A >= THREADS || line_a < LINES_A, loads_b = PIECES_B >= THREADS || line_b < LINES_B;
uvec4 held_a[LOADS_A], held_b[LOADS_B];

void hold_a(uint load, uint j, uint at)
{
    if (GRAIN_A == PIECE)
        held_a[load] = first_pieces[at / PIECE];
    else
        SET_ELEMENT(held_a[load], j, first, at);
}

void hold_b(uint load, uint j, uint at)
{
    if (GRAIN_B == PIECE)
        held_b[load] = second_pieces[at / PIECE];
    else
        SET_ELEMENT(held_b[load], j, second, at);
}

#if DIRECTION == 2
uint row_source[PIECE]; // of the rows that this thread loads: the first element, and the tap's place
ivec2 tap_place[PIECE];
uint image[LOADS_A];    // of the next summands that it loads
uvec2 place[LOADS_A];
uint next_a;

void prepare_a(uint first_row)
{
    [[unroll]] for (uint j = 0; j < PIECE; j += GRAIN_A) {
        const uint row = LAST_BUT(first_row + along_a + j, rows, ROWS), tap = row / ci;
        row_source[j] = group * x_group + row % ci;
        tap_place[j] = ivec2(tap / kw * dh, tap % kw * dw) - ivec2(ph, pw);
    }
    next_a = begin + line_a;
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        const uint k = next_a + i * STRIDE_A;
        image[i] = k / ow / oh;
        place[i] = uvec2(k / ow % oh, k % ow);
    }
}

void fetch_a()
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
        const ivec2 origin = ivec2(place[i] * uvec2(sh, sw));
        held_a[i] = uvec4(0);
        [[unroll]] for (uint j = 0; j < PIECE; j += GRAIN_A) {
            const uvec2 at = uvec2(origin + tap_place[j]); // what is less than 0 becomes large
            if (loads_a && IS_BELOW(next_a + i * STRIDE_A, end, n * oh * ow, DEPTH) && all(lessThan(at, uvec2(ih, iw))))
                hold_a(i, j, row_source[j] + ((image[i] * ih + at.x) * iw + at.y) * x_pitch);
        }
        place[i].y += DEPTH % ow;
        place[i].x += DEPTH / ow % oh;
        image[i] += DEPTH / ow / oh;
        if (!IS_WHOLE(DEPTH, ow) && place[i].y >= ow) {
            place[i].y -= ow;
            place[i].x++;
        }
        if (!IS_WHOLE(DEPTH, ow * oh) && place[i].x >= oh) {
            place[i].x -= oh;
            image[i]++;
        }
    }
    next_a += DEPTH;
}
#else
// A summand: which tap, of those that some row of the tile can use, and which channel.
struct Summand {
    ivec2 tap;
    uint channel;
};

Summand next;          // the first of those that this thread loads next
// Of the rows that it loads. Where all of a tile lie at one place, of images one behind the other, the first one stands for all.
#define ROW_KIND(i) (one_place ? 0 : (i))
#define ROW_STEP(i) (one_place ? (i) * int(STRIDE_A) * READ_SIZE.x * READ_SIZE.y * int(READ_PITCH) : 0)
ivec2 origin[LOADS_A]; // where tap 0 reads
int row_source[LOADS_A];
int at_a[LOADS_A];     // where the pieces begin that it loads next; less than 0 where there is none
const int NOWHERE = -0x40000000;

Summand at_next_tap(Summand s)
{
    const bool same_line = s.tap.y + 1 < taps.y;
    return Summand(ivec2(same_line ? s.tap.x : s.tap.x + 1, same_line ? s.tap.y + 1 : 0), s.channel - SUMMED);
}

void advance(inout Summand s, uint by)
{
    s.channel += by;
    while (s.channel >= SUMMED)
        s = at_next_tap(s);
}

// Image by image, neighbouring taps read nearly the same: so all taps follow one another for DEPTH channels, the ones first that lie a
// stride apart, and the first cache serves all but one of them.
#define TAP_BY_TAP (BY_IMAGE && IS_WHOLE(SUMMED, DEPTH))
#if DIRECTION == 0
#define LEAP ivec2(sh, sw)
#else
#define LEAP ivec2(1)
#endif

Summand behind(Summand s)
{
    s.tap.y += LEAP.y;
    if (s.tap.y < taps.y)
        return s;
    s.tap = ivec2(s.tap.x + LEAP.x, s.tap.y % LEAP.y);
    if (s.tap.x < taps.x)
        return s;
    s.tap = ivec2(s.tap.x % LEAP.x, s.tap.y + 1);
    if (s.tap.y < min(LEAP.y, taps.y))
        return s;
    s.tap = ivec2(s.tap.x + 1, 0);
    return s.tap.x < min(LEAP.x, taps.x) ? s : Summand(ivec2(0), s.channel + DEPTH);
}

Summand first_summand()
{
    const uint k = begin + along_a;
    if (TAP_BY_TAP) {
        const uint of_all = begin / DEPTH, each = uint(max(taps.x * taps.y, 1));
        Summand s = Summand(ivec2(0), of_all / each * DEPTH + along_a);
        for (uint i = of_all % each; i > 0; i--)
            s = behind(s);
        return s;
    }
    const int tap = int(k / SUMMED), line = max(taps.y, 1); // no taps: nothing is fetched
    return Summand(ivec2(tap / line, tap % line), k % SUMMED);
}

// How far from tap 0 of a row the summand lies.
ivec2 moved_by(Summand s)
{
    return (first_tap + s.tap) * ivec2(taps_y.step, taps_x.step);
}

int offset_of(Summand s)
{
    const ivec2 moved = moved_by(s);
    return (moved.x * READ_SIZE.y + moved.y) * int(READ_PITCH) + int(s.channel);
}

bool is_inside(uint load, Summand s)
{
    const uvec2 at = uvec2(origin[load] + moved_by(s)); // what is less than 0 becomes large
    return loads_a && (IS_WHOLE(SUMMED, DEPTH) || s.tap.x < taps.x) && all(lessThan(at, uvec2(READ_SIZE)));
}

void find_pieces_of_a()
{
    const int offset = offset_of(next);
    [[unroll]] for (uint i = 0; i < LOADS_A && (i == 0 || !one_place); i++)
        at_a[i] = is_inside(i, next) ? row_source[i] + offset : NOWHERE;
}

void prepare_a(uint first_row)
{
    [[unroll]] for (uint i = 0; i < LOADS_A && (i == 0 || !one_place); i++) {
        const uint row = first_row + line_a + i * STRIDE_A;
        const ivec3 to = written_place(LAST_BUT(row, rows, ROWS));
        const ivec2 from = read_origin(to.yz);
        row_source[i] = ((to.x * READ_SIZE.x + from.x) * READ_SIZE.y + from.y) * int(READ_PITCH) + int(group * READ_GROUP);
        origin[i] = IS_BELOW(row, rows, rows, ROWS) ? from : ivec2(NOWHERE);
    }
    next = first_summand();
}

// `begin` is a multiple of DEPTH, and so is `end`, but where no summands follow at all, so that summands need not be counted.
void fetch_a()
{
    [[unroll]] for (uint i = 0; i < LOADS_A; i++)
        held_a[i] = uvec4(0);
    if (GRAIN_A == PIECE) {
        [[unroll]] for (uint i = 0; i < LOADS_A; i++) {
            if (at_a[ROW_KIND(i)] >= 0)
                hold_a(i, 0, uint(at_a[ROW_KIND(i)] + ROW_STEP(int(i))));
        }
        [[unroll]] for (uint i = 0; i < LOADS_A && (i == 0 || !one_place); i++)
            at_a[i] += int(DEPTH);
    } else {
        Summand s = next;
        [[unroll]] for (uint j = 0; j < PIECE; j++) {
            const int offset = offset_of(s);
            [[unroll]] for (uint i = 0; i < LOADS_A; i++)
                if (is_inside(ROW_KIND(i), s))
                    hold_a(i, j, uint(row_source[ROW_KIND(i)] + offset + ROW_STEP(int(i))));
            advance(s, 1);
        }
    }
}
#endif

#if DIRECTION == 1
int column_source[LOADS_B]; // of the columns that this thread loads, where the weight's first tap lies; less than 0: of none
int at_b[LOADS_B];          // as at_a

int weight_offset(Summand s)
{
    const ivec2 tap = ivec2(taps_y.first, taps_x.first) + (first_tap + s.tap) * ivec2(taps_y.period, taps_x.period);
    return (tap.x * int(kw) + tap.y) * int(ci * w_pitch) + int(s.channel);
}

void find_pieces_of_b()
{
    const int offset = weight_offset(next);
    [[unroll]] for (uint i = 0; i < LOADS_B; i++)
        at_b[i] = column_source[i] >= 0 && (IS_WHOLE(SUMMED, DEPTH) || next.tap.x < taps.x) ? column_source[i] + offset : NOWHERE;
}

void prepare_b(uint first_column)
{
    [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
        const uint column = first_column + line_b + i * STRIDE_B;
        column_source[i] = loads_b && IS_BELOW(column, columns, columns, COLUMNS) ? int(group * w_group + column * w_pitch) : NOWHERE;
    }
}

// Lines are columns, summands along them: those of a, as both lines have one length.
void fetch_b()
{
    [[unroll]] for (uint i = 0; i < LOADS_B; i++)
        held_b[i] = uvec4(0);
    if (GRAIN_B == PIECE) {
        [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
            if (at_b[i] >= 0)
                hold_b(i, 0, uint(at_b[i]));
            at_b[i] += int(DEPTH);
        }
    } else {
        Summand s = next;
        [[unroll]] for (uint j = 0; j < PIECE; j++) {
            const int offset = weight_offset(s);
            [[unroll]] for (uint i = 0; i < LOADS_B; i++)
                if (column_source[i] >= 0 && s.tap.x < taps.x)
                    hold_b(i, j, uint(column_source[i] + offset));
            advance(s, 1);
        }
    }
}
#else
uint next_b, source_b, first_along_b;

#if DIRECTION == 0
#define PITCH_OF_B w_pitch
#define GROUP_OF_B w_group
#define SUMMED_BY_B SUMMED
#define SKIPPED_B  (uint(first_tap.x) * kw * ci) // lines of the weight that no row of the tile can use
#else
#define PITCH_OF_B y_pitch
#define GROUP_OF_B y_group
#define SUMMED_BY_B (n * oh * ow)
#define SKIPPED_B  0
#endif

void prepare_b(uint first_column)
{
    next_b = begin + line_b;
    first_along_b = first_column + along_b;
    source_b = group * GROUP_OF_B + (SKIPPED_B + next_b) * PITCH_OF_B + first_along_b;
}

#if DIRECTION == 0
void find_lines_of_b()
{
    const uint tap = uint((first_tap.x + next.tap.x) * int(kw) + first_tap.y + next.tap.y);
    source_b = group * GROUP_OF_B + (tap * ci + next.channel - along_a + line_b) * PITCH_OF_B + first_along_b;
}
#endif

// Lines are summands, columns along them.
void fetch_b()
{
    [[unroll]] for (uint i = 0; i < LOADS_B; i++) {
        held_b[i] = uvec4(0);
        [[unroll]] for (uint j = 0; j < PIECE; j += GRAIN_B)
            if (loads_b && IS_BELOW(next_b + i * STRIDE_B, end, SUMMED_BY_B, DEPTH) &&
                IS_BELOW(first_along_b + j, columns, columns, COLUMNS))
                hold_b(i, j, source_b + i * STRIDE_B * PITCH_OF_B + j);
    }
    next_b += DEPTH;
    source_b += DEPTH * PITCH_OF_B;
}
#endif

#if DIRECTION != 2
void find_pieces()
{
    find_pieces_of_a();
#if DIRECTION == 1
    find_pieces_of_b();
#else
    if (TAP_BY_TAP)
        find_lines_of_b();
#endif
}
#endif

void prepare_fetch(uint first_row, uint first_column)
{
    prepare_a(first_row);
    prepare_b(first_column);
#if DIRECTION != 2
    find_pieces();
#endif
}

// Call it once for each step of DEPTH summands, in order.
void fetch()
{
    fetch_a();
    fetch_b();
#if DIRECTION != 2
    if (TAP_BY_TAP) {
        next = behind(next);
        find_pieces();
        return;
    }
    next.channel += DEPTH;
    if (next.channel >= SUMMED) { // another tap
        if (IS_WHOLE(SUMMED, DEPTH))
            next = at_next_tap(next);
        else
            advance(next, 0);
        find_pieces();
    }
#endif
}
