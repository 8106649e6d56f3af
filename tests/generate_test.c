/* Generation and evaluation as a library: what the loop tells its caller, how it ends, and when memory fails. */
#include "tiny.h"

#include "base/mem.h"

/* Spells its ids: token i is the character 'A' + i. */
static gr_tokenizer *letters(void)
{
    char text[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++)
        text[i] = (char)('A' + i);
    return gr_tokenizer_char(text, sizeof text, false);
}

typedef struct told {
    char text[256];
    int64_t ids[64];
    int n, calls, cancel_after; /* 0: never */
} told;

static void on_token(void *user, int64_t id, const char *text, size_t size)
{
    told *t = user;
    strncat(t->text, text, size);
    if (id >= 0)
        t->ids[t->n++] = id;
    t->calls++;
}

static bool on_cancel(void *user)
{
    const told *t = user;
    return t->cancel_after && t->n >= t->cancel_after;
}

typedef struct setup {
    gr_device *device;
    gr_model *model;
    gr_generator *generator;
    gr_tokenizer *tokenizer;
    told told;
    gr_generate_options o;
    gr_generated out;
} setup;

static const int64_t prompt[] = {3, 1, 4};

static void open_setup(setup *s)
{
    *s = (setup){.device = gr_device_open("cpu", 1), .tokenizer = letters()};
    CHECK_MADE(s->device);
    CHECK_MADE(s->tokenizer);
    s->model = tiny_model("llama", s->device);
    CHECK_MADE(s->model);
    s->generator = gr_generator_new(s->model, 1, 0);
    CHECK_MADE(s->generator);
    s->o = (gr_generate_options){.max_tokens = 8, .token = on_token, .cancel = on_cancel, .user = &s->told};
    s->o.sampling = gr_sampling_defaults();
    s->o.sampling.temperature = 2;
    s->o.sampling.seed = 5;
}

static void close_setup(setup *s)
{
    gr_generated_free(&s->out);
    gr_generator_free(s->generator);
    gr_model_free(s->model);
    gr_tokenizer_free(s->tokenizer);
    gr_device_close(s->device);
}

/* From the start, with what s->o says now. */
static gr_status again(setup *s)
{
    int cancel_after = s->told.cancel_after;
    gr_generated_free(&s->out);
    s->told = (told){.cancel_after = cancel_after};
    CHECK_OK(gr_generator_reset(s->generator));
    return gr_generate(s->generator, s->tokenizer, prompt, 3, &s->o, &s->out);
}

TEST(text_and_ids_agree)
{
    setup s;
    open_setup(&s);
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.n, 8);
    CHECK_EQ_INT(s.out.stop, GR_STOP_LENGTH);
    CHECK_EQ_INT(s.out.prefilled, 3);
    CHECK_EQ_INT(s.out.size, 8);
    CHECK_EQ_STR(s.told.text, s.out.text);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ_INT(s.told.ids[i], s.out.ids[i]);
        CHECK_EQ_INT(s.out.text[i], 'A' + s.out.ids[i]);
    }
    CHECK(s.out.prefill_s <= s.out.first_s);
    close_setup(&s);
}

TEST(stop_texts)
{
    setup s;
    char text[16], stop[3] = {0}, none[24];
    open_setup(&s);
    CHECK_OK(again(&s));
    strcpy(text, s.out.text);
    /* The text of tokens 4 and 5, where it first appears. */
    memcpy(stop, text + 4, 2);
    size_t at = (size_t)(strstr(text, stop) - text);
    const char *stops[] = {"no such text", stop};
    s.o.stop = stops;
    s.o.n_stop = 2;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.stop, GR_STOP_TEXT);
    CHECK_EQ_INT(s.out.size, at);
    CHECK_EQ_INT(s.out.n, at + 2);
    CHECK(memcmp(s.out.text, text, at) == 0);
    CHECK_EQ_STR(s.told.text, s.out.text);
    /* The last characters could be the beginning of this one: they come at the end all the same. */
    snprintf(none, sizeof none, "%s~", text + 6);
    stops[1] = none;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.stop, GR_STOP_LENGTH);
    CHECK_EQ_STR(s.told.text, text);
    CHECK_EQ_INT(s.told.calls, 9);
    stops[1] = "\xc3";
    CHECK_STATUS(again(&s), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "not UTF-8");
    close_setup(&s);
}

TEST(eos_cancel_and_capacity)
{
    setup s;
    open_setup(&s);
    CHECK_OK(again(&s));
    int64_t eos[] = {TINY_VOCAB - 1, s.out.ids[3]};
    int64_t first = 0;
    while (s.out.ids[first] != eos[0] && s.out.ids[first] != eos[1])
        first++;
    s.o.eos = eos;
    s.o.n_eos = 2;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.stop, GR_STOP_EOS);
    CHECK_EQ_INT(s.out.n, first + 1);
    CHECK_EQ_INT(s.out.size, first); /* its text is no part of the answer */
    s.o.n_eos = 0;
    s.told.cancel_after = 2;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.stop, GR_STOP_ASKED);
    CHECK_EQ_INT(s.out.n, 2);
    s.told.cancel_after = 0;
    s.o.max_tokens = 1000;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.n, TINY_CONTEXT - 3);
    CHECK_EQ_INT(s.out.stop, GR_STOP_LENGTH);
    gr_generated_free(&s.out);
    CHECK_STATUS(gr_generate(s.generator, NULL, prompt, 0, &s.o, &s.out), GR_ERR_ARGUMENT);
    close_setup(&s);
}

/* A second turn reads only what is new, and says what one long prompt would have. */
TEST(goes_on)
{
    setup s;
    int64_t tokens[TINY_CONTEXT] = {3, 1, 4}, whole[2];
    open_setup(&s);
    s.o.max_tokens = 4;
    CHECK_OK(again(&s));
    memcpy(tokens + 3, s.out.ids, 4 * sizeof *tokens);
    tokens[7] = 9;
    s.o.max_tokens = 2;
    gr_generated_free(&s.out);
    CHECK_OK(gr_generate(s.generator, NULL, tokens, 8, &s.o, &s.out));
    CHECK_EQ_INT(s.out.prefilled, 2); /* the last token of the first turn had not been read */
    memcpy(whole, s.out.ids, sizeof whole);
    gr_generated_free(&s.out);
    CHECK_OK(gr_generator_reset(s.generator));
    CHECK_OK(gr_generate(s.generator, NULL, tokens, 8, &s.o, &s.out));
    CHECK_EQ_INT(s.out.prefilled, 8);
    CHECK(memcmp(whole, s.out.ids, sizeof whole) == 0);
    close_setup(&s);
}

/* ---- evaluation ---- */

/* Every token scored by itself, from what the stride promises it. */
TEST(windows_score_each_token_once)
{
    enum { N = 41 };
    int32_t ids[N];
    tiny_ids(ids, N);
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", d);
    CHECK_MADE(m);
    for (int64_t stride = 1; stride <= 8; stride++) {
        gr_evaluate_options o = {.context = 8, .stride = stride}, one = {.context = 16};
        double loss, sum = 0;
        NOTE("stride %d", (int)stride);
        CHECK_OK(gr_evaluate(m, ids, N, &o, &loss));
        for (int64_t t = 1; t < N; t++) {
            /* The first window that holds token t; without overlap a window sees one token further. */
            int64_t reach = 8 + (stride == 8), k = t < reach ? 0 : (t - reach) / stride + 1;
            double of_two, of_one = 0;
            int64_t n = t - k * stride; /* tokens before it */
            CHECK_OK(gr_evaluate(m, ids + k * stride, n + 1, &one, &of_two));
            if (n > 1)
                CHECK_OK(gr_evaluate(m, ids + k * stride, n, &one, &of_one));
            sum += of_two * (double)n - of_one * (double)(n - 1);
        }
        CHECK_NEAR(loss, sum / (N - 1), 1e-5);
    }
    gr_model_free(m);
    gr_device_close(d);
}

TEST(refusals)
{
    int32_t ids[] = {1, 2, TINY_VOCAB};
    double loss;
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", d);
    CHECK_STATUS(gr_evaluate(m, ids, 1, &(gr_evaluate_options){0}, &loss), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_evaluate(m, ids, 3, &(gr_evaluate_options){0}, &loss), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_evaluate(m, ids, 2, &(gr_evaluate_options){.context = 17}, &loss), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_evaluate(m, ids, 2, &(gr_evaluate_options){.context = 4, .stride = 5}, &loss), GR_ERR_ARGUMENT);
    CHECK_OK(gr_evaluate(m, ids, 2, &(gr_evaluate_options){0}, &loss));
    gr_model_free(m);
    gr_device_close(d);
}

/* ---- failing memory ---- */

static gr_status generate_all(void *ctx)
{
    setup *s = ctx;
    gr_generator *g = gr_generator_new(s->model, 1, 0);
    gr_generated out = {0};
    const char *stops[] = {"~~"};
    gr_generate_options o = {.max_tokens = 4, .sampling = s->o.sampling, .stop = stops, .n_stop = 1};
    gr_status st = g ? gr_generate(g, s->tokenizer, prompt, 3, &o, &out) : gr_error_status();
    gr_generated_free(&out);
    gr_generator_free(g);
    return st;
}

static gr_status evaluate_all(void *ctx)
{
    setup *s = ctx;
    int32_t ids[20];
    double loss;
    tiny_ids(ids, 20);
    return gr_evaluate(s->model, ids, 20, &(gr_evaluate_options){.context = 8, .stride = 4}, &loss);
}

TEST(failing_allocations)
{
    setup s;
    open_setup(&s);
    CHECK_OK(generate_all(&s)); /* weights and caches of the process are there from here on */
    CHECK(SWEEP_ALLOCATIONS(generate_all, &s) > 20);
    CHECK(SWEEP_ALLOCATIONS(evaluate_all, &s) > 20);
    close_setup(&s);
}
