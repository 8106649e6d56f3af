/* Reading text with a cache. A prompt is read a sequence at a time, in chunks: so it costs what it is long, and its numbers
 * are those it would have alone. Single tokens of several sequences are read together. */
#include "infer/infer.h"

#include "base/error.h"
#include "base/mem.h"
#include "model/layers/model.h"
#include "program/program.h"
#include "program/store.h"

#include <string.h>

enum { CHUNK = 128 };

/* The model, compiled for a number of tokens. */
typedef struct forward_program {
    gr_program *program;
    int64_t batch, t; /* sequences, and tokens of each that it reads at once */
} forward_program;

struct gr_generator {
    gr_model *model;
    gr_store *cache;                      /* of all sequences */
    int64_t batch, capacity, ring, vocab; /* ring: 0 where no layer has one */
    int64_t *length;                      /* [batch] tokens read */
    gr_token *seen;                       /* [batch, capacity] which */
    /* Compiled when first needed. all: one token of each sequence; the others read one sequence, a full chunk, one token,
     * or what is left at the end of a prompt. */
    forward_program all, chunk, one, rest;
    bool reserved;                           /* the memory of the largest of them is taken */
    gr_token *tokens;                        /* [batch] or [CHUNK], as what follows */
    int64_t *positions, *slots, *ring_slots; /* [batch] or [CHUNK] */
    int64_t *rows;                           /* [batch]: whose logits are wanted */
    int64_t sequence;                        /* that a program of one sequence reads */
    int64_t *lengths;                        /* [batch] with what is being read, see gr_forward.length */
    int64_t *coming;                         /* [batch] lengths that were announced */
    float *logits;                           /* [batch, vocab] */
    gr_plan plan;
};

/* ---- making ------------------------------------------------------------------------------------------------- */

static gr_status allocate(gr_generator *g)
{
    size_t tokens = (size_t)(g->batch > CHUNK ? g->batch : CHUNK);
    g->length = gr_alloc_zero((size_t)g->batch, sizeof *g->length);
    g->seen = gr_alloc((size_t)(g->batch * g->capacity) * sizeof *g->seen);
    g->rows = gr_alloc_zero((size_t)g->batch, sizeof *g->rows);
    g->lengths = gr_alloc_zero((size_t)g->batch, sizeof *g->lengths);
    g->coming = gr_alloc_zero((size_t)g->batch, sizeof *g->coming);
    g->tokens = gr_alloc(tokens * sizeof *g->tokens);
    g->positions = gr_alloc(3 * tokens * sizeof *g->positions);
    g->logits = gr_alloc((size_t)(g->batch * g->vocab) * sizeof *g->logits);
    if (!g->length || !g->seen || !g->rows || !g->lengths || !g->coming || !g->tokens || !g->positions || !g->logits)
        return GR_ERR_MEMORY;
    g->slots = g->positions + tokens;
    g->ring_slots = g->slots + tokens;
    g->cache = gr_store_new(gr_model_describe(g->model)->device);
    if (!g->cache)
        return GR_ERR_MEMORY;
    gr_cache_options o = {.size = sizeof o, .keys = g->model->keys, .values = g->model->values};
    o.batch = g->batch;
    o.capacity = g->capacity;
    o.chunk = CHUNK;
    gr_status s = gr_model_add_cache(g->model, g->cache, &o);
    int ring = gr_store_find(g->cache, "cache.ring_position");
    gr_entry e = GR_INIT(gr_entry);
    if (s == GR_OK && ring >= 0)
        s = gr_store_entry(g->cache, ring, &e);
    g->ring = e.shape[1];
    return s;
}

gr_generator *gr_generator_new(gr_model *model, int64_t batch, int64_t capacity)
{
    if (gr_lacks(model, "gr_generator_new: model"))
        return NULL;
    const gr_model_info *info = gr_model_describe(model);
    capacity = capacity ? capacity : info->context;
    if (batch < 1 || capacity < 1 || (info->limit && capacity > info->limit)) {
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
    if (allocate(g) == GR_OK)
        return g;
    gr_generator_free(g);
    return NULL;
}

void gr_generator_free(gr_generator *g)
{
    if (!g)
        return;
    gr_program_free(g->all.program);
    gr_program_free(g->chunk.program);
    gr_program_free(g->one.program);
    gr_program_free(g->rest.program);
    gr_store_free(g->cache);
    gr_free(g->length);
    gr_free(g->seen);
    gr_free(g->tokens);
    gr_free(g->positions);
    gr_free(g->rows);
    gr_free(g->lengths);
    gr_free(g->coming);
    gr_free(g->logits);
    gr_free(g);
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

/* Inputs: tokens, positions, slot [B, T], rows [B], length [B], ring_slot [B, T], and the sequence [1] where it is one of
 * several. Those that the model has no use for are left out when it is compiled. Output: logits [B, V]. */
static gr_status compile(gr_generator *g, forward_program *f, int64_t batch, int64_t t)
{
    if (f->program && f->batch == batch && f->t == t)
        return GR_OK;
    gr_program_free(f->program);
    gr_graph *graph = gr_graph_new();
    int64_t shape[] = {batch, t};
    gr_forward in = {.size = sizeof in, .tokens = gr_input(graph, "tokens", GR_I32, 2, shape), .cache = g->cache};
    in.positions = gr_input(graph, "positions", GR_I64, 2, shape);
    in.slot = gr_input(graph, "slot", GR_I64, 2, shape);
    in.rows = gr_input(graph, "rows", GR_I64, 1, shape);
    in.length = gr_input(graph, "length", GR_I64, 1, shape);
    in.ring_slot = gr_input(graph, "ring_slot", GR_I64, 2, shape);
    if (batch < g->batch)
        in.sequence = gr_input(graph, "sequence", GR_I64, 1, shape);
    gr_tensor *logits = gr_model_forward(g->model, &in);
    f->program = logits ? gr_model_compile(g->model, graph, &logits, 1) : NULL;
    f->batch = batch;
    f->t = t;
    gr_graph_free(graph);
    return f->program ? GR_OK : gr_error_status();
}

/* One that reads t tokens of one sequence. */
static forward_program *reader(gr_generator *g, int64_t t)
{
    forward_program *f = t == 1 ? &g->one : t == CHUNK ? &g->chunk : &g->rest;
    return compile(g, f, 1, t) == GR_OK ? f : NULL;
}

/* The programs that need most memory: a full chunk of one sequence, and a token of each where there are several. */
static gr_status largest(gr_generator *g, gr_program *out[2])
{
    forward_program *read = reader(g, g->capacity < CHUNK ? g->capacity : CHUNK);
    gr_status s = read ? GR_OK : gr_error_status();
    if (s == GR_OK && g->batch > 1)
        s = compile(g, &g->all, g->batch, 1);
    out[0] = s == GR_OK ? read->program : NULL;
    out[1] = s == GR_OK ? g->all.program : NULL;
    return s;
}

/* Takes their memory before the first runs: what is bound then stays where it is. */
static gr_status reserve(gr_generator *g)
{
    gr_program *programs[2];
    gr_status s = g->reserved ? GR_OK : largest(g, programs);
    if (s == GR_OK && !g->reserved)
        s = gr_programs_reserve(programs, 2);
    g->reserved = s == GR_OK;
    return s;
}

int64_t gr_generator_length(const gr_generator *g, int64_t sequence)
{
    if (gr_lacks(g, "gr_generator_length: generator"))
        return -1;
    return g->length[sequence];
}

void gr_generator_announce(gr_generator *g, int64_t sequence, int64_t length)
{
    g->coming[sequence] = length;
}

const gr_model *gr_generator_model(const gr_generator *g)
{
    return g->model;
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

const gr_plan *gr_generator_plan(gr_generator *g)
{
    if (gr_lacks(g, "gr_generator_plan: generator"))
        return NULL;
    gr_program *programs[2];
    forward_program *token = NULL; /* for each text */
    if (largest(g, programs) == GR_OK)
        token = g->batch > 1 ? &g->all : reader(g, 1);
    if (!token)
        return NULL;
    const gr_plan *one = gr_program_plan(programs[0]), *all = programs[1] ? gr_program_plan(programs[1]) : one;
    const gr_plan *cost = gr_program_plan(token->program);
    g->plan = all->arena > one->arena ? *all : *one;
    g->plan.flops = cost->flops;
    g->plan.moved = cost->moved;
    g->plan.calls = cost->calls;
    return &g->plan;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

/* No row of the cache holds a token: positions of -1. */
static gr_status clear(gr_generator *g, const char *name, int64_t rows)
{
    size_t bytes = (size_t)(g->batch * rows) * sizeof(int64_t);
    int64_t *none = rows ? gr_alloc(bytes) : NULL;
    if (!none)
        return rows ? GR_ERR_MEMORY : GR_OK;
    memset(none, 0xFF, bytes);
    gr_status s = gr_store_write(g->cache, name, none, bytes);
    gr_free(none);
    return s;
}

/* What cannot be had is told before any of it is taken. */
static gr_status clear_all(gr_generator *g)
{
    gr_status s = gr_store_reserve(g->cache);
    if (s != GR_OK)
        return gr_fail_in("keys and values of %lld tokens", (long long)(g->batch * g->capacity));
    s = clear(g, "cache.position", g->capacity);
    return s == GR_OK ? clear(g, "cache.ring_position", g->ring) : s;
}

gr_status gr_generator_reset(gr_generator *g)
{
    if (gr_lacks(g, "gr_generator_reset: generator"))
        return GR_ERR_ARGUMENT;
    memset(g->length, 0, (size_t)g->batch * sizeof *g->length);
    memset(g->coming, 0, (size_t)g->batch * sizeof *g->coming);
    return clear_all(g);
}

/* Lays out token number i of a run as the next but `ahead` of sequence b; id -1: nothing there is to be read. */
static void place(gr_generator *g, int64_t i, int64_t b, int64_t ahead, gr_token id)
{
    int64_t at = g->length[b] + ahead;
    g->tokens[i] = id < 0 ? 0 : id;
    g->positions[i] = id < 0 ? 0 : at;
    g->slots[i] = id < 0 ? -1 : at;
    g->ring_slots[i] = id < 0 || !g->ring ? -1 : at % g->ring;
    if (id >= 0)
        g->seen[b * g->capacity + at] = id;
}

static gr_status run(gr_generator *g, const forward_program *f, float *logits)
{
    const void *in[] = {g->tokens, g->positions, g->slots, g->rows, g->lengths, g->ring_slots, &g->sequence};
    return gr_program_run(f->program, in, (void *[]){logits});
}

/* The next `count` tokens of sequence b; logits [vocab]. */
static gr_status read_sequence(gr_generator *g, int64_t b, const gr_token *tokens, int64_t count, float *logits)
{
    gr_status s = GR_OK;
    g->sequence = b;
    g->lengths[0] = g->length[b] + count > g->coming[b] ? g->length[b] + count : g->coming[b];
    for (int64_t at = 0; s == GR_OK && at < count;) {
        int64_t t = count - at < CHUNK ? count - at : CHUNK;
        forward_program *f = reader(g, t);
        if (!f)
            return gr_error_status();
        for (int64_t i = 0; i < t; i++)
            place(g, i, b, i, tokens[at + i]);
        g->rows[0] = t - 1;
        at += t;
        s = run(g, f, at == count ? logits : NULL);
        if (s == GR_OK)
            g->length[b] += t;
    }
    return s;
}

/* One more token of each sequence that has one. */
static gr_status read_together(gr_generator *g, const gr_token *const *tokens, const int64_t *count, float *logits)
{
    gr_status s = compile(g, &g->all, g->batch, 1);
    for (int64_t b = 0; b < g->batch; b++) {
        place(g, b, b, 0, count[b] ? tokens[b][0] : -1);
        g->rows[b] = b;
        g->lengths[b] = g->length[b] + 1;
    }
    if (s == GR_OK)
        s = run(g, &g->all, g->logits);
    for (int64_t b = 0; s == GR_OK && b < g->batch; b++)
        if (count[b]) {
            memcpy(logits + b * g->vocab, g->logits + b * g->vocab, (size_t)g->vocab * sizeof *logits);
            g->length[b]++;
        }
    return s;
}

static gr_status check(const gr_generator *g, const gr_token *const *tokens, const int64_t *count)
{
    for (int64_t b = 0; b < g->batch; b++) {
        if (count[b] < 0 || g->length[b] + count[b] > g->capacity)
            return gr_fail(GR_ERR_ARGUMENT,
                           "generation: %lld more tokens behind %lld are more than the capacity of %lld",
                           (long long)count[b], (long long)g->length[b], (long long)g->capacity);
        if (count[b] > 0 && gr_lacks(tokens[b], "gr_generator_feed: tokens of a sequence"))
            return GR_ERR_ARGUMENT;
        for (int64_t i = 0; i < count[b]; i++)
            if (tokens[b][i] < 0 || tokens[b][i] >= g->vocab)
                return gr_fail(GR_ERR_ARGUMENT, "generation: token id %lld, the vocabulary has %lld",
                               (long long)tokens[b][i], (long long)g->vocab);
    }
    return GR_OK;
}

gr_status gr_generator_feed(gr_generator *g, const gr_token *const *tokens, const int64_t *count, float *logits)
{
    if (gr_lacks(g, "gr_generator_feed: generator") || gr_lacks(tokens, "gr_generator_feed: tokens") ||
        gr_lacks(count, "gr_generator_feed: count") || gr_lacks(logits, "gr_generator_feed: logits"))
        return GR_ERR_ARGUMENT;
    int64_t read = 0, more = 0, longest = 0;
    gr_status s = check(g, tokens, count);
    if (s != GR_OK)
        return s;
    for (int64_t b = 0; b < g->batch; b++) {
        read += g->length[b];
        more += count[b] > 0;
        longest = count[b] > longest ? count[b] : longest;
    }
    s = reserve(g);
    if (s == GR_OK && read == 0)
        s = clear_all(g); /* the cache has never been written, or was reset */
    if (s == GR_OK && longest == 1 && more > 1)
        return read_together(g, tokens, count, logits);
    for (int64_t b = 0; s == GR_OK && b < g->batch; b++)
        if (count[b])
            s = read_sequence(g, b, tokens[b], count[b], logits + b * g->vocab);
    return s;
}

gr_status gr_generator_fork(gr_generator *g, int64_t from, int64_t to)
{
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_store_count(g->cache); i++) {
        gr_entry e = GR_INIT(gr_entry);
        s = gr_store_entry(g->cache, i, &e);
        int64_t rows = g->length[from] < e.shape[1] ? g->length[from] : e.shape[1];
        size_t sequence = e.bytes / (size_t)g->batch, used = sequence / (size_t)e.shape[1] * (size_t)rows;
        if (s == GR_OK)
            s = gr_store_copy(g->cache, i, (size_t)from * sequence, (size_t)to * sequence, used);
    }
    if (s == GR_OK) {
        g->length[to] = g->length[from];
        memcpy(g->seen + to * g->capacity, g->seen + from * g->capacity, (size_t)g->length[from] * sizeof *g->seen);
    }
    return s;
}

/* ---- forgetting --------------------------------------------------------------------------------------------- */

/* Whether a text of n tokens has other rotary frequencies than a shorter one. */
static bool depends_on_length(const gr_generator *g, int64_t n)
{
    const gr_rope_settings *rope = g->model->h.rope;
    return (rope[0].limit > 0 && n > rope[0].limit) || (rope[1].limit > 0 && n > rope[1].limit);
}

/* Whether the rings still hold all that is seen from token `kept` on: tokens behind it were written over older ones. */
static bool rings_hold(const gr_generator *g, int64_t read, int64_t kept)
{
    int64_t widest = 0;
    for (int i = 0; i < g->model->h.layers; i++) {
        int64_t window = gr_model_window(g->model, i);
        widest = window < g->capacity && window > widest ? window : widest;
    }
    return read <= g->ring || !g->ring || read - g->ring <= kept - widest + 1;
}

/* Rows of what is read no more hold nothing, as before. */
static gr_status mark_rows(gr_generator *g, const char *name, int64_t rows, int64_t b, int64_t kept)
{
    size_t bytes = (size_t)(g->batch * rows) * sizeof(int64_t);
    int64_t *position = rows ? gr_alloc(bytes) : NULL;
    if (!position)
        return rows ? GR_ERR_MEMORY : GR_OK;
    gr_status s = gr_store_read(g->cache, name, position, bytes);
    for (int64_t i = b * rows; s == GR_OK && i < (b + 1) * rows; i++)
        if (position[i] >= kept)
            position[i] = -1;
    if (s == GR_OK)
        s = gr_store_write(g->cache, name, position, bytes);
    gr_free(position);
    return s;
}

gr_status gr_generator_rewind(gr_generator *g, int64_t b, const gr_token *tokens, int64_t n, int64_t most)
{
    int64_t read = g->length[b], kept = 0;
    const gr_token *seen = g->seen + b * g->capacity;
    while (kept < read && kept < n && kept < most && seen[kept] == tokens[kept])
        kept++;
    if (depends_on_length(g, read > n ? read : n) || !rings_hold(g, read, kept))
        kept = 0;
    gr_status s = kept < read ? mark_rows(g, "cache.position", g->capacity, b, kept) : GR_OK;
    if (s == GR_OK && kept < read)
        s = mark_rows(g, "cache.ring_position", g->ring, b, kept);
    if (s != GR_OK)
        return s;
    g->length[b] = kept;
    g->coming[b] = 0;
    return GR_OK;
}
