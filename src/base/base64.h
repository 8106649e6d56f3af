/* Base64 (RFC 4648, the standard alphabet); the padding may be missing. */
#ifndef GR_BASE_BASE64_H
#define GR_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes into out, which has room for 3 bytes of every 4 characters begun; false: it is no base64. *out_size are the
 * bytes written. */
bool gr_base64_decode(const char *text, size_t size, unsigned char *out, size_t *out_size);
/* Encodes into out, which has room for 4 characters of every 3 bytes begun; returns how many. */
size_t gr_base64_encode(const void *data, size_t size, char *out);

#endif
