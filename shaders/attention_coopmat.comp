// Attention by cooperative matrices, of halves (BFLOAT: 0 float16, 1 bfloat16), with floats as sums and result: what
// attention.comp computes, whose table of RESULTs holds here too, but that attention itself (0) is given the logsumexp (1) like the
// others, and has no mask. So all but 1 are the same:
//     weight = exp(score − logsumexp), or that · (dP − delta) · scale
//     result = Σ_column weight · value
// and what becomes of a score needs no number of its row's neighbours: scores stay in matrices, which are changed number by number.
// Four subgroups compute a quarter of a tile of scores each, and then of the result.
// Lines behind the last row or column are zeros, in value too, so what weights these have makes no difference.
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

const uint SIZE = 64, DEPTH = 32, PIECE = 8; // of tiles; of the summands of a score that are read at a time; halves in 16 bytes
layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 2) const uint M = 16; // of matrices, 8 or 16 as N; SIZE/2 and DEPTH are multiples of all three
layout(constant_id = 3) const uint N = 16;
layout(constant_id = 4) const uint K = 16;
// Are halves of first, second (of third, fourth; of value) read by eights?
layout(constant_id = 5) const bool PIECES = false;
layout(constant_id = 6) const bool PIECES_OF_GRADIENTS = false;
layout(constant_id = 7) const bool PIECES_OF_VALUES = false;

const bool BY_KEYS = RESULT == 3 || RESULT == 4;

layout(push_constant) uniform push_constants
{
    uint batches, rows, columns;
    uint depth, gradient_depth, width;
    float scale; // and what is of masks, in attention.comp
};

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
layout(std430, binding = 5) restrict readonly buffer logsumexp_buffer { float logsumexp[]; };
layout(std430, binding = 6) restrict readonly buffer delta_buffer { float delta[]; };
layout(std430, binding = 8) restrict writeonly buffer result_buffer { float result[]; };

// Lines of halves, in pieces of 16 bytes, with a gap that spreads neighbouring lines over the banks, as drivers load a matrix as fast
// as its lines are aligned. The first place is that of lines of rows and of columns, and later of value; behind it lie weights, and
// numbers of queries; in the end, floats of the result; or, where there are no weights, scores as floats.
const uint LINE = DEPTH / PIECE + 1, LONG_LINE = SIZE / PIECE + 1, FLOATS = SIZE / 4 + 1, MOST_N = 16;
const uint ROW_LINES = 0, COLUMN_LINES = SIZE * LINE, VALUES = 0;
const uint WEIGHTS = 2 * SIZE * LINE, LOGSUMEXP = WEIGHTS + SIZE * LONG_LINE, DELTA = LOGSUMEXP + SIZE * MOST_N / 4;
const uint SCORES = WEIGHTS, RESULTS = 0, ALL = DELTA + SIZE * MOST_N / 4; // as many as scores need
shared uvec4 pieces[ALL];

#define Matrix_a coopmat<HALF, gl_ScopeSubgroup, M, K, gl_MatrixUseA>
#define Matrix_b coopmat<HALF, gl_ScopeSubgroup, K, N, gl_MatrixUseB>
#define Sums     coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
#define Halves   coopmat<HALF, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>
const int ROW_MAJOR = gl_CooperativeMatrixLayoutRowMajor, COLUMN_MAJOR = gl_CooperativeMatrixLayoutColumnMajor;

// Matrices have names and no indices: drivers that do not unroll a loop over an array of them keep it in memory.
const uint FRAGMENT_ROWS = SIZE / 2 / M, FRAGMENT_COLUMNS = SIZE / 2 / N; // of a subgroup
#define EACH_OF_FOUR(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH_SUM(DO) DO(0, 0) DO(0, 1) DO(0, 2) DO(0, 3) DO(1, 0) DO(1, 1) DO(1, 2) DO(1, 3) \
                     DO(2, 0) DO(2, 1) DO(2, 2) DO(2, 3) DO(3, 0) DO(3, 1) DO(3, 2) DO(3, 3)
#define IS_THERE(i, j) ((i) < FRAGMENT_ROWS && (j) < FRAGMENT_COLUMNS)

uint thread = gl_LocalInvocationID.x;
uint my_row = gl_SubgroupID / 2 * (SIZE / 2), my_column = gl_SubgroupID % 2 * (SIZE / 2); // this subgroup's in tiles
uint batch, first_row, first_column, first_width;

// `length` halves from k0 on of every line of a tile
#define STORE_LINES(to, pitch, name, lines, first_line, k0, length)                               \
    for (uint i = thread; i < SIZE * (length / PIECE); i += THREADS) {                            \
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
#define CLEAR_SCORE(i, j)      score_##i##_##j = Sums(0);
#define CLEAR_GRADIENT(i, j)   gradient_##i##_##j = Sums(0);
#define DECLARE_SCORE(i, j)    Sums score_##i##_##j;
#define DECLARE_GRADIENT(i, j) Sums gradient_##i##_##j;

#if RESULT == 1
#define STORE_SCORE(i, j)                                                                         \
    if (IS_THERE(i, j))                                                                           \
        coopMatStore(score_##i##_##j, pieces, SCORES + (my_row + i * M) * FLOATS + (my_column + j * N) / 4, FLOATS, ROW_MAJOR);

// Of the columns of this tile, by the thread that has the row: the greatest so far, and the sum of exp(score − greatest).
void add_scores(uint row, inout float greatest, inout float total)
{
    const uint there = min(SIZE, columns - first_column);
    float best = greatest, added = 0;
    for (uint c = 0; c < there; c++)
        best = max(best, uintBitsToFloat(pieces[SCORES + row * FLOATS + c / 4][c % 4]) * scale);
    for (uint c = 0; c < there; c++)
        added += exp(uintBitsToFloat(pieces[SCORES + row * FLOATS + c / 4][c % 4]) * scale - best);
    total = total * exp(greatest - best) + added;
    greatest = best;
}
#else
// A query's number, for each of its weights: as a tile of M or N copies.
#define STORE_NUMBERS(to, numbers)                                                                \
    for (uint i = thread; i < SIZE * MOST_N; i += THREADS) {                                      \
        const uint query = BY_KEYS ? first_column + i % SIZE : first_row + i / MOST_N;            \
        const uint queries = BY_KEYS ? columns : rows;                                            \
        const float number = query < queries ? numbers[batch * queries + query] : 0;              \
        pieces[to + i / 4][i % 4] = floatBitsToUint(number);                                      \
    }
#define LOAD_NUMBERS(matrix, at, i, j)                                                            \
    if (BY_KEYS)                                                                                  \
        coopMatLoad(matrix, pieces, at + (my_column + j * N) / 4, SIZE / 4, ROW_MAJOR);           \
    else                                                                                          \
        coopMatLoad(matrix, pieces, at + (my_row + i * M) * (MOST_N / 4), MOST_N / 4, ROW_MAJOR)

// What conversions of drivers may cut is rounded before.
float rounded(float a)
{
#if BFLOAT
    const uint bits = floatBitsToUint(a);
    return uintBitsToFloat(bits + 0x7fff + (bits >> 16 & 1) & 0xffff0000);
#else
    return a;
#endif
}

// No weight is above 1, but for rounding and behind the last column.
#define WEIGH(i, j)                                                                               \
    if (IS_THERE(i, j)) {                                                                         \
        LOAD_NUMBERS(numbers, LOGSUMEXP, i, j);                                                   \
        for (uint e = 0; e < score_##i##_##j.length(); e++) {                                     \
            const float power = score_##i##_##j[e] * scale - numbers[e];                          \
            score_##i##_##j[e] = exp(power > 0 ? 0 : power); /* what is no number stays none */   \
        }                                                                                         \
    }
#define WEIGH_GRADIENT(i, j)                                                                      \
    if (IS_THERE(i, j)) {                                                                         \
        LOAD_NUMBERS(numbers, DELTA, i, j);                                                       \
        for (uint e = 0; e < score_##i##_##j.length(); e++)                                       \
            score_##i##_##j[e] *= (gradient_##i##_##j[e] - numbers[e]) * scale;                   \
    }
#define STORE_WEIGHTS(i, j)                                                                       \
    if (IS_THERE(i, j)) {                                                                         \
        for (uint e = 0; e < score_##i##_##j.length(); e++)                                       \
            score_##i##_##j[e] = rounded(score_##i##_##j[e]);                                     \
        coopMatStore(Halves(score_##i##_##j), pieces, WEIGHTS + (my_row + i * M) * LONG_LINE + (my_column + j * N) / PIECE, \
                     LONG_LINE, ROW_MAJOR);                                                       \
    }
#define STORE_SUM(i, j)                                                                           \
    if (IS_THERE(i, j))                                                                           \
        coopMatStore(sum_##i##_##j, pieces, RESULTS + (my_row + i * M) * FLOATS + (my_column + j * N) / 4, FLOATS, ROW_MAJOR);

void write_result()
{
    for (uint i = thread; i < SIZE * SIZE; i += THREADS) {
        const uint row = first_row + i / SIZE, column = first_width + i % SIZE;
        if (row < rows && column < width)
            result[(batch * rows + row) * width + column] =
                uintBitsToFloat(pieces[RESULTS + i / SIZE * FLOATS + i % SIZE / 4][i % 4]);
    }
}
#endif

void main()
{
    const uint width_tiles = (width + SIZE - 1) / SIZE, row_tiles = (rows + SIZE - 1) / SIZE;
    const uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    batch = tile / width_tiles / row_tiles;
    if (batch >= batches) // the same for all threads of the workgroup
        return;
    first_row = tile / width_tiles % row_tiles * SIZE;
    first_width = tile % width_tiles * SIZE;
    const Lines firsts = Lines(batch * rows, rows, depth, PIECES), seconds = Lines(batch * columns, columns, depth, PIECES);
#define DECLARE_A(i) Matrix_a a_##i;
    EACH_OF_FOUR(DECLARE_A)
    Matrix_b b;
    EACH_SUM(DECLARE_SCORE)
#if RESULT == 1
    const uint ROWS_OF_THREAD = (SIZE + THREADS - 1) / THREADS;
    const float LOWEST = -3.4e38;
    float greatest[ROWS_OF_THREAD], total[ROWS_OF_THREAD];
    for (uint r = 0; r < ROWS_OF_THREAD; r++)
        greatest[r] = LOWEST, total[r] = 0;
    for (first_column = 0; first_column < columns; first_column += SIZE) {
        EACH_SUM(CLEAR_SCORE)
        MULTIPLY_LINES(score, first, firsts, second, seconds)
        EACH_SUM(STORE_SCORE)
        barrier();
        for (uint r = 0; r < ROWS_OF_THREAD; r++)
            if (thread + r * THREADS < SIZE)
                add_scores(thread + r * THREADS, greatest[r], total[r]);
    }
    for (uint r = 0; r < ROWS_OF_THREAD; r++) {
        const uint row = first_row + thread + r * THREADS;
        if (thread + r * THREADS < SIZE && row < rows)
            result[batch * rows + row] = greatest[r] + log(total[r]);
    }
#else
    EACH_SUM(DECLARE_SUM)
    Sums numbers;
#if RESULT == 2 || RESULT == 3
    EACH_SUM(DECLARE_GRADIENT)
    const Lines thirds = Lines(batch * rows, rows, gradient_depth, PIECES_OF_GRADIENTS);
    const Lines fourths = Lines(batch * columns, columns, gradient_depth, PIECES_OF_GRADIENTS);
#endif
    const Lines values = Lines(batch * columns, columns, width, PIECES_OF_VALUES);
    for (first_column = 0; first_column < columns; first_column += SIZE) {
        if (BY_KEYS || first_column == 0) {
            STORE_NUMBERS(LOGSUMEXP, logsumexp)
#if RESULT == 2 || RESULT == 3
            STORE_NUMBERS(DELTA, delta)
#endif
        }
        EACH_SUM(CLEAR_SCORE)
        MULTIPLY_LINES(score, first, firsts, second, seconds)
        EACH_SUM(WEIGH)
#if RESULT == 2 || RESULT == 3
        EACH_SUM(CLEAR_GRADIENT)
        MULTIPLY_LINES(gradient, third, thirds, fourth, fourths)
        EACH_SUM(WEIGH_GRADIENT)
#endif
        EACH_SUM(STORE_WEIGHTS)
        STORE_LINES(VALUES, LONG_LINE, value, values, first_column, first_width, SIZE)
        barrier();
        MULTIPLY(sum, WEIGHTS, LONG_LINE, PLACE_AMONG_VALUES, LONG_LINE, ROW_MAJOR, SIZE)
        barrier();
    }
    EACH_SUM(STORE_SUM)
    barrier();
    write_result();
#endif
}
