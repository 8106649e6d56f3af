/* Copying as much of a struct as both sides know. */
#include "base/sized.h"

#include <string.h>

/* The size stands in front. */
static gr_status size_of(const void *given, const char *what, size_t *size)
{
    memcpy(size, given, sizeof *size);
    if (*size < sizeof *size || *size > (size_t)1 << 16)
        return gr_fail(GR_ERR_ARGUMENT, "%s: its size is not set\nbegin with GR_INIT(type)", what);
    return GR_OK;
}

gr_status gr_take_sized(void *own, size_t own_size, const void *given, const char *what)
{
    size_t size;
    memset(own, 0, own_size);
    if (!given)
        return GR_OK;
    gr_status s = size_of(given, what, &size);
    const unsigned char *bytes = given;
    for (size_t i = own_size; s == GR_OK && i < size; i++)
        if (bytes[i])
            s = gr_fail(
                GR_ERR_UNSUPPORTED,
                "%s: asks for what a newer version of the library can do\nuse that version, this is " GR_VERSION, what);
    if (s == GR_OK) {
        memcpy(own, given, size < own_size ? size : own_size);
        memcpy(own, &own_size, sizeof own_size);
    }
    return s;
}

gr_status gr_give_sized(void *to, const void *own, size_t own_size, const char *what)
{
    size_t size;
    if (!to)
        return GR_OK;
    gr_status s = size_of(to, what, &size);
    if (s == GR_OK) {
        memset((char *)to + sizeof size, 0, size - sizeof size);
        memcpy((char *)to + sizeof size, (const char *)own + sizeof size,
               (size < own_size ? size : own_size) - sizeof size);
    }
    return s;
}
