/* Reading and continuing text with a cache: two programs, one for a chunk of the prompt and one for a single token. */
#include "infer/infer.h"

#include "base/error.h"
#include "base/mem.h"

#include <string.h>

enum { CHUNK = 128 };

typedef struct forward_program {
    gr_program *program;
    int64_t t; /* tokens of a sequence it reads at once */
} forward_program;

struct gr_generator {
    gr_model *model;
    gr_store *cache;
    int64_t batch, capacity, vocab;
    int64_t *length; /* [batch] tokens read */
    forward_program one, chunk;
    int64_t *tokens, *positions, *slots; /* [batch, CHUNK] */
    int64_t *rows;                       /* [batch]: whose logits are wanted */
    float *logits;                       /* [batch, vocab] */
};

/* Inputs: tokens, positions, slot [B, T], rows [B]. Output: logits [B, V]. */
static gr_status compile(gr_generator *g, forward_program *f, int64_t t)
{
    gr_graph *graph = gr_graph_new();
    int64_t shape[] = {g->batch, t};
    gr_forward in = {.tokens = gr_input(graph, "tokens", GR_I64, 2, shape), .cache = g->cache};
    in.positions = gr_input(graph, "positions", GR_I64, 2, shape);
    in.slot = gr_input(graph, "slot", GR_I64, 2, shape);
    in.rows = gr_input(graph, "rows", GR_I64, 1, shape);
    gr_tensor *logits = gr_model_logits(g->model, &in);
    f->t = t;
    f->program = logits ? gr_compile(graph, &logits, 1, gr_model_device(g->model)) : NULL;
    gr_graph_free(graph);
    return f->program ? GR_OK : gr_error_status();
}

static gr_status allocate(gr_generator *g)
{
    size_t tokens = (size_t)(g->batch * CHUNK);
    g->length = gr_alloc_zero((size_t)g->batch, sizeof *g->length);
    g->rows = gr_alloc_zero((size_t)g->batch, sizeof *g->rows);
    g->tokens = gr_alloc(3 * tokens * sizeof *g->tokens);
    g->logits = gr_alloc((size_t)(g->batch * g->vocab) * sizeof *g->logits);
    if (!g->length || !g->rows || !g->tokens || !g->logits)
        return GR_ERR_MEMORY;
    g->positions = g->tokens + tokens;
    g->slots = g->positions + tokens;
    g->cache = gr_store_new(gr_model_device(g->model));
    return g->cache ? gr_model_add_cache(g->model, g->cache, g->batch, g->capacity) : GR_ERR_MEMORY;
}

gr_generator *gr_generator_new(gr_model *model, int64_t batch, int64_t capacity)
{
    const gr_model_info *info = gr_model_describe(model);
    capacity = capacity ? capacity : info->context;
    if (batch < 1 || capacity < 1 || capacity > info->context) {
        gr_fail(GR_ERR_ARGUMENT,
                "generation: batch %lld and capacity %lld\nthe capacity is at most the model's context, %lld",
                (long long)batch, (long long)capacity, (long long)info->context);
        return NULL;
    }
    gr_generator *g = gr_alloc_zero(1, sizeof *g);
    if (!g)
        return NULL;
    g->model = model;
    g->batch = batch;
    g->capacity = capacity;
    g->vocab = info->vocab;
    gr_status s = allocate(g);
    if (s == GR_OK)
        s = compile(g, &g->one, 1);
    if (s == GR_OK)
        s = compile(g, &g->chunk, CHUNK);
    if (s == GR_OK)
        return g;
    gr_generator_free(g);
    return NULL;
}

void gr_generator_free(gr_generator *g)
{
    if (!g)
        return;
    gr_program_free(g->one.program);
    gr_program_free(g->chunk.program);
    gr_store_free(g->cache);
    gr_free(g->length);
    gr_free(g->tokens);
    gr_free(g->rows);
    gr_free(g->logits);
    gr_free(g);
}

int64_t gr_generator_length(const gr_generator *g, int64_t sequence)
{
    return g->length[sequence];
}

int64_t gr_generator_batch(const gr_generator *g)
{
    return g->batch;
}

int64_t gr_generator_capacity(const gr_generator *g)
{
    return g->capacity;
}

int64_t gr_generator_vocab(const gr_generator *g)
{
    return g->vocab;
}

gr_memory gr_generator_memory(const gr_generator *g)
{
    return gr_program_memory(g->chunk.program);
}

gr_status gr_generator_reset(gr_generator *g)
{
    size_t n = (size_t)(g->batch * g->capacity);
    int64_t *none = gr_alloc(n * sizeof *none);
    if (!none)
        return GR_ERR_MEMORY;
    memset(none, 0xFF, n * sizeof *none); /* -1: no key there */
    gr_status s = gr_store_write(g->cache, "cache.position", none, n * sizeof *none);
    gr_free(none);
    memset(g->length, 0, (size_t)g->batch * sizeof *g->length);
    return s;
}

/* Lays out up to f->t tokens of every sequence, from token `at` on. A sequence with fewer is filled up with tokens that
 * go nowhere. */
static void lay_out(gr_generator *g, const forward_program *f, const int64_t *const *tokens, const int64_t *count,
                    int64_t at)
{
    for (int64_t b = 0; b < g->batch; b++) {
        int64_t left = count[b] - at, n = left < 0 ? 0 : left < f->t ? left : f->t;
        for (int64_t i = 0; i < f->t; i++) {
            int64_t k = b * f->t + i;
            g->tokens[k] = i < n ? tokens[b][at + i] : 0;
            g->positions[k] = i < n ? g->length[b] + i : 0;
            g->slots[k] = i < n ? g->length[b] + i : -1;
        }
        g->rows[b] = b * f->t + (n ? n - 1 : 0);
        g->length[b] += n;
    }
}

static gr_status check(const gr_generator *g, const int64_t *const *tokens, const int64_t *count)
{
    for (int64_t b = 0; b < g->batch; b++) {
        if (count[b] < 0 || g->length[b] + count[b] > g->capacity)
            return gr_fail(GR_ERR_ARGUMENT,
                           "generation: %lld more tokens behind %lld are more than the capacity of %lld",
                           (long long)count[b], (long long)g->length[b], (long long)g->capacity);
        for (int64_t i = 0; i < count[b]; i++)
            if (tokens[b][i] < 0 || tokens[b][i] >= g->vocab)
                return gr_fail(GR_ERR_ARGUMENT, "generation: token id %lld, the vocabulary has %lld",
                               (long long)tokens[b][i], (long long)g->vocab);
    }
    return GR_OK;
}

gr_status gr_generator_feed(gr_generator *g, const int64_t *const *tokens, const int64_t *count, float *logits)
{
    int64_t longest = 0, fed = 0;
    gr_status s = check(g, tokens, count);
    for (int64_t b = 0; b < g->batch; b++) {
        longest = count[b] > longest ? count[b] : longest;
        fed += g->length[b];
    }
    if (s == GR_OK && fed == 0)
        s = gr_generator_reset(g); /* the cache has never been written, or was reset */
    for (int64_t at = 0; s == GR_OK && at < longest;) {
        const forward_program *f = longest - at == 1 ? &g->one : &g->chunk;
        lay_out(g, f, tokens, count, at);
        const void *in[] = {g->tokens, g->positions, g->slots, g->rows};
        s = gr_run(f->program, in, (void *[]){g->logits});
        for (int64_t b = 0; s == GR_OK && b < g->batch; b++) /* whose last token was in this chunk? */
            if (count[b] > at && count[b] <= at + f->t)
                memcpy(logits + b * g->vocab, g->logits + b * g->vocab, (size_t)g->vocab * sizeof *logits);
        at += f->t;
    }
    return s;
}
