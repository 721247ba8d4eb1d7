// Attention for graphics cards: scores are computed in tiles of ROWS × COLUMNS that never leave the workgroup, so memory holds
// none of them (Dao et al. 2022, "FlashAttention", sections 3.1 and B; the running greatest is Milakov and Gimelshein's, 2018).
// A workgroup owns ROWS rows of one matrix of scores, and WIDTH columns of what comes of them; it goes through the columns of the
// scores:
//     score  = first · secondᵀ · scale + mask
//     weight = what RESULT makes of it
//     result = Σ_column weight · value
//   RESULT                 rows     first second  columns  weight                          value  third fourth
//   0 attention            queries  q     k       keys     exp(score − greatest), Σ behind  v
//   1 logsumexp            queries  q     k       keys     –; the result is (greatest, log Σ exp(score − greatest))
//   2 gradient of queries  queries  q     k       keys     P·(dP − delta)·scale             k      dy    v
//   3 gradient of keys     keys     k     q       queries  P·(dP − delta)·scale             q      v     dy
//   4 gradient of values   keys     k     q       queries  P                                dy
// with P = exp(score − greatest − log Σ), the two numbers of logsumexp, dP = third · fourthᵀ, and delta (Σ dy·y) a number a query.
// A thread computes THREAD_SIZE rows by as many columns. Writes (=). Grid: batch · tiles of rows · tiles of the result's columns, the
// last fastest, folded over y.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

const uint TILE = 64, ROWS = TILE, COLUMNS = TILE, WIDTH = TILE, DEPTH = 16, THREAD_ROWS = THREAD_SIZE, THREAD_COLUMNS = THREAD_SIZE;
const uint ACROSS = COLUMNS / THREAD_COLUMNS, DOWN = ROWS / THREAD_ROWS, THREADS = ACROSS * DOWN;
layout(local_size_x_id = 0) in; // THREADS
layout(constant_id = 1) const bool MASKED = false;
// Are elements of first, second (of third, fourth; of value) read by fours?
layout(constant_id = 2) const bool FOURS = false;
layout(constant_id = 3) const bool FOURS_OF_GRADIENTS = false;
layout(constant_id = 4) const bool FOURS_OF_VALUES = false;

const bool BY_KEYS = RESULT >= 3;

#define VECTOR 1
#include "lib/pointwise.glsl"

#include "lib/attention.glsl"

#define OPERAND(name, at)                                                                         \
    layout(std430, binding = at) readonly buffer name##_buffer { float name[]; };                 \
    layout(std430, binding = at) readonly buffer name##_fours_buffer { vec4 name##_fours[]; };    \
    vec4 four_of_##name(Lines lines, uint line, uint k)                                           \
    {                                                                                             \
        const uint from = (lines.first + line) * lines.size + k;                                  \
        vec4 four = vec4(0);                                                                      \
        if (line < lines.count && k < lines.size) {                                               \
            if (lines.fours)                                                                      \
                four = name##_fours[from / 4];                                                    \
            else                                                                                  \
                [[unroll]] for (uint j = 0; j < 4; j++)                                           \
                    if (k + j < lines.size)                                                       \
                        four[j] = name[from + j];                                                 \
        }                                                                                         \
        return four;                                                                              \
    }

// Of an operand: those of one matrix of the batch.
struct Lines {
    uint first, count, size; // size: elements of each
    bool fours;
};

OPERAND(first, 0)
OPERAND(second, 1)
OPERAND(value, 2)
OPERAND(third, 3)
OPERAND(fourth, 4)
// Four rows, or columns, are one vec4; the odd one out spreads neighbouring lines over the banks.
shared vec4 tile_a[DEPTH][ROWS / 4 + 1];
shared vec4 tile_b[DEPTH][COLUMNS / 4 + 1];
shared vec4 weights[COLUMNS][ROWS / 4 + 1];

const uint THREAD_FOURS = THREAD_ROWS / 4;
uint thread = gl_LocalInvocationID.x, my_row = thread / ACROSS, my_column = thread % ACROSS; // in vec4s
vec4 score[THREAD_COLUMNS][THREAD_FOURS], sum[THREAD_COLUMNS][THREAD_FOURS]; // by columns: four rows each

// A thread's vec4s lie as far apart as the tile allows: neighbouring threads read neighbouring banks.
uint four_of_rows(uint i)
{
    return my_row + i * DOWN;
}

uint column_of(uint j)
{
    return (my_column + j / 4 * ACROSS) * 4 + j % 4;
}

// --- products ---

// DEPTH elements of every line of a tile, which become its columns.
#define STORE_LINES(tile, name, lines, first_line, k0)                                            \
    [[unroll]] for (uint i = 0; i < ROWS * DEPTH / 4 / THREADS; i++) {                            \
        const uint line = thread / (DEPTH / 4) + i * (THREADS / (DEPTH / 4)), k = thread % (DEPTH / 4) * 4; \
        const vec4 four = four_of_##name(lines, first_line + line, k0 + k);                       \
        [[unroll]] for (uint j = 0; j < 4; j++)                                                   \
            tile[k + j][line / 4][line % 4] = four[j];                                            \
    }

// sums += lines of a from a_first on · tile_b
#define MULTIPLY(sums, a_lines, a_first)                                                          \
    for (uint k0 = 0; k0 < DEPTH; k0 += 4) /* unrolled as a whole, compilers take long for it */  \
        [[unroll]] for (uint k = k0; k < k0 + 4; k++) {                                           \
            vec4 a[THREAD_FOURS];                                                                 \
            [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)                                    \
                a[i] = a_lines[a_first + k][four_of_rows(i)];                                     \
            [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j += 4) {                             \
                const vec4 b = tile_b[k][my_column + j / 4 * ACROSS];                             \
                [[unroll]] for (uint c = 0; c < 4; c++)                                           \
                    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)                            \
                        sums[j + c][i] += a[i] * b[c];                                            \
            }                                                                                     \
        }

#define MULTIPLY_LINES(rows_name, rows_lines, columns_name, columns_lines)                        \
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)                                          \
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)                                        \
            score[j][i] = vec4(0);                                                                \
    for (uint k0 = 0; k0 < rows_lines.size; k0 += DEPTH) {                                        \
        STORE_LINES(tile_a, rows_name, rows_lines, first_row, k0)                                 \
        STORE_LINES(tile_b, columns_name, columns_lines, first_column, k0)                        \
        barrier();                                                                                \
        MULTIPLY(score, tile_a, 0)                                                                \
        barrier();                                                                                \
    }

// sum += weights · value
void multiply_weights(Lines values)
{
    for (uint c0 = 0; c0 < min(COLUMNS, columns - first_column); c0 += DEPTH) {
        [[unroll]] for (uint i = 0; i < DEPTH * WIDTH / 4 / THREADS; i++) {
            const uint line = thread / (WIDTH / 4) + i * (THREADS / (WIDTH / 4)), four = thread % (WIDTH / 4);
            tile_b[line][four] = four_of_value(values, first_column + c0 + line, first_width + four * 4);
        }
        barrier();
        MULTIPLY(sum, weights, c0)
        barrier();
    }
}

// --- weights ---

void finish_scores()
{
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
            score[j][i] *= scale;
            if (MASKED) {
                const uint column = min(first_column + column_of(j), columns - 1);
                [[unroll]] for (uint r = 0; r < 4; r++)
                    score[j][i][r] += mask[mask_at + min(first_row + four_of_rows(i) * 4 + r, rows - 1) * mask_row + column * mask_column];
            }
        }
}

bool is_column(uint j)
{
    return first_column + column_of(j) < columns;
}

#if RESULT < 2
vec4 greatest[THREAD_FOURS], total[THREAD_FOURS]; // of the row so far; of the total, this thread's part

// Of what the threads of a row have, which goes through a tile's memory.
#define SHARE(mine) [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) tile_a[my_column][four_of_rows(i)] = mine[i]; barrier()

void raise_greatest(out vec4 kept[THREAD_FOURS])
{
    vec4 best[THREAD_FOURS] = greatest;
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)
            best[i] = is_column(j) ? max(best[i], score[j][i]) : best[i];
    SHARE(best);
    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
        for (uint other = 0; other < ACROSS; other++)
            best[i] = max(best[i], tile_a[other][four_of_rows(i)]);
        kept[i] = exp(greatest[i] - best[i]);
        greatest[i] = best[i];
    }
}

void weigh()
{
    vec4 kept[THREAD_FOURS]; // of what was computed before
    raise_greatest(kept);
    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)
        total[i] *= kept[i];
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
            const vec4 weight = is_column(j) ? precise_exp(score[j][i] - greatest[i]) : vec4(0);
            total[i] += weight;
            sum[j][i] *= kept[i];
            if (RESULT != 1)
                weights[column_of(j)][four_of_rows(i)] = weight;
        }
}

void add_totals()
{
    SHARE(total);
    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
        total[i] = vec4(0);
        for (uint other = 0; other < ACROSS; other++)
            total[i] += tile_a[other][four_of_rows(i)];
    }
}
#else
// The query of a row of a four and a column
uint query_of(uint i, uint r, uint j)
{
    return BY_KEYS ? batch * columns + min(first_column + column_of(j), columns - 1)
                   : batch * rows + min(first_row + four_of_rows(i) * 4 + r, rows - 1);
}

void weigh()
{
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
            vec4 greatest, log_total;
            [[unroll]] for (uint r = 0; r < 4; r++) {
                const vec2 both = logsumexp[query_of(i, r, j)];
                greatest[r] = both.x;
                log_total[r] = both.y;
            }
            precise const vec4 power = score[j][i] - greatest - log_total; // in this order: the greatest may be −10⁹
            weights[column_of(j)][four_of_rows(i)] = is_column(j) ? precise_exp(power) : vec4(0);
        }
}

// P becomes P·(dP − delta)·scale.
void weigh_gradient()
{
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
            vec4 deltas;
            [[unroll]] for (uint r = 0; r < 4; r++)
                deltas[r] = delta[query_of(i, r, j)];
            weights[column_of(j)][four_of_rows(i)] *= (score[j][i] - deltas) * scale;
        }
}
#endif

// --- what a workgroup does ---

void write_result()
{
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)
            [[unroll]] for (uint r = 0; r < 4; r++) {
                const uint row = first_row + four_of_rows(i) * 4 + r, column = first_width + column_of(j);
                if (row < rows && column < width)
                    result[(batch * rows + row) * width + column] = sum[j][i][r];
            }
}

void main()
{
    if (!find_tile())
        return;
    const Lines firsts = Lines(batch * rows, rows, depth, FOURS), seconds = Lines(batch * columns, columns, depth, FOURS);
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)
            sum[j][i] = vec4(0);
#if RESULT < 2
    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
        greatest[i] = vec4(LOWEST);
        total[i] = vec4(0);
    }
#endif
    for (first_column = 0; first_column < columns; first_column += COLUMNS) {
        MULTIPLY_LINES(first, firsts, second, seconds)
        finish_scores();
        weigh();
#if RESULT == 2 || RESULT == 3
        const Lines thirds = Lines(batch * rows, rows, gradient_depth, FOURS_OF_GRADIENTS);
        const Lines fourths = Lines(batch * columns, columns, gradient_depth, FOURS_OF_GRADIENTS);
        MULTIPLY_LINES(third, thirds, fourth, fourths)
        weigh_gradient();
#endif
        barrier();
#if RESULT != 1
        multiply_weights(Lines(batch * columns, columns, width, FOURS_OF_VALUES));
#endif
    }
#if RESULT < 2
    add_totals();
#endif
#if RESULT == 1
    [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++) {
        sum[0][i] = greatest[i];
        sum[1][i] = precise_log(total[i]);
    }
#elif RESULT == 0
    [[unroll]] for (uint j = 0; j < THREAD_COLUMNS; j++)
        [[unroll]] for (uint i = 0; i < THREAD_FOURS; i++)
            sum[j][i] /= total[i];
#endif
    write_result();
}
