/* Image sizes that networks of doublings and halvings are made for. */
#include <stdio.h>

#include "vkgan/app.h"

vkg_pyramid vkg_pyramid_of(uint32_t size)
{
    vkg_pyramid p = {.base = size};
    while (p.base % 2 == 0 && p.base >= 8) {
        p.base /= 2;
        p.doublings++;
    }
    return p;
}

bool vkg_pyramid_check(const vkg_network_settings *settings, char *message, size_t message_size)
{
    const vkg_pyramid p = vkg_pyramid_of(settings->image[0]);
    if (settings->image[0] == settings->image[1] && p.base >= 4 && p.base <= 7 && p.doublings >= 1 && p.doublings <= 8)
        return true;
    snprintf(message, message_size, "the networks are made for squares of k·2ⁿ with k from 4 to 7 and n from 1 to 8, such as 28, 32, "
                                    "48 and 64; --size 64 cuts and resizes");
    return false;
}

uint32_t vkg_pyramid_width(const vkg_network_settings *settings, uint32_t size, uint32_t most)
{
    const uint32_t ratio = size > 0 && size < settings->image[0] ? settings->image[0] / size : 1;
    return settings->width * (ratio < most ? ratio : most);
}
