/* What a model is, known by its bytes: each tensor's name, dtype, shape and data, whatever the files are called and however
 * they are cut, and the text of its config. All of it is read: of what is in memory 5 GB a second and core, and training
 * reads it anyway. */
#include "format/digest.h"

#include <string.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "format/checkpoint.h"
#include "format/gguf.h"

typedef struct work {
    const gr_weights *weights;
    uint64_t *sums; /* [count] of the data */
} work;

static void hash_tensor(void *user, int64_t i, int worker)
{
    const work *w = user;
    const gr_weight *t = gr_weights_entry(w->weights, (int)i);
    (void)worker;
    w->sums[i] = gr_checksum(t->data, t->bytes);
}

static void add_tensors(gr_digest *d, const work *w)
{
    for (int i = 0; i < gr_weights_count(w->weights); i++) {
        const gr_weight *t = gr_weights_entry(w->weights, i);
        uint64_t words[6 + GR_MAX_DIMS] = {d->checksum, gr_checksum(t->name, strlen(t->name)), w->sums[i], t->bytes};
        words[4] = (uint64_t)t->dtype;
        words[5] = t->stored ? gr_checksum(t->stored->name, strlen(t->stored->name)) : 0;
        for (int k = 0; k < t->ndim; k++)
            words[6 + k] = (uint64_t)t->shape[k];
        d->checksum = gr_checksum_words(words, sizeof words / sizeof *words);
        d->bytes += (int64_t)t->bytes;
    }
}

static gr_status add_weights(gr_digest *d, const char *dir, int threads)
{
    work w = {.weights = gr_checkpoint_weights(dir)};
    gr_pool *pool = w.weights ? gr_pool_new(threads) : NULL;
    int n = w.weights ? gr_weights_count(w.weights) : 0;
    w.sums = pool ? gr_alloc(((size_t)n + 1) * sizeof *w.sums) : NULL;
    gr_status s = w.sums ? GR_OK : gr_error_status();
    if (s == GR_OK) {
        gr_parallel(pool, n, hash_tensor, &w);
        add_tensors(d, &w);
    }
    gr_free(w.sums);
    gr_pool_free(pool);
    gr_weights_close((gr_weights *)w.weights);
    return s;
}

gr_status gr_digest_file(const char *path, gr_digest *d)
{
    size_t size;
    char *text = gr_file_read(path, GR_JSON_LIMIT, &size);
    if (!text)
        return gr_error_status();
    const uint64_t words[] = {d->checksum, size, gr_checksum(text, size)};
    d->checksum = gr_checksum_words(words, 3);
    d->bytes += (int64_t)size;
    gr_free(text);
    return GR_OK;
}

/* The keys of a GGUF file, which say what config.json does elsewhere. */
static gr_status add_keys(const char *path, gr_digest *d)
{
    gr_gguf *g = gr_gguf_open_first(path);
    if (!g)
        return gr_error_status();
    for (int i = 0; i < gr_gguf_count(g); i++) {
        const gr_gguf_key *k = gr_gguf_entry(g, i);
        const uint64_t words[] = {d->checksum, gr_checksum(k->name, strlen(k->name)), (uint64_t)k->type,
                                  gr_checksum(k->data, k->bytes)};
        d->checksum = gr_checksum_words(words, 4);
        d->bytes += (int64_t)k->bytes;
    }
    gr_gguf_close(g);
    return GR_OK;
}

gr_status gr_digest_model(const char *dir, int threads, gr_digest *d)
{
    *d = (gr_digest){0};
    if (gr_gguf_is_place(dir)) {
        gr_status read = add_keys(dir, d);
        return read == GR_OK ? add_weights(d, dir, threads) : read;
    }
    gr_adapter_place adapter;
    if (gr_checkpoint_find_adapter(dir, &adapter) != GR_OK)
        return gr_error_status();
    char *config = gr_path_join(dir, adapter == GR_ADAPTER_ALONE ? GR_ADAPTER_CONFIG : "config.json");
    gr_status s = config ? gr_digest_file(config, d) : GR_ERR_MEMORY;
    gr_free(config);
    return s == GR_OK ? add_weights(d, dir, threads) : s;
}
