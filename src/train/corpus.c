/* Reading documents. */
#include "train/data.h"

#include "base/content.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/records.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- a reader ----------------------------------------------------------------------------------------------- */

void gr_files_free(char **files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gr_free(files[i]);
    gr_free(files);
}

const char *gr_place(char *const *files, size_t file, int64_t line, char *buffer, size_t cap)
{
    if (line != 0)
        snprintf(buffer, cap, "%s: %s %lld", files[file], line > 0 ? "line" : "record",
                 (long long)(line > 0 ? line : -line));
    else
        snprintf(buffer, cap, "%s", files[file]);
    return buffer;
}

static void leave_out(gr_left_out *l, const gr_document_text *d)
{
    if (l->count++ == 0) {
        l->file = d->file;
        l->line = d->line;
    }
}

gr_status gr_reader_take(gr_reader *r, const gr_document_text *d)
{
    if (d->size == d->prompt) {
        leave_out(d->prompt ? &r->empty_completion : &r->empty_text, d);
        return GR_OK;
    }
    r->documents++;
    r->bytes += (int64_t)d->size;
    return r->take(r->user, d);
}

static void remark_left_out(const gr_reader *r, const gr_left_out *l, const char *what)
{
    char place[GR_PLACE_SIZE];
    if (l->count > 0)
        gr_remark(GR_LOG_WARN, "%s: %lld empty %s%s left out%s",
                  gr_place(r->files, l->file, l->line, place, sizeof place), (long long)l->count, what,
                  l->count == 1 ? "" : "s", l->count == 1 ? "" : ", this is the first");
}

static void remark_odd(const gr_reader *r, const gr_left_out *o, const char *what)
{
    char place[GR_PLACE_SIZE], more[60] = "";
    if (o->count > 1)
        snprintf(more, sizeof more, "; so it is in %lld more file%s", (long long)o->count - 1,
                 o->count == 2 ? "" : "s");
    if (o->count > 0)
        gr_remark(GR_LOG_WARN, "%s: byte %zu %s%s", gr_place(r->files, o->file, 0, place, sizeof place), o->at, what,
                  more);
}

static void remark_keys(const gr_reader *r)
{
    char list[GR_MOST_KEYS * 36 + 8] = "";
    for (int i = 0; i < GR_MOST_KEYS && *r->keys[i]; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%s\"", i ? ", " : "", r->keys[i]);
    }
    if (*list)
        gr_remark(GR_LOG_INFO, "of .jsonl lines these keys are not read: %s", list);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

static void note_odd(gr_reader *r, gr_left_out *o, size_t at)
{
    if (o->count++ == 0) {
        o->file = r->n_files - 1;
        o->at = at;
    }
}

/* What is odd about a text that is read as it is. */
static void look_at_text(gr_reader *r, const char *text, size_t size)
{
    size_t whole = gr_utf8_prefix(text, size);
    const char *nul = size ? memchr(text, 0, size) : NULL;
    if (whole < size)
        note_odd(r, &r->not_utf8, whole);
    if (nul)
        note_odd(r, &r->with_nul, (size_t)(nul - text));
    if (gr_byte_order_mark(text, size))
        note_odd(r, &r->with_mark, 0);
    if (gr_looks_like_json(text, size))
        note_odd(r, &r->like_json, 0);
    if (gr_is_table_name(r->files[r->n_files - 1]))
        note_odd(r, &r->table, 0);
}

gr_status gr_reader_begin(gr_reader *r, const char *name)
{
    gr_status s = gr_grow(&r->files, &r->files_cap, r->n_files + 1, sizeof *r->files);
    char *copy = s == GR_OK ? gr_strdup(name) : NULL;
    if (!copy)
        return GR_ERR_MEMORY;
    r->files[r->n_files++] = copy;
    return GR_OK;
}

/* A file that is not called .jsonl may hold records all the same; then it is read as what it is, and that is said. */
static gr_status take_text(gr_reader *r, const char *text, size_t size, bool jsonl)
{
    const char *name = r->files[r->n_files - 1];
    gr_status s = gr_refuse_content(name, text, size);
    gr_records form = s == GR_OK && !jsonl ? gr_records_of(text, size) : GR_RECORDS_NONE;
    if (s == GR_OK)
        s = gr_inputs_add(&r->inputs, name, text, size, jsonl || form != GR_RECORDS_NONE);
    if (s != GR_OK)
        return s;
    if (form == GR_RECORDS_LINES)
        gr_remark(GR_LOG_INFO, "%.400s begins as a .jsonl file does, and is read as one", name);
    if (form == GR_RECORDS_ARRAY)
        gr_remark(GR_LOG_INFO, "%.400s is an array of records, which are read as lines of a .jsonl file are", name);
    if (jsonl || form == GR_RECORDS_LINES)
        return gr_read_jsonl(r, text, size);
    if (form == GR_RECORDS_ARRAY)
        return gr_read_json_array(r, text, size);
    look_at_text(r, text, size);
    return gr_reader_take(r, &(gr_document_text){.text = text, .size = size, .file = r->n_files - 1});
}

bool gr_is_text_file(const char *path)
{
    gr_map map;
    if (gr_is_jsonl_name(path) || !gr_path_is_file(path) || gr_map_open(path, &map) != GR_OK)
        return false;
    bool is_text = gr_records_of((const char *)map.data, map.size) == GR_RECORDS_NONE;
    gr_map_close(&map);
    return is_text;
}

static gr_status read_file(gr_reader *r, const char *path)
{
    bool jsonl = gr_is_jsonl_name(path);
    gr_status s = gr_reader_begin(r, path);
    if (s == GR_OK && gr_path_is_file(path)) {
        gr_map map;
        s = gr_map_open(path, &map);
        if (s != GR_OK)
            return s;
        s = take_text(r, (const char *)map.data, map.size, jsonl);
        gr_map_close(&map);
    } else if (s == GR_OK) { /* a pipe */
        size_t size;
        char *text = gr_file_read(path, SIZE_MAX - 1, &size);
        s = text ? take_text(r, text, size, jsonl) : gr_error_status();
        gr_free(text);
    }
    return s;
}

static bool is_text_name(const char *name)
{
    size_t n = strlen(name);
    return gr_is_jsonl_name(name) || (n >= 4 && strcasecmp(name + n - 4, ".txt") == 0);
}

static gr_status read_directory(gr_reader *r, const char *path)
{
    char **names;
    size_t n, before = r->n_files, others = 0;
    gr_status s = gr_dir_list(path, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        if (!is_text_name(names[i])) {
            others++;
            continue;
        }
        char *file = gr_path_join(path, names[i]);
        s = file ? read_file(r, file) : GR_ERR_MEMORY;
        gr_free(file);
    }
    gr_names_free(names, n);
    if (s == GR_OK && r->n_files == before)
        return gr_fail(GR_ERR_FILE, "%s: holds no text\nof a directory, .txt and .jsonl files are read", path);
    if (s == GR_OK && others > 0)
        gr_remark(GR_LOG_INFO, "%s: %zu entries are no .txt or .jsonl files and are not read", path, others);
    return s;
}

/* Nothing tells what comes through a pipe but its beginning. */
static gr_status read_stdin(gr_reader *r)
{
    char *text = NULL;
    size_t size = 0, capacity = 0, got;
    gr_status s = gr_reader_begin(r, "standard input");
    do {
        s = s == GR_OK ? gr_grow(&text, &capacity, size + 65536, 1) : s;
        got = s == GR_OK ? fread(text + size, 1, 65536, stdin) : 0;
        size += got;
    } while (got > 0);
    if (s == GR_OK && ferror(stdin))
        s = gr_fail(GR_ERR_FILE, "standard input: cannot be read: %s\ngive a file", strerror(errno));
    if (s == GR_OK)
        s = take_text(r, text, size, false);
    gr_free(text);
    return s;
}

gr_status gr_read_documents(gr_reader *r, const char *const *paths, int n)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < n; i++) {
        if (gr_lacks(paths[i], "data: a path"))
            s = GR_ERR_ARGUMENT;
        else if (strcmp(paths[i], "-") == 0)
            s = read_stdin(r);
        else
            s = gr_path_is_dir(paths[i]) ? read_directory(r, paths[i]) : read_file(r, paths[i]);
    }
    gr_free(r->pair);
    r->pair = NULL;
    if (s == GR_OK && r->documents == 0)
        s = gr_fail(GR_ERR_FILE, "%s: there is no text in it\ngive files that hold some", n ? paths[0] : "data");
    if (s != GR_OK)
        return s;
    remark_left_out(r, &r->empty_text, "text");
    remark_left_out(r, &r->empty_completion, "completion");
    remark_keys(r);
    remark_odd(r, &r->not_utf8, "is not UTF-8: bytes that are no characters are read as they are; iconv converts");
    remark_odd(r, &r->with_nul, "is NUL, which is read as a character");
    remark_odd(r, &r->with_mark, "is a byte order mark, which is read as a character");
    remark_odd(r, &r->like_json,
               "begins JSON, which is read as text, with its braces and keys; records have \"text\", or \"prompt\" and "
               "\"completion\"");
    remark_odd(r, &r->table,
               "begins a table, which is read as text, with its header and separators; write its rows as records of a "
               ".jsonl file");
    return GR_OK;
}

/* ---- a corpus ----------------------------------------------------------------------------------------------- */

void gr_corpus_free(gr_corpus *c)
{
    if (!c)
        return;
    gr_files_free(c->files, c->n_files);
    gr_inputs_free(&c->inputs);
    gr_free(c->text);
    gr_free(c->documents);
    gr_free(c);
}

const char *gr_corpus_text(const gr_corpus *c, size_t *size)
{
    size_t unasked;
    size = size ? size : &unasked;
    *size = 0;
    if (gr_lacks(c, "gr_corpus_text: corpus"))
        return NULL;
    *size = c->size;
    return c->text ? c->text : "";
}

int64_t gr_corpus_documents(const gr_corpus *c)
{
    if (gr_lacks(c, "gr_corpus_documents: corpus"))
        return -1;
    return (int64_t)c->n;
}

gr_status gr_corpus_feed(const gr_corpus *c, gr_tokenizer_trainer *trainer)
{
    if (gr_lacks(c, "gr_corpus_feed: corpus") || gr_lacks(trainer, "gr_corpus_feed: trainer"))
        return GR_ERR_ARGUMENT;
    gr_status s = GR_OK;
    size_t at = 0;
    for (size_t i = 0; s == GR_OK && i < c->n; at += c->documents[i++].size) {
        size_t prompt = c->documents[i].prompt; /* no token goes over its end */
        if (prompt)
            s = gr_tokenizer_trainer_feed(trainer, c->text + at, prompt);
        if (s == GR_OK)
            s = gr_tokenizer_trainer_feed(trainer, c->text + at + prompt, c->documents[i].size - prompt);
    }
    return s;
}

static gr_status keep(void *user, const gr_document_text *d)
{
    gr_corpus *c = user;
    gr_status s = gr_grow(&c->text, &c->capacity, c->size + d->size, 1);
    if (s == GR_OK)
        s = gr_grow(&c->documents, &c->documents_cap, c->n + 1, sizeof *c->documents);
    if (s != GR_OK)
        return s;
    memcpy(c->text + c->size, d->text, d->size);
    c->size += d->size;
    c->documents[c->n] = *d;
    c->documents[c->n++].text = NULL;
    return GR_OK;
}

gr_corpus *gr_corpus_load(const char *const *paths, int n)
{
    if (gr_lacks(paths, "gr_corpus_load: paths"))
        return NULL;
    gr_corpus *c = gr_alloc_zero(1, sizeof *c);
    if (!c)
        return NULL;
    gr_reader r = {.take = keep, .user = c};
    gr_status s = gr_read_documents(&r, paths, n);
    c->files = r.files;
    c->n_files = r.n_files;
    c->inputs = r.inputs;
    if (s == GR_OK)
        return c;
    gr_corpus_free(c);
    return NULL;
}

bool gr_corpus_is_one_text(const char *const *paths, int n)
{
    return n == 1 && !gr_lacks(paths, "gr_corpus_is_one_text: paths") && gr_is_text_file(paths[0]);
}

gr_status gr_corpus_spans(const gr_corpus *c, gr_span *spans)
{
    if (gr_lacks(c, "gr_corpus_spans: corpus") || gr_lacks(spans, "gr_corpus_spans: spans"))
        return GR_ERR_ARGUMENT;
    const char *at = c->text;
    for (size_t i = 0; i < c->n; at += c->documents[i++].size)
        spans[i] = (gr_span){at, c->documents[i].size};
    return GR_OK;
}
