// Walking over a tensor whose dimensions are merged into runs, the last one fastest, together with the index tensor
// (stride 0 where it repeats) and with the tensor that the indices point into (stride 0 along the indexed axis).
#define MAX_RUNS 6
layout(constant_id = 1) const uint RUNS = 1;
layout(push_constant) uniform push_constants
{
    uint count;       // invocations
    uint axis_size;   // of the tensor that the indices point into
    uint axis_stride; // there; with all strides of that tensor in units of what one invocation takes
    uint total_bits;  // scatter: see scatter_add.comp
    uint sizes[MAX_RUNS], index_strides[MAX_RUNS], strides[MAX_RUNS];
};

// For element i: x where its index lies, y where its place in the other tensor begins.
uvec2 walk_runs(uint i)
{
    uvec2 place = uvec2(0);
    for (uint run = RUNS; run-- > 1;) {
        uint k = i % sizes[run];
        i /= sizes[run];
        place += k * uvec2(index_strides[run], strides[run]);
    }
    return place + i * uvec2(index_strides[0], strides[0]);
}
