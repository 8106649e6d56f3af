/* How a device runs a node: what compiling asks, and what reports say. */
#ifndef GR_PROGRAM_HOW_H
#define GR_PROGRAM_HOW_H

#include "backend/backend.h"

typedef enum gr_how {
    GR_HOW_NONE,      /* not at all */
    GR_HOW_VIEW,      /* the same memory under another shape: nothing to run */
    GR_HOW_FUSED,     /* in chains with others, or by the same kernel alone */
    GR_HOW_KERNEL,    /* by a kernel of its own */
    GR_HOW_REFERENCE, /* by the reference backend's, which is plain and slow */
    GR_HOW_COMPOSED,  /* as the ops that it is made of */
    GR_HOWS
} gr_how;

gr_how gr_device_how(const gr_device *d, const gr_tensor *node);
const char *gr_how_name(gr_how how);
/* Is there a kernel for it, whose ever? Can it be a part of a chain? */
bool gr_device_has_kernel(const gr_device *d, const gr_tensor *node);
bool gr_device_fuses(const gr_device *d, const gr_tensor *node);

/* What of a program a device has no kernel of its own for: each op and dtype once, with how often. */
typedef struct gr_fallbacks {
    struct {
        const gr_op *op;
        gr_how how;
        gr_dtype dtype; /* what it is about: mostly f32, and then not said */
        int n;
    } of[16];
    int n, others; /* others: nodes of further ops */
} gr_fallbacks;
/* Counts the node if the kernel found for it (NULL: none) makes it one; on the reference device none is. */
void gr_fallbacks_note(gr_fallbacks *f, const gr_device *d, const gr_tensor *node, const gr_kernel *found);
/* Says at GR_LOG_INFO what there is, in one remark. */
void gr_fallbacks_tell(const gr_fallbacks *f, const gr_device *d);

#endif
