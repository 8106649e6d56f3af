/* The cache of generation: rings of window layers against a forward pass without any, and sequences side by side against
 * each alone. */
#include "tiny.h"

#include "backend/backend.h"
#include "base/dtype.h"
#include "infer/infer.h"
#include "model/layers/model.h"
#include "program/run.h"

#include <math.h>

enum { WINDOW = 20, RING = 256 /* 20 + 128 - 1, in whole blocks */, LONG = 1400 };

/* Every layer with a window; the second of two; none. */
static const char *const kinds[] = {
    "\"model_type\": \"mistral\", \"sliding_window\": 20",
    "\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 20, \"max_window_layers\": 1",
    "\"model_type\": \"llama\"",
};
static const int ring_layers[] = {2, 1, 0};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static gr_model *model_of(int kind, gr_device *device)
{
    char config[512];
    snprintf(config, sizeof config,
             "{%s, \"vocab_size\": %d, \"hidden_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 6,"
             " \"num_key_value_heads\": 2, \"intermediate_size\": 36, \"max_position_embeddings\": %d,"
             " \"initializer_range\": 0.3}",
             kinds[kind], TINY_VOCAB, LONG);
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_init(m, 3));
    return m;
}

static void long_ids(gr_token *tokens, int n)
{
    int32_t ids[LONG];
    tiny_ids(ids, n);
    for (int i = 0; i < n; i++)
        tokens[i] = ids[i];
}

/* Logits behind token number n - 1, without a cache. */
static void forward(gr_model *m, const gr_token *tokens, int64_t n, float *last)
{
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){1, n})};
    f.rows = gr_constant(g, GR_I64, 1, (int64_t[]){1}, &(int64_t){n - 1});
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){tokens}, (void *[]){last}));
    gr_program_free(p);
    gr_graph_free(g);
}

static void feed(gr_generator *g, const gr_token *tokens, int64_t n, int64_t piece, float *logits)
{
    for (int64_t at = gr_generator_length(g, 0); at < n; at += piece) {
        int64_t count = n - at < piece ? n - at : piece;
        CHECK_OK(gr_generator_feed(g, (const gr_token *[]){tokens + at}, &count, logits));
    }
}

/* The others take long for a long text. */
static bool is_fast(const char *name)
{
    return strcmp(name, "cpu") == 0;
}

/* Prompts longer than the window, whole, in odd pieces and a token at a time, beyond five wraps of the ring. */
static void check_rings(int kind, const char *name)
{
    static const int64_t pieces[] = {LONG, 37, 1}, lengths[] = {19, 130, 290, 700, LONG};
    const int reached = is_fast(name) ? 5 : 3;
    gr_token tokens[LONG];
    float whole[5][TINY_VOCAB], kept[TINY_VOCAB];
    long_ids(tokens, LONG);
    gr_device *device = gr_device_open(name, 0);
    gr_model *m = model_of(kind, device);
    gr_generator *g = gr_generator_new(m, 1, 0);
    CHECK_MADE(g);
    for (int l = 0; l < reached; l++)
        forward(m, tokens, lengths[l], whole[l]);
    for (int p = 0; p < 3; p++) {
        CHECK_OK(gr_generator_reset(g));
        for (int l = 0; l < reached; l++) {
            NOTE("model %d on %s, %d tokens, %d at a time", kind, name, (int)lengths[l], (int)pieces[p]);
            feed(g, tokens, lengths[l], pieces[p], kept);
            for (int i = 0; i < TINY_VOCAB; i++)
                CHECK_NEAR(kept[i], whole[l][i], 2e-5);
        }
    }
    gr_generator_free(g);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(rings)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int d = 0; test_device(d); d++)
            check_rings(kind, test_device(d));
}

/* Another text, which has `common` tokens with the n that were read at its beginning: what is kept of these, and that
 * the next logits are its own. */
static void check_rewind(int kind, const char *name, int64_t n, int64_t common, int64_t kept)
{
    const int64_t longer = n + 20;
    gr_token tokens[LONG];
    float whole[TINY_VOCAB], after[TINY_VOCAB];
    NOTE("model %d on %s, %d tokens in common", kind, name, (int)common);
    long_ids(tokens, LONG);
    gr_device *device = gr_device_open(name, 0);
    gr_model *m = model_of(kind, device);
    gr_generator *g = gr_generator_new(m, 1, 0);
    CHECK_MADE(g);
    feed(g, tokens, n, LONG, after);
    for (int64_t i = common; i < longer; i++)
        tokens[i] = (tokens[i] + 1) % TINY_VOCAB;
    CHECK_OK(gr_generator_rewind(g, 0, tokens, longer, longer - 1));
    CHECK_EQ_INT(gr_generator_length(g, 0), kept);
    feed(g, tokens, longer, LONG, after);
    forward(m, tokens, longer, whole);
    for (int i = 0; i < TINY_VOCAB; i++)
        CHECK_NEAR(after[i], whole[i], 2e-5);
    CHECK_OK(gr_generator_rewind(g, 0, tokens, longer, longer - 3)); /* not more than was wanted */
    CHECK_EQ_INT(gr_generator_length(g, 0), longer - 3);
    feed(g, tokens, longer, LONG, after);
    for (int i = 0; i < TINY_VOCAB; i++)
        CHECK_NEAR(after[i], whole[i], 2e-5);
    gr_generator_free(g);
    gr_model_free(m);
    gr_device_close(device);
}

/* A ring of 256 rows and a window of 20 bear to lose 237 tokens. */
TEST(rewinding)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int d = 0; test_device(d); d++) {
            const int64_t n = is_fast(test_device(d)) ? 700 : 280, edge = n - RING + WINDOW - 1;
            check_rewind(kind, test_device(d), n, n - 10, n - 10);
            check_rewind(kind, test_device(d), n, edge, edge);
            check_rewind(kind, test_device(d), n, edge - 1, ring_layers[kind] ? 0 : edge - 1);
        }
}

TEST(rings_are_small)
{
    gr_device *device = gr_device_open("ref", 1);
    for (int kind = 0; kind < N_KINDS; kind++) {
        gr_model *m = model_of(kind, device);
        for (int64_t batch = 1; batch <= 3; batch += 2) {
            gr_generator *g = gr_generator_new(m, batch, 0);
            CHECK_MADE(g);
            int64_t rings = ring_layers[kind], row = 2 * 2 * 4 * (int64_t)sizeof(float); /* k and v, groups, width */
            int64_t rows = rings * RING + (2 - rings) * LONG, positions = LONG + (rings ? RING : 0);
            gr_plan memory = *gr_generator_plan(g);
            CHECK_EQ_INT(memory.cache, batch * (rows * row + positions * (int64_t)sizeof(int64_t)));
            CHECK(memory.total >= memory.weights + memory.cache + memory.arena);
            gr_generator_free(g);
        }
        gr_model_free(m);
    }
    gr_device_close(device);
}

/* ---- side by side ------------------------------------------------------------------------------------------- */

enum { BATCH = 5 };

/* Every sequence's prompt in one call, then a token of each per call, some waiting: the bits that each has alone. */
static void check_batch(int kind, const char *name)
{
    static const int64_t prompts[BATCH] = {3, 300, 1, 41, 129};
    gr_token tokens[LONG];
    float *together = gr_alloc(BATCH * TINY_VOCAB * sizeof *together), alone[TINY_VOCAB];
    gr_device *device = gr_device_open(name, 0);
    gr_model *m = model_of(kind, device);
    gr_generator *g = gr_generator_new(m, BATCH, 0), *one = gr_generator_new(m, 1, 0);
    CHECK_MADE(g);
    CHECK_MADE(one);
    long_ids(tokens, LONG);
    const gr_token *at[BATCH];
    int64_t count[BATCH];
    for (int step = 0; step < 30; step++) {
        for (int b = 0; b < BATCH; b++) {
            at[b] = tokens + b + gr_generator_length(g, b);
            count[b] = step == 0 ? prompts[b] : (step + b) % 4 != 0;
        }
        CHECK_OK(gr_generator_feed(g, at, count, together));
    }
    for (int b = 0; b < BATCH; b++) {
        NOTE("model %d on %s, sequence %d", kind, name, b);
        int64_t n = gr_generator_length(g, b);
        CHECK(n > prompts[b] + 10);
        CHECK_OK(gr_generator_reset(one));
        feed(one, tokens + b, prompts[b], LONG, alone);
        feed(one, tokens + b, n, 1, alone);
        CHECK(memcmp(alone, together + b * TINY_VOCAB, sizeof alone) == 0);
    }
    gr_free(together);
    gr_generator_free(one);
    gr_generator_free(g);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(side_by_side)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int d = 0; test_device(d); d++)
            check_batch(kind, test_device(d));
}

/* What one sequence has read, given to another. */
TEST(forks)
{
    gr_token tokens[LONG];
    float logits[2 * TINY_VOCAB];
    long_ids(tokens, LONG);
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int d = 0; test_device(d); d++) {
            NOTE("model %d on %s", kind, test_device(d));
            gr_device *device = gr_device_open(test_device(d), 0);
            gr_model *m = model_of(kind, device);
            gr_generator *g = gr_generator_new(m, 2, 0);
            CHECK_MADE(g);
            CHECK_OK(gr_generator_feed(g, (const gr_token *[]){NULL, tokens}, (int64_t[]){0, 300}, logits));
            CHECK_OK(gr_generator_fork(g, 1, 0));
            CHECK_EQ_INT(gr_generator_length(g, 0), 300);
            const gr_token *next[] = {tokens + 300, tokens + 300};
            CHECK_OK(gr_generator_feed(g, next, (int64_t[]){1, 1}, logits));
            CHECK(memcmp(logits, logits + TINY_VOCAB, TINY_VOCAB * sizeof *logits) == 0);
            gr_generator_free(g);
            gr_model_free(m);
            gr_device_close(device);
        }
}

/* The largest program's memory is taken first: a longer prompt, or a batch, moves nothing that is bound. */
TEST(nothing_moves)
{
    gr_token tokens[LONG];
    int64_t count[BATCH] = {2, 3};
    float *logits = gr_alloc(BATCH * TINY_VOCAB * sizeof *logits);
    long_ids(tokens, LONG);
    gr_device *device = gr_device_open("cpu", 0);
    gr_model *m = model_of(0, device);
    gr_generator *g = gr_generator_new(m, BATCH, 0);
    CHECK_MADE(g);
    const gr_token *at[] = {tokens, tokens, tokens, tokens, tokens};
    CHECK_OK(gr_generator_feed(g, at, count, logits));
    uint64_t generation = device->generation;
    for (int b = 0; b < BATCH; b++)
        count[b] = 300 + b;
    CHECK_OK(gr_generator_feed(g, at, count, logits));
    for (int b = 0; b < BATCH; b++)
        count[b] = 1;
    CHECK_OK(gr_generator_feed(g, at, count, logits));
    CHECK_EQ_INT(device->generation, generation);
    gr_free(logits);
    gr_generator_free(g);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- narrow ------------------------------------------------------------------------------------------------- */

enum { PROMPT = 150, SEQUENCES = 3, MINE = 1 };

/* Logits behind the last of n tokens that sequence MINE reads behind `from` others. */
static void read_narrow(gr_model *m, gr_store *cache, const gr_token *tokens, int64_t from, int64_t n, float *last)
{
    int64_t slots[PROMPT], shape[] = {1, n};
    for (int64_t i = 0; i < n; i++)
        slots[i] = from + i;
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, shape), .cache = cache};
    f.positions = f.slot = gr_constant(g, GR_I64, 2, shape, slots);
    f.sequence = gr_constant(g, GR_I64, 1, (int64_t[]){1}, &(int64_t){MINE});
    f.rows = gr_constant(g, GR_I64, 1, (int64_t[]){1}, &(int64_t){n - 1});
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){tokens + from}, (void *[]){last}));
    gr_program_free(p);
    gr_graph_free(g);
}

/* Heads of 32, which are whole blocks. */
static gr_model *wide_model(gr_device *device)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 31, \"hidden_size\": 128, \"num_hidden_layers\": 2,"
        " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 96,"
        " \"max_position_embeddings\": 1400, \"initializer_range\": 0.2}";
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_init(m, 3));
    return m;
}

/* Keys and values in less memory: the logits of f32 but for what is lost by rounding them. */
static void check_narrow(gr_dtype keys, gr_dtype values, double off, gr_device *device)
{
    gr_token tokens[LONG];
    int64_t none[SEQUENCES * (PROMPT + 1)];
    float whole[TINY_VOCAB], kept[TINY_VOCAB];
    gr_entry e = GR_INIT(gr_entry);
    long_ids(tokens, LONG);
    memset(none, 0xFF, sizeof none);
    gr_model *m = wide_model(device);
    gr_store *cache = gr_store_new(device);
    gr_cache_options how = {sizeof how, keys, values, SEQUENCES, PROMPT + 1, PROMPT};
    CHECK_OK(gr_model_add_cache(m, cache, &how));
    CHECK_OK(gr_store_entry(cache, gr_store_find(cache, "cache.1.v"), &e));
    CHECK_EQ_INT(e.bytes, gr_dtype_size(values, SEQUENCES * (PROMPT + 1) * 2 * 32));
    CHECK_OK(gr_store_write(cache, "cache.position", none, sizeof none));
    for (int64_t n = PROMPT; n <= PROMPT + 1; n++) {
        bool first = n == PROMPT;
        read_narrow(m, cache, tokens, first ? 0 : PROMPT, first ? PROMPT : 1, kept);
        forward(m, tokens, n, whole);
        double worst = 0;
        for (int i = 0; i < TINY_VOCAB; i++)
            worst = fmax(worst, fabs((double)kept[i] - (double)whole[i]));
        NOTE("keys %s, values %s: off by %g", gr_dtype_name(keys), gr_dtype_name(values), worst);
        CHECK(worst > off / 1000 && worst < off);
    }
    gr_store_free(cache);
    gr_model_free(m);
}

/* A device without kernels for blocks says so before anything runs. */
static void check_no_blocks(gr_device *device)
{
    gr_model *m = wide_model(device);
    m->keys = m->values = GR_Q8_0;
    gr_generator *g = gr_generator_new(m, 1, 64);
    CHECK_MADE(g);
    CHECK(!gr_generator_plan(g));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "no kernel for cast");
    gr_generator_free(g);
    gr_model_free(m);
}

TEST(narrow_keys_and_values)
{
    for (int d = 0; test_device(d); d++) {
        NOTE("%s", test_device(d));
        gr_device *device = gr_device_open(test_device(d), 0);
        check_narrow(GR_F16, GR_F16, 0.02, device);
        check_narrow(GR_BF16, GR_BF16, 0.15, device);
        check_narrow(GR_F32, GR_BF16, 0.1, device);
        if (strcmp(test_device(d), "opencl") == 0)
            check_no_blocks(device);
        else {
            check_narrow(GR_Q8_0, GR_Q8_0, 0.5, device);
            check_narrow(GR_Q4_0, GR_Q4_0, 5, device);
            check_narrow(GR_Q8_0, GR_F16, 0.3, device);
        }
        gr_model *m = model_of(2, device);
        gr_store *cache = gr_store_new(device);
        gr_cache_options kept = {sizeof kept, GR_F32, GR_I32, 1, 8, 8};
        CHECK_STATUS(gr_model_add_cache(m, cache, &kept), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "a cache of i32");
        kept.values = GR_Q8_0; /* heads are 4 wide */
        CHECK_STATUS(gr_model_add_cache(m, cache, &kept), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "blocks have 32 values");
        gr_store_free(cache);
        gr_model_free(m);
        gr_device_close(device);
    }
}

/* Where rotary positions depend on the length, a prompt read in pieces goes by all of it. */
TEST(length_is_of_the_whole_prompt)
{
    enum { N = 600 };
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 31, \"hidden_size\": 24, \"num_hidden_layers\": 2,"
        " \"num_attention_heads\": 6, \"intermediate_size\": 36, \"max_position_embeddings\": 520,"
        " \"initializer_range\": 0.5, \"rope_parameters\":"
        " {\"rope_type\": \"dynamic\", \"factor\": 64.0, \"rope_theta\": 10000.0}}";
    gr_token tokens[LONG];
    float logits[TINY_VOCAB];
    long_ids(tokens, LONG);
    gr_device *device = gr_device_open("cpu", 0);
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    CHECK_MADE(m);
    gr_generate_options o = {.size = sizeof o, .n_prompt = N, .max_tokens = 1};
    for (uint64_t seed = 0; seed < 24; seed++) {
        const gr_generated *out;
        o.prompt = tokens + seed;
        NOTE("seed %d", (int)seed);
        CHECK_OK(gr_model_init(m, seed));
        gr_generator *g = gr_generator_new(m, 1, N + 1);
        CHECK_MADE(g);
        forward(m, tokens + seed, N, logits);
        CHECK_OK(gr_generate(g, NULL, &o, 1, &out));
        CHECK_EQ_INT(out->ids[0], gr_sample_token(NULL, logits, TINY_VOCAB, NULL, 0, 0));
        gr_free(out);
        gr_generator_free(g);
    }
    gr_model_free(m);
    gr_device_close(device);
}
