#ifndef VKG_KERNELS_BINDING_FORMAT_H
#define VKG_KERNELS_BINDING_FORMAT_H

/* How a kernel sees a range of memory. */
enum binding_format {
    FORMAT_STORAGE,      /* a storage buffer */
    FORMAT_TEXEL_VEC4,   /* a uniform texel buffer of RGBA32F: one texel is 4 floats */
    FORMAT_TEXEL_SCALAR, /* a uniform texel buffer of R32F */
    FORMAT_TEXEL_VEC4_HALF,   /* the same of float16, which reads convert: RGBA16F */
    FORMAT_TEXEL_SCALAR_HALF, /* R16F */
    FORMAT_TEXEL_INT,    /* a uniform texel buffer of R32I: integers, or bits that must arrive as they are */
};

#endif
