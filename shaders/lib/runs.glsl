// Walking over a tensor whose dimensions are merged into runs, the last one fastest, together with the index tensor
// (stride 0 where it repeats) and with the tensor that the indices point into (stride 0 along the indexed axis).
// Constants, since drivers on a processor divide slowly.
layout(constant_id = 1) const uint count = 1;       // invocations
layout(constant_id = 2) const uint axis_size = 1;   // of the tensor that the indices point into
layout(constant_id = 3) const uint axis_stride = 1; // there; strides in that tensor are in units of what one invocation takes
layout(constant_id = 4) const uint total_bits = 1;  // scatter: see scatter_add.comp
#define RUN(n, id)                                                                                                     \
    layout(constant_id = id) const uint size##n = 1;                                                                   \
    layout(constant_id = id + 1) const uint index_stride##n = 0;                                                       \
    layout(constant_id = id + 2) const uint stride##n = 0;
RUN(0, 5) RUN(1, 8) RUN(2, 11) RUN(3, 14) RUN(4, 17) RUN(5, 20)
#define WALK(n) (place += i % size##n * uvec2(index_stride##n, stride##n), i /= size##n)

// For element i: x where its index lies, y where its place in the other tensor begins. Runs that are not there have a
// size of 1, and cost nothing.
uvec2 walk_runs(uint i)
{
    uvec2 place = uvec2(0);
    WALK(5);
    WALK(4);
    WALK(3);
    WALK(2);
    WALK(1);
    WALK(0);
    return place;
}
