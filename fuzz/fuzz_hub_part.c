/* What a killed process left of a file: a side file of hostile bytes, and a part. The input is the length of the side file in
 * two bytes, the side file, and the part. What is believed has the checksums that the side file gives, and both files end
 * there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz_dir.h"
#include "hub/hub.h"

static void put_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        exit(1);
}

static bool go_on(void *user)
{
    (void)user;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { WHOLE = 5000 };
    char path[100], ranges[120], hash[GR_HASH_SIZE], found[GR_HASH_SIZE];
    struct stat info;
    gr_hub_part p;
    gr_sha h;
    fuzz_make_dir();
    if (size < 2)
        return 0;
    size_t length = (size_t)data[0] | (size_t)data[1] << 8;
    length = length < size - 2 ? length : size - 2;
    snprintf(path, sizeof path, "%s/x.part", fuzz_dir);
    snprintf(ranges, sizeof ranges, "%s.ranges", path);
    put_file(ranges, data + 2, length);
    put_file(path, data + 2 + length, size - 2 - length);
    memset(hash, 'a', GR_SHA256_HEX);
    hash[GR_SHA256_HEX] = '\0';
    if (gr_hub_part_open(&p, path, WHOLE, hash, go_on, NULL) != GR_OK)
        __builtin_trap();
    if (p.at < 0 || p.at > WHOLE || (size_t)p.at > size - 2 - length || stat(path, &info) != 0 || info.st_size != p.at)
        __builtin_trap();
    /* The hash is that of what is there. */
    gr_sha_begin(&h, false);
    gr_sha_add(&h, data + 2 + length, (size_t)p.at);
    gr_sha_end(&h, hash);
    gr_sha_end(&p.hash, found);
    if (strcmp(hash, found) != 0)
        __builtin_trap();
    gr_hub_part_close(&p);
    return 0;
}
