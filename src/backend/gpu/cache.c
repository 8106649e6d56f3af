/* One file a key, named by its checksum: {key's size, data's size, data's checksum}, key, data. The key itself is compared,
 * so two keys of one checksum take turns and nothing worse. */
#include "backend/gpu/cache.h"

#include "base/checksum.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"

#include <string.h>
#include <unistd.h>

enum { LIMIT = 256 << 20 };

typedef struct head {
    uint64_t key, data, checksum;
} head;

char *gr_gpu_cache_folder(void)
{
    char *all = gr_user_cache(), *folder = all ? gr_path_join(all, "kernels") : NULL;
    gr_free(all);
    return folder;
}

static char *path_of(const char *folder, const char *key)
{
    return gr_strfmt("%s/%016llx.bin", folder, (unsigned long long)gr_checksum(key, strlen(key)));
}

void *gr_gpu_cache_read(const char *folder, const char *key, size_t *size)
{
    char *path = path_of(folder, key), *file = NULL;
    void *data = NULL;
    size_t n = 0, n_key = strlen(key);
    head h;
    if (path && gr_path_is_file(path))
        file = gr_file_read(path, LIMIT, &n);
    if (file && n >= sizeof h) {
        const char *rest = file + sizeof h;
        memcpy(&h, file, sizeof h);
        bool whole = h.key == n_key && n - sizeof h >= n_key && h.data == n - sizeof h - n_key &&
                     memcmp(rest, key, n_key) == 0 && gr_checksum(rest + n_key, (size_t)h.data) == h.checksum;
        data = whole ? gr_alloc((size_t)h.data) : NULL;
        if (data)
            memcpy(data, rest + n_key, *size = (size_t)h.data);
    }
    gr_free(file);
    gr_free(path);
    gr_error_clear();
    return data;
}

static gr_status write_all(const char *path, const head *h, const char *key, const void *data)
{
    gr_writer *w = gr_writer_open(path);
    if (!w)
        return gr_error_status();
    gr_writer_write(w, h, sizeof *h);
    gr_writer_write(w, key, (size_t)h->key);
    gr_writer_write(w, data, (size_t)h->data);
    return gr_writer_commit(w);
}

void gr_gpu_cache_write(const char *folder, const char *key, const void *data, size_t size)
{
    head h = {strlen(key), size, gr_checksum(data, size)};
    char *path = path_of(folder, key);
    bool is_other = path && access(path, F_OK) == 0 && !gr_path_is_file(path); /* a pipe would wait for its reader */
    if (path && !is_other && gr_dir_make(folder) == GR_OK)
        write_all(path, &h, key, data);
    gr_free(path);
    gr_error_clear();
}
