/* Counting the words of a text on all threads. A text is cut where no word can go on: behind a line where every line is
 * a text, else between a character that is no white space and one that is. */
#include <stdio.h>
#include "base/first_error.h"
#include "base/json.h"
#include "text/stages/scan.h"
#include "text/train/trainer.h"

enum { PART = 1 << 18, MOST_PARTS = 256 };

/* ---- where to cut ---- */

static bool is_space_before(const char *text, const char *p)
{
    const char *start = p - 1;
    int n;
    while (start > text && p - start < 4 && ((unsigned char)*start & 0xC0) == 0x80)
        start--;
    uint32_t c = gr_utf8_read(start, p, &n);
    return start + n == p && (gr_class(c) & GR_CLASS_SPACE);
}

static bool is_ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether no word goes on over p, which lies inside of the text. */
static bool is_border(const char *text, const char *p, bool by_line)
{
    if (by_line)
        return p[-1] == '\n';
    return is_ascii_space(*p) && !is_space_before(text, p);
}

static const char *border_from(const char *text, const char *p, const char *end, bool by_line)
{
    while (p < end && !is_border(text, p, by_line))
        p++;
    return p;
}

/* The last border, or the beginning. */
static const char *last_border(const char *text, const char *end, bool by_line)
{
    if (by_line && end > text && end[-1] == '\n')
        return end;
    while (--end > text && !is_border(text, end, by_line))
        ;
    return end > text ? end : text;
}

/* ---- counting ---- */

typedef struct counting {
    gr_tokenizer_trainer *trainer;
    const char *name;               /* of a .jsonl file; NULL: plain text */
    const char *at[MOST_PARTS + 1]; /* where the parts begin, and the end of the last */
    int64_t line[MOST_PARTS];       /* number of a part's first line */
    gr_first_error error;
} counting;

static gr_status count_words(gr_word_counts *counts, const char *p, const char *end)
{
    gr_status s = GR_OK;
    while (p < end && s == GR_OK) {
        const char *stop = gr_scan_gpt2(p, end);
        s = gr_word_counts_add(counts, p, (size_t)(stop - p), 1);
        p = stop;
    }
    return s;
}

static gr_status count_lines(gr_word_counts *counts, const char *p, const char *end)
{
    gr_status s = GR_OK;
    while (p < end && s == GR_OK) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline + 1 : end;
        s = count_words(counts, p, stop);
        p = stop;
    }
    return s;
}

static gr_status count_span(const counting *c, gr_word_counts *counts, const char *p, const char *end)
{
    return c->trainer->options.whole_texts ? count_words(counts, p, end) : count_lines(counts, p, end);
}

/* The strings of one line of a .jsonl file. */
static gr_status count_json(const counting *c, gr_word_counts *counts, const char *p, size_t size, int64_t line)
{
    static const char *const keys[] = {"text", "prompt", "completion"};
    char name[600];
    snprintf(name, sizeof name, "%s: line %lld", c->name, (long long)line);
    gr_json_doc *doc = gr_json_parse(name, p, size);
    gr_status s = doc ? GR_OK : gr_error_status();
    gr_json root = s != GR_OK ? (gr_json){0} : gr_json_as_object(gr_json_root(doc));
    bool is_pair = s == GR_OK && !gr_json_is(gr_json_get(root, "text")) && gr_json_is(gr_json_get(root, "prompt"));
    for (int i = is_pair; i < (is_pair ? 3 : 1) && s == GR_OK; i++) {
        size_t n;
        const char *text = gr_json_as_text(gr_json_get(root, keys[i]), &n);
        s = gr_json_check(doc);
        if (s == GR_OK)
            s = count_span(c, counts, text, text + n);
    }
    gr_json_free(doc);
    return s;
}

static gr_status count_jsonl(const counting *c, gr_word_counts *counts, const char *p, const char *end, int64_t line)
{
    gr_status s = GR_OK;
    for (; p < end && s == GR_OK; line++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
        while (p < stop && is_ascii_space(*p))
            p++;
        if (p < stop)
            s = count_json(c, counts, p, (size_t)(stop - p), line);
        p = stop + 1;
    }
    return s;
}

static void count_part(void *ctx, int64_t part, int worker)
{
    counting *c = ctx;
    gr_word_counts *counts = &c->trainer->counts[worker];
    if (gr_first_error_skips(&c->error, part))
        return;
    gr_status s = c->name ? count_jsonl(c, counts, c->at[part], c->at[part + 1], c->line[part])
                          : count_span(c, counts, c->at[part], c->at[part + 1]);
    if (s != GR_OK)
        gr_first_error_put(&c->error, part);
}

static int64_t count_newlines(const char *p, const char *end)
{
    int64_t n = 0;
    for (; p < end; p++)
        n += *p == '\n';
    return n;
}

/* Parts of text[0 .. size), all of which is counted. */
static gr_status count_all(gr_tokenizer_trainer *t, const char *name, const char *text, size_t size, int64_t *line)
{
    const char *end = text + size, *p = text;
    bool by_line = name || !t->options.whole_texts;
    while (p < end) {
        counting c = {.trainer = t, .name = name, .at = {p}, .error = GR_FIRST_ERROR_NONE};
        int parts = 0;
        while (p < end && parts < MOST_PARTS) {
            c.line[parts] = name ? *line : 0;
            p = end - p > 2 * PART ? border_from(text, p + PART, end, by_line) : end;
            if (name)
                *line += count_newlines(c.at[parts], p);
            c.at[++parts] = p;
        }
        gr_parallel(t->pool, parts, count_part, &c);
        gr_status s = gr_first_error_take(&c.error);
        if (s != GR_OK)
            return s;
        t->bytes += p - c.at[0];
        gr_tokenizer_progress now = {.bytes = t->bytes};
        if (t->options.progress && !t->options.progress(t->options.user, &now))
            return gr_fail(GR_ERR_INTERRUPTED, "tokenizer training: stopped while reading");
    }
    return GR_OK;
}

gr_status gr_trainer_count_text(gr_tokenizer_trainer *t, const char *text, size_t size, bool end, size_t *used)
{
    *used = end ? size : (size_t)(last_border(text, text + size, !t->options.whole_texts) - text);
    return count_all(t, NULL, text, *used, NULL);
}

gr_status gr_trainer_count_jsonl(gr_tokenizer_trainer *t, const char *name, const char *text, size_t size, bool end,
                                 size_t *used, int64_t *line)
{
    *used = end ? size : (size_t)(last_border(text, text + size, true) - text);
    return count_all(t, name, text, *used, line);
}
