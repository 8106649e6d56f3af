/* Every public function with NULL for every pointer that it takes: a default where gradus.h says so, else an error, never a
 * crash. That none is missing is checked against the header. */
#include "tiny.h"

/* The call gives NULL, or an error or another value, and the error says what was NULL or made no sense. */
#define REFUSES(call)                                                                                                  \
    do {                                                                                                               \
        gr_error_clear();                                                                                              \
        CHECK((call) == NULL);                                                                                         \
        CHECK_EQ_INT(gr_error_status(), GR_ERR_ARGUMENT);                                                              \
    } while (0)
#define IS(call, value)                                                                                                \
    do {                                                                                                               \
        gr_error_clear();                                                                                              \
        CHECK_EQ_INT((call), (value));                                                                                 \
        CHECK(strstr(gr_error(), "NULL"));                                                                             \
    } while (0)
#define FAILS(call) IS(call, GR_ERR_ARGUMENT)
/* A failed tensor goes through formulas in silence: gr_graph_check tells. */
#define PASSES_NULL(call) CHECK((call) == NULL)

static const int64_t shape[] = {2, 2};
static const float four[4];

typedef struct things {
    gr_device *device;
    gr_graph *graph;
    gr_tensor *x;
    gr_store *store;
    gr_model *model;
    gr_tokenizer *tokenizer;
} things;

static things open_things(void)
{
    const gr_tokenizer_training bytes = {.size = sizeof bytes, .recipe = GR_TOKENIZER_BYTES};
    things t = {.device = gr_device_open("cpu", 1), .graph = gr_graph_new(), .tokenizer = gr_tokenizer_train(&bytes)};
    t.x = gr_constant(t.graph, GR_F32, 2, shape, four);
    t.store = gr_store_new(t.device);
    t.model = tiny_model("llama", t.device);
    CHECK(t.device && t.x && t.store && t.model && t.tokenizer);
    CHECK_OK(gr_store_add(t.store, "w", GR_WEIGHT, GR_F32, 2, shape));
    return t;
}

static void close_things(things *t)
{
    gr_tokenizer_free(t->tokenizer);
    gr_model_free(t->model);
    gr_store_free(t->store);
    gr_graph_free(t->graph);
    gr_device_close(t->device);
}

/* Building fails a graph for good: a new one for the next. */
static gr_tensor *again(things *t)
{
    gr_graph_free(t->graph);
    t->graph = gr_graph_new();
    t->x = gr_constant(t->graph, GR_F32, 2, shape, four);
    CHECK_MADE(t->x);
    return t->x;
}

TEST(what_frees_takes_null)
{
    gr_error_clear();
    gr_device_close(NULL);
    gr_graph_free(NULL);
    gr_store_free(NULL);
    gr_program_free(NULL);
    gr_tokenizer_free(NULL);
    gr_text_stream_free(NULL);
    gr_free(NULL);
    gr_model_free(NULL);
    gr_trainer_free(NULL);
    gr_corpus_free(NULL);
    gr_data_free(NULL);
    gr_rows_free(NULL);
    gr_generator_free(NULL);
    gr_run_lock_close(NULL);
    gr_run_record_free(NULL);
    gr_set_log(NULL, NULL);
    CHECK_EQ_INT(gr_error_status(), GR_OK);
    CHECK_EQ_STR(gr_error(), "");
    CHECK(*gr_library_info()->version && gr_version_number() && gr_library_info() && gr_op_list(0) &&
          !gr_dtype_name(GR_DTYPE_NONE));
    CHECK(gr_device_list(0) && gr_model_list(0));
    char *ops = gr_op_report();
    CHECK(ops && strstr(ops, "softmax"));
    gr_free(ops);
    IS(gr_run_memory(NULL), 0);
    gr_set_allocator(NULL, NULL); /* the system's */
}

static bool write_line(void *user, const char *line)
{
    (void)user, (void)line;
    return true;
}

static bool no_row(void *user, const gr_profile_row *row)
{
    (void)user, (void)row;
    return false;
}

static bool stop_at_once(void *user, gr_tensor *t)
{
    return user && t;
}

TEST(graphs)
{
    things t = open_things();
    gr_device *any = gr_device_open(NULL, 1);
    CHECK_MADE(any); /* auto */
    gr_device_close(any);
    gr_device_info info = GR_INIT(gr_device_info);
    FAILS(gr_device_describe(NULL, &info));
    FAILS(gr_device_describe(t.device, NULL));
    gr_device_limits limits = GR_INIT(gr_device_limits);
    FAILS(gr_device_measure(NULL, &limits));
    FAILS(gr_device_measure(t.device, NULL));
    IS(gr_graph_check(NULL), GR_ERR_ARGUMENT);
    FAILS(gr_graph_print(NULL, write_line, NULL));
    FAILS(gr_graph_print(t.graph, NULL, NULL));
    REFUSES(gr_tensor_spec(NULL));
    IS(gr_tensor_count(NULL), -1);
    REFUSES(gr_tensor_name(NULL));
    REFUSES(gr_tensor_graph(NULL));
    REFUSES(gr_tensor_input(NULL, 0));
    REFUSES(gr_tensor_attr(NULL));
    REFUSES(gr_tensor_op(NULL));
    FAILS(gr_graph_walk(NULL, stop_at_once, NULL));
    FAILS(gr_graph_walk(t.graph, NULL, NULL));
    CHECK_STATUS(gr_graph_walk(t.graph, stop_at_once, NULL), GR_ERR_INTERRUPTED);
    PASSES_NULL(gr_name(NULL, "x"));
    REFUSES(gr_name(t.x, NULL));
    REFUSES(gr_input(NULL, "x", GR_F32, 2, shape));
    REFUSES(gr_input(t.graph, NULL, GR_F32, 2, shape));
    again(&t);
    REFUSES(gr_input(t.graph, "x", GR_F32, 2, NULL));
    again(&t);
    REFUSES(gr_param(NULL, t.store, "w"));
    REFUSES(gr_param(t.graph, NULL, "w"));
    again(&t);
    REFUSES(gr_param(t.graph, t.store, NULL));
    again(&t);
    REFUSES(gr_constant(NULL, GR_F32, 2, shape, four));
    REFUSES(gr_constant(t.graph, GR_F32, 2, NULL, four));
    again(&t);
    REFUSES(gr_constant(t.graph, GR_F32, 2, shape, NULL));
    again(&t);
    REFUSES(gr_fill(NULL, GR_F32, 2, shape, 0));
    REFUSES(gr_fill(t.graph, GR_F32, 2, NULL, 0));
    again(&t);
    REFUSES(gr_iota(NULL, GR_I64, 3));
    PASSES_NULL(gr_uniform(NULL, 0, GR_F32, 2, shape));
    PASSES_NULL(gr_normal(NULL, 0, GR_F32, 2, shape));
    gr_tensor *seed = gr_fill(t.graph, GR_I64, 0, NULL, 1);
    CHECK_MADE(seed);
    REFUSES(gr_uniform(seed, 0, GR_F32, 2, NULL));
    again(&t);
    REFUSES(gr_normal(gr_fill(t.graph, GR_I64, 0, NULL, 1), 0, GR_F32, 2, NULL));
    again(&t);
    REFUSES(gr_node(t.graph, NULL, &t.x, 1, NULL));
    again(&t);
    REFUSES(gr_node(t.graph, gr_op_list(0), NULL, 1, NULL));
    again(&t);
    PASSES_NULL(gr_node(NULL, gr_op_list(0), NULL, 0, NULL));
    PASSES_NULL(gr_output(NULL, 0));
    FAILS(gr_op_fail(NULL, "no"));
    FAILS(gr_op_fail(t.x, NULL));
    close_things(&t);
}

/* A failure that was told stays: a formula that goes on with NULL does not hide why. */
TEST(the_first_error_stays)
{
    CHECK(!gr_device_open("abacus", 1));
    CHECK(!gr_store_new(NULL) && strstr(gr_error(), "abacus"));
    CHECK(!gr_compile(NULL, NULL, 0, NULL, NULL) && strstr(gr_error(), "abacus"));
    CHECK(!gr_input(NULL, "x", GR_F32, 2, shape) && strstr(gr_error(), "abacus"));
}

TEST(ops_of_one)
{
    gr_tensor *(*const ops[])(gr_tensor *) = {
        gr_neg,       gr_abs,  gr_exp,       gr_log,    gr_sqrt,    gr_rsqrt,       gr_reciprocal,
        gr_sin,       gr_cos,  gr_tanh,      gr_erf,    gr_sigmoid, gr_relu,        gr_gelu,
        gr_gelu_tanh, gr_silu, gr_is_finite, gr_argmax, gr_softmax, gr_log_softmax, gr_detach};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        PASSES_NULL(ops[i](NULL));
    PASSES_NULL(gr_cast(NULL, GR_F32));
    PASSES_NULL(gr_scale(NULL, 2));
    PASSES_NULL(gr_offset(NULL, 2));
    PASSES_NULL(gr_sum(NULL, 0, false));
    PASSES_NULL(gr_mean(NULL, 0, false));
    PASSES_NULL(gr_reduce_max(NULL, 0, false));
    PASSES_NULL(gr_slice(NULL, 0, 0, 1));
    PASSES_NULL(gr_pad(NULL, 0, 1, 1, 0));
    PASSES_NULL(gr_clip_factor(NULL, 1));
}

TEST(ops_of_two)
{
    gr_tensor *(*const ops[])(gr_tensor *, gr_tensor *) = {
        gr_add, gr_sub, gr_mul, gr_div, gr_pow,    gr_min,        gr_max,    gr_eq,    gr_ne,     gr_lt,       gr_le,
        gr_gt,  gr_ge,  gr_mse, gr_bce, gr_assign, gr_assign_add, gr_swiglu, gr_geglu, gr_gather, gr_embedding};
    things t = open_things();
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        PASSES_NULL(ops[i](NULL, NULL));
        PASSES_NULL(ops[i](t.x, NULL));
        again(&t);
        PASSES_NULL(ops[i](NULL, t.x));
        again(&t);
    }
    for (int i = 0; i < 3; i++) {
        gr_tensor *a = i == 1 ? t.x : NULL, *b = i == 2 ? t.x : NULL;
        PASSES_NULL(gr_matmul(a, b, false, false));
        PASSES_NULL(gr_dropout(a, 0.5, b, 0));
        PASSES_NULL(gr_cross_entropy(a, b, -100));
        PASSES_NULL(gr_cross_entropy_rows(a, b, -100));
        PASSES_NULL(gr_layer_norm(a, b, NULL, 1e-5f));
        PASSES_NULL(gr_rms_norm(a, b, 1e-5f));
        again(&t);
    }
    close_things(&t);
}

TEST(ops_of_more)
{
    things t = open_things();
    gr_adamw_options adamw = {sizeof adamw, 0.9f, 0.95f, 1e-8f, 0, 0};
    for (unsigned i = 0; i < 7; i++) { /* one or two of three are there */
        gr_tensor *a = i & 1 ? t.x : NULL, *b = i & 2 ? t.x : NULL, *c = i & 4 ? t.x : NULL;
        PASSES_NULL(gr_select(a, b, c));
        PASSES_NULL(gr_scatter_add(a, b, c));
        PASSES_NULL(gr_rope(a, b, c, false, 1));
        PASSES_NULL(gr_attention(a, b, c, NULL));
        PASSES_NULL(gr_write_rows(a, b, c, NULL));
        PASSES_NULL(gr_sgd(a, b, NULL, c, NULL, 0, 0));
        PASSES_NULL(gr_adamw(a, b, c, t.x, t.x, t.x, NULL, &adamw));
        PASSES_NULL(gr_adamw(t.x, t.x, t.x, a, b, c, NULL, &adamw));
        again(&t);
    }
    PASSES_NULL(gr_adamw(t.x, t.x, t.x, t.x, t.x, t.x, NULL, NULL));
    again(&t);
    gr_tensor *heads = gr_reshape(t.x, 4, (int64_t[]){1, 2, 1, 2});
    CHECK_MADE(gr_attention(heads, heads, heads, NULL)); /* the options' zeroes */
    PASSES_NULL(gr_global_norm(NULL, 2));
    PASSES_NULL(gr_global_norm((gr_tensor *[]){t.x, NULL}, 2));
    again(&t);
    PASSES_NULL(gr_concat(NULL, 2, 0));
    PASSES_NULL(gr_concat((gr_tensor *[]){t.x, NULL}, 2, 0));
    PASSES_NULL(gr_reshape(NULL, 2, shape));
    REFUSES(gr_reshape(t.x, 2, NULL));
    again(&t);
    PASSES_NULL(gr_expand(NULL, 2, shape));
    REFUSES(gr_expand(t.x, 2, NULL));
    again(&t);
    PASSES_NULL(gr_permute(NULL, (int[]){1, 0}));
    REFUSES(gr_permute(t.x, NULL));
    again(&t);
    gr_tensor *out[2];
    CHECK(!gr_split(NULL, 0, (int64_t[]){1, 1}, 2, out) && !out[0]);
    CHECK(!gr_split(t.x, 0, NULL, 2, out));
    again(&t);
    CHECK(!gr_split(t.x, 0, (int64_t[]){1, 1}, 2, NULL));
    again(&t);
    gr_tensor *grads[1], *loss = gr_sum(t.x, 0, false);
    FAILS(gr_grad(NULL, &t.x, grads, 1)); /* no op has failed, so it says itself what is missing */
    FAILS(gr_grad(loss, NULL, grads, 1));
    FAILS(gr_grad(loss, &t.x, NULL, 1));
    CHECK(gr_grad(loss, (gr_tensor *[]){NULL}, grads, 1) != GR_OK);
    close_things(&t);
}

TEST(stores)
{
    things t = open_things();
    gr_entry e = GR_INIT(gr_entry);
    float w[4];
    gr_error_clear();
    REFUSES(gr_store_new(NULL));
    FAILS(gr_store_add(NULL, "w", GR_WEIGHT, GR_F32, 2, shape));
    FAILS(gr_store_add(t.store, NULL, GR_WEIGHT, GR_F32, 2, shape));
    CHECK(gr_store_add(t.store, "v", GR_WEIGHT, GR_F32, 2, NULL) == GR_ERR_ARGUMENT);
    for (int role = -1; role <= GR_CACHE + 1; role += GR_CACHE + 2)
        CHECK_STATUS(gr_store_add(t.store, "v", (gr_role)role, GR_F32, 2, shape), GR_ERR_ARGUMENT);
    IS(gr_store_count(NULL), 0);
    IS(gr_store_find(NULL, "w"), -1);
    IS(gr_store_find(t.store, NULL), -1);
    FAILS(gr_store_entry(NULL, 0, &e));
    FAILS(gr_store_entry(t.store, 0, NULL));
    FAILS(gr_store_write(NULL, "w", w, sizeof w));
    FAILS(gr_store_write(t.store, NULL, w, sizeof w));
    FAILS(gr_store_write(t.store, "w", NULL, sizeof w));
    FAILS(gr_store_read(NULL, "w", w, sizeof w));
    FAILS(gr_store_read(t.store, NULL, w, sizeof w));
    FAILS(gr_store_read(t.store, "w", NULL, sizeof w));
    close_things(&t);
}

TEST(programs)
{
    things t = open_things();
    gr_tensor *in = gr_input(t.graph, "in", GR_F32, 2, shape), *y = gr_add(t.x, in);
    gr_error_clear();
    REFUSES(gr_compile(NULL, &y, 1, t.device, NULL));
    REFUSES(gr_compile(t.graph, &y, 1, NULL, NULL));
    REFUSES(gr_compile(t.graph, NULL, 1, t.device, NULL));
    gr_error_clear();
    REFUSES(gr_compile(t.graph, (gr_tensor *[]){NULL}, 1, t.device, NULL));
    CHECK(strstr(gr_error(), "output 0"));
    REFUSES(gr_compile(NULL, &y, 1, t.device, NULL));
    REFUSES(gr_compile(t.graph, &y, 1, NULL, NULL));
    REFUSES(gr_compile(t.graph, NULL, 1, t.device, NULL));
    gr_program *p = gr_compile(t.graph, &y, 1, t.device, NULL);
    CHECK_MADE(p);
    float out[4];
    REFUSES(gr_program_plan(NULL));
    CHECK(!gr_profile_start(NULL));
    FAILS(gr_profile_walk(NULL, GR_PROFILE_OPS, no_row, NULL));
    FAILS(gr_profile_trace(NULL, "trace.json"));
    gr_profile *profile = gr_profile_start(t.device);
    FAILS(gr_profile_walk(profile, GR_PROFILE_OPS, NULL, NULL));
    FAILS(gr_profile_trace(profile, NULL));
    gr_profile_free(profile);
    gr_profile_free(NULL);
    FAILS(gr_program_reserve(NULL));
    const gr_given gives = {"input 0", GR_F32, four, sizeof four}, none = {"input 0", GR_F32, NULL, sizeof four};
    const gr_wanted to = {"output 0", GR_F32, out, sizeof out}, to_none = {"output 0", GR_F32, NULL, sizeof out};
    FAILS(gr_start(NULL, &gives, 1));
    FAILS(gr_finish(NULL, &to, 1));
    FAILS(gr_run(NULL, &gives, 1, &to, 1));
    FAILS(gr_run(p, NULL, 1, &to, 1));
    FAILS(gr_run(p, &none, 1, &to, 1));
    FAILS(gr_run(p, &gives, 1, NULL, 1));
    FAILS(gr_run(p, &gives, 1, &to_none, 1));
    FAILS(gr_run(p, &(gr_given){NULL, GR_F32, four, sizeof four}, 1, &to, 1));
    CHECK_OK(gr_run(p, &gives, 1, NULL, 0)); /* nothing is copied */
    const char *bad = "left as it was";
    FAILS(gr_find_nonfinite(NULL, &gives, 1, &bad));
    FAILS(gr_find_nonfinite(p, NULL, 1, &bad));
    FAILS(gr_find_nonfinite(p, &gives, 1, NULL));
    CHECK(!bad);
    gr_program_free(p);
    close_things(&t);
}

TEST(tokenizers)
{
    things t = open_things();
    gr_tokenizer *k = t.tokenizer;
    const int32_t *ids, three[] = {65, 66, 67};
    const char *text;
    size_t n;
    REFUSES(gr_tokenizer_load(NULL));
    REFUSES(gr_tokenizer_from_json(NULL, 0));
    REFUSES(gr_tokenizer_from_json(NULL, 5));
    REFUSES(gr_tokenizer_describe(NULL));
    REFUSES(gr_tokenizer_extend(NULL, (const char *[]){"x", NULL}));
    REFUSES(gr_tokenizer_extend(k, NULL));
    IS(gr_tokenizer_id(NULL, "a"), -1);
    IS(gr_tokenizer_id(k, NULL), -1);
    REFUSES(gr_tokenizer_token(NULL, 1, &n, NULL));
    CHECK_MADE(gr_tokenizer_token(k, 65, NULL, NULL));
    REFUSES(gr_tokenizer_share(NULL));
    FAILS(gr_tokenizer_encode(NULL, "a", 1, 0, &ids, &n));
    FAILS(gr_tokenizer_encode(k, NULL, 1, 0, &ids, &n));
    FAILS(gr_tokenizer_encode(k, "a", 1, 0, NULL, &n));
    FAILS(gr_tokenizer_encode(k, "a", 1, 0, &ids, NULL));
    CHECK_OK(gr_tokenizer_encode(k, NULL, 0, 0, &ids, &n));
    CHECK_EQ_INT(n, 0);
    const gr_encoded *all;
    gr_span span = {"a", 1}, broken = {NULL, 1};
    FAILS(gr_tokenizer_encode_all(NULL, &span, 1, 0, 1, &all));
    FAILS(gr_tokenizer_encode_all(k, NULL, 1, 0, 1, &all));
    FAILS(gr_tokenizer_encode_all(k, &broken, 1, 0, 1, &all));
    FAILS(gr_tokenizer_encode_all(k, &span, 1, 0, 1, NULL));
    const gr_template_source source = {.size = sizeof source, .text = "x", .text_size = 1};
    const gr_conversation none = {.size = sizeof none};
    const gr_rendered *rendered;
    gr_template *chat = gr_template_open(&source);
    CHECK_MADE(chat);
    REFUSES(gr_template_describe(NULL));
    REFUSES(gr_template_open(NULL));
    REFUSES(gr_template_open(&(gr_template_source){.size = sizeof source}));
    FAILS(gr_template_render(NULL, &none, &rendered));
    FAILS(gr_template_render(chat, NULL, &rendered));
    FAILS(gr_template_render(chat, &none, &rendered));
    FAILS(gr_template_render(chat, &none, NULL));
    FAILS(gr_template_encode(NULL, &(gr_rendered){.size = sizeof(gr_rendered)}, &ids, &n));
    FAILS(gr_template_encode(k, NULL, &ids, &n));
    FAILS(gr_template_encode(k, &(gr_rendered){.size = sizeof(gr_rendered)}, NULL, &n));
    FAILS(gr_template_encode(k, &(gr_rendered){.size = sizeof(gr_rendered)}, &ids, NULL));
    REFUSES(gr_template_describe(NULL));
    gr_template_free(NULL);
    gr_template_free(chat);
    FAILS(gr_tokenizer_decode(NULL, three, 3, 0, &text, &n));
    FAILS(gr_tokenizer_decode(k, NULL, 3, 0, &text, &n));
    FAILS(gr_tokenizer_decode(k, three, 3, 0, NULL, &n));
    FAILS(gr_tokenizer_decode(k, three, 3, 0, &text, NULL));
    gr_tokenizer_training how = {.size = sizeof how, .vocab_size = 257, .threads = 1};
    const char *files[] = {"x", NULL};
    REFUSES(gr_tokenizer_train(NULL));
    REFUSES(gr_tokenizer_train(&how)); /* of nothing */
    how.n_paths = 1;
    REFUSES(gr_tokenizer_train(&how));
    how.paths = files + 1;
    REFUSES(gr_tokenizer_train(&how));
    for (int recipe = 0; recipe < GR_TOKENIZER_BYTES; recipe++) {
        gr_tokenizer_training texts = {.size = sizeof texts, .recipe = (gr_tokenizer_recipe)recipe, .vocab_size = 300};
        texts.n_texts = 1;
        REFUSES(gr_tokenizer_train(&texts));
        texts.texts = &broken;
        REFUSES(gr_tokenizer_train(&texts));
        texts.texts = &span;
        gr_tokenizer *made = gr_tokenizer_train(&texts);
        CHECK_MADE(made);
        gr_tokenizer_free(made);
    }
    gr_text_stream *s = gr_text_stream_new(k, 0);
    REFUSES(gr_text_stream_new(NULL, 0));
    FAILS(gr_text_stream_feed(NULL, 65, &text, &n));
    FAILS(gr_text_stream_feed(s, 65, NULL, &n));
    FAILS(gr_text_stream_feed(s, 65, &text, NULL));
    gr_text_stream_free(s);
    close_things(&t);
}

TEST(models)
{
    things t = open_things();
    gr_model *m = t.model;
    const char *config = gr_model_describe(m)->config;
    const char *dir = test_source("tests/data/models/gpt2");
    REFUSES(gr_model_config_json(NULL));
    REFUSES(gr_model_new("x", NULL, 5, t.device));
    REFUSES(gr_model_new("x", config, strlen(config), NULL));
    gr_model *nameless = gr_model_new(NULL, config, strlen(config), t.device);
    CHECK_MADE(nameless);
    gr_model_free(nameless);
    REFUSES(gr_model_load(NULL, NULL, t.device));
    REFUSES(gr_model_load(dir, NULL, NULL));
    FAILS(gr_model_init(NULL, 1));
    REFUSES(gr_model_describe(NULL));
    REFUSES(gr_model_store(NULL));
    REFUSES(gr_model_trainable(NULL));
    gr_forward none = GR_INIT(gr_forward), f = {.tokens = gr_input(t.graph, "tokens", GR_I32, 2, shape)};
    REFUSES(gr_model_forward(NULL, &f));
    REFUSES(gr_model_forward(m, NULL));
    REFUSES(gr_model_forward(m, &none));
    gr_cache_options kept = {
        .size = sizeof kept, .keys = GR_F32, .values = GR_F32, .batch = 1, .capacity = 4, .chunk = 4};
    FAILS(gr_model_add_cache(NULL, t.store, &kept));
    FAILS(gr_model_add_cache(m, NULL, &kept));
    FAILS(gr_model_add_cache(m, t.store, NULL));
    REFUSES(gr_find(NULL, NULL));
    const gr_found *found = gr_find(dir, NULL);
    CHECK_MADE(found);
    CHECK(found->path && found->model && !found->adapter);
    gr_free(found);
    REFUSES(gr_model_report(NULL, GR_REPORT_ALL));
    gr_array array = {.name = NULL, .dtype = GR_F32, .ndim = 1, .shape = {4}, .data = four};
    FAILS(gr_arrays_save(NULL, &array, 1, NULL));
    FAILS(gr_arrays_save(test_join(test_dir(), "a"), NULL, 1, NULL));
    FAILS(gr_arrays_save(test_join(test_dir(), "a"), &array, 1, NULL));
    array.name = "x";
    array.data = NULL;
    FAILS(gr_arrays_save(test_join(test_dir(), "a"), &array, 1, NULL));
    FAILS(gr_verify(NULL, NULL, NULL));
    CHECK_OK(gr_verify(dir, NULL, NULL));
    CHECK_STATUS(gr_verify(dir, &(gr_verify_options){.size = 0}, NULL), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_verify(dir, NULL, &(gr_verified){.size = 3}), GR_ERR_ARGUMENT);
    FAILS(gr_model_save(NULL, "x", NULL, NULL));
    FAILS(gr_model_save(m, NULL, NULL, NULL));
    char path[600];
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "saved"));
    CHECK_OK(gr_model_save(m, path, NULL, NULL)); /* as it is, in one file */
    FAILS(gr_model_add_tokens(NULL, (gr_token[]){1}, 1));
    FAILS(gr_model_add_tokens(m, NULL, 1));
    CHECK_OK(gr_model_add_tokens(m, NULL, 0));
    FAILS(gr_model_add_adapter(NULL, NULL));
    CHECK_OK(gr_model_add_adapter(m, NULL));
    CHECK(strstr(gr_model_describe(m)->adapter_config, "\"r\": 8"));
    FAILS(gr_model_save_adapter(NULL, path));
    FAILS(gr_model_save_adapter(m, NULL));
    FAILS(gr_model_load_adapter(NULL, path));
    FAILS(gr_model_load_adapter(m, NULL));
    FAILS(gr_model_merge_adapter(NULL));
    close_things(&t);
}

TEST(training)
{
    things t = open_things();
    gr_token tokens[12 * 64] = {0};
    int64_t count;
    double sum;
    gr_batch batch = {tokens, tokens, NULL};
    FAILS(gr_train_fill_defaults(NULL));
    REFUSES(gr_trainer_new(NULL, NULL));
    FAILS(gr_train_fit(NULL, NULL, NULL, NULL));
    PASSES_NULL(gr_trainer_new(t.model, NULL)); /* whose context is more than the model's */
    CHECK(strstr(gr_error(), "context of 64"));
    gr_train_options o = tiny_options();
    gr_trainer *k = gr_trainer_new(t.model, &o);
    CHECK_MADE(k);
    gr_step_report report = GR_INIT(gr_step_report);
    FAILS(gr_trainer_step(NULL, &batch, &report));
    FAILS(gr_trainer_step(k, NULL, &report));
    FAILS(gr_trainer_step(k, &(gr_batch){NULL, tokens, NULL}, &report));
    FAILS(gr_trainer_step(k, &(gr_batch){tokens, NULL, NULL}, &report));
    CHECK_OK(gr_trainer_step(k, &batch, NULL)); /* nobody asks */
    FAILS(gr_trainer_eval_batch(NULL, &batch, &sum, &count));
    FAILS(gr_trainer_eval_batch(k, NULL, &sum, &count));
    FAILS(gr_trainer_eval_batch(k, &batch, NULL, &count));
    FAILS(gr_trainer_eval_batch(k, &batch, &sum, NULL));
    REFUSES(gr_trainer_plan(NULL));
    gr_trainer_free(k);
    close_things(&t);
}

static bool take_text(void *user, const char *text, size_t size)
{
    (void)user, (void)text, (void)size;
    return true;
}

TEST(data)
{
    things t = open_things();
    char path[600];
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "book.txt"));
    CHECK_OK(gr_file_write(path, "some text to read", 17));
    const char *paths[] = {path, NULL};
    REFUSES(gr_corpus_load(NULL, 1));
    REFUSES(gr_corpus_load(paths, 2));
    gr_corpus *c = gr_corpus_load(paths, 1);
    CHECK_MADE(c);
    REFUSES(gr_corpus_describe(NULL));
    FAILS(gr_read_texts(NULL, 1, take_text, NULL));
    FAILS(gr_read_texts(paths, 1, NULL, NULL));
    bool is_text = true;
    FAILS(gr_corpus_is_one_text(NULL, 1, &is_text));
    FAILS(gr_corpus_is_one_text(paths, 1, NULL));
    CHECK(gr_corpus_is_one_text(paths, 2, &is_text) == GR_OK && !is_text);
    REFUSES(gr_data_new(NULL));
    REFUSES(DATA(.tokenizer = t.tokenizer));
    REFUSES(DATA(.n_ids = 5));
    for (int apart = 0; apart < 2; apart++) {
        REFUSES(DATA(.n_paths = 1, .tokenizer = t.tokenizer, .apart = apart));
        REFUSES(DATA(.paths = paths, .n_paths = 2, .tokenizer = t.tokenizer, .apart = apart));
        REFUSES(DATA(.paths = paths, .n_paths = 1, .apart = apart));
        REFUSES(DATA(.corpus = c, .apart = apart));
    }
    gr_data *d = DATA(.corpus = c, .tokenizer = t.tokenizer, .threads = 1), *eval;
    CHECK_MADE(d);
    FAILS(gr_data_split(NULL, 0.5, &eval));
    FAILS(gr_data_split(d, 0.5, NULL));
    REFUSES(gr_data_describe(NULL));
    REFUSES(gr_rows_new(NULL, 4, true, 1));
    gr_rows *rows = gr_rows_new(d, 4, true, 1);
    gr_token tokens[4], targets[4];
    REFUSES(gr_rows_describe(NULL));
    gr_segment_place place = GR_INIT(gr_segment_place);
    FAILS(gr_rows_place(NULL, 0, 0, &place));
    FAILS(gr_rows_place(rows, 0, 0, NULL));
    CHECK_STATUS(gr_rows_place(rows, -1, 0, &place), GR_ERR_ARGUMENT);
    CHECK_OK(gr_rows_place(rows, 0, 0, &place));
    gr_rows_fill(NULL, 0, tokens, targets, NULL);
    gr_rows_fill(rows, 0, NULL, targets, NULL);
    gr_rows_fill(rows, 0, tokens, NULL, NULL);
    gr_run_options o = {.size = sizeof o, .train = tiny_options()}, of_dir = o;
    of_dir.dir = test_join(test_dir(), "run");
    REFUSES(gr_run_lock_open(NULL));
    gr_run_state state;
    int64_t step;
    FAILS(gr_run_look(NULL, &state, &step));
    FAILS(gr_run_look("x", NULL, &step));
    FAILS(gr_run_look("x", &state, NULL));
    const gr_run_record *record;
    FAILS(gr_run_record_read(NULL, &record));
    FAILS(gr_run_record_read("x", NULL));
    REFUSES(gr_run_record_place(NULL, GR_RUN_DATA, 0, "x"));
    gr_run_start start = GR_INIT(gr_run_start);
    FAILS(gr_run_record_write(NULL, &start, false));
    FAILS(gr_run_record_write("x", NULL, false));
    start.n_settings = 1;
    FAILS(gr_run_record_write("x", &start, false));
    start.settings = &(gr_run_setting){"lr", NULL};
    FAILS(gr_run_record_write("x", &start, false));
    start.n_settings = 0;
    start.inputs[GR_RUN_MODEL].n_paths = 1;
    FAILS(gr_run_record_write("x", &start, false));
    start.inputs[GR_RUN_MODEL] = (gr_run_input){.reserved = {"y"}};
    CHECK_STATUS(gr_run_record_write("x", &start, false), GR_ERR_UNSUPPORTED);
    start.inputs[GR_RUN_MODEL] = (gr_run_input){0};
    start.inputs[GR_RUN_INPUTS].file = "y";
    CHECK_STATUS(gr_run_record_write("x", &start, false), GR_ERR_UNSUPPORTED);
    gr_run_options nameless = {.size = sizeof o, .dir = "x", .n_files = 1};
    FAILS(gr_train_run(t.model, d, NULL, &nameless));
    nameless.files = (const char *const[][2]){{"name", NULL}};
    FAILS(gr_train_run(t.model, d, NULL, &nameless));
    FAILS(gr_train_run(NULL, d, NULL, &of_dir));
    FAILS(gr_train_run(t.model, NULL, NULL, &of_dir));
    FAILS(gr_train_run(t.model, d, NULL, NULL));
    FAILS(gr_train_run(t.model, d, NULL, &o));
    gr_rows_free(rows);
    gr_data_free(d);
    gr_corpus_free(c);
    close_things(&t);
}

TEST(generation)
{
    things t = open_things();
    const float logits[3] = {0, 5, 1};
    const gr_token seen[] = {1, 2}, *prompts[] = {seen};
    const int64_t counts[] = {2};
    float out[TINY_VOCAB];
    CHECK(gr_sample_token(NULL, logits, 3, seen, 2, 2) >= 0); /* the most likely */
    IS(gr_sample_token(NULL, NULL, 3, seen, 2, 2), -1);
    IS(gr_sample_token(NULL, logits, 3, NULL, 2, 2), -1);
    CHECK(gr_sample_token(NULL, logits, 3, NULL, 0, 0) >= 0);
    REFUSES(gr_generator_new(NULL, 1, 0));
    gr_generator *g = gr_generator_new(t.model, 1, 0);
    CHECK_MADE(g);
    FAILS(gr_generator_feed(NULL, prompts, counts, out));
    FAILS(gr_generator_feed(g, NULL, counts, out));
    FAILS(gr_generator_feed(g, prompts, NULL, out));
    FAILS(gr_generator_feed(g, prompts, counts, NULL));
    FAILS(gr_generator_feed(g, (const gr_token *[]){NULL}, counts, out));
    IS(gr_generator_length(NULL, 0), -1);
    FAILS(gr_generator_reset(NULL));
    REFUSES(gr_generator_plan(NULL));
    gr_generate_options o = {.size = sizeof o, .prompt = seen, .n_prompt = 2, .max_tokens = 2}, promptless = o;
    promptless.prompt = NULL;
    const gr_generated *made;
    FAILS(gr_generate(NULL, NULL, &o, 1, &made));
    FAILS(gr_generate(g, NULL, &promptless, 1, &made));
    FAILS(gr_generate(g, NULL, NULL, 1, &made));
    FAILS(gr_generate(g, NULL, &o, 1, NULL));
    CHECK_OK(gr_generate(g, NULL, &o, 1, &made)); /* no tokenizer, no text; no settings, the most likely tokens */
    gr_free(made);
    gr_generator_free(g);
    double loss;
    const gr_token ids[] = {1, 2, 3, 4, 5};
    FAILS(gr_evaluate(NULL, ids, 5, NULL, &loss));
    FAILS(gr_evaluate(t.model, NULL, 5, NULL, &loss));
    FAILS(gr_evaluate(t.model, ids, 5, NULL, NULL));
    CHECK_OK(gr_evaluate(t.model, ids, 5, NULL, &loss)); /* the model's context */
    const gr_quantize_options q = {.size = sizeof q, .type = "q8_0"};
    CHECK(gr_quantize_list(0));
    CHECK(!gr_quantize_list(-1));
    FAILS(gr_quantize(NULL, "m.gguf", &q, NULL));
    FAILS(gr_quantize(t.model, NULL, &q, NULL));
    FAILS(gr_quantize(t.model, "m.gguf", NULL, NULL));
    close_things(&t);
}

TEST(hub)
{
    gr_hub_options o = GR_INIT(gr_hub_options); /* without a cache */
    REFUSES(gr_hub_find(NULL, &o));
    REFUSES(gr_hub_find("org/name", NULL));
    REFUSES(gr_hub_find("org/name", &o));
    REFUSES(gr_hub_pull(NULL, &o));
    REFUSES(gr_hub_pull("org/name", NULL));
    REFUSES(gr_hub_pull("org/name", &o));
    FAILS(gr_hub_walk(NULL, GR_HUB_LIST, NULL));
    FAILS(gr_hub_walk("org/name", GR_HUB_REMOVE, &o));
    o.cache = test_dir();
    FAILS(gr_hub_walk(NULL, GR_HUB_REMOVE, &o));
    CHECK_OK(gr_hub_walk(NULL, GR_HUB_LIST, &o)); /* all of an empty cache */
}

/* How many functions a header declares; each that `self` does not call is a failure. */
static int check_header(const char *path, const char *self)
{
    char *header = gr_file_read(test_source(path), 1 << 24, NULL);
    CHECK(header);
    int found = 0;
    for (const char *at = header; (at = strstr(at, "\nGR_API ")); at++) {
        const char *open = strchr(at, '('), *name = open;
        while (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z') || (name[-1] >= '0' && name[-1] <= '9'))
            name--;
        char call[80];
        snprintf(call, sizeof call, "%.*s", (int)(open - name), name);
        const char *use = strstr(self, call);
        if (!use)
            test_fail(__FILE__, __LINE__, "%s is not called with NULL", call);
        found++;
    }
    gr_free(header);
    return found;
}

/* This file calls all that gradus.h and what it includes declare. */
TEST(no_function_is_missing)
{
    char *top = gr_file_read(test_source("include/gradus.h"), 1 << 24, NULL);
    char *self = gr_file_read(test_source("tests/null_test.c"), 1 << 24, NULL);
    CHECK(top && self);
    int found = check_header("include/gradus.h", self), parts = 0;
    static const char include[] = "\n#include \"";
    for (const char *at = top; (at = strstr(at, include)); parts++) {
        at += sizeof include - 1;
        char path[80];
        snprintf(path, sizeof path, "include/%.*s", (int)strcspn(at, "\""), at);
        found += check_header(path, self);
    }
    CHECK(parts > 5 && found > 150);
    gr_free(top);
    gr_free(self);
}
