/* Structs that can grow (gradus.h, Conventions): the caller's may be shorter than ours, of a program made for an older
 * version, or longer. */
#ifndef GR_BASE_SIZED_H
#define GR_BASE_SIZED_H

#include "base/error.h"

/* What the caller gave, as `own`, which is of `own_size` bytes: fields that it does not know are zero. NULL is all zeros.
 * Its size is ours.
 * Fails when its size was never set, or when it sets fields that this version does not know. */
gr_status gr_take_sized(void *own, size_t own_size, const void *given, const char *what);
/* Our record to the caller, as much of it as fits; its size stays. NULL: nobody wants it. */
gr_status gr_give_sized(void *to, const void *own, size_t own_size, const char *what);

#endif
