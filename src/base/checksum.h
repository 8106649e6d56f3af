/* Checksums of bytes. */
#ifndef GR_BASE_CHECKSUM_H
#define GR_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 with seed 0 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md): what we write. */
uint64_t gr_checksum(const void *data, size_t size);
/* The same of bytes that come in parts; begins zeroed. */
typedef struct gr_checksum_parts {
    uint64_t lane[4], size;
    uint8_t rest[32];
} gr_checksum_parts;
void gr_checksum_add(gr_checksum_parts *c, const void *data, size_t size);
uint64_t gr_checksum_end(const gr_checksum_parts *c); /* of all so far */
/* Of numbers, the same on every machine. */
uint64_t gr_checksum_words(const uint64_t *words, size_t n);
/* CRC-32 as zip archives and PNG have it: polynomial 0x04C11DB7, reflected. */
uint32_t gr_crc32(const void *data, size_t size);

#endif
