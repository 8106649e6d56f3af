/* Counting the words of a text on all threads. A text is cut where no word can go on: behind a line where every line is
 * a text, else between a character that is no white space and one that is. */
#include "base/first_error.h"
#include "text/stages/scan.h"
#include "text/train/trainer.h"

enum { PART = 1 << 18, MOST_PARTS = 256 };

/* ---- where to cut ------------------------------------------------------------------------------------------- */

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

/* ---- counting ----------------------------------------------------------------------------------------------- */

typedef struct counting {
    gr_tokenizer_trainer *trainer;
    const char *at[MOST_PARTS + 1]; /* where the parts begin, and the end of the last */
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

static gr_status count_span(const gr_tokenizer_trainer *t, gr_word_counts *counts, const char *p, const char *end)
{
    return t->options.whole_texts ? count_words(counts, p, end) : count_lines(counts, p, end);
}

/* No token goes over the end of a prompt. */
gr_status gr_trainer_count_document(void *trainer, int worker, const gr_document_text *d)
{
    gr_tokenizer_trainer *t = trainer;
    gr_word_counts *counts = &t->counts[worker];
    gr_status s = count_span(t, counts, d->text, d->text + d->prompt);
    return s == GR_OK ? count_span(t, counts, d->text + d->prompt, d->text + d->size) : s;
}

static void count_part(void *ctx, int64_t part, int worker)
{
    counting *c = ctx;
    gr_tokenizer_trainer *t = c->trainer;
    if (!gr_first_error_skips(&c->error, part) &&
        count_span(t, &t->counts[worker], c->at[part], c->at[part + 1]) != GR_OK)
        gr_first_error_put(&c->error, part);
}

gr_status gr_trainer_passed(gr_tokenizer_trainer *t, int64_t bytes)
{
    t->bytes += bytes;
    gr_tokenizer_progress now = {.bytes = t->bytes};
    if (t->options.progress && !t->options.progress(t->options.user, &now))
        return gr_fail(GR_ERR_INTERRUPTED, "tokenizer training: stopped while reading");
    return GR_OK;
}

gr_status gr_trainer_count_text(gr_tokenizer_trainer *t, const char *text, size_t size, bool end, size_t *used)
{
    bool by_line = !t->options.whole_texts;
    gr_status s = GR_OK;
    *used = end || size == 0 ? size : (size_t)(last_border(text, text + size, by_line) - text);
    for (const char *p = text, *stop = text + *used; p < stop && s == GR_OK;) {
        counting c = {.trainer = t, .at = {p}, .error = GR_FIRST_ERROR_NONE};
        int parts = 0;
        while (p < stop && parts < MOST_PARTS) {
            p = stop - p > 2 * PART ? border_from(text, p + PART, stop, by_line) : stop;
            c.at[++parts] = p;
        }
        gr_parallel(t->pool, parts, count_part, &c);
        s = gr_first_error_take(&c.error);
        if (s == GR_OK)
            s = gr_trainer_passed(t, p - c.at[0]);
    }
    return s;
}
