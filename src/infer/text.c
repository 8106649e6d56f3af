/* From prompts to texts: the loop over tokens, and where each ends. */
#include "infer/infer.h"

#include "base/buffer.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/mem.h"
#include "base/sized.h"
#include "base/utf8.h"
#include "model/layers/model.h"
#include "text/tokenizer.h"

enum { PREFILL = 512 }; /* tokens of the prompt between two looks at the caller */

/* One text. */
typedef struct writing {
    gr_generator *generator;
    int64_t sequence; /* of the generator's batch */
    gr_generate_options o;
    gr_sampling sampling;
    gr_text_stream *stream; /* NULL without a tokenizer */
    gr_token *tokens;       /* prompt and new ones */
    int64_t n, prompt;
    size_t capacity;
    float *logits;      /* [vocab], what follows its last token */
    gr_token *stop_ids; /* [n_stop] the token that is spelled as a stop text, -1: none */
    gr_bytes text;
    size_t told;      /* bytes of text given to the caller; the rest is held back */
    bool done, asked; /* asked: to stop all */
    gr_stop stop;
    double began, first, ended; /* seconds */
    double prefill;
    int64_t prefilled;
} writing;

/* All that are written together. */
typedef struct desk {
    gr_generator *generator;
    writing *w; /* [n], that of sequence i at i */
    int64_t n, vocab;
    float *logits; /* [batch, vocab] */
    gr_sampler *sampler;
    gr_ids eos;            /* of texts that name none */
    const gr_token **next; /* [batch] what is fed next, and how much of it */
    int64_t *count;
} desk;

static void end(writing *w, gr_stop why)
{
    w->done = true;
    w->stop = why;
}

/* ---- stop texts --------------------------------------------------------------------------------------------- */

/* Where in text[from, size) the first stop text begins; size: nowhere. */
static size_t find_stop(const writing *w, size_t from)
{
    size_t first = w->text.size;
    for (int i = 0; i < w->o.n_stop; i++) {
        size_t n = strlen(w->o.stop[i]);
        for (size_t at = from; at < first && at + n <= w->text.size; at++)
            if (memcmp(w->text.data + at, w->o.stop[i], n) == 0)
                first = at;
    }
    return first;
}

/* Where the longest end of the text begins that a stop text could begin with; size: nowhere. */
static size_t find_beginning(const writing *w, size_t from)
{
    size_t first = w->text.size;
    for (int i = 0; i < w->o.n_stop; i++) {
        size_t n = strlen(w->o.stop[i]);
        size_t at = w->text.size - from < n ? from : w->text.size - n;
        while (at < first && memcmp(w->text.data + at, w->o.stop[i], w->text.size - at) != 0)
            at++;
        first = at < first ? at : first;
    }
    return first;
}

static gr_status check_stops(const gr_generate_options *o)
{
    for (int i = 0; i < o->n_stop; i++)
        if (!*o->stop[i] || !gr_utf8_valid(o->stop[i], strlen(o->stop[i])))
            return gr_fail(GR_ERR_ARGUMENT, "generation: stop text %d is %s\na stop text is UTF-8 of 1 byte or more",
                           i + 1, *o->stop[i] ? "not UTF-8" : "empty");
    return GR_OK;
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static void tell(writing *w, gr_token id, size_t until)
{
    if (w->o.token && !w->o.token(w->o.user, id, w->text.data ? w->text.data + w->told : "", until - w->told))
        w->asked = true;
    w->told = until;
}

/* Appends new text and gives on what no stop text can reach any more. */
static gr_status take_text(writing *w, gr_token id, const char *text, size_t size, bool last)
{
    gr_status s = gr_bytes_add(&w->text, text, size);
    if (s != GR_OK)
        return s;
    size_t stop = find_stop(w, w->told);
    if (stop < w->text.size) {
        w->text.size = stop;
        end(w, GR_STOP_TEXT);
        last = true;
    }
    tell(w, id, last ? w->text.size : find_beginning(w, w->told));
    return GR_OK;
}

static bool is_eos(const writing *w, gr_token id)
{
    for (int i = 0; i < w->o.n_eos; i++)
        if (w->o.eos[i] == id)
            return true;
    return false;
}

/* Control tokens make no text, yet a stop text may be one. */
static bool is_stop(const writing *w, gr_token id, size_t size)
{
    for (int i = 0; size == 0 && i < w->o.n_stop; i++)
        if (w->stop_ids[i] == id)
            return true;
    return false;
}

static gr_status take_token(writing *w, gr_token id)
{
    const char *text = "";
    size_t size = 0;
    gr_status s = gr_grow(&w->tokens, &w->capacity, (size_t)w->n + 1, sizeof *w->tokens);
    if (s != GR_OK)
        return s;
    w->tokens[w->n++] = id;
    w->ended = gr_seconds();
    if (w->n == w->prompt + 1)
        w->first = w->ended;
    if (is_eos(w, id)) {
        end(w, GR_STOP_EOS); /* its text is no part of the answer */
        tell(w, id, w->told);
        return GR_OK;
    }
    if (w->stream)
        s = gr_text_stream_feed(w->stream, id, &text, &size);
    if (s == GR_OK)
        s = take_text(w, id, text, size, is_stop(w, id, size));
    if (s == GR_OK && !w->done && is_stop(w, id, size))
        end(w, GR_STOP_TEXT);
    return s;
}

/* What is left in the stream, and what was held back. */
static gr_status take_rest(writing *w)
{
    const char *text = "";
    size_t size = 0;
    if (w->done && w->stop == GR_STOP_TEXT)
        return GR_OK;
    gr_status s = w->stream ? gr_text_stream_feed(w->stream, -1, &text, &size) : GR_OK;
    return s == GR_OK ? take_text(w, -1, text, size, true) : s;
}

/* ---- a text's beginning ------------------------------------------------------------------------------------- */

static gr_status find_stop_ids(writing *w, const gr_tokenizer *tokenizer)
{
    w->stop_ids = gr_alloc((size_t)w->o.n_stop * sizeof *w->stop_ids);
    for (int i = 0; w->stop_ids && i < w->o.n_stop; i++)
        w->stop_ids[i] = tokenizer ? gr_tokenizer_id(tokenizer, w->o.stop[i]) : -1;
    return w->stop_ids ? GR_OK : GR_ERR_MEMORY;
}

/* The prompt goes through the stream too: whether a first word begins with a space depends on what was before it. */
static gr_status open_stream(writing *w, gr_tokenizer *tokenizer)
{
    const char *text;
    size_t size;
    gr_status s = GR_OK;
    w->stream = tokenizer ? gr_text_stream_new(tokenizer, GR_SKIP_SPECIAL) : NULL;
    if (tokenizer && !w->stream)
        return gr_error_status();
    for (int64_t i = 0; w->stream && s == GR_OK && i < w->prompt; i++)
        s = gr_text_stream_feed(w->stream, w->tokens[i], &text, &size);
    return s;
}

static gr_status check(const writing *w)
{
    int64_t read = gr_generator_length(w->generator, w->sequence), capacity = gr_generator_capacity(w->generator);
    if (w->prompt <= read)
        return gr_fail(GR_ERR_ARGUMENT, "generation: the prompt is empty\ngive it at least one token");
    if (w->prompt >= capacity)
        return gr_fail(GR_ERR_ARGUMENT,
                       "generation: a prompt of %lld tokens leaves no room in a context of %lld\n"
                       "give a shorter prompt",
                       (long long)w->prompt, (long long)capacity);
    return check_stops(&w->o);
}

/* The last token of a prompt is read in any case: what follows it is wanted. */
static gr_status rewind_to(const writing *w)
{
    int64_t most = w->o.keep < w->prompt - 1 ? w->o.keep : w->prompt - 1;
    return w->o.keep > 0 ? gr_generator_rewind(w->generator, w->sequence, w->o.prompt, w->prompt, most) : GR_OK;
}

static gr_status begin(writing *w, gr_tokenizer *tokenizer)
{
    gr_status s = rewind_to(w);
    if (s == GR_OK)
        s = check(w);
    if (s == GR_OK)
        s = gr_grow(&w->tokens, &w->capacity, (size_t)w->prompt, sizeof *w->tokens);
    if (s != GR_OK)
        return s;
    memcpy(w->tokens, w->o.prompt, (size_t)w->prompt * sizeof *w->tokens);
    w->n = w->prompt;
    s = find_stop_ids(w, tokenizer);
    return s == GR_OK ? open_stream(w, tokenizer) : s;
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

/* Feeds what next and count say, and nothing after that. */
static gr_status feed(desk *d)
{
    gr_status s = gr_generator_feed(d->generator, d->next, d->count, d->logits);
    memset(d->count, 0, (size_t)gr_generator_batch(d->generator) * sizeof *d->count);
    return s;
}

/* A text before w whose prompt is the same and has been read; NULL: none. */
static const writing *same_prompt(const desk *d, const writing *w)
{
    for (const writing *v = d->w; v < w; v++)
        if (v->prompt == w->prompt && gr_generator_length(d->generator, v->sequence) == v->prompt &&
            gr_generator_length(d->generator, w->sequence) == 0 &&
            memcmp(v->tokens, w->tokens, (size_t)w->prompt * sizeof *w->tokens) == 0)
            return v;
    return NULL;
}

static gr_status prefill(desk *d, writing *w)
{
    double began = gr_seconds();
    gr_status s = GR_OK;
    const writing *same = same_prompt(d, w);
    gr_generator_announce(d->generator, w->sequence, w->prompt);
    if (same) {
        s = gr_generator_fork(d->generator, same->sequence, w->sequence);
        memcpy(w->logits, same->logits, (size_t)d->vocab * sizeof *w->logits);
    }
    for (int64_t at = gr_generator_length(d->generator, w->sequence); s == GR_OK && at < w->prompt; at += PREFILL) {
        if (w->prefilled)
            tell(w, -1, w->told);
        if (w->asked)
            break;
        d->next[w->sequence] = w->tokens + at;
        d->count[w->sequence] = w->prompt - at < PREFILL ? w->prompt - at : PREFILL;
        w->prefilled += d->count[w->sequence];
        s = feed(d);
    }
    w->prefill = gr_seconds() - began;
    return s;
}

static gr_status refuse_logits(const writing *w)
{
    return gr_fail(GR_ERR_NUMBER,
                   "generation: the logits behind token %lld are not numbers\n"
                   "gradus verify and gradus dump tell whether the weights are whole",
                   (long long)w->n);
}

/* The next token of a text, and what is to be fed to go on. */
static gr_status go_on(desk *d, writing *w)
{
    int64_t limit = w->prompt + w->o.max_tokens, capacity = gr_generator_capacity(d->generator);
    limit = limit < capacity ? limit : capacity;
    if (w->n < limit) {
        gr_token id = gr_sampler_draw(d->sampler, &w->sampling, w->logits, w->tokens, w->n, w->prompt);
        gr_status s = id < 0 ? refuse_logits(w) : take_token(w, id);
        if (s != GR_OK || w->done)
            return s;
    }
    if (w->n >= limit)
        end(w, GR_STOP_LENGTH);
    if (w->done || w->asked)
        return GR_OK;
    d->next[w->sequence] = w->tokens + w->n - 1;
    d->count[w->sequence] = 1;
    return GR_OK;
}

/* What a callback wants no more of ends, all of it; true: it was asked for. */
static bool stop_all(desk *d)
{
    bool asked = false, unfinished = false;
    for (int64_t i = 0; i < d->n; i++)
        asked |= d->w[i].asked;
    for (int64_t i = 0; asked && i < d->n; i++)
        if (!d->w[i].done) {
            end(&d->w[i], GR_STOP_ASKED);
            unfinished = true;
        }
    return unfinished;
}

static gr_status write_all(desk *d)
{
    gr_status s = GR_OK;
    bool more = true, stopped = false;
    for (int64_t i = 0; s == GR_OK && !stopped && i < d->n; i++) {
        s = prefill(d, &d->w[i]);
        stopped = stop_all(d);
    }
    while (s == GR_OK && more) {
        more = false;
        for (int64_t i = 0; s == GR_OK && i < d->n; i++)
            if (!d->w[i].done)
                s = go_on(d, &d->w[i]);
        stopped |= stop_all(d);
        for (int64_t i = 0; i < d->n; i++)
            more |= !d->w[i].done;
        if (s == GR_OK && more)
            s = feed(d);
    }
    for (int64_t i = 0; s == GR_OK && i < d->n; i++)
        s = take_rest(&d->w[i]);
    return s == GR_OK && stopped ? gr_fail(GR_ERR_INTERRUPTED, "generation: stopped") : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* Hands over what was made, be it all or not: in one block. */
static gr_status hand_over(const writing *w, const gr_generated **out)
{
    size_t n = (size_t)(w->n - w->prompt), ids = n * sizeof(gr_token);
    gr_generated *g = gr_alloc(sizeof *g + ids + w->text.size + 1);
    if (!g)
        return GR_ERR_MEMORY;
    gr_token *to = (gr_token *)(void *)(g + 1);
    char *text = (char *)(to + n);
    if (n > 0) /* else there may be no tokens at all */
        memcpy(to, w->tokens + w->prompt, ids);
    if (w->text.size > 0)
        memcpy(text, w->text.data, w->text.size);
    text[w->text.size] = '\0';
    *g = (gr_generated){.size = sizeof *g, .ids = to, .n = (int64_t)n, .text = text, .bytes = w->text.size};
    g->stop = w->stop;
    g->prefilled = w->prefilled;
    g->prefill_s = w->prefill;
    g->first_s = n ? w->first - w->began : 0;
    g->decode_s = n ? w->ended - w->first : 0;
    *out = g;
    return GR_OK;
}

static void free_writing(writing *w)
{
    gr_text_stream_free(w->stream);
    gr_bytes_free(&w->text);
    gr_free(w->stop_ids);
    gr_free(w->tokens);
}

static gr_status open_desk(desk *d)
{
    int64_t batch = gr_generator_batch(d->generator);
    if (d->n < 1 || d->n > batch)
        return gr_fail(GR_ERR_ARGUMENT, "generation: %lld texts at once, the generator's batch is %lld",
                       (long long)d->n, (long long)batch);
    d->vocab = gr_generator_vocab(d->generator);
    d->w = gr_alloc_zero((size_t)d->n, sizeof *d->w);
    d->logits = gr_alloc((size_t)(batch * d->vocab) * sizeof *d->logits);
    d->next = gr_alloc_zero((size_t)batch, sizeof *d->next);
    d->count = gr_alloc_zero((size_t)batch, sizeof *d->count);
    d->sampler = gr_sampler_new(d->vocab);
    return d->w && d->logits && d->next && d->count && d->sampler ? GR_OK : GR_ERR_MEMORY;
}

/* What the model's files say of the tokens that end its texts, else its tokenizer. */
static gr_status find_eos(desk *d, const gr_tokenizer *tokenizer)
{
    gr_status s = gr_model_eos(gr_generator_model(d->generator), &d->eos);
    gr_token own = s == GR_OK && !d->eos.size && tokenizer ? gr_tokenizer_eos(tokenizer) : -1;
    return own >= 0 ? gr_ids_add(&d->eos, own) : s;
}

/* Text i, as its options say; they lie as far apart as the caller's struct is large. */
static gr_status open_text(desk *d, int64_t i, const gr_generate_options *options)
{
    writing *w = &d->w[i];
    const char *at = (const char *)options + (size_t)i * options->size;
    gr_status s = gr_take_sized(&w->o, sizeof w->o, at, "gr_generate: options");
    if (s == GR_OK && memcmp(at, options, sizeof options->size) != 0)
        s = gr_fail(GR_ERR_ARGUMENT, "gr_generate: options of two sizes\nbegin each with GR_INIT(gr_generate_options)");
    if (s == GR_OK && gr_lacks(w->o.prompt, "gr_generate: options.prompt"))
        s = GR_ERR_ARGUMENT;
    if (s == GR_OK)
        s = gr_sampling_take(&w->sampling, w->o.sampling, "gr_generate: options.sampling");
    if (!w->o.eos) {
        w->o.eos = d->eos.data;
        w->o.n_eos = (int)d->eos.size;
    }
    w->o.n_eos = w->o.ignore_eos ? 0 : w->o.n_eos;
    w->generator = d->generator;
    w->sequence = i;
    w->prompt = w->n = w->o.n_prompt;
    w->logits = d->logits + i * d->vocab;
    w->began = gr_seconds();
    return s;
}

static void close_desk(desk *d)
{
    for (int64_t i = 0; d->w && i < d->n; i++)
        free_writing(&d->w[i]);
    gr_sampler_free(d->sampler);
    gr_ids_free(&d->eos);
    gr_free(d->w);
    gr_free(d->logits);
    gr_free(d->next);
    gr_free(d->count);
}

gr_status gr_generate(gr_generator *generator, gr_tokenizer *tokenizer, const gr_generate_options *options, int64_t n,
                      const gr_generated **out)
{
    if (gr_lacks(out, "gr_generate: out"))
        return GR_ERR_ARGUMENT;
    for (int64_t i = 0; i < n; i++)
        out[i] = NULL;
    if (gr_lacks(generator, "gr_generate: generator") || gr_lacks(options, "gr_generate: options"))
        return GR_ERR_ARGUMENT;
    desk d = {.generator = generator, .n = n};
    gr_status s = open_desk(&d), handed = GR_OK;
    if (s == GR_OK)
        s = find_eos(&d, tokenizer);
    for (int64_t i = 0; s == GR_OK && i < n; i++)
        s = open_text(&d, i, options);
    int64_t begun = 0;
    for (; s == GR_OK && begun < n; begun++)
        s = begin(&d.w[begun], tokenizer);
    if (s == GR_OK)
        s = write_all(&d);
    for (int64_t i = 0; handed == GR_OK && i < begun; i++)
        handed = hand_over(&d.w[i], &out[i]);
    close_desk(&d);
    return s != GR_OK ? s : handed;
}
