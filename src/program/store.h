/* Stores: named persistent tensors on a device, the only state there is. */
#ifndef GR_PROGRAM_STORE_H
#define GR_PROGRAM_STORE_H

#include "backend/backend.h"

gr_device *gr_store_device(const gr_store *s);
/* The tensor's memory on the device, taken (and zeroed) now if it has not been; 0 when it cannot be had. */
gr_address gr_store_data(gr_store *s, int index);
/* Asks the device for what all tensors without memory will need. */
gr_status gr_store_reserve(gr_store *s);
/* Can the device have the tensor at all, in one piece? Fails with both sizes. */
gr_status gr_store_check_size(const gr_store *s, int index);
bool gr_store_has_data(const gr_store *s, int index);
/* Copies bytes of one tensor, which has data, to another place of it, on the device. */
gr_status gr_store_copy(gr_store *s, int index, size_t from, size_t to, size_t bytes);
/* A tensor without data becomes these bytes, which must outlive the store and may be at any address: used where they
 * are, read-only, if the device can and they are aligned to elements; else copied. */
gr_status gr_store_map(gr_store *s, int index, const void *data);
bool gr_store_is_mapped(const gr_store *s, int index);
/* A tensor has this many rows from now on, and no memory: what it held is gone. No program may have it yet. */
gr_status gr_store_set_rows(gr_store *s, int index, int64_t rows);
/* Every f32 weight becomes bf16, rounded to nearest; those without memory are declared so. No program may have them yet. */
gr_status gr_store_round(gr_store *s);
/* Its bytes where the host can read them as they are; NULL on a device with memory of its own, and before they are
 * taken. */
const void *gr_store_view(const gr_store *s, int index);
/* Fails when a finite value would be infinite in dtype d: names the tensor and the value. Tensors without memory are
 * passed over. */
gr_status gr_store_check_range(const gr_store *s, gr_dtype d);

#endif
