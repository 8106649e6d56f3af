/* Stores: named persistent tensors on a device, the only state there is. */
#ifndef GR_PROGRAM_STORE_H
#define GR_PROGRAM_STORE_H

#include "backend/backend.h"

gr_device *gr_store_device(const gr_store *s);
/* The tensor's memory on the device, taken (and zeroed) now if it has not been; NULL when it cannot be had. */
void *gr_store_data(gr_store *s, int index);
bool gr_store_has_data(const gr_store *s, int index);
/* Its bytes where the host can read them as they are; NULL on a device with memory of its own, and before they are
 * taken. */
const void *gr_store_view(const gr_store *s, int index);

#endif
