/* Files to train a tokenizer on, a part in memory at a time. */
#include <errno.h>
#include <stdio.h>
#include "format/json.h"
#include "text/unicode/buffer.h"
#include "text/trainer.h"
#include "base/error.h"
#include "base/file.h"

enum { BLOCK = 8 << 20 };

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Whether what stdin begins with is a line of a .jsonl file. */
static bool looks_like_jsonl(const gr_bytes *text)
{
    const char *newline = text->size && text->data[0] == '{' ? memchr(text->data, '\n', text->size) : NULL;
    gr_json_doc *doc = newline ? gr_json_parse("line 1", text->data, (size_t)(newline - text->data)) : NULL;
    bool found = doc && (gr_json_is(gr_json_get(gr_json_root(doc), "text")) ||
                         gr_json_is(gr_json_get(gr_json_root(doc), "prompt")));
    gr_json_free(doc);
    gr_error_clear();
    return found;
}

/* A byte order mark is no part of a .jsonl file's first line. */
static void drop_mark(gr_bytes *text)
{
    if (text->size < 3 || memcmp(text->data, "\xEF\xBB\xBF", 3) != 0)
        return;
    memmove(text->data, text->data + 3, text->size - 3);
    text->size -= 3;
}

/* What was read is counted up to where it can be cut; a word that fills the buffer makes it grow. */
static gr_status count_stream(gr_tokenizer_trainer *t, FILE *in, const char *name, bool jsonl)
{
    gr_bytes text = {0};
    gr_status status = GR_OK;
    int64_t line = 1;
    for (bool end = false, first = true; !end && !status; first = false) {
        size_t used = 0;
        status = gr_bytes_reserve(&text, text.size < BLOCK ? BLOCK - text.size : text.size);
        if (status)
            break;
        size_t want = text.cap - text.size, got = fread(text.data + text.size, 1, want, in);
        text.size += got;
        end = got < want;
        if (end && ferror(in))
            status = gr_fail_errno("reading", name);
        if (first && end && !status)
            status = gr_refuse_pointer(name, text.data, text.size);
        if (first && in == stdin)
            jsonl = looks_like_jsonl(&text);
        if (first && jsonl)
            drop_mark(&text);
        if (!status && text.size)
            status = jsonl ? gr_trainer_count_jsonl(t, name, text.data, text.size, end, &used, &line)
                           : gr_trainer_count_text(t, text.data, text.size, end, &used);
        text.size -= used;
        memmove(text.data, text.data + used, text.size);
    }
    gr_bytes_free(&text);
    return status;
}

static gr_status feed_file(gr_tokenizer_trainer *t, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return gr_fail_errno("opening", path);
    gr_status status = count_stream(t, in, path, ends_with(path, ".jsonl"));
    fclose(in);
    return status;
}

static gr_status feed_directory(gr_tokenizer_trainer *t, const char *path)
{
    char **names;
    size_t n, found = 0;
    gr_status status = gr_dir_list(path, &names, &n);
    if (status)
        return status;
    for (size_t i = 0; i < n && !status; i++) {
        if (!ends_with(names[i], ".txt") && !ends_with(names[i], ".jsonl"))
            continue;
        char *file = gr_path_join(path, names[i]);
        status = file ? feed_file(t, file) : GR_ERR_MEMORY;
        gr_free(file);
        found++;
    }
    gr_names_free(names, n);
    if (!status && !found)
        return gr_fail(GR_ERR_FILE, "%s: holds no text\nof a directory, .txt and .jsonl files are read", path);
    return status;
}

gr_status gr_tokenizer_trainer_feed_file(gr_tokenizer_trainer *t, const char *path)
{
    if (strcmp(path, "-") == 0)
        return count_stream(t, stdin, "standard input", false);
    return gr_path_is_dir(path) ? feed_directory(t, path) : feed_file(t, path);
}
