/* What a file that is taken for text is in truth, told by its beginning. */
#ifndef GR_BASE_CONTENT_H
#define GR_BASE_CONTENT_H

#include "base/error.h"

/* GR_ERR_FILE when text[0, size), all of `name` or its first block, begins as what is no text: compressed, an archive,
 * weights, a picture, UTF-16, a Git LFS pointer. The error says which, and what to do. What is only no UTF-8 passes. */
gr_status gr_refuse_content(const char *name, const void *text, size_t size);

/* Bytes of a byte order mark in front of a UTF-8 text: 3 or 0. */
size_t gr_byte_order_mark(const char *text, size_t size);

#endif
