// What kernels of attention, of threads and of matrices, are given, and which tile a workgroup computes.
// To be defined before: TILE, rows and columns of a tile; MASKED.
layout(push_constant) uniform push_constants
{
    uint batches, rows, columns;
    uint depth, gradient_depth; // summands of a score, and of dP
    uint width;                 // columns of the result
    float scale;
    uint mask_row, mask_column; // how far its elements lie apart
    uint batch_sizes[4], mask_batches[4]; // its dimensions in front, and how far their matrices lie apart
};
layout(std430, binding = 5) restrict readonly buffer logsumexp_buffer { vec2 logsumexp[]; };
layout(std430, binding = 6) restrict readonly buffer delta_buffer { float delta[]; };
layout(std430, binding = 7) restrict readonly buffer mask_buffer { float mask[]; };
layout(std430, binding = 8) restrict writeonly buffer result_buffer { float result[]; };

const float LOWEST = -3.40282347e38; // finite: where a mask shuts off all of a tile, −∞ − −∞ would be no number
uint batch, first_row, first_column, first_width, mask_at;

uint find_mask()
{
    uint at = 0, rest = batch;
    for (int d = 3; d >= 0; d--) {
        at += rest % batch_sizes[d] * mask_batches[d];
        rest /= batch_sizes[d];
    }
    return at;
}

// false: this workgroup, all of its threads, has none
bool find_tile()
{
    const uint width_tiles = (width + TILE - 1) / TILE, row_tiles = (rows + TILE - 1) / TILE;
    const uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    batch = tile / width_tiles / row_tiles;
    first_row = tile / width_tiles % row_tiles * TILE;
    first_width = tile % width_tiles * TILE;
    mask_at = MASKED ? find_mask() : 0;
    return batch < batches;
}
