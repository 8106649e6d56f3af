/* SHA-1 and SHA-256 (FIPS 180-4) of bytes that come in parts: what git and Git LFS name a file's content by. */
#ifndef GR_BASE_SHA_H
#define GR_BASE_SHA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GR_SHA1_HEX = 40, GR_SHA256_HEX = 64 }; /* digits of a result */

typedef struct gr_sha {
    uint32_t state[8];
    uint64_t size; /* of all bytes so far */
    uint8_t block[64];
    bool is_sha1;
} gr_sha;

void gr_sha_begin(gr_sha *h, bool is_sha1);
void gr_sha_add(gr_sha *h, const void *data, size_t size);
/* Of all bytes so far, in lower-case digits and a NUL; h is used up. */
void gr_sha_end(gr_sha *h, char hex[GR_SHA256_HEX + 1]);

#endif
