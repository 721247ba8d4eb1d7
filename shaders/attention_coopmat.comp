// Attention by cooperative matrices, of halves (BFLOAT: 0 float16, 1 bfloat16), with floats as sums and result: what
// attention.comp computes, whose table of RESULTs holds here too, but that attention itself (0) is given the logsumexp (1), as its
// gradients are: matrices do not say which row a number is of, so what is summed in them cannot be scaled anew when a greater score is
// found. All but 1 are the same then:
//     weight = exp(score − greatest − log Σ), or that · (dP − delta) · scale
//     result = Σ_column weight · value
// Four subgroups compute a quarter of a tile of scores each, and then of the result.
// Writes (=). Grid: batch · tiles of rows · tiles of the result's columns, the last fastest, folded over y. Needs full subgroups, all
// of them of workgroup size / 4 invocations.
// Debian 12's glslc cannot build this file: tools/build-coopmat-shaders keeps its SPIR-V in prebuilt/.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#if BFLOAT
#extension GL_EXT_bfloat16 : require
#define HALF bfloat16_t
#else
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define HALF float16_t
#endif

const uint TILE = 64, DEPTH = 32, PIECE = 8; // of tiles; of the summands of a score that are read at a time; halves in 16 bytes
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const bool MASKED = false;
layout(constant_id = 2) const uint M = 16; // of matrices, 8 or 16 as N; TILE/2 and DEPTH are multiples of all three
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;
// Are halves of first, second (of third, fourth; of value) read by eights?
layout(constant_id = 5) const bool PIECES = false;
layout(constant_id = 6) const bool PIECES_OF_GRADIENTS = false;
layout(constant_id = 7) const bool PIECES_OF_VALUES = false;

const bool OF_GRADIENT = RESULT == 2 || RESULT == 3, BY_KEYS = RESULT == 3 || RESULT == 4;

#include "lib/halves.glsl"

#include "lib/attention.glsl"

// Of an operand: those of one matrix of the batch.
struct Lines {
    uint first, count, size; // size: halves of each
    bool pieces;
};

#define OPERAND(name, at)                                                                         \
    layout(std430, binding = at) readonly buffer name##_buffer { uint name[]; };                  \
    layout(std430, binding = at) readonly buffer name##_pieces_buffer { uvec4 name##_pieces[]; }; \
    uvec4 piece_of_##name(Lines lines, uint line, uint k)                                         \
    {                                                                                             \
        const uint from = (lines.first + line) * lines.size + k;                                  \
        uvec4 piece = uvec4(0);                                                                   \
        if (line < lines.count && k < lines.size) {                                               \
            if (lines.pieces)                                                                     \
                piece = name##_pieces[from / PIECE];                                              \
            else                                                                                  \
                [[unroll]] for (uint j = 0; j < PIECE; j++)                                       \
                    if (k + j < lines.size)                                                       \
                        piece[j / 2] |= (name[(from + j) / 2] >> (from + j) % 2 * 16 & 0xffff) << j % 2 * 16; \
        }                                                                                         \
        return piece;                                                                             \
    }

OPERAND(first, 0)
OPERAND(second, 1)
OPERAND(value, 2)
OPERAND(third, 3)
OPERAND(fourth, 4)
// Lines of halves, in pieces of 16 bytes, with a gap that spreads neighbouring lines over the banks, as drivers load a matrix as fast
// as its lines are aligned. In front are lines of rows and of columns, and later of value; behind these weights; then, of each subgroup,
// a matrix of scores and one of dP, as floats; and three numbers a query. In the end the result lies there, or (RESULT 1) scores do.
const uint LINE = DEPTH / PIECE + 1, LONG_LINE = TILE / PIECE + 1, FLOATS = TILE / 4 + 1, STAGE_LINE = N / 4 + 1;
const uint ROW_LINES = 0, COLUMN_LINES = TILE * LINE, VALUES = 0;
const uint WEIGHTS = 2 * TILE * LINE, STAGES = WEIGHTS + TILE * LONG_LINE, STAGE = 16 * (16 / 4 + 1);
const uint GREATEST = STAGES + 4 * 2 * STAGE, LOG_TOTAL = GREATEST + TILE / 4, DELTA = LOG_TOTAL + TILE / 4;
const uint SCORES = WEIGHTS, RESULTS = 0, ALL = DELTA + TILE / 4;
shared uvec4 pieces[ALL];

#define Matrix_a coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Matrix_b coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define Sums     coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
const int ROW_MAJOR = gl_CooperativeMatrixLayoutRowMajor, COLUMN_MAJOR = gl_CooperativeMatrixLayoutColumnMajor;

// Matrices have names and no indices: drivers that do not unroll a loop over an array of them keep it in memory.
const uint FRAGMENT_ROWS = TILE / 2 / M, FRAGMENT_COLUMNS = TILE / 2 / N; // of a subgroup
#define EACH_OF_FOUR(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH_SUM(DO) DO(0, 0) DO(0, 1) DO(0, 2) DO(0, 3) DO(1, 0) DO(1, 1) DO(1, 2) DO(1, 3) \
                     DO(2, 0) DO(2, 1) DO(2, 2) DO(2, 3) DO(3, 0) DO(3, 1) DO(3, 2) DO(3, 3)
#define IS_THERE(i, j) ((i) < FRAGMENT_ROWS && (j) < FRAGMENT_COLUMNS)

uint thread = gl_LocalInvocationID.x;
uint my_row = gl_SubgroupID / 2 * (TILE / 2), my_column = gl_SubgroupID % 2 * (TILE / 2); // this subgroup's in tiles

// --- products ---

// `length` halves from k0 on of every line of a tile
#define STORE_LINES(to, pitch, name, lines, first_line, k0, length)                               \
    for (uint i = thread; i < TILE * (length / PIECE); i += THREADS) {                            \
        const uint line = i / (length / PIECE), part = i % (length / PIECE);                      \
        pieces[to + line * pitch + part] = piece_of_##name(lines, first_line + line, k0 + part * PIECE); \
    }

// sums_i_j += lines of a · what lies at b, of `length` summands
#define MULTIPLY(sums, a_at, a_pitch, b_place, b_pitch, b_layout, length)                         \
    [[unroll]] for (uint k = 0; k < length; k += K) {                                             \
        LOAD_A(0, a_at, a_pitch) LOAD_A(1, a_at, a_pitch) LOAD_A(2, a_at, a_pitch) LOAD_A(3, a_at, a_pitch) \
        MULTIPLY_COLUMN(sums, 0, b_place, b_pitch, b_layout) MULTIPLY_COLUMN(sums, 1, b_place, b_pitch, b_layout) \
        MULTIPLY_COLUMN(sums, 2, b_place, b_pitch, b_layout) MULTIPLY_COLUMN(sums, 3, b_place, b_pitch, b_layout) \
    }
#define LOAD_A(i, at, pitch)                                                                      \
    if (i < FRAGMENT_ROWS)                                                                        \
        coopMatLoad(a_##i, pieces, at + (my_row + i * M) * pitch + k / PIECE, pitch, ROW_MAJOR);
#define MULTIPLY_COLUMN(sums, j, place, pitch, layout_of_b)                                       \
    if (j < FRAGMENT_COLUMNS) {                                                                   \
        coopMatLoad(b, pieces, place(k, my_column + j * N), pitch, layout_of_b);                  \
        MULTIPLY_ONE(sums, 0, j) MULTIPLY_ONE(sums, 1, j) MULTIPLY_ONE(sums, 2, j) MULTIPLY_ONE(sums, 3, j) \
    }
#define MULTIPLY_ONE(sums, i, j)                                                                  \
    if (i < FRAGMENT_ROWS)                                                                        \
        sums##_##i##_##j = coopMatMulAdd(a_##i, b, sums##_##i##_##j);
#define PLACE_AMONG_COLUMNS(k, column) (COLUMN_LINES + (column) * LINE + (k) / PIECE)
#define PLACE_AMONG_VALUES(k, column)  (VALUES + (k) * LONG_LINE + (column) / PIECE)

// sums_i_j += lines of rows · lines of columns
#define MULTIPLY_LINES(sums, rows_name, rows_lines, columns_name, columns_lines)                  \
    for (uint k0 = 0; k0 < rows_lines.size; k0 += DEPTH) {                                        \
        STORE_LINES(ROW_LINES, LINE, rows_name, rows_lines, first_row, k0, DEPTH)                 \
        STORE_LINES(COLUMN_LINES, LINE, columns_name, columns_lines, first_column, k0, DEPTH)     \
        barrier();                                                                                \
        MULTIPLY(sums, ROW_LINES, LINE, PLACE_AMONG_COLUMNS, LINE, COLUMN_MAJOR, DEPTH)           \
        barrier();                                                                                \
    }

#define DECLARE_SUM(i, j)      Sums sum_##i##_##j = Sums(0);
#define DECLARE_SCORE(i, j)    Sums score_##i##_##j;
#define DECLARE_GRADIENT(i, j) Sums gradient_##i##_##j;
#define CLEAR_SCORE(i, j)      score_##i##_##j = Sums(0);
#define CLEAR_GRADIENT(i, j)   gradient_##i##_##j = Sums(0);
#define STORE(of, i, j, at)                                                                       \
    if (IS_THERE(i, j))                                                                           \
        coopMatStore(of##_##i##_##j, pieces, at + (my_row + i * M) * FLOATS + (my_column + j * N) / 4, FLOATS, ROW_MAJOR);
#define STORE_SCORE(i, j)      STORE(score, i, j, SCORES)
#define STORE_SUM(i, j)        STORE(sum, i, j, RESULTS)

// --- scores ---

// Four columns of a row of the tile, as they lie at that piece. (Behind the last ones they are some numbers.)
vec4 scores_at(uint piece, uint row, uint column)
{
    vec4 score = uintBitsToFloat(pieces[piece]) * scale;
    if (MASKED) {
        const uint at = mask_at + min(first_row + row, rows - 1) * mask_row;
        [[unroll]] for (uint c = 0; c < 4; c++)
            score[c] += mask[at + min(first_column + column + c, columns - 1) * mask_column];
    }
    return score;
}

bvec4 are_columns(uint column)
{
    return lessThan(first_column + column + uvec4(0, 1, 2, 3), uvec4(columns));
}

#if RESULT == 1
// Of the columns of this tile, by the thread that has the row: the greatest so far, and the sum of exp(score − greatest).
void add_scores(uint row, inout float greatest, inout float total)
{
    const vec4 before = vec4(greatest);
    vec4 best = before, added = vec4(0);
    [[dont_unroll]] for (uint c = 0; c < TILE; c += 4) // with all of them in registers, some spill
        best = max(best, mix(vec4(LOWEST), scores_at(SCORES + row * FLOATS + c / 4, row, c), are_columns(c)));
    best = vec4(max(max(best.x, best.y), max(best.z, best.w)));
    [[dont_unroll]] for (uint c = 0; c < TILE; c += 4) // with all of them in registers, some spill
        added += mix(vec4(0), precise_exp(scores_at(SCORES + row * FLOATS + c / 4, row, c) - best), are_columns(c));
    total = total * exp(before.x - best.x) + added.x + added.y + added.z + added.w;
    greatest = best.x;
}
#else
// --- weights ---

void store_numbers()
{
    for (uint i = thread; i < TILE; i += THREADS) {
        const uint query = BY_KEYS ? batch * columns + min(first_column + i, columns - 1)
                                   : batch * rows + min(first_row + i, rows - 1);
        pieces[GREATEST + i / 4][i % 4] = floatBitsToUint(logsumexp[query].x);
        pieces[LOG_TOTAL + i / 4][i % 4] = floatBitsToUint(logsumexp[query].y);
        if (OF_GRADIENT)
            pieces[DELTA + i / 4][i % 4] = floatBitsToUint(delta[query]);
    }
}

// Those of four columns of a row
vec4 numbers_of(uint which, uint row, uint column)
{
    return BY_KEYS ? uintBitsToFloat(pieces[which + column / 4]) : vec4(uintBitsToFloat(pieces[which + row / 4][row % 4]));
}

vec4 weights_at(uint piece, uint row, uint column)
{
    precise const vec4 power = scores_at(piece, row, column) - numbers_of(GREATEST, row, column) - numbers_of(LOG_TOTAL, row, column);
    vec4 weight = precise_exp(power); // in this order: the greatest may be −10⁹
    if (OF_GRADIENT)
        weight *= (uintBitsToFloat(pieces[piece + STAGE]) - numbers_of(DELTA, row, column)) * scale;
    return mix(vec4(0), weight, are_columns(column));
}

// The halves of a matrix, whose first number is of that row and column
void weigh_matrix(uint stage, uint row, uint column)
{
    for (uint i = gl_SubgroupInvocationID; i < M * N / PIECE; i += THREADS / 4) {
        const uint r = i / (N / PIECE), c = i % (N / PIECE) * PIECE, piece = stage + r * STAGE_LINE + c / 4;
        pieces[WEIGHTS + (row + r) * LONG_LINE + (column + c) / PIECE] =
            uvec4(HALVES_FROM(weights_at(piece, row + r, column + c)), HALVES_FROM(weights_at(piece + 1, row + r, column + c + 4)));
    }
}

// One matrix after the other: what becomes of it is compiled once.
#if RESULT == 2 || RESULT == 3
#define STORE_GRADIENT(i, j) coopMatStore(gradient_##i##_##j, pieces, stage + STAGE, STAGE_LINE, ROW_MAJOR);
#else
#define STORE_GRADIENT(i, j)
#endif
#define STAGE_MATRIX(i, j)                                                                        \
    if (IS_THERE(i, j) && matrix == i * FRAGMENT_COLUMNS + j) {                                   \
        coopMatStore(score_##i##_##j, pieces, stage, STAGE_LINE, ROW_MAJOR);                      \
        STORE_GRADIENT(i, j)                                                                      \
    }
#define WEIGH_MATRICES                                                                            \
    [[dont_unroll]] for (uint matrix = 0; matrix < FRAGMENT_ROWS * FRAGMENT_COLUMNS; matrix++) {  \
        const uint stage = STAGES + gl_SubgroupID * 2 * STAGE;                                    \
        EACH_SUM(STAGE_MATRIX)                                                                    \
        subgroupBarrier();                                                                        \
        weigh_matrix(stage, my_row + matrix / FRAGMENT_COLUMNS * M, my_column + matrix % FRAGMENT_COLUMNS * N); \
        subgroupBarrier();                                                                        \
    }

void write_result()
{
    for (uint i = thread; i < TILE * TILE; i += THREADS) {
        const uint row = first_row + i / TILE, column = first_width + i % TILE;
        if (row < rows && column < width)
            result[(batch * rows + row) * width + column] =
                uintBitsToFloat(pieces[RESULTS + i / TILE * FLOATS + i % TILE / 4][i % 4]);
    }
}
#endif

void main()
{
    if (!find_tile())
        return;
    const Lines firsts = Lines(batch * rows, rows, depth, PIECES), seconds = Lines(batch * columns, columns, depth, PIECES);
#define DECLARE_A(i) Matrix_a a_##i;
    EACH_OF_FOUR(DECLARE_A)
    Matrix_b b;
    EACH_SUM(DECLARE_SCORE)
#if RESULT == 1
    const uint ROWS_OF_THREAD = (TILE + THREADS - 1) / THREADS;
    float greatest[ROWS_OF_THREAD], total[ROWS_OF_THREAD];
    for (uint r = 0; r < ROWS_OF_THREAD; r++)
        greatest[r] = LOWEST, total[r] = 0;
    for (first_column = 0; first_column < columns; first_column += TILE) {
        EACH_SUM(CLEAR_SCORE)
        MULTIPLY_LINES(score, first, firsts, second, seconds)
        EACH_SUM(STORE_SCORE)
        barrier();
        for (uint r = 0; r < ROWS_OF_THREAD; r++)
            if (thread + r * THREADS < TILE)
                add_scores(thread + r * THREADS, greatest[r], total[r]);
    }
    for (uint r = 0; r < ROWS_OF_THREAD; r++) {
        const uint row = first_row + thread + r * THREADS;
        if (thread + r * THREADS < TILE && row < rows) {
            result[(batch * rows + row) * 2] = greatest[r];
            result[(batch * rows + row) * 2 + 1] = precise_log(vec4(total[r])).x;
        }
    }
#else
    EACH_SUM(DECLARE_SUM)
#if RESULT == 2 || RESULT == 3
    EACH_SUM(DECLARE_GRADIENT)
    const Lines thirds = Lines(batch * rows, rows, gradient_depth, PIECES_OF_GRADIENTS);
    const Lines fourths = Lines(batch * columns, columns, gradient_depth, PIECES_OF_GRADIENTS);
#endif
    const Lines values = Lines(batch * columns, columns, width, PIECES_OF_VALUES);
    for (first_column = 0; first_column < columns; first_column += TILE) {
        if (BY_KEYS || first_column == 0)
            store_numbers();
        EACH_SUM(CLEAR_SCORE)
        MULTIPLY_LINES(score, first, firsts, second, seconds)
#if RESULT == 2 || RESULT == 3
        EACH_SUM(CLEAR_GRADIENT)
        MULTIPLY_LINES(gradient, third, thirds, fourth, fourths)
#endif
        WEIGH_MATRICES
        STORE_LINES(VALUES, LONG_LINE, value, values, first_column, first_width, TILE)
        barrier();
        MULTIPLY(sum, WEIGHTS, LONG_LINE, PLACE_AMONG_VALUES, LONG_LINE, ROW_MAJOR, TILE)
        barrier();
    }
    EACH_SUM(STORE_SUM)
    barrier();
    write_result();
#endif
}
