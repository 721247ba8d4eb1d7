/* VK_KHR_cooperative_matrix and VK_KHR_shader_bfloat16 as the Vulkan specification describes them: the oldest headers
 * that vkgan builds with, 1.3.239, do not have them. Names of our own, so that newer headers do not collide. */
#ifndef VKG_DEVICE_COOPERATIVE_MATRIX_H
#define VKG_DEVICE_COOPERATIVE_MATRIX_H

#include <volk.h>

#define COOPERATIVE_MATRIX_EXTENSION "VK_KHR_cooperative_matrix"
#define BFLOAT16_EXTENSION "VK_KHR_shader_bfloat16"

enum {
    STRUCTURE_BFLOAT16_FEATURES = 1000141000,
    STRUCTURE_COOPERATIVE_MATRIX_FEATURES = 1000506000,
    STRUCTURE_COOPERATIVE_MATRIX_SHAPE = 1000506001,
    STRUCTURE_COOPERATIVE_MATRIX_STAGES = 1000506002,
};

/* VkComponentTypeKHR and VkScopeKHR: those that are asked for. */
enum { COMPONENT_FLOAT16 = 0, COMPONENT_FLOAT32 = 1, COMPONENT_BFLOAT16 = 1000141000 };
enum { SCOPE_SUBGROUP = 3 };

/* VkPhysicalDeviceCooperativeMatrixFeaturesKHR */
struct cooperative_matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperative_matrix;
    VkBool32 robust_buffer_access;
};

/* VkPhysicalDeviceShaderBfloat16FeaturesKHR */
struct bfloat16_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 type;
    VkBool32 dot_product;
    VkBool32 cooperative_matrix;
};

/* VkPhysicalDeviceCooperativeMatrixPropertiesKHR */
struct cooperative_matrix_stages {
    VkStructureType sType;
    void *pNext;
    VkShaderStageFlags stages;
};

/* VkCooperativeMatrixPropertiesKHR: result [m,n] = a [m,k] · b [k,n] + c [m,n]; the types are VkComponentTypeKHR. */
struct cooperative_matrix_shape {
    VkStructureType sType;
    void *pNext;
    uint32_t m, n, k;
    int32_t a, b, c, result;
    VkBool32 saturating;
    int32_t scope;
};

typedef VkResult(VKAPI_PTR *enumerate_cooperative_matrices)(VkPhysicalDevice physical, uint32_t *count,
                                                             struct cooperative_matrix_shape *shapes);

#endif
