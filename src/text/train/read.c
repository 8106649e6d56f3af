/* Files to train a tokenizer on, a part in memory at a time. */
#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include "base/content.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "format/records.h"
#include "text/train/trainer.h"
#include "base/utf8.h"

enum { BLOCK = 8 << 20 };

static bool is_text_name(const char *name)
{
    size_t n = strlen(name);
    return gr_is_jsonl_name(name) || (n >= 4 && strcasecmp(name + n - 4, ".txt") == 0);
}

/* A byte order mark is no part of a .jsonl file's first line. */
static void drop_mark(gr_bytes *text)
{
    size_t n = gr_byte_order_mark(text->data, text->size);
    if (n)
        memmove(text->data, text->data + n, text->size - n);
    text->size -= n;
}

/* The rest of a stream behind what there is of it. */
static gr_status read_rest(FILE *in, const char *name, gr_bytes *text)
{
    size_t got = 1;
    while (got > 0) {
        if (gr_bytes_reserve(text, BLOCK) != GR_OK)
            return GR_ERR_MEMORY;
        got = fread(text->data + text->size, 1, BLOCK, in);
        text->size += got;
    }
    return ferror(in) ? gr_fail_errno("reading", name) : GR_OK;
}

/* The records of an array, a line each. */
static gr_status lines_of_array(const char *name, const gr_bytes *array, gr_bytes *out)
{
    gr_array_reader r = {.name = name, .text = array->data, .size = array->size};
    const char *item;
    size_t length;
    gr_status s = gr_array_next(&r, &item, &length);
    while (s == GR_OK && item) {
        size_t from = out->size;
        s = gr_bytes_add(out, item, length);
        for (size_t i = from; s == GR_OK && i < out->size; i++)
            if (out->data[i] == '\n') /* in JSON it is only space */
                out->data[i] = ' ';
        if (s == GR_OK)
            s = gr_bytes_add(out, "\n", 1);
        if (s == GR_OK)
            s = gr_array_next(&r, &item, &length);
    }
    return s;
}

static gr_status count_array(gr_tokenizer_trainer *t, FILE *in, const char *name, gr_bytes *text)
{
    gr_bytes lines = {0};
    char records[500];
    size_t used;
    int64_t line = 1;
    gr_status s = read_rest(in, name, text);
    if (s == GR_OK)
        s = lines_of_array(name, text, &lines);
    snprintf(records, sizeof records, "%.400s, a record a line", name);
    if (s == GR_OK && lines.size)
        s = gr_trainer_count_jsonl(t, records, lines.data, lines.size, true, &used, &line);
    text->size = 0;
    gr_bytes_free(&lines);
    return s;
}

/* What the first block tells of a stream. */
static gr_status look_at(const char *name, const gr_bytes *text, bool *jsonl, bool *array)
{
    gr_status s = gr_refuse_content(name, text->data, text->size);
    gr_records form = s == GR_OK && !*jsonl ? gr_records_of(text->data, text->size) : GR_RECORDS_NONE;
    *array = form == GR_RECORDS_ARRAY;
    *jsonl |= form == GR_RECORDS_LINES;
    if (form != GR_RECORDS_NONE)
        gr_remark(GR_LOG_INFO, "%.400s %s", name,
                  *array ? "is an array of records, which are read as lines of a .jsonl file are"
                         : "begins as a .jsonl file does, and is read as one");
    else if (s == GR_OK && !*jsonl && gr_looks_like_json(text->data, text->size))
        gr_remark(GR_LOG_WARN, "%.400s is JSON that is read as text, with its braces and keys", name);
    return s;
}

/* Said once for all files. */
static void look_for_bytes(gr_tokenizer_trainer *t, const char *name, const char *text, size_t size, int64_t before)
{
    size_t whole = t->told_of_bytes ? size : gr_utf8_prefix(text, size);
    const char *nul = t->told_of_nul || !size ? NULL : memchr(text, 0, size);
    if (nul)
        gr_remark(GR_LOG_WARN, "%.400s: byte %lld is NUL, which is read as a character", name,
                  (long long)before + (long long)(nul - text));
    t->told_of_nul |= nul != NULL;
    if (whole == size)
        return;
    t->told_of_bytes = true;
    gr_remark(GR_LOG_WARN,
              "%.400s: byte %lld is not UTF-8: bytes that are no characters are read as they are; iconv converts", name,
              (long long)before + (long long)whole);
}

/* What was read is counted up to where it can be cut; a word that fills the buffer makes it grow. */
static gr_status count_stream(gr_tokenizer_trainer *t, FILE *in, const char *name, bool jsonl)
{
    gr_bytes text = {0};
    gr_status s = GR_OK;
    int64_t line = 1, before = 0;
    bool array = false;
    for (bool end = false, first = true; !end && s == GR_OK; first = false) {
        size_t used = 0;
        s = gr_bytes_reserve(&text, text.size < BLOCK ? BLOCK - text.size : text.size);
        if (s != GR_OK)
            break;
        size_t want = text.cap - text.size, got = fread(text.data + text.size, 1, want, in);
        text.size += got;
        end = got < want;
        if (end && ferror(in))
            s = gr_fail_errno("reading", name);
        if (first && s == GR_OK)
            s = look_at(name, &text, &jsonl, &array);
        if (s == GR_OK && array) {
            s = count_array(t, in, name, &text);
            break;
        }
        if (first && jsonl)
            drop_mark(&text);
        if (s == GR_OK && text.size)
            s = jsonl ? gr_trainer_count_jsonl(t, name, text.data, text.size, end, &used, &line)
                      : gr_trainer_count_text(t, text.data, text.size, end, &used);
        if (s == GR_OK && !jsonl)
            look_for_bytes(t, name, text.data, used, before);
        before += (int64_t)used;
        text.size -= used;
        memmove(text.data, text.data + used, text.size);
    }
    gr_bytes_free(&text);
    return s;
}

static gr_status feed_file(gr_tokenizer_trainer *t, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return gr_fail_errno("opening", path);
    gr_status s = count_stream(t, in, path, gr_is_jsonl_name(path));
    fclose(in);
    return s;
}

static gr_status feed_directory(gr_tokenizer_trainer *t, const char *path)
{
    char **names;
    size_t n, found = 0;
    gr_status s = gr_dir_list(path, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        if (!is_text_name(names[i]))
            continue;
        char *file = gr_path_join(path, names[i]);
        s = file ? feed_file(t, file) : GR_ERR_MEMORY;
        gr_free(file);
        found++;
    }
    gr_names_free(names, n);
    if (s == GR_OK && !found)
        return gr_fail(GR_ERR_FILE, "%s: holds no text\nof a directory, .txt and .jsonl files are read", path);
    return s;
}

gr_status gr_tokenizer_trainer_feed_file(gr_tokenizer_trainer *t, const char *path)
{
    if (gr_lacks(t, "gr_tokenizer_trainer_feed_file: trainer") ||
        gr_lacks(path, "gr_tokenizer_trainer_feed_file: path"))
        return GR_ERR_ARGUMENT;
    if (strcmp(path, "-") == 0)
        return count_stream(t, stdin, "standard input", false);
    return gr_path_is_dir(path) ? feed_directory(t, path) : feed_file(t, path);
}
