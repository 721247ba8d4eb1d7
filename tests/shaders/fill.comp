/* y[i] = x[i] · scale + offset for i < count: what the device room's tests dispatch. */
#version 450

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in; /* constant 0: invocations of a workgroup */
layout(constant_id = 1) const int offset = 0;

layout(binding = 0) uniform textureBuffer x; /* float32, one component */
layout(binding = 1) writeonly buffer Y
{
    float y[];
};
layout(push_constant) uniform Push
{
    uint count;
    float scale;
};

void main()
{
    uint i = gl_GlobalInvocationID.x;
    if (i < count)
        y[i] = texelFetch(x, int(i)).x * scale + float(offset);
}
