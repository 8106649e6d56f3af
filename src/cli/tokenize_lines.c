/* Blocks of lines, encoded or decoded on all threads. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "base/first_error.h"
#include "base/content.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/term.h"
#include "cli/tokenize_lines.h"

/* ---- one answer --------------------------------------------------------------------------------------------- */

static char *write_number(char *to, uint32_t x)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = (char)('0' + x % 10);
    while (x /= 10);
    while (n)
        *to++ = digits[--n];
    return to;
}

static gr_status add_ids(gr_bytes *out, const int32_t *ids, size_t n, const char *separator)
{
    gr_status status = gr_bytes_reserve(out, n * 12);
    char *to = status == GR_OK ? out->data + out->size : NULL;
    for (size_t i = 0; i < n && to; i++) {
        for (const char *c = i ? separator : ""; *c; c++)
            *to++ = *c;
        to = write_number(to, (uint32_t)ids[i]);
    }
    if (n && to)
        out->size = (size_t)(to - out->data);
    return status;
}

static gr_status add_tokens(gr_bytes *out, const gr_tokenizer *tokenizer, const int32_t *ids, size_t n)
{
    gr_status status = gr_bytes_add_string(out, ", \"tokens\": [");
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        size_t size = 0;
        const char *token = gr_tokenizer_token(tokenizer, ids[i], &size, NULL);
        status = gr_bytes_add_string(out, i ? ", " : "");
        if (status == GR_OK)
            status = gr_json_add_text(out, token ? token : "", size);
    }
    return status == GR_OK ? gr_bytes_add_string(out, "]") : status;
}

gr_status gr_line_ids(const gr_line_format *f, const int32_t *ids, size_t n, gr_bytes *out)
{
    bool is_object = f->json || f->jsonl;
    gr_status status = is_object ? gr_bytes_add_string(out, "{\"ids\": [") : GR_OK;
    if (status == GR_OK)
        status = add_ids(out, ids, n, is_object ? ", " : ",");
    if (status == GR_OK && is_object)
        status = gr_bytes_add_string(out, "]");
    if (status == GR_OK && f->json)
        status = add_tokens(out, f->tokenizer, ids, n);
    return status == GR_OK ? gr_bytes_add_string(out, is_object ? "}\n" : "\n") : status;
}

gr_status gr_line_encode(const gr_line_format *f, gr_tokenizer *t, const char *text, size_t size, gr_bytes *out)
{
    const int32_t *ids;
    size_t n;
    gr_status status = gr_tokenizer_encode(t, text, size, f->encode_flags, &ids, &n);
    return status == GR_OK ? gr_line_ids(f, ids, n, out) : status;
}

gr_status gr_line_decode(const gr_line_format *f, gr_tokenizer *t, const int32_t *ids, size_t n, gr_bytes *out)
{
    bool is_object = f->json || f->jsonl;
    size_t size;
    for (size_t i = 0; i < n; i++)
        if (gr_tokenizer_token(f->tokenizer, ids[i], &size, NULL) == NULL)
            return gr_fail(GR_ERR_ARGUMENT, "decode: the tokenizer has no token %d\nIts ids are below %lld.",
                           (int)ids[i], (long long)gr_tokenizer_describe(f->tokenizer)->vocab_size);
    const char *text;
    gr_status status = gr_tokenizer_decode(t, ids, n, f->decode_flags, &text, &size);
    if (status == GR_OK && is_object)
        status = gr_bytes_add_string(out, "{\"text\": ");
    if (status == GR_OK)
        status = is_object ? gr_json_add_text(out, text, size) : gr_bytes_add(out, text, size);
    return status == GR_OK ? gr_bytes_add_string(out, is_object ? "}\n" : "\n") : status;
}

/* ---- one line ----------------------------------------------------------------------------------------------- */

static gr_status decode_list(const gr_line_format *f, gr_tokenizer *t, gr_json list, gr_bytes *out)
{
    size_t n = gr_json_size(gr_json_as_array(list));
    gr_status status = gr_json_check(list.doc);
    gr_ids ids = {0};
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        status = gr_ids_add(&ids, (int32_t)gr_json_as_int(gr_json_item(list, i), 0, INT32_MAX));
        if (status == GR_OK)
            status = gr_json_check(list.doc);
    }
    if (status == GR_OK)
        status = gr_line_decode(f, t, ids.data, n, out);
    gr_ids_free(&ids);
    return status;
}

static gr_status answer_json(const gr_line_format *f, gr_tokenizer *t, const char *name, const char *line, size_t size,
                             gr_bytes *out)
{
    gr_json_doc *doc = gr_json_parse(name, line, size);
    if (doc == NULL)
        return gr_error_status();
    gr_json root = gr_json_as_object(gr_json_root(doc)), text = gr_json_get(root, "text"),
            ids = gr_json_get(root, "ids");
    gr_status status = gr_json_check(doc);
    size_t length = 0;
    if (status == GR_OK && gr_json_is(ids) && !gr_json_is(text)) {
        status = decode_list(f, t, ids, out);
    } else if (status == GR_OK) {
        const char *field = gr_json_as_text(text, &length);
        status = gr_json_check(doc);
        if (status == GR_OK)
            status = gr_line_encode(f, t, field, length, out);
    }
    if (status != GR_OK && gr_json_check(doc) == GR_OK) /* what the document says has its name in it */
        status = status == GR_ERR_MEMORY ? status : gr_fail_in("%s", name);
    gr_json_free(doc);
    return status;
}

static gr_status answer(const gr_line_format *f, gr_tokenizer *t, int64_t number, const char *line, size_t size,
                        gr_bytes *out)
{
    char name[48];
    snprintf(name, sizeof name, "stdin, line %lld", (long long)number);
    if (f->jsonl)
        return answer_json(f, t, name, line, size, out);
    gr_status status = gr_line_encode(f, t, line, size, out);
    return status == GR_OK || status == GR_ERR_MEMORY ? status : gr_fail_in("%s", name);
}

/* ---- many lines --------------------------------------------------------------------------------------------- */

enum { PART = 1 << 14, BLOCK = 1 << 20, MOST_PARTS = 128 };

typedef struct part {
    const char *text, *end; /* whole lines */
    int64_t line;           /* number of the first */
    gr_bytes out;
} part;

typedef struct lines {
    const gr_line_format *format;
    gr_pool *pool;
    gr_tokenizer **tokenizers; /* one a worker */
    part part[MOST_PARTS];
    int64_t line; /* number of the next */
    gr_first_error error;
} lines;

static void answer_part(void *ctx, int64_t index, int worker)
{
    lines *l = ctx;
    part *p = &l->part[index];
    int64_t number = p->line;
    gr_status status = GR_OK;
    p->out.size = 0;
    if (gr_first_error_skips(&l->error, index))
        return;
    for (const char *at = p->text; at < p->end && status == GR_OK; number++) {
        const char *newline = memchr(at, '\n', (size_t)(p->end - at)), *stop = newline ? newline : p->end;
        size_t before = p->out.size;
        status = answer(l->format, l->tokenizers[worker], number, at, (size_t)(stop - at), &p->out);
        if (status != GR_OK)
            p->out.size = before;
        at = stop + 1;
    }
    if (status != GR_OK)
        gr_first_error_put(&l->error, index);
}

/* The lines of text[0 .. size), answered in their order; those before one that fails too. */
static gr_status take_lines(lines *l, const char *text, size_t size)
{
    const char *end = text + size;
    gr_status status = GR_OK;
    while (text < end && status == GR_OK) {
        int parts = 0;
        while (text < end && parts < MOST_PARTS) {
            part *p = &l->part[parts++];
            const char *newline = end - text > PART ? memchr(text + PART, '\n', (size_t)(end - text) - PART) : NULL;
            p->text = text;
            p->line = l->line;
            text = p->end = newline ? newline + 1 : end;
            for (const char *c = p->text; (c = memchr(c, '\n', (size_t)(p->end - c))); c++)
                l->line++;
        }
        gr_parallel(l->pool, parts, answer_part, l);
        for (int i = 0; i < parts && i <= l->error.piece; i++)
            gr_out_bytes(l->part[i].out.data, l->part[i].out.size);
        status = gr_first_error_take(&l->error);
    }
    /* Whoever writes line by line reads the answers so, too. */
    return status == GR_OK ? gr_out_finish() : status;
}

/* Lines of any length, in memory of a block or the longest. */
static gr_status take_stdin(lines *l)
{
    gr_bytes in = {0};
    gr_status status = GR_OK;
    for (;;) {
        status = gr_bytes_reserve(&in, BLOCK);
        ssize_t n = status == GR_OK ? read(STDIN_FILENO, in.data + in.size, BLOCK) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = gr_fail_errno("reading", "stdin");
        if (n > 0 && l->line == 1 && in.size == 0)
            status = gr_refuse_content("stdin", in.data, (size_t)n);
        if (status != GR_OK)
            break;
        if (n <= 0)
            break;
        size_t before = in.size, whole = in.size += (size_t)n;
        while (whole > before && in.data[whole - 1] != '\n')
            whole--;
        if (whole == before)
            continue;
        status = take_lines(l, in.data, whole);
        if (status != GR_OK)
            break;
        memmove(in.data, in.data + whole, in.size - whole);
        in.size -= whole;
    }
    /* The last line may lack its newline. */
    if (status == GR_OK && in.size > 0)
        status = take_lines(l, in.data, in.size);
    gr_bytes_free(&in);
    return status;
}

gr_status gr_lines_from_stdin(const gr_line_format *f, int threads)
{
    lines l = {.format = f, .line = 1, .error = GR_FIRST_ERROR_NONE};
    l.pool = gr_pool_new(threads);
    int workers = l.pool ? gr_pool_threads(l.pool) : 0;
    l.tokenizers = l.pool ? gr_alloc_zero((size_t)workers, sizeof *l.tokenizers) : NULL;
    gr_status status = l.tokenizers ? GR_OK : gr_error_status();
    for (int i = 0; status == GR_OK && i < workers; i++)
        status = (l.tokenizers[i] = gr_tokenizer_share(f->tokenizer)) ? GR_OK : gr_error_status();
    if (status == GR_OK)
        status = take_stdin(&l);
    for (int i = 0; l.tokenizers && i < workers; i++)
        gr_tokenizer_free(l.tokenizers[i]);
    for (int i = 0; i < MOST_PARTS; i++)
        gr_bytes_free(&l.part[i].out);
    gr_free(l.tokenizers);
    gr_pool_free(l.pool);
    return status;
}
