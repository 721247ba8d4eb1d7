// Lanes of texel kernels that lie side by side over the columns need the same rows. Each reads a part of them and takes the
// others from its neighbours, as a shuffle is one instruction on lavapipe, and a texel fetch 50 (docs/performance.md).
// A workgroup is one subgroup, whose lanes are numbered as shuffles number them.
#extension GL_KHR_shader_subgroup_shuffle : require

layout(local_size_x_id = 0) in;
layout(constant_id = 2) const uint SHARERS = 1; // neighbours that read for one another, a power of two

// Of `count` things that the sharers need each lane has OWN(count), from first_own() on, in the first ones of `parts`;
// PART is thing i, whoever has it.
#define OWN(count) ((count) / SHARERS)
#define PART(parts, count, i) \
    (SHARERS == 1 ? parts[i] : subgroupShuffle(parts[(i) % OWN(count)], first_sharer() + (i) / OWN(count)))

uint first_own(uint count)
{
    return gl_SubgroupInvocationID % SHARERS * OWN(count);
}

uint first_sharer()
{
    return gl_SubgroupInvocationID - gl_SubgroupInvocationID % SHARERS;
}

ivec2 least_of_sharers(ivec2 a)
{
    for (uint apart = 1; apart < SHARERS; apart *= 2)
        a = min(a, subgroupShuffle(a, gl_SubgroupInvocationID ^ apart));
    return a;
}

ivec2 greatest_of_sharers(ivec2 a)
{
    return -least_of_sharers(-a);
}
