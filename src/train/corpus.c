/* Reading text to train on. */
#include "train/data.h"

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct gr_corpus {
    char *text; /* [size] of all documents */
    size_t size, capacity;
    size_t *ends; /* [n]: where each document ends */
    size_t n, ends_capacity;
};

void gr_corpus_free(gr_corpus *c)
{
    if (!c)
        return;
    gr_free(c->text);
    gr_free(c->ends);
    gr_free(c);
}

const char *gr_corpus_text(const gr_corpus *c, size_t *size)
{
    *size = c->size;
    return c->text ? c->text : "";
}

int64_t gr_corpus_documents(const gr_corpus *c)
{
    return (int64_t)c->n;
}

gr_status gr_corpus_feed(const gr_corpus *c, gr_tokenizer_trainer *trainer)
{
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < c->n; i++) {
        size_t start = i ? c->ends[i - 1] : 0;
        s = gr_tokenizer_trainer_feed(trainer, c->text + start, c->ends[i] - start);
    }
    return s;
}

static gr_status add_document(gr_corpus *c, const char *text, size_t size)
{
    if (size == 0)
        return GR_OK;
    gr_status s = gr_grow(&c->text, &c->capacity, c->size + size, 1);
    if (s == GR_OK)
        s = gr_grow(&c->ends, &c->ends_capacity, c->n + 1, sizeof *c->ends);
    if (s != GR_OK)
        return s;
    memcpy(c->text + c->size, text, size);
    c->size += size;
    c->ends[c->n++] = c->size;
    return GR_OK;
}

/* ---- .jsonl ------------------------------------------------------------------------------------------------- */

static gr_status add_json_line(gr_corpus *c, const char *name, const char *line, size_t size)
{
    gr_json_doc *doc = gr_json_parse(name, line, size);
    if (!doc)
        return gr_error_status();
    size_t n = 0;
    const char *text = gr_json_as_text(gr_json_get(gr_json_as_object(gr_json_root(doc)), "text"), &n);
    gr_status s = gr_json_check(doc);
    if (s == GR_OK)
        s = add_document(c, text, n);
    gr_json_free(doc);
    return s;
}

static gr_status add_jsonl(gr_corpus *c, const char *path, const char *text, size_t size)
{
    gr_status s = GR_OK;
    long line = 1;
    for (size_t at = 0; s == GR_OK && at < size; line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t n = end ? (size_t)(end - text) - at : size - at;
        char name[600];
        snprintf(name, sizeof name, "%s: line %ld", path, line);
        if (strspn(text + at, " \t\r") < n)
            s = add_json_line(c, name, text + at, n);
        at += n + 1;
    }
    return s;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static gr_status add_file(gr_corpus *c, const char *path)
{
    size_t size;
    char *text = gr_file_read(path, SIZE_MAX - 1, &size);
    if (!text)
        return gr_error_status();
    gr_status s = ends_with(path, ".jsonl") ? add_jsonl(c, path, text, size) : add_document(c, text, size);
    gr_free(text);
    return s;
}

static gr_status add_directory(gr_corpus *c, const char *path)
{
    char **names;
    size_t n, before = c->n;
    gr_status s = gr_dir_list(path, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        if (!ends_with(names[i], ".txt") && !ends_with(names[i], ".jsonl"))
            continue;
        char *file = gr_path_join(path, names[i]);
        s = file ? add_file(c, file) : GR_ERR_MEMORY;
        gr_free(file);
    }
    gr_names_free(names, n);
    if (s == GR_OK && c->n == before)
        return gr_fail(GR_ERR_FILE, "%s: holds no text\nof a directory, .txt and .jsonl files are read", path);
    return s;
}

static gr_status add_stdin(gr_corpus *c)
{
    char *text = NULL;
    size_t size = 0, capacity = 0, got;
    gr_status s;
    do {
        s = gr_grow(&text, &capacity, size + 65536, 1);
        got = s == GR_OK ? fread(text + size, 1, 65536, stdin) : 0;
        size += got;
    } while (got > 0);
    if (s == GR_OK && ferror(stdin))
        s = gr_fail(GR_ERR_FILE, "standard input: cannot be read: %s", strerror(errno));
    if (s == GR_OK)
        s = add_document(c, text, size);
    gr_free(text);
    return s;
}

gr_corpus *gr_corpus_load(const char *const *paths, int n)
{
    gr_corpus *c = gr_alloc_zero(1, sizeof *c);
    gr_status s = c ? GR_OK : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < n; i++) {
        if (strcmp(paths[i], "-") == 0)
            s = add_stdin(c);
        else
            s = gr_path_is_dir(paths[i]) ? add_directory(c, paths[i]) : add_file(c, paths[i]);
    }
    if (s == GR_OK && c->size == 0)
        s = gr_fail(GR_ERR_FILE, "%s: there is no text in it", n ? paths[0] : "data");
    if (s == GR_OK)
        return c;
    gr_corpus_free(c);
    return NULL;
}

/* ---- ids ---------------------------------------------------------------------------------------------------- */

static gr_status add_ids(gr_data *d, size_t *capacity, const int32_t *ids, size_t n)
{
    gr_status s = gr_grow(&d->ids, capacity, (size_t)d->n + n, sizeof *d->ids);
    if (s == GR_OK && n)
        memcpy(d->ids + d->n, ids, n * sizeof *ids);
    if (s == GR_OK)
        d->n += (int64_t)n;
    return s;
}

gr_data *gr_data_from_corpus(const gr_corpus *c, gr_tokenizer *tokenizer)
{
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    int32_t between = (int32_t)gr_tokenizer_eos(tokenizer);
    size_t capacity = 0, start = 0, n;
    gr_status s = d ? GR_OK : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < c->n; i++) {
        const int32_t *ids;
        if (i && between >= 0)
            s = add_ids(d, &capacity, &between, 1);
        if (s == GR_OK)
            s = gr_tokenizer_encode(tokenizer, c->text + start, c->ends[i] - start, 0, &ids, &n);
        if (s == GR_OK)
            s = add_ids(d, &capacity, ids, n);
        start = c->ends[i];
    }
    if (s == GR_OK && d->n < 2)
        s = gr_fail(GR_ERR_ARGUMENT, "data: only %lld tokens, at least 2 are needed", (long long)d->n);
    if (s == GR_OK) {
        d->bytes = (int64_t)c->size;
        return d;
    }
    gr_data_free(d);
    return NULL;
}
