/* The directory of a zip archive, read from its end as it is meant to be, and believed in nothing. */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/json.h"
#include "base/mem.h"

#define DAMAGED "\nthe file is truncated, damaged or made to mislead; fetch it again"

enum { END_SIZE = 22, END64_SIZE = 56, LOCATOR_SIZE = 20, CENTRAL_SIZE = 46, LOCAL_SIZE = 30, LONGEST_COMMENT = 65535 };
enum { END = 0x06054b50, END64 = 0x06064b50, LOCATOR = 0x07064b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50 };
enum { ENCRYPTED = 1, ZIP64_FIELD = 1 };

static uint32_t u16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const uint8_t *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

/* Are `size` bytes from `at` inside of the first `limit`? */
static bool is_inside(uint64_t at, uint64_t size, uint64_t limit)
{
    return at <= limit && size <= limit - at;
}

/* Where the central directory is. */
typedef struct directory {
    uint64_t begin, size, entries;
} directory;

/* ---- the end ------------------------------------------------------------------------------------------------ */

/* The record that stands at the very end, before a comment of a length that it tells itself. */
static const uint8_t *find_end(const gr_zip *z)
{
    for (size_t back = END_SIZE; back <= z->size && back <= END_SIZE + LONGEST_COMMENT; back++) {
        const uint8_t *p = z->data + z->size - back;
        if (u32(p) == END && u16(p + 20) == back - END_SIZE)
            return p;
    }
    return NULL;
}

/* A second end record with 64-bit fields, where there is one. */
static gr_status read_end64(const gr_zip *z, const uint8_t *end, directory *d)
{
    uint64_t at = (uint64_t)(end - z->data);
    if (at < LOCATOR_SIZE || u32(end - LOCATOR_SIZE) != LOCATOR)
        return GR_OK;
    uint64_t place = u64(end - LOCATOR_SIZE + 8);
    if (!is_inside(place, END64_SIZE, at - LOCATOR_SIZE) || u32(z->data + place) != END64)
        return gr_fail(GR_ERR_FILE, "%s: the zip64 end record should be at byte %llu and is not there" DAMAGED, z->path,
                       (unsigned long long)place);
    const uint8_t *p = z->data + place;
    *d = (directory){.entries = u64(p + 32), .size = u64(p + 40), .begin = u64(p + 48)};
    return GR_OK;
}

static gr_status find_directory(const gr_zip *z, directory *d)
{
    const uint8_t *end = find_end(z);
    if (!end)
        return gr_fail(GR_ERR_FILE,
                       "%s: the zip archive's directory, which stands at the end, is not there (file of %zu bytes)"
                       "\nthe file is truncated; fetch it again",
                       z->path, z->size);
    *d = (directory){.entries = u16(end + 10), .size = u32(end + 12), .begin = u32(end + 16)};
    if (read_end64(z, end, d) != GR_OK)
        return gr_error_status();
    uint64_t limit = (uint64_t)(end - z->data);
    if (!is_inside(d->begin, d->size, limit))
        return gr_fail(GR_ERR_FILE,
                       "%s: the directory of %llu bytes at byte %llu is beyond the end record at byte %llu" DAMAGED,
                       z->path, (unsigned long long)d->size, (unsigned long long)d->begin, (unsigned long long)limit);
    if (d->entries > d->size / CENTRAL_SIZE)
        return gr_fail(GR_ERR_FILE, "%s: %llu entries do not fit into a directory of %llu bytes" DAMAGED, z->path,
                       (unsigned long long)d->entries, (unsigned long long)d->size);
    return GR_OK;
}

/* ---- entries ------------------------------------------------------------------------------------------------ */

static gr_status fail_entry(const gr_zip *z, const gr_zip_entry *e, const char *why)
{
    char shown[160];
    return gr_fail(GR_ERR_FILE, "%s: entry \"%s\" (byte %llu) %s" DAMAGED, z->path,
                   gr_printable(e->name, e->name_size, shown, sizeof shown), (unsigned long long)e->begin, why);
}

/* Nothing is ever unpacked; but a name that leads elsewhere tells what the archive is for. */
static bool is_plain(const gr_zip_entry *e)
{
    if (!e->name_size || e->name[0] == '/' || memchr(e->name, '\\', e->name_size) || memchr(e->name, 0, e->name_size))
        return false;
    for (size_t at = 0; at < e->name_size;) {
        const char *slash = memchr(e->name + at, '/', e->name_size - at);
        size_t n = slash ? (size_t)(slash - e->name) - at : e->name_size - at;
        if (n == 2 && memcmp(e->name + at, "..", 2) == 0)
            return false;
        at += n + 1;
    }
    return true;
}

/* Fields that are too large for 32 bits stand in an extra field, in a fixed order, only those that are. */
static bool widen(const uint8_t *extra, size_t extra_size, uint64_t *size, uint64_t *packed, uint64_t *begin)
{
    uint64_t *wide[3], n = 0;
    if (*size == UINT32_MAX)
        wide[n++] = size;
    if (*packed == UINT32_MAX)
        wide[n++] = packed;
    if (*begin == UINT32_MAX)
        wide[n++] = begin;
    if (!n)
        return true;
    for (size_t at = 0; at + 4 <= extra_size;) {
        size_t id = u16(extra + at), length = u16(extra + at + 2);
        at += 4;
        if (length > extra_size - at)
            return false;
        if (id == ZIP64_FIELD) {
            for (uint64_t i = 0; i < n && length >= 8 * n; i++)
                *wide[i] = u64(extra + at + 8 * i);
            return length >= 8 * n;
        }
        at += length;
    }
    return false;
}

/* The local header that the directory points to; then the data. */
static gr_status find_data(const gr_zip *z, gr_zip_entry *e, uint64_t limit, uint64_t size)
{
    if (!is_inside(e->begin, LOCAL_SIZE, limit) || u32(z->data + e->begin) != LOCAL)
        return fail_entry(z, e, "has no local header there");
    const uint8_t *p = z->data + e->begin;
    uint64_t skip = LOCAL_SIZE + (uint64_t)u16(p + 26) + u16(p + 28);
    if (!is_inside(e->begin, skip, limit) || !is_inside(e->begin + skip, size, limit))
        return fail_entry(z, e, "reaches into the archive's directory or past the end of the file");
    if (u16(p + 26) != e->name_size || memcmp(p + LOCAL_SIZE, e->name, e->name_size) != 0)
        return fail_entry(z, e, "has another name in its local header");
    e->data = p + skip;
    e->size = (size_t)size;
    return GR_OK;
}

/* One entry of the directory, which goes on for `room` bytes; *used of them are its own. */
static gr_status read_entry(const gr_zip *z, const uint8_t *p, uint64_t room, uint64_t limit, gr_zip_entry *e,
                            uint64_t *used)
{
    if (room < CENTRAL_SIZE || u32(p) != CENTRAL)
        return gr_fail(GR_ERR_FILE, "%s: no directory entry at byte %llu" DAMAGED, z->path,
                       (unsigned long long)(p - z->data));
    size_t extra = u16(p + 30);
    uint64_t packed = u32(p + 20), size = u32(p + 24), begin = u32(p + 42);
    e->name_size = u16(p + 28);
    e->crc = u32(p + 16);
    *used = CENTRAL_SIZE + (uint64_t)e->name_size + extra + u16(p + 32);
    if (*used > room)
        return gr_fail(GR_ERR_FILE, "%s: the directory entry at byte %llu is cut" DAMAGED, z->path,
                       (unsigned long long)(p - z->data));
    e->name = (const char *)p + CENTRAL_SIZE;
    bool whole = widen(p + CENTRAL_SIZE + e->name_size, extra, &size, &packed, &begin);
    e->begin = begin;
    if (!whole)
        return fail_entry(z, e, "has no zip64 field, or a cut one");
    if (!is_plain(e))
        return fail_entry(z, e, "has a name that leads out of the archive");
    if (u16(p + 8) & ENCRYPTED)
        return fail_entry(z, e, "is encrypted");
    e->method = (uint16_t)u16(p + 10);
    if (!e->method && packed != size)
        return fail_entry(z, e, "is stored, but in another number of bytes than it has");
    return find_data(z, e, limit, packed);
}

static int compare_place(const void *a, const void *b)
{
    const gr_zip_entry *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int compare_bytes(const char *a, size_t n, const char *b, size_t m)
{
    int c = memcmp(a, b, n < m ? n : m);
    return c ? c : n < m ? -1 : n > m;
}

static int compare_name(const void *a, const void *b)
{
    const gr_zip_entry *x = a, *y = b;
    return compare_bytes(x->name, x->name_size, y->name, y->name_size);
}

/* No byte belongs to two entries, and no name to two. Leaves them sorted by name. */
static gr_status check_entries(gr_zip *z)
{
    qsort(z->entries, z->count, sizeof *z->entries, compare_place);
    for (size_t i = 1; i < z->count; i++) {
        const gr_zip_entry *before = &z->entries[i - 1];
        if (z->entries[i].begin < (uint64_t)(before->data - z->data) + before->size)
            return fail_entry(z, &z->entries[i], "overlaps the one before it");
    }
    qsort(z->entries, z->count, sizeof *z->entries, compare_name);
    for (size_t i = 1; i < z->count; i++)
        if (compare_name(&z->entries[i - 1], &z->entries[i]) == 0)
            return fail_entry(z, &z->entries[i], "is there twice");
    return GR_OK;
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

gr_status gr_zip_open(gr_zip *z, const char *path, const void *data, size_t size)
{
    directory d = {0};
    *z = (gr_zip){.path = path, .data = data, .size = size};
    if (find_directory(z, &d) != GR_OK)
        return gr_error_status();
    z->entries = gr_alloc_zero((size_t)d.entries + 1, sizeof *z->entries); /* bounded by the directory's size */
    if (!z->entries)
        return gr_error_status();
    uint64_t at = 0, used = 0;
    for (; z->count < d.entries; z->count++, at += used)
        if (read_entry(z, z->data + d.begin + at, d.size - at, d.begin, &z->entries[z->count], &used) != GR_OK)
            return gr_error_status();
    return check_entries(z);
}

void gr_zip_close(gr_zip *z)
{
    gr_free(z->entries);
    *z = (gr_zip){0};
}

const gr_zip_entry *gr_zip_find(const gr_zip *z, const char *folder, size_t folder_size, const char *name,
                                size_t name_size)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const gr_zip_entry *e = &z->entries[middle];
        size_t n = e->name_size < folder_size ? e->name_size : folder_size;
        int c = compare_bytes(e->name, n, folder, folder_size);
        if (c == 0)
            c = compare_bytes(e->name + folder_size, e->name_size - folder_size, name, name_size);
        if (c == 0)
            return e;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

gr_status gr_zip_check_stored(const gr_zip *z)
{
    char shown[160];
    for (size_t i = 0; i < z->count; i++) {
        const gr_zip_entry *e = &z->entries[i];
        if (e->method)
            return gr_fail(
                GR_ERR_UNSUPPORTED,
                "%s: entry \"%s\" is compressed (method %u%s); torch.save only stores\nthe archive was packed "
                "anew: unpack it and pack it with `zip -0`, or load and save it with torch",
                z->path, gr_printable(e->name, e->name_size, shown, sizeof shown), e->method,
                e->method == 8 ? ", deflate" : "");
    }
    return GR_OK;
}

gr_status gr_zip_check(const gr_zip *z)
{
    for (size_t i = 0; i < z->count; i++) {
        const gr_zip_entry *e = &z->entries[i];
        uint32_t found = e->crc ? gr_crc32(e->data, e->size) : 0;
        char shown[160];
        if (found != e->crc)
            return gr_fail(GR_ERR_FILE, "%s: entry \"%s\": the CRC is %08x, %08x was written\nfetch the file again",
                           z->path, gr_printable(e->name, e->name_size, shown, sizeof shown), found, e->crc);
    }
    return GR_OK;
}
