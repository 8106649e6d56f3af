/* Training data of hostile bytes: lines of .jsonl and records of an array are refused with their number, or are whole
 * documents; and documents of
 * any lengths make rows in which every token that is learned is a target once. */
#include <string.h>

#include "base/content.h"
#include "base/mem.h"
#include "data/records.h"
#include "data/window.h"
#include "train/data.h"

static gr_status look(void *user, gr_document_text *d)
{
    size_t *bytes = user;
    if (d->prompt >= d->size || d->line == 0)
        __builtin_trap();
    for (size_t i = 0; i < d->size; i++)
        *bytes += d->text[i] == 0;
    return GR_OK;
}

/* Through a file, as records are cut from parts of one. */
static void read_records(const char *name, const char *text, size_t size, bool is_array, size_t block)
{
    size_t bytes = 0;
    FILE *file = tmpfile();
    if (!file || fwrite(text, 1, size, file) != size || fflush(file) != 0)
        __builtin_trap();
    rewind(file);
    gr_window w = {.name = name, .fd = fileno(file)};
    gr_reader r = {.take = look, .user = &bytes, .threads = 1, .files = (char *[]){(char *)name}, .n_files = 1};
    gr_status s = gr_read_records(&r, &w, is_array, block);
    if (s != GR_OK && strncmp(gr_error(), is_array ? "data.json: " : "data.jsonl: line ", is_array ? 11 : 17) != 0)
        __builtin_trap();
    gr_pool_free(r.pool);
    gr_bytes_free(&w.text);
    fclose(file);
}

static void read_lines(const char *text, size_t size)
{
    gr_error_clear();
    gr_records form;
    gr_records_of(text, size, &form);
    gr_looks_like_json(text, size, true);
    gr_refuse_content("data.jsonl", text, size);
    read_records("data.jsonl", text, size, false, 1 << 20);
    read_records("data.jsonl", text, size, false, 16);
    read_records("data.json", text, size, true, 1 << 20);
    read_records("data.json", text, size, true, 16);
}

enum { DOCUMENTS = 64, TOKENS = 1 << 14, MOST = 256 };

static void check_epoch(const gr_data *d, const gr_rows *r)
{
    static gr_token tokens[MOST], targets[MOST];
    static int64_t segments[MOST];
    static uint8_t seen[TOKENS];
    memset(seen, 0, sizeof seen);
    for (int64_t k = 0; k < gr_rows_describe(r)->rows; k++) {
        gr_rows_fill(r, k, tokens, targets, segments);
        for (int64_t i = 0; i < r->context; i++)
            if (targets[i] >= 0)
                seen[targets[i]]++;
    }
    for (int64_t i = 0; i < d->n_documents; i++)
        for (int64_t at = d->documents[i].begin; at < d->documents[i].end; at++)
            if (seen[at] != (at >= d->documents[i].begin + d->documents[i].given))
                __builtin_trap();
}

/* Two bytes a document: its length, and how much of it is given. */
static void pack(const uint8_t *data, size_t size)
{
    static int32_t ids[TOKENS];
    static gr_document documents[DOCUMENTS];
    gr_data d = {.ids = ids, .documents = documents};
    for (int32_t i = 0; i < TOKENS; i++)
        ids[i] = i;
    for (size_t i = 1; i + 1 < size && d.n_documents < DOCUMENTS; i += 2) {
        int64_t length = 2 + data[i] % 250;
        documents[d.n_documents++] =
            (gr_document){d.n, d.n + length, (int32_t)(1 + data[i + 1] % (length - 1)), 0, 0, 0};
        d.n += length;
    }
    for (int shuffle = 0; d.n_documents && shuffle < 2; shuffle++) {
        gr_rows *r = gr_rows_new(&d, 1 + data[0], shuffle, data[0]);
        if (!r)
            __builtin_trap();
        check_epoch(&d, r);
        gr_rows_free(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_lines((const char *)data, size);
    if (size > 2)
        pack(data, size);
    return 0;
}
