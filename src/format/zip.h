/* Zip archives as torch.save writes them: entries that are stored, not compressed, so that each is a piece of the file.
 * Read from the central directory (APPNOTE.TXT of PKWARE, with the zip64 extension); nothing is copied. */
#ifndef GR_FORMAT_ZIP_H
#define GR_FORMAT_ZIP_H

#include "gradus.h"

typedef struct gr_zip_entry {
    const char *name; /* in the file, not NUL-terminated */
    size_t name_size;
    const uint8_t *data;
    size_t size;
    uint64_t begin;  /* of its local header in the file */
    uint16_t method; /* of compression; 0: none */
    uint32_t crc;    /* 0: the writer did not compute it, or there are no bytes */
} gr_zip_entry;

typedef struct gr_zip {
    const char *path; /* for errors; the caller's */
    const uint8_t *data;
    size_t size;
    gr_zip_entry *entries; /* [count] sorted by name */
    size_t count;
} gr_zip;

/* Checks the whole directory: every entry inside of the file, under a name of its own that leads nowhere else, and over no
 * other entry. Close in any case. */
gr_status gr_zip_open(gr_zip *z, const char *path, const void *data, size_t size);
void gr_zip_close(gr_zip *z);

/* folder + name; NULL: not there. */
const gr_zip_entry *gr_zip_find(const gr_zip *z, const char *folder, size_t folder_size, const char *name,
                                size_t name_size);
/* No entry is compressed: `data` is what it holds. */
gr_status gr_zip_check_stored(const gr_zip *z);
/* Reads all entries that have a CRC; of stored ones only. */
gr_status gr_zip_check(const gr_zip *z);

#endif
