/* 64-bit checksum of bytes: XXH64 with seed 0 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md). */
#ifndef GR_BASE_CHECKSUM_H
#define GR_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint64_t gr_checksum(const void *data, size_t size);

#endif
