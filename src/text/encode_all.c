/* Many texts on all threads. Short texts go together into one part, long ones are cut where that changes no id; parts
 * are made by shape alone, so the result does not depend on the number of threads. */
#include "base/first_error.h"
#include "base/thread.h"
#include "text/tokenizer.h"

enum { PART = 1 << 16 };

typedef struct part {
    size_t first, n;  /* texts; n = 1 where it is a part of one */
    const char *text; /* of one: where the part begins, and its bytes; NULL: whole texts */
    size_t size;
    gr_ids ids;
} part;

typedef struct job {
    const gr_tokenizer *tokenizer;
    const gr_span *texts;
    unsigned flags;
    part *part;
    size_t parts, cap;
    gr_tokenizer_scratch *scratch; /* one a worker */
    size_t *ends;                  /* within the part, until the parts are joined */
    gr_first_error error;
} job;

/* Whether a text may be cut before a space that follows something else: the scanners have a border there, so what could
 * reach over it is an added token only. */
static bool may_cut(const gr_tokenizer *t, unsigned flags)
{
    if (flags & GR_ADD_SPECIAL || !t->byte_level || !gr_pretokenizer_scanner(t->pretokenizer) ||
        !gr_normalizer_is_empty(t->normalizer) || t->bare.n != 1)
        return false;
    for (size_t id = 0; id < t->added.rows; id++) {
        const gr_added_token *a = &t->added.token[id];
        size_t size = 0;
        const char *text = gr_vocab_text(&t->added.vocab, (int64_t)id, &size);
        if (a->present && (a->lstrip || a->rstrip || a->single_word || memchr(text, ' ', size)))
            return false;
    }
    return true;
}

/* From p on, the first space behind an ASCII character that is none. */
static const char *cut_from(const char *p, const char *end)
{
    for (; (p = memchr(p, ' ', (size_t)(end - p))); p++)
        if (p[-1] > ' ' && p[-1] < 0x7F)
            return p;
    return end;
}

/* Whether it may be cut before any character: then only added tokens could reach over it, and control tokens are none
 * without flags. */
static bool may_cut_anywhere(const gr_tokenizer *t)
{
    bool alone = t->model->each_alone && gr_pretokenizer_is_empty(t->pretokenizer) &&
                 gr_normalizer_is_empty(t->normalizer) && t->bare.n == 1;
    for (size_t id = 0; id < t->added.rows; id++)
        alone = alone && (!t->added.token[id].present || t->added.token[id].special);
    return alone;
}

size_t gr_tokenizer_cut(const gr_tokenizer *t, const char *text, size_t size)
{
    bool anywhere = may_cut_anywhere(t);
    if (!anywhere && !may_cut(t, 0))
        return 0;
    for (const char *p = text + size; --p > text;)
        if (anywhere ? (*p & 0xC0) != 0x80 : *p == ' ' && p[-1] > ' ' && p[-1] < 0x7F)
            return (size_t)(p - text);
    return 0;
}

static gr_status add_part(job *j, part p)
{
    gr_status s = gr_grow(&j->part, &j->cap, j->parts + 1, sizeof *j->part);
    if (s == GR_OK)
        j->part[j->parts++] = p;
    return s;
}

static gr_status cut_text(job *j, size_t i)
{
    const char *p = j->texts[i].text, *end = p + j->texts[i].size;
    gr_status s = GR_OK;
    while (p < end && s == GR_OK) {
        const char *stop = end - p > 2 * PART ? cut_from(p + PART, end) : end;
        s = add_part(j, (part){.first = i, .n = 1, .text = p, .size = (size_t)(stop - p)});
        p = stop;
    }
    return s;
}

static gr_status make_parts(job *j, size_t n)
{
    bool cuts = may_cut(j->tokenizer, j->flags);
    gr_status s = GR_OK;
    for (size_t i = 0; i < n && s == GR_OK;) {
        if (cuts && j->texts[i].size > 2 * PART) {
            s = cut_text(j, i++);
            continue;
        }
        part p = {.first = i};
        for (size_t size = 0; i < n && size < PART && !(cuts && j->texts[i].size > 2 * PART); i++, p.n++)
            size += j->texts[i].size + 16;
        s = add_part(j, p);
    }
    return s;
}

static gr_status encode_one(const job *j, gr_tokenizer_scratch *s, part *p, const char *text, size_t size)
{
    gr_status status = gr_tokenizer_run(j->tokenizer, s, text, size, j->flags);
    if (status == GR_OK)
        status = gr_ids_reserve(&p->ids, s->ids.size);
    if (status != GR_OK)
        return status;
    if (s->ids.size)
        memcpy(p->ids.data + p->ids.size, s->ids.data, s->ids.size * sizeof *s->ids.data);
    p->ids.size += s->ids.size;
    return GR_OK;
}

static void encode_part(void *ctx, int64_t index, int worker)
{
    job *j = ctx;
    part *p = &j->part[index];
    gr_tokenizer_scratch *s = &j->scratch[worker];
    gr_status status = GR_OK;
    if (gr_first_error_skips(&j->error, index))
        return;
    if (p->text)
        status = encode_one(j, s, p, p->text, p->size);
    for (size_t i = p->first; !p->text && i < p->first + p->n && status == GR_OK; i++) {
        status = encode_one(j, s, p, j->texts[i].text, j->texts[i].size);
        j->ends[i] = p->ids.size;
        if (status != GR_OK && p->n + j->parts > 2)
            gr_fail_in("text %zu", i);
    }
    if (status != GR_OK)
        gr_first_error_put(&j->error, index);
}

/* The parts' ids one behind the other, in the record's block. */
static gr_status join(job *j, size_t n, const gr_encoded **out)
{
    size_t total = 0, at = 0, bytes, of_ends;
    bool fits = true;
    for (size_t i = 0; fits && i < j->parts; i++)
        fits = gr_add_size(total, j->part[i].ids.size, &total);
    fits = fits && gr_mul_size(total, sizeof(gr_token), &bytes) && gr_mul_size(n, sizeof(size_t), &of_ends) &&
           gr_add_size(bytes, of_ends, &bytes) && gr_add_size(bytes, sizeof **out, &bytes);
    gr_encoded *all = fits ? gr_alloc(bytes) : NULL;
    if (!all)
        return GR_ERR_MEMORY;
    size_t *ends = (size_t *)(void *)(all + 1);
    gr_token *ids = (gr_token *)(void *)(ends + n);
    for (size_t i = 0; i < j->parts; i++) {
        part *p = &j->part[i];
        if (p->ids.size)
            memcpy(ids + at, p->ids.data, p->ids.size * sizeof *ids);
        for (size_t k = p->first; k < p->first + p->n; k++)
            ends[k] = at + (p->text ? p->ids.size : j->ends[k]);
        at += p->ids.size;
        gr_ids_free(&p->ids);
    }
    *all = (gr_encoded){.size = sizeof *all, .ids = ids, .ends = ends, .n = n};
    *out = all;
    return GR_OK;
}

static gr_status run_on(gr_pool *pool, job *j, size_t n, const gr_encoded **out)
{
    j->scratch = gr_alloc_zero((size_t)gr_pool_threads(pool), sizeof *j->scratch);
    j->ends = gr_alloc_zero(n + 1, sizeof *j->ends);
    gr_status s = j->scratch && j->ends ? make_parts(j, n) : GR_ERR_MEMORY;
    if (s == GR_OK) {
        gr_parallel(pool, (int64_t)j->parts, encode_part, j);
        s = gr_first_error_take(&j->error);
    }
    return s == GR_OK ? join(j, n, out) : s;
}

gr_status gr_tokenizer_encode_all(const gr_tokenizer *t, const gr_span *texts, size_t n, unsigned flags, int threads,
                                  const gr_encoded **out)
{
    if (gr_lacks(out, "gr_tokenizer_encode_all: out"))
        return GR_ERR_ARGUMENT;
    *out = NULL;
    if (gr_lacks(t, "gr_tokenizer_encode_all: tokenizer") || (n && gr_lacks(texts, "gr_tokenizer_encode_all: texts")))
        return GR_ERR_ARGUMENT;
    for (size_t i = 0; i < n; i++)
        if (texts[i].size && gr_lacks(texts[i].text, "gr_tokenizer_encode_all: a text"))
            return GR_ERR_ARGUMENT;
    job j = {.tokenizer = t, .texts = texts, .flags = flags, .error = GR_FIRST_ERROR_NONE};
    gr_pool *pool = gr_pool_new(threads);
    gr_status s = pool ? run_on(pool, &j, n, out) : gr_error_status();
    for (int i = 0; j.scratch && i < gr_pool_threads(pool); i++)
        gr_tokenizer_scratch_free(&j.scratch[i]);
    for (size_t i = 0; i < j.parts; i++)
        gr_ids_free(&j.part[i].ids);
    gr_free(j.scratch);
    gr_free(j.ends);
    gr_free(j.part);
    gr_pool_free(pool);
    return s;
}
