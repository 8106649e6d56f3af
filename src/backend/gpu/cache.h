/* Compiled kernels on disk, in the user's cache folder. It saves time and nothing else: what goes wrong here is no error. */
#ifndef GR_BACKEND_GPU_CACHE_H
#define GR_BACKEND_GPU_CACHE_H

#include "base/error.h"

/* $XDG_CACHE_HOME/gradus/kernels; NULL: there is none. Caller frees with gr_free. */
char *gr_gpu_cache_folder(void);
/* What was kept under the key, a text of any length; NULL: nothing, or not whole. Caller frees with gr_free. */
void *gr_gpu_cache_read(const char *folder, const char *key, size_t *size);
void gr_gpu_cache_write(const char *folder, const char *key, const void *data, size_t size);

#endif
