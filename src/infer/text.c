/* From a prompt to text: the loop over tokens, and where it ends. */
#include "infer/infer.h"

#include "base/error.h"
#include "base/machine.h"
#include "base/mem.h"
#include "text/buffer.h"
#include "text/utf8.h"

enum { PREFILL = 512 }; /* tokens of the prompt between two looks at `cancel` */

typedef struct writing {
    gr_generator *generator;
    const gr_generate_options *o;
    gr_text_stream *stream; /* NULL without a tokenizer */
    int64_t *tokens;        /* prompt and new ones */
    int64_t n, prompt;
    size_t capacity;
    float *logits;
    int64_t vocab;
    gr_bytes text;
    size_t told; /* bytes of text given to the caller; the rest is held back */
    bool done;
    gr_stop stop;
    double began, first, ended; /* seconds */
    double prefill;
} writing;

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
    for (int i = 0; i < w->o->n_stop; i++) {
        size_t n = strlen(w->o->stop[i]);
        for (size_t at = from; at < first && at + n <= w->text.size; at++)
            if (memcmp(w->text.data + at, w->o->stop[i], n) == 0)
                first = at;
    }
    return first;
}

/* Where the longest end of the text begins that a stop text could begin with; size: nowhere. */
static size_t find_beginning(const writing *w, size_t from)
{
    size_t first = w->text.size;
    for (int i = 0; i < w->o->n_stop; i++) {
        size_t n = strlen(w->o->stop[i]);
        size_t at = w->text.size - from < n ? from : w->text.size - n;
        while (at < first && memcmp(w->text.data + at, w->o->stop[i], w->text.size - at) != 0)
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

static void tell(writing *w, int64_t id, size_t until)
{
    if (w->o->token)
        w->o->token(w->o->user, id, w->text.data ? w->text.data + w->told : "", until - w->told);
    w->told = until;
}

/* Appends new text and gives on what no stop text can reach any more. */
static gr_status take_text(writing *w, int64_t id, const char *text, size_t size, bool last)
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

static bool is_eos(const writing *w, int64_t id)
{
    for (int i = 0; i < w->o->n_eos; i++)
        if (w->o->eos[i] == id)
            return true;
    return false;
}

static gr_status take_token(writing *w, int64_t id)
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
    return s == GR_OK ? take_text(w, id, text, size, false) : s;
}

/* What is left in the stream, and what was held back. */
static gr_status take_rest(writing *w)
{
    const char *text = "";
    size_t size = 0;
    if (w->done && w->stop == GR_STOP_TEXT)
        return GR_OK;
    gr_status s = w->stream ? gr_text_stream_end(w->stream, &text, &size) : GR_OK;
    return s == GR_OK ? take_text(w, -1, text, size, true) : s;
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

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

static bool cancelled(writing *w)
{
    if (w->o->cancel && w->o->cancel(w->o->user))
        end(w, GR_STOP_ASKED);
    return w->done;
}

static gr_status feed(writing *w, int64_t from, int64_t count)
{
    const int64_t *tokens = w->tokens + from;
    return gr_generator_feed(w->generator, &tokens, &count, w->logits);
}

static gr_status prefill(writing *w)
{
    gr_status s = GR_OK;
    for (int64_t at = gr_generator_length(w->generator, 0); s == GR_OK && at < w->prompt && !cancelled(w);
         at += PREFILL)
        s = feed(w, at, w->prompt - at < PREFILL ? w->prompt - at : PREFILL);
    w->prefill = gr_seconds() - w->began;
    return s;
}

static gr_status refuse_logits(const writing *w)
{
    return gr_fail(GR_ERR_NUMBER,
                   "generation: the logits behind token %lld are not numbers\n"
                   "gradus verify and gradus dump tell whether the weights are whole",
                   (long long)w->n);
}

static gr_status decode(writing *w)
{
    gr_status s = GR_OK;
    int64_t limit = w->prompt + w->o->max_tokens, capacity = gr_generator_capacity(w->generator);
    limit = limit < capacity ? limit : capacity;
    while (s == GR_OK && !w->done && w->n < limit) {
        gr_error_clear();
        int64_t id = gr_sample_token(&w->o->sampling, w->logits, w->vocab, w->tokens, w->n, w->prompt);
        if (id < 0)
            return gr_error_status() == GR_ERR_MEMORY ? GR_ERR_MEMORY : refuse_logits(w);
        s = take_token(w, id);
        if (s == GR_OK && !w->done && w->n < limit && !cancelled(w))
            s = feed(w, w->n - 1, 1);
    }
    return s;
}

static gr_status check(const writing *w)
{
    int64_t read = gr_generator_length(w->generator, 0), capacity = gr_generator_capacity(w->generator);
    if (gr_generator_batch(w->generator) != 1)
        return gr_fail(GR_ERR_ARGUMENT, "gr_generate: the generator's batch is %lld, it must be 1",
                       (long long)gr_generator_batch(w->generator));
    if (w->prompt <= read)
        return gr_fail(GR_ERR_ARGUMENT, "generation: the prompt is empty\ngive it at least one token");
    if (w->prompt >= capacity)
        return gr_fail(GR_ERR_ARGUMENT,
                       "generation: a prompt of %lld tokens leaves no room in a context of %lld\n"
                       "give a shorter prompt",
                       (long long)w->prompt, (long long)capacity);
    return check_stops(w->o);
}

static gr_status write_all(writing *w, gr_tokenizer *tokenizer, const int64_t *prompt)
{
    gr_status s = check(w);
    if (s == GR_OK)
        s = gr_grow(&w->tokens, &w->capacity, (size_t)w->prompt, sizeof *w->tokens);
    if (s != GR_OK)
        return s;
    memcpy(w->tokens, prompt, (size_t)w->prompt * sizeof *prompt);
    w->n = w->prompt;
    w->logits = gr_alloc((size_t)w->vocab * sizeof *w->logits);
    if (!w->logits)
        return GR_ERR_MEMORY;
    s = open_stream(w, tokenizer);
    if (s == GR_OK)
        s = prefill(w);
    if (s == GR_OK)
        s = decode(w);
    return s == GR_OK ? take_rest(w) : s;
}

/* Hands over what was made, be it all or not. */
static gr_status hand_over(writing *w, gr_generated *out, int64_t prefilled)
{
    out->n = w->n - w->prompt;
    out->ids = gr_alloc((size_t)out->n * sizeof *out->ids);
    gr_status s = gr_bytes_add(&w->text, "", 1);
    if (!out->ids || s != GR_OK) {
        out->n = 0;
        return GR_ERR_MEMORY;
    }
    if (out->n > 0) /* else there may be no tokens at all */
        memcpy(out->ids, w->tokens + w->prompt, (size_t)out->n * sizeof *out->ids);
    out->text = w->text.data;
    out->size = w->text.size - 1;
    w->text = (gr_bytes){0};
    out->stop = w->stop;
    out->prefilled = prefilled;
    out->prefill_s = w->prefill;
    out->first_s = out->n ? w->first - w->began : 0;
    out->decode_s = out->n ? w->ended - w->first : 0;
    return GR_OK;
}

gr_status gr_generate(gr_generator *generator, gr_tokenizer *tokenizer, const int64_t *prompt, int64_t n,
                      const gr_generate_options *options, gr_generated *out)
{
    writing w = {.generator = generator, .o = options, .prompt = n, .n = n};
    int64_t read = gr_generator_length(generator, 0);
    *out = (gr_generated){0};
    w.vocab = gr_generator_vocab(generator);
    w.began = gr_seconds();
    gr_status s = write_all(&w, tokenizer, prompt);
    gr_status handed = hand_over(&w, out, gr_generator_length(generator, 0) < n ? 0 : n - read);
    gr_text_stream_free(w.stream);
    gr_bytes_free(&w.text);
    gr_free(w.tokens);
    gr_free(w.logits);
    return s != GR_OK ? s : handed;
}

void gr_generated_free(gr_generated *g)
{
    if (!g)
        return;
    gr_free(g->ids);
    gr_free(g->text);
    *g = (gr_generated){0};
}
