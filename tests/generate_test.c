/* Generation and evaluation as a library: what the loop tells its caller, how it ends, and when memory fails. */
#include "tiny.h"

#include "base/mem.h"
#include "program/run.h"
#include "text/tokenizer.h"

#include <math.h>

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
    gr_token ids[64];
    int n, calls, cancel_after; /* 0: never */
} told;

static bool on_token(void *user, gr_token id, const char *text, size_t size)
{
    told *t = user;
    strncat(t->text, text, size);
    if (id >= 0)
        t->ids[t->n++] = id;
    t->calls++;
    return !t->cancel_after || t->n < t->cancel_after;
}

typedef struct setup {
    gr_device *device;
    gr_model *model;
    gr_generator *generator;
    gr_tokenizer *tokenizer;
    told told;
    gr_generate_options o;
    gr_sampling sampling;
    const gr_generated *made;
    gr_generated out; /* what made points to */
} setup;

static const gr_token prompt[] = {3, 1, 4};

static void open_setup(setup *s)
{
    *s = (setup){.device = gr_device_open("cpu", 1), .tokenizer = letters()};
    CHECK_MADE(s->device);
    CHECK_MADE(s->tokenizer);
    s->model = tiny_model("llama", s->device);
    CHECK_MADE(s->model);
    s->generator = gr_generator_new(s->model, 1, 0);
    CHECK_MADE(s->generator);
    s->o = (gr_generate_options){.size = sizeof s->o, .prompt = prompt, .n_prompt = 3, .max_tokens = 8};
    s->o.ignore_eos = true;
    s->o.token = on_token;
    s->o.user = &s->told;
    s->sampling = (gr_sampling){.size = sizeof s->sampling, .temperature = 2, .top_p = 0.95, .seed = 5};
    s->o.sampling = &s->sampling;
}

static void close_setup(setup *s)
{
    gr_free(s->made);
    gr_generator_free(s->generator);
    gr_model_free(s->model);
    gr_tokenizer_free(s->tokenizer);
    gr_device_close(s->device);
}

static gr_status make(setup *s, gr_tokenizer *tokenizer)
{
    gr_free(s->made);
    gr_status st = gr_generate(s->generator, tokenizer, &s->o, 1, &s->made);
    if (s->made)
        s->out = *s->made;
    return st;
}

/* From the start, with what s->o says now. */
static gr_status again(setup *s)
{
    int cancel_after = s->told.cancel_after;
    s->told = (told){.cancel_after = cancel_after};
    CHECK_OK(gr_generator_reset(s->generator));
    return make(s, s->tokenizer);
}

TEST(text_and_ids_agree)
{
    setup s;
    open_setup(&s);
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.n, 8);
    CHECK_EQ_INT(s.out.stop, GR_STOP_LENGTH);
    CHECK_EQ_INT(s.out.prefilled, 3);
    CHECK_EQ_INT(s.out.bytes, 8);
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
    CHECK_EQ_INT(s.out.bytes, at);
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
    gr_token eos[] = {TINY_VOCAB - 1, s.out.ids[3]};
    int64_t first = 0;
    while (s.out.ids[first] != eos[0] && s.out.ids[first] != eos[1])
        first++;
    s.o.eos = eos;
    s.o.n_eos = 2;
    s.o.ignore_eos = false;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.stop, GR_STOP_EOS);
    CHECK_EQ_INT(s.out.n, first + 1);
    CHECK_EQ_INT(s.out.bytes, first); /* its text is no part of the answer */
    s.o.ignore_eos = true;
    s.told.cancel_after = 2;
    CHECK_STATUS(again(&s), GR_ERR_INTERRUPTED);
    CHECK_EQ_INT(s.out.stop, GR_STOP_ASKED);
    CHECK_EQ_INT(s.out.n, 2);
    s.told.cancel_after = 0;
    s.o.max_tokens = 1000;
    CHECK_OK(again(&s));
    CHECK_EQ_INT(s.out.n, TINY_CONTEXT - 3);
    CHECK_EQ_INT(s.out.stop, GR_STOP_LENGTH);
    s.o.n_prompt = 0;
    CHECK_STATUS(make(&s, NULL), GR_ERR_ARGUMENT);
    close_setup(&s);
}

/* A second turn reads only what is new, and says what one long prompt would have. */
TEST(goes_on)
{
    setup s;
    gr_token tokens[TINY_CONTEXT] = {3, 1, 4}, whole[2];
    open_setup(&s);
    s.o.max_tokens = 4;
    CHECK_OK(again(&s));
    memcpy(tokens + 3, s.out.ids, 4 * sizeof *tokens);
    tokens[7] = 9;
    s.o.max_tokens = 2;
    s.o.prompt = tokens;
    s.o.n_prompt = 8;
    CHECK_OK(make(&s, NULL));
    CHECK_EQ_INT(s.out.prefilled, 2); /* the last token of the first turn had not been read */
    memcpy(whole, s.out.ids, sizeof whole);
    CHECK_OK(gr_generator_reset(s.generator));
    CHECK_OK(make(&s, NULL));
    CHECK_EQ_INT(s.out.prefilled, 8);
    CHECK(memcmp(whole, s.out.ids, sizeof whole) == 0);
    /* Another second turn: of the cache the first stays, or as much of it as is asked for. */
    tokens[7] = 11;
    for (int64_t keep = 1; keep <= 8; keep++) {
        s.o.keep = keep;
        CHECK_OK(make(&s, NULL));
        CHECK_EQ_INT(s.out.prefilled, 8 - (keep < 7 ? keep : 7));
        if (keep > 1)
            CHECK(memcmp(whole, s.out.ids, sizeof whole) == 0);
        memcpy(whole, s.out.ids, sizeof whole);
    }
    s.o.keep = 0; /* then the prompt must go on from what was read */
    CHECK_STATUS(make(&s, NULL), GR_ERR_ARGUMENT);
    close_setup(&s);
}

/* ---- several at once ---------------------------------------------------------------------------------------- */

enum { TEXTS = 6 };

/* Prompts of different lengths, two of them equal; greedy and drawn; one ends at a token that another goes on behind. */
static void check_together(const char *device, int threads, const char *arch)
{
    static const gr_token p0[] = {3, 1, 4}, p1[] = {1}, p2[] = {5, 9, 2, 6, 5, 3, 5}, p4[] = {8, 9};
    const gr_token *prompts[TEXTS] = {p0, p1, p2, p0, p4, p0};
    const int64_t counts[TEXTS] = {3, 1, 7, 3, 2, 3};
    setup s;
    open_setup(&s);
    gr_device *d = gr_device_open(device, threads);
    gr_model *m = tiny_model(arch, d);
    gr_generator *all = gr_generator_new(m, TEXTS + 1, 0), *one = gr_generator_new(m, 1, 0);
    CHECK_MADE(all);
    CHECK_MADE(one);
    gr_generate_options o[TEXTS];
    gr_sampling sampling[TEXTS];
    const gr_generated *together[TEXTS], *alone;
    told heard[TEXTS] = {0};
    const gr_token eos[] = {7, 20};
    const char *stops[] = {"C"};
    for (int i = 0; i < TEXTS; i++) {
        o[i] = s.o;
        o[i].prompt = prompts[i];
        o[i].n_prompt = counts[i];
        sampling[i] = s.sampling;
        sampling[i].seed = (uint64_t)i;
        sampling[i].temperature = i % 3 ? 2 : 0;
        sampling[i].frequency_penalty = i == 3 ? 1 : 0;
        o[i].sampling = &sampling[i];
        o[i].max_tokens = i == 5 ? 0 : 4 + 2 * i;
        o[i].eos = eos;
        o[i].n_eos = 2;
        o[i].ignore_eos = i % 2 == 0;
        o[i].stop = stops;
        o[i].n_stop = i == 4;
        o[i].user = &heard[i];
    }
    CHECK_OK(gr_generate(all, s.tokenizer, o, TEXTS, together));
    for (int i = 0; i < TEXTS; i++) {
        NOTE("%s, %s, text %d", device, arch, i);
        CHECK_EQ_STR(heard[i].text, together[i]->text);
        CHECK_OK(gr_generator_reset(one));
        CHECK_OK(gr_generate(one, s.tokenizer, &o[i], 1, &alone));
        CHECK_EQ_INT(together[i]->n, alone->n);
        CHECK_EQ_INT(together[i]->stop, alone->stop);
        CHECK(memcmp(together[i]->ids, alone->ids, (size_t)alone->n * sizeof *alone->ids) == 0);
        CHECK_EQ_STR(together[i]->text, alone->text);
        CHECK_EQ_INT(together[i]->prefilled, i == 3 || i == 5 ? 0 : counts[i]); /* an equal prompt was read already */
        gr_free(alone);
        gr_free(together[i]);
    }
    gr_generator_free(all);
    gr_generator_free(one);
    gr_model_free(m);
    gr_device_close(d);
    close_setup(&s);
}

TEST(together_as_alone)
{
    check_together("ref", 1, "gpt2");
    check_together("far", 2, "llama");
    for (int threads = 1; threads <= 3; threads++) {
        check_together("cpu", threads, "gpt2");
        check_together("cpu", threads, "llama");
    }
}

TEST(batch_refusals)
{
    setup s;
    const gr_generated *out[2];
    open_setup(&s);
    gr_generate_options o[] = {s.o, s.o};
    CHECK_STATUS(gr_generate(s.generator, NULL, o, 2, out), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "2 texts at once");
    s.sampling.min_p = 2;
    CHECK_STATUS(gr_generate(s.generator, NULL, o, 1, out), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "min_p is 2");
    CHECK(!out[0]);
    close_setup(&s);
}

/* A program that was compiled before the options grew gives shorter ones, one behind the other; another sets fields that this
 * version does not know. */
TEST(options_of_other_versions)
{
    typedef struct older {
        size_t size;
        const gr_token *prompt;
        int64_t n_prompt, max_tokens;
    } older;
    struct newer {
        gr_generate_options o;
        int64_t more;
    } newer;
    static const gr_token prompts[] = {3, 1};
    setup s;
    open_setup(&s);
    gr_generator *two = gr_generator_new(s.model, 2, 0);
    const older o[] = {{sizeof *o, &prompts[0], 1, 2}, {sizeof *o, &prompts[1], 1, 3}};
    const gr_generated *out[2];
    CHECK_OK(gr_generate(two, NULL, (const gr_generate_options *)(const void *)o, 2, out));
    CHECK_EQ_INT(out[0]->n, 2);
    CHECK_EQ_INT(out[1]->n, 3);
    gr_free(out[0]);
    gr_free(out[1]);
    gr_generator_free(two);
    memset(&newer, 0, sizeof newer);
    newer.o = s.o;
    newer.o.size = sizeof newer;
    CHECK_OK(gr_generate(s.generator, NULL, &newer.o, 1, out));
    gr_free(out[0]);
    newer.more = 1;
    CHECK_STATUS(gr_generate(s.generator, NULL, &newer.o, 1, out), GR_ERR_UNSUPPORTED);
    newer.o.size = 0;
    CHECK_STATUS(gr_generate(s.generator, NULL, &newer.o, 1, out), GR_ERR_ARGUMENT);
    close_setup(&s);
}

/* A control token has no text, yet its spelling as a stop text ends the answer there; in a prompt neither counts. */
TEST(control_token_as_stop_text)
{
    setup s;
    char text[TINY_VOCAB];
    const char *stops[] = {"<|endoftext|>", "DB"};
    open_setup(&s);
    gr_tokenizer_free(s.tokenizer);
    for (int i = 0; i + 1 < TINY_VOCAB; i++)
        text[i] = (char)('A' + i);
    s.tokenizer = gr_tokenizer_char(text, TINY_VOCAB - 1, true);
    CHECK_MADE(s.tokenizer);
    int64_t control = gr_tokenizer_id(s.tokenizer, stops[0]), ended = 0;
    s.o.stop = stops; /* the prompt is "DBE" */
    for (s.sampling.seed = 0; s.sampling.seed < 200; s.sampling.seed++) {
        s.o.n_stop = 0;
        CHECK_OK(again(&s));
        int64_t at = 0;
        while (at < s.out.n && s.out.ids[at] != control)
            at++;
        s.o.n_stop = 2;
        CHECK_OK(again(&s));
        if (s.out.stop == GR_STOP_TEXT && strstr(s.told.text, "DB") == NULL && at < 8 && s.out.n == at + 1) {
            CHECK_EQ_INT(s.out.ids[at], control);
            CHECK_EQ_INT(s.out.bytes, at);
            ended++;
        }
        CHECK(at == 8 || s.out.n <= at + 1);
    }
    CHECK(ended > 10);
    close_setup(&s);
}

/* ---- evaluation --------------------------------------------------------------------------------------------- */

typedef struct progress {
    int64_t done, total;
    double loss;
} progress;

static bool note_progress(void *user, int64_t done, int64_t total, double loss)
{
    progress *p = user;
    CHECK(done > p->done && done <= total);
    *p = (progress){done, total, loss};
    return true;
}

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
        gr_evaluate_options o = {.size = sizeof o, .context = 8, .stride = stride}, one = {sizeof one, .context = 16};
        double loss, sum = 0;
        progress last = {0, 0, 0};
        NOTE("stride %d", (int)stride);
        o.progress = note_progress;
        o.user = &last;
        CHECK_OK(gr_evaluate(m, ids, N, &o, &loss));
        CHECK(last.done == N - 1 && last.total == N - 1 && last.loss == loss);
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

/* Logits [n, V] of one window. */
static void logits_of(gr_model *m, const int32_t *ids, int64_t n, float *out)
{
    gr_graph *g = gr_graph_new();
    gr_forward f = GR_INIT(gr_forward);
    f.tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){1, n});
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, (const void *[]){ids}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
}

/* The probabilities of a row, in f64. */
static void probabilities(const float *logits, double *p)
{
    double sum = 0;
    for (int i = 0; i < TINY_VOCAB; i++)
        sum += p[i] = exp((double)logits[i]);
    for (int i = 0; i < TINY_VOCAB; i++)
        p[i] /= sum;
}

static int most_likely(const double *p)
{
    int best = 0;
    for (int i = 1; i < TINY_VOCAB; i++)
        best = p[i] > p[best] ? i : best;
    return best;
}

/* Against sums in f64, of logits that are made another way. */
TEST(two_models_are_compared_token_by_token)
{
    enum { N = 12 };
    int32_t ids[N + 1];
    tiny_ids(ids, N + 1);
    gr_device *d = gr_device_open("cpu", 1);
    gr_model_info info = tiny_info("llama", false);
    gr_model *m = tiny_model_of(&info, d, 1), *other = tiny_model_of(&info, d, 2);
    float x[N * TINY_VOCAB], y[N * TINY_VOCAB];
    double p[TINY_VOCAB], q[TINY_VOCAB], kl = 0, most = 0, loss = 0, against = 0, squares = 0, mean;
    int same = 0;
    logits_of(m, ids, N, x);
    logits_of(other, ids, N, y);
    for (int t = 0; t < N; t++) {
        double here = 0;
        probabilities(x + t * TINY_VOCAB, q);
        probabilities(y + t * TINY_VOCAB, p);
        for (int i = 0; i < TINY_VOCAB; i++)
            here += p[i] * log(p[i] / q[i]);
        kl += here / N;
        most = here > most ? here : most;
        loss -= log(q[ids[t + 1]]) / N;
        against -= log(p[ids[t + 1]]) / N;
        squares += log(q[ids[t + 1]]) * log(q[ids[t + 1]]) / N;
        same += most_likely(p) == most_likely(q);
    }
    gr_distance far = GR_INIT(gr_distance);
    gr_evaluate_options o = {.size = sizeof o, .context = N, .against = other, .distance = &far};
    CHECK_OK(gr_evaluate(m, ids, N + 1, &o, &mean));
    CHECK(kl > 0.01);
    CHECK_NEAR(far.kl, kl, 1e-6);
    CHECK_NEAR(far.kl_most, most, 1e-5);
    CHECK_NEAR(far.kl_99, most, 1e-5);
    CHECK_NEAR(far.loss, loss, 1e-5);
    CHECK_NEAR(mean, loss, 1e-5);
    CHECK_NEAR(far.against, against, 1e-5);
    CHECK_NEAR(far.loss_error, sqrt((squares - loss * loss) / (N - 1)), 1e-5);
    CHECK_NEAR(far.same, (double)same / N, 1e-9);
    o.against = m;
    CHECK_OK(gr_evaluate(m, ids, N + 1, &o, &mean));
    CHECK(fabs(far.kl) < 1e-7 && far.same >= 1);
    info.vocab++;
    gr_model *wider = tiny_model_of(&info, d, 1);
    o.against = wider;
    CHECK_STATUS(gr_evaluate(m, ids, N + 1, &o, &mean), GR_ERR_ARGUMENT);
    gr_model_free(wider);
    gr_model_free(other);
    gr_model_free(m);
    gr_device_close(d);
}

TEST(refusals)
{
    int32_t ids[] = {1, 2, TINY_VOCAB};
    double loss;
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", d);
    CHECK_STATUS(gr_evaluate(m, ids, 1, NULL, &loss), GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_evaluate(m, ids, 3, NULL, &loss), GR_ERR_ARGUMENT);
    CHECK_STATUS(
        gr_evaluate(m, ids, 2, &(gr_evaluate_options){.size = sizeof(gr_evaluate_options), .context = 17}, &loss),
        GR_ERR_ARGUMENT);
    CHECK_STATUS(gr_evaluate(m, ids, 2,
                             &(gr_evaluate_options){.size = sizeof(gr_evaluate_options), .context = 4, .stride = 5},
                             &loss),
                 GR_ERR_ARGUMENT);
    CHECK_OK(gr_evaluate(m, ids, 2, NULL, &loss));
    gr_model_free(m);
    gr_device_close(d);
}

/* ---- failing memory ----------------------------------------------------------------------------------------- */

static gr_status generate_all(void *ctx)
{
    setup *s = ctx;
    gr_generator *g = gr_generator_new(s->model, 1, 0);
    const gr_generated *out = NULL;
    const char *stops[] = {"~~"};
    gr_generate_options o = s->o;
    o.max_tokens = 4;
    o.token = NULL;
    o.stop = stops;
    o.n_stop = 1;
    o.ignore_eos = false;
    gr_status st = g ? gr_generate(g, s->tokenizer, &o, 1, &out) : gr_error_status();
    gr_free(out);
    gr_generator_free(g);
    return st;
}

static gr_status generate_two(void *ctx)
{
    setup *s = ctx;
    gr_generator *g = gr_generator_new(s->model, 2, 0);
    const gr_generated *out[2] = {NULL};
    gr_generate_options o[2] = {s->o, s->o};
    o[0].max_tokens = 3;
    o[1].max_tokens = 4;
    o[0].token = o[1].token = NULL;
    gr_status st = g ? gr_generate(g, s->tokenizer, o, 2, out) : gr_error_status();
    gr_free(out[0]);
    gr_free(out[1]);
    gr_generator_free(g);
    return st;
}

static gr_status evaluate_all(void *ctx)
{
    setup *s = ctx;
    int32_t ids[20];
    double loss;
    tiny_ids(ids, 20);
    return gr_evaluate(s->model, ids, 20,
                       &(gr_evaluate_options){.size = sizeof(gr_evaluate_options), .context = 8, .stride = 4}, &loss);
}

static gr_status compare_all(void *ctx)
{
    setup *s = ctx;
    int32_t ids[20];
    double loss;
    gr_distance far = GR_INIT(gr_distance);
    tiny_ids(ids, 20);
    return gr_evaluate(s->model, ids, 20,
                       &(gr_evaluate_options){
                           .size = sizeof(gr_evaluate_options), .context = 8, .against = s->model, .distance = &far},
                       &loss);
}

TEST(failing_allocations)
{
    setup s;
    open_setup(&s);
    CHECK_OK(generate_all(&s)); /* weights and caches of the process are there from here on */
    CHECK(SWEEP_ALLOCATIONS(generate_all, &s) > 20);
    CHECK(SWEEP_ALLOCATIONS(generate_two, &s) > 20);
    CHECK(SWEEP_ALLOCATIONS(evaluate_all, &s) > 20);
    CHECK(SWEEP_ALLOCATIONS(compare_all, &s) > 20);
    close_setup(&s);
}
