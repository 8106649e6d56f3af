/* Documents: rows of several that do not see each other, what is trained on, and what is refused. */
#include "tiny.h"

#include "format/safetensors.h"
#include "train/data.h"
#include "train/trainer.h"
#include "text/tokenizer.h"

/* ---- rows of several documents ------------------------------------------------------------------------------ */

/* Two rows of 12 tokens: how long the documents in them are. The last of row 0 is padding. */
enum { ROWS = 2, WIDTH = 12, MOST_DOCUMENTS = 4 };
static const int lengths[ROWS][MOST_DOCUMENTS] = {{5, 1, 4, 2}, {3, 9}};

typedef struct packed {
    gr_token tokens[ROWS * WIDTH], targets[ROWS * WIDTH];
    int64_t segments[ROWS * WIDTH];
} packed;

/* Documents of unlike lengths, of which some tokens are not trained on. */
static packed make_packed(void)
{
    packed p;
    int32_t ids[ROWS * WIDTH + 1];
    tiny_ids(ids, ROWS * WIDTH + 1);
    for (int r = 0, at = 0; r < ROWS; r++)
        for (int d = 0; d < MOST_DOCUMENTS; d++)
            for (int i = 0; i < lengths[r][d]; i++, at++) {
                bool padding = r == 0 && d == 3;
                p.tokens[at] = ids[at];
                p.targets[at] = padding || at % 5 == 1 ? -100 : ids[at + 1];
                p.segments[at] = 10 * d;
            }
    return p;
}

/* SGD's momentum after its first step is the gradient. */
static gr_train_options gradient_options(int64_t batch, int64_t context)
{
    gr_train_options o = tiny_options();
    o.optimizer = GR_SGD;
    o.batch = batch;
    o.context = context;
    o.clip = o.weight_decay = 0;
    o.lr = 0;
    return o;
}

/* Adds weight times the gradient that a step makes, for all parameters in order, to sum. Returns the loss. */
static double add_gradients(gr_model *m, const gr_train_options *o, const gr_batch *batch, double weight, double *sum)
{
    gr_trainer *t = gr_trainer_new(m, o);
    CHECK_MADE(t);
    gr_step_report r = GR_INIT(gr_step_report);
    CHECK_OK(gr_trainer_step(t, batch, &r));
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(gr_trainer_store(t)); i++) {
        CHECK_OK(gr_store_entry(gr_trainer_store(t), i, &e));
        float *x = malloc(e.bytes);
        CHECK_OK(gr_store_read(gr_trainer_store(t), e.name, x, e.bytes));
        for (size_t k = 0; k < e.bytes / sizeof *x; k++)
            *sum++ += weight * (double)x[k];
        free(x);
    }
    gr_trainer_free(t);
    return r.loss;
}

static int trained_in(const gr_token *targets, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += targets[i] != -100;
    return count;
}

/* A model whose windows are shorter than the documents, with random weights. */
static gr_model *windowed_model(gr_device *device)
{
    size_t size;
    char *config = gr_file_read(test_source("tests/data/packed/config.json"), 1 << 20, &size);
    CHECK_MADE(config);
    gr_model *m = gr_model_new("config.json", config, size, device);
    gr_free(config);
    CHECK_MADE(m);
    CHECK_OK(gr_model_init(m, 2));
    return m;
}

static void check_packed_is_alone(const char *arch, const char *device_name, int64_t accumulate)
{
    NOTE("%s on %s, %d micro-batches", arch, device_name, (int)accumulate);
    enum { MOST = 1 << 14 };
    static double together[MOST], alone[MOST];
    memset(together, 0, sizeof together);
    memset(alone, 0, sizeof alone);
    const gr_load_options widen = {.size = sizeof widen, .widen = true};
    gr_device *device = gr_device_open(device_name, 2);
    gr_model *m = strcmp(arch, "mistral") == 0 ? windowed_model(device)
                  : strcmp(arch, "llama") == 0
                      ? gr_model_load(test_source("tests/data/models/llama-gqa-tied"), &widen, device)
                      : tiny_model(arch, device);
    CHECK_MADE(m);
    packed p = make_packed();
    gr_train_options o = gradient_options(ROWS / accumulate, WIDTH);
    o.accumulate = accumulate;
    o.segments = true;
    double loss = add_gradients(m, &o, &(gr_batch){p.tokens, p.targets, p.segments}, 1, together);
    int count = trained_in(p.targets, ROWS * WIDTH);
    double sum = 0;
    for (int r = 0; r < ROWS; r++)
        for (int d = 0, at = r * WIDTH; d < MOST_DOCUMENTS; at += lengths[r][d++]) {
            int n = trained_in(p.targets + at, lengths[r][d]);
            if (n == 0)
                continue;
            o = gradient_options(1, lengths[r][d]);
            double weight = (double)n / count;
            sum += weight * add_gradients(m, &o, &(gr_batch){p.tokens + at, p.targets + at, NULL}, weight, alone);
        }
    CHECK_NEAR(loss, sum, 1e-6);
    double largest = 0;
    for (int i = 0; i < MOST; i++) {
        CHECK_NEAR(together[i], alone[i], 1e-6);
        largest = fmax(largest, fabs(alone[i]));
    }
    CHECK(largest > 1e-3);
    gr_model_free(m);
    gr_device_close(device);
}

/* Loss and gradients of a row of documents are those of the documents alone. */
TEST(documents_in_a_row_do_not_meet)
{
    const char *archs[] = {"gpt2", "llama", "mistral"}; /* the latter two share each key head between two */
    for (int a = 0; a < 3; a++)
        for (int d = 0; test_device(d); d++)
            for (int64_t accumulate = 1; accumulate <= 2; accumulate++)
                check_packed_is_alone(archs[a], test_device(d), accumulate);
}

/* The same in rows of several blocks of keys, of which a document sees some, or a part. */
TEST(documents_in_long_rows_do_not_meet)
{
    enum { LONG = 400, N = 6, MOST = 1 << 14 };
    static const int starts[N + 1] = {0, 1, 130, 260, 270, 399, LONG};
    static double together[MOST], alone[MOST];
    int32_t ids[LONG + 1];
    gr_token tokens[LONG], targets[LONG];
    int64_t segments[LONG];
    tiny_ids(ids, LONG + 1);
    for (int d = 0; d < N; d++)
        for (int i = starts[d]; i < starts[d + 1]; i++) {
            tokens[i] = ids[i];
            targets[i] = ids[i + 1];
            segments[i] = d * d - 3;
        }
    gr_device *device = gr_device_open("cpu", 2);
    gr_model_info info = tiny_info("llama", false);
    info.context = LONG;
    gr_model *m = tiny_model_of(&info, device, 1);
    CHECK_MADE(m);
    memset(together, 0, sizeof together);
    memset(alone, 0, sizeof alone);
    gr_train_options o = gradient_options(1, LONG);
    o.segments = true;
    double loss = add_gradients(m, &o, &(gr_batch){tokens, targets, segments}, 1, together), sum = 0;
    for (int d = 0; d < N; d++) {
        int n = starts[d + 1] - starts[d];
        o = gradient_options(1, n);
        gr_batch batch = {tokens + starts[d], targets + starts[d], NULL};
        sum += (double)n / LONG * add_gradients(m, &o, &batch, (double)n / LONG, alone);
    }
    CHECK_NEAR(loss, sum, 1e-6);
    for (int i = 0; i < MOST; i++)
        CHECK_NEAR(together[i], alone[i], 1e-6);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- against transformers: how tests/data/packed was made says tools/oracle/make_packed.py ------------------ */

static const gr_weight *golden(const gr_safetensors *file, const char *name, const char *what)
{
    char full[300];
    snprintf(full, sizeof full, "%s%s", name, what);
    const gr_weight *t = gr_safetensors_find(file, full);
    if (!t)
        FAIL("packed.safetensors has no %s", full);
    return t;
}

static void copy_file(const char *from, const char *name)
{
    size_t size;
    char *text = gr_file_read(from, SIZE_MAX - 1, &size);
    CHECK_MADE(text);
    CHECK_OK(gr_file_write(test_join(test_dir(), name), text, size));
    gr_free(text);
}

/* A directory of the model: the goldens' own, or another's weights under the config.json beside the goldens. */
static const char *golden_model(const char *name)
{
    if (strcmp(name, "mistral") != 0)
        return test_source(strcmp(name, "gpt2") == 0 ? "tests/data/models/gpt2-f16" : "tests/data/models/llama-bf16");
    copy_file(test_source("tests/data/packed/config.json"), "config.json");
    copy_file(test_source("tests/data/models/llama-bf16/model.safetensors"), "model.safetensors");
    return test_dir();
}

static void check_gradient(gr_trainer *t, const gr_safetensors *file, const char *model, const char *parameter)
{
    char name[300];
    snprintf(name, sizeof name, ".grad.%s", parameter);
    const gr_weight *want = golden(file, model, name);
    float *x = malloc(want->bytes), *y = malloc(want->bytes);
    snprintf(name, sizeof name, "momentum_buffer.%s", parameter);
    CHECK_OK(gr_store_read(gr_trainer_store(t), name, x, want->bytes));
    memcpy(y, want->data, want->bytes);
    double largest = 0, worst = 0;
    for (size_t i = 0; i < want->bytes / sizeof *x; i++) {
        largest = fmax(largest, fabs((double)y[i]));
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    }
    NOTE("%s %s", model, parameter);
    CHECK(worst <= 2e-5 * largest + 1e-9);
    free(x);
    free(y);
}

static void check_against_transformers(const gr_safetensors *file, const char *name, const char *device_name)
{
    const gr_weight *tokens = golden(file, "tokens", ""), *loss = golden(file, name, ".loss");
    int64_t batch[3][64] = {{0}};
    float want;
    for (int i = 0; i < 3; i++)
        memcpy(batch[i], golden(file, (const char *[]){"tokens", "targets", "segments"}[i], "")->data, tokens->bytes);
    memcpy(&want, loss->data, sizeof want);
    gr_device *device = gr_device_open(device_name, 0);
    gr_model *m =
        gr_model_load(golden_model(name), &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, device);
    CHECK_MADE(m);
    gr_train_options o = gradient_options(tokens->shape[0], tokens->shape[1]);
    o.segments = true;
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    gr_step_report r = GR_INIT(gr_step_report);
    gr_token ids[2][64];
    for (size_t i = 0; i < 2 * 64; i++)
        ids[i / 64][i % 64] = (gr_token)batch[i / 64][i % 64];
    CHECK_OK(gr_trainer_step(t, &(gr_batch){ids[0], ids[1], batch[2]}, &r));
    NOTE("%s on %s", name, device_name);
    CHECK_NEAR(r.loss, want, 2e-5);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(gr_model_store(m)); i++) {
        CHECK_OK(gr_store_entry(gr_model_store(m), i, &e));
        check_gradient(t, file, name, e.name);
    }
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(rows_of_documents_as_transformers_has_them)
{
    gr_safetensors *file = gr_safetensors_open(test_source("tests/data/packed/packed.safetensors"));
    CHECK_MADE(file);
    const char *models[] = {"gpt2", "llama", "mistral"};
    for (int m = 0; m < 3; m++)
        for (int d = 0; test_device(d); d++)
            check_against_transformers(file, models[m], test_device(d));
    gr_safetensors_close(file);
}

/* Without segments a trainer that could have them does what one without does, to the bit. */
TEST(one_document_a_row_is_as_ever)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("llama", device);
    packed p = make_packed();
    double with[4096] = {0}, without[4096] = {0};
    gr_train_options o = gradient_options(ROWS, WIDTH);
    double a = add_gradients(m, &o, &(gr_batch){p.tokens, p.targets, NULL}, 1, without);
    o.segments = true;
    double b = add_gradients(m, &o, &(gr_batch){p.tokens, p.targets, NULL}, 1, with);
    CHECK(a == b);
    CHECK(memcmp(with, without, sizeof with) == 0);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(evaluation_keeps_documents_apart)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    packed p = make_packed();
    double unused[4096] = {0}, sum;
    int64_t count;
    gr_train_options o = gradient_options(ROWS, WIDTH);
    o.segments = true;
    gr_batch batch = {p.tokens, p.targets, p.segments};
    double loss = add_gradients(m, &o, &batch, 1, unused);
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_OK(gr_trainer_eval_batch(t, &batch, &sum, &count));
    CHECK_EQ_INT(count, trained_in(p.targets, ROWS * WIDTH));
    CHECK_NEAR(sum / (double)count, loss, 1e-6);
    for (int i = 0; i < ROWS * WIDTH; i++)
        p.targets[i] = -100;
    CHECK_OK(gr_trainer_eval_batch(t, &batch, &sum, &count));
    CHECK_EQ_INT(count, 0);
    CHECK(sum == 0);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(bad_segments_are_refused)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    packed p = make_packed();
    gr_train_options o = gradient_options(ROWS, WIDTH);
    gr_step_report r = GR_INIT(gr_step_report);
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){p.tokens, p.targets, p.segments}, &r), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "the trainer was made without");
    gr_trainer_free(t);
    o.segments = true;
    t = gr_trainer_new(m, &o);
    p.segments[WIDTH + 4] = -1;
    CHECK_STATUS(gr_trainer_step(t, &(gr_batch){p.tokens, p.targets, p.segments}, &r), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "in row 1, they may only rise");
    CHECK_EQ_INT(gr_trainer_steps(t), 0);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

static gr_data *documents_of(const char *name, const char *text, gr_tokenizer *t)
{
    const char *path = test_file(name, text, strlen(text));
    return DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true);
}

static int64_t length_of(const gr_data *d, int64_t i)
{
    return d->documents[i].end - d->documents[i].begin;
}

TEST(lines_are_texts_or_prompts_with_completions)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_data *d = documents_of("a.jsonl",
                              "\xEF\xBB\xBF{\"text\": \"ab\\u0000c\", \"id\": 7}\r\n"
                              "\n   \t\r\n"
                              "{\"completion\": \"world\", \"prompt\": \"hello \", \"text\": null}\n"
                              "{\"prompt\": \"\", \"completion\": \"xyz\"}",
                              t);
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->documents, 3);
    CHECK_EQ_INT(length_of(d, 0), 4 + 1); /* and its end */
    CHECK_EQ_INT(d->documents[0].given, 1);
    CHECK_EQ_INT(d->documents[0].line, 1);
    CHECK_EQ_INT(d->ids[2], 0);
    CHECK_EQ_INT(d->ids[4], gr_tokenizer_eos(t));
    CHECK_EQ_INT(length_of(d, 1), 11 + 1);
    CHECK_EQ_INT(d->documents[1].given, 6);
    CHECK_EQ_INT(d->documents[1].line, 4);
    CHECK_EQ_INT(d->documents[2].given, 1);
    CHECK_EQ_INT(d->documents[2].line, 5);
    CHECK_EQ_INT(gr_data_describe(d)->tokens, 5 + 12 + 4);
    CHECK_EQ_INT(d->bytes, 4 + 11 + 3);
    gr_data_free(d);
    gr_tokenizer_free(t);
}

TEST(lines_that_cannot_be_read_are_named)
{
    static const struct {
        const char *line, *message;
    } bad[] = {
        {"{\"text\": 5}", "a.jsonl: line 2: key \"text\": expected a string, found an integer"},
        {"{\"prompt\": \"a\", \"completion\": {}}", "line 2: key \"completion\": expected a string, found an object"},
        {"{\"prompt\": \"a\"}", "line 2: top level: has a \"prompt\" without a \"completion\""},
        {"{\"prompt\": \"a\", \"completion\": null}", "has a \"prompt\" without a \"completion\""},
        {"{\"completion\": \"a\"}", "has a \"completion\" without a \"prompt\""},
        {"{\"text\": \"a\", \"completion\": \"a\"}", "has \"text\" and \"completion\""},
        {"{\"messages\": [], \"text\": \"a\"}", "line 2: top level: has messages, and a \"text\" beside them"},
        {"{\"messages\": [], \"prompt\": \"a\"}", "line 2: top level: has messages, and a \"prompt\" beside them"},
        {"{\"instruction\": \"a\"}", "has neither \"text\" nor \"prompt\" and \"completion\""},
        {"{\"text\": null}", "has neither \"text\" nor \"prompt\""},
        {"{}", "has neither \"text\" nor \"prompt\""},
        {"[\"text\"]", "line 2: top level: expected an object, found an array"},
        {"\"text\"", "line 2"},
        {"{\"text\": \"a\"", "line 2"},
        {"{\"text\": \"a\"} {}", "line 2"},
        {"{\"text\": \"\\ud800\"}", "line 2"},
        {"{\"text\": \"\xff\"}", "line 2"},
        {"{\"text\": \"a\tb\"}", "line 2"},
        {"{\"text\\u0000\": \"a\"}", "line 2: top level: has neither \"text\" nor"},
    };
    gr_tokenizer *t = gr_tokenizer_byte();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        NOTE("%s", bad[i].line);
        char text[200];
        snprintf(text, sizeof text, "{\"text\": \"good\"}\n%s\n", bad[i].line);
        CHECK(!documents_of("a.jsonl", text, t));
        CHECK_ERROR(GR_ERR_FILE, bad[i].message);
        CHECK_ERROR(GR_ERR_FILE, "a.jsonl: line 2");
        const char *path = test_join(test_dir(), "a.jsonl");
        CHECK(!gr_corpus_load(&path, 1));
        CHECK_ERROR(GR_ERR_FILE, bad[i].message);
    }
    gr_tokenizer_free(t);
}

/* A NUL between the letters, a thousand brackets, a line of a megabyte. */
TEST(hostile_lines)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    static const char nul[] = "{\"text\": \"a\0b\"}\n";
    const char *path = test_file("nul.jsonl", nul, sizeof nul - 1);
    CHECK(!DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true));
    CHECK_ERROR(GR_ERR_FILE, "nul.jsonl: line 1");

    enum { DEPTH = 100000, LONG = 1 << 20 };
    char *text = malloc(LONG + 64);
    int n = sprintf(text, "{\"text\": ");
    memset(text + n, '[', DEPTH);
    path = test_file("deep.jsonl", text, (size_t)n + DEPTH);
    CHECK(!DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true));
    CHECK_ERROR(GR_ERR_FILE, "deep.jsonl: line 1");

    text[n] = '"';
    memset(text + n + 1, 'x', LONG);
    strcpy(text + n + 1 + LONG, "\"}");
    path = test_file("long.jsonl", text, (size_t)n + LONG + 3);
    gr_data *d = DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true);
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->tokens, LONG + 1);
    gr_data_free(d);
    free(text);
    gr_tokenizer_free(t);
}

static char remarks[4096];

static void remember_remark(void *user, gr_log_level level, const char *message)
{
    (void)user;
    (void)level;
    size_t n = strlen(remarks);
    snprintf(remarks + n, sizeof remarks - n, "%s\n", message);
}

TEST(what_is_left_out_is_said)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    *remarks = '\0';
    gr_set_log(remember_remark, NULL);
    gr_data *d = documents_of("a.jsonl",
                              "{\"text\": \"\", \"meta\": 1}\n{\"prompt\": \"p\", \"completion\": \"\"}\n"
                              "{\"text\": \"a\", \"url\": \"b\"}\n{\"text\": \"\"}\n",
                              t);
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->documents, 1);
    CHECK(strstr(remarks, "a.jsonl: line 1: 2 empty texts left out, this is the first"));
    CHECK(strstr(remarks, "a.jsonl: line 2: 1 empty completion left out"));
    CHECK(strstr(remarks, "\"meta\", \"url\""));
    gr_data_free(d);
    CHECK(!documents_of("b.jsonl", "{\"text\": \"\"}\n", t));
    CHECK_ERROR(GR_ERR_FILE, "b.jsonl: there is no text in it");
    gr_set_log(NULL, NULL);
    gr_tokenizer_free(t);
}

/* Without a token that ends texts, one of a single token teaches nothing. */
TEST(data_without_anything_to_learn_is_refused)
{
    gr_tokenizer *t = gr_tokenizer_char("ab", 2, false);
    CHECK_MADE(t);
    CHECK(!documents_of("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n", t));
    CHECK_ERROR(GR_ERR_FILE, "a.jsonl: line 1: there is nothing to train on");
    *remarks = '\0';
    gr_set_log(remember_remark, NULL);
    gr_data *d = documents_of("a.jsonl", "{\"text\": \"a\"}\n{\"text\": \"ba\"}\n", t);
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->documents, 1);
    CHECK(strstr(remarks, "a.jsonl: line 1: has nothing to train on, as 1 of 2 documents"));
    gr_data_free(d);
    CHECK(!documents_of("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"ax\"}\n", t));
    CHECK_ERROR(GR_ERR_ARGUMENT, "a.jsonl: line 2");
    gr_set_log(NULL, NULL);
    gr_tokenizer_free(t);
}

/* In one stream a prompt would be trained on. */
TEST(a_stream_takes_no_prompts)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    static const char text[] = "{\"text\": \"a\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    const char *path = test_file("a.jsonl", text, strlen(text));
    gr_corpus *c = gr_corpus_load(&path, 1);
    CHECK_MADE(c);
    CHECK(!DATA(.corpus = c, .tokenizer = t));
    CHECK_ERROR(GR_ERR_FILE, "a.jsonl: line 2: has a prompt and a completion");
    gr_data *d = DATA(.corpus = c, .tokenizer = t, .apart = true); /* apart it is fine, and says where from */
    CHECK_MADE(d);
    CHECK_EQ_INT(d->documents[1].line, 2);
    CHECK_EQ_INT(d->documents[1].given, 1);
    CHECK_EQ_STR(d->files[0], path);
    gr_data_free(d);
    gr_corpus_free(c);
    gr_tokenizer_free(t);
}

/* A text cut into prompt and completion behind each of its characters, a line each; returns the lines. */
static char *cut_everywhere(const char *text, char *lines)
{
    char *at = lines;
    for (const char *p = text + 1; *p; p++) {
        if ((*p & 0xC0) == 0x80)
            continue;
        at += sprintf(at, "{\"prompt\": \"%.*s\", \"completion\": \"%s\"}\n", (int)(p - text), text, p);
    }
    return lines;
}

/* What is given is what a generator would read, and all of it together is the text. */
static void check_borders(const char *name, const char *text)
{
    char path[100], lines[1 << 14];
    snprintf(path, sizeof path, "tests/data/tokenizers/%s.json", name);
    gr_tokenizer *t = gr_tokenizer_load(test_source(path));
    CHECK_MADE(t);
    gr_data *d = documents_of("cut.jsonl", cut_everywhere(text, lines), t);
    CHECK_MADE(d);
    const char *cut = text;
    for (int64_t i = 0; i < d->n_documents; i++) {
        do
            cut++;
        while ((*cut & 0xC0) == 0x80);
        NOTE("%s, completion \"%s\"", name, cut);
        const int32_t *ids;
        const char *decoded;
        size_t n, size, length = (size_t)length_of(d, i);
        int32_t *got = d->ids + d->documents[i].begin;
        size_t end = gr_tokenizer_eos(t) >= 0 && got[length - 1] == gr_tokenizer_eos(t);
        CHECK_OK(gr_tokenizer_encode(t, text, (size_t)(cut - text), 0, &ids, &n));
        size_t front = (size_t)d->documents[i].given - n;
        CHECK(memcmp(got + front, ids, n * sizeof *ids) == 0);
        CHECK_OK(gr_tokenizer_encode(t, text, (size_t)(cut - text), GR_ADD_SPECIAL, &ids, &n));
        CHECK(memcmp(got, ids, front * sizeof *ids) == 0);
        CHECK_OK(gr_tokenizer_decode(t, got, length - end, GR_SKIP_SPECIAL, &decoded, &size));
        CHECK_EQ_STR(decoded, text);
    }
    gr_data_free(d);
    gr_tokenizer_free(t);
}

TEST(no_token_lies_across_the_border)
{
    const char *names[] = {"gpt2", "llama2", "qwen2", "deepseek"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_borders(names[i], "the quick brown fox, 42 times  over  12345 dogs: caf\xC3\xA9 \xE7\x8B\x90");
        check_borders(names[i], " a  b");
    }
}

static gr_status load_and_pack(void *tokenizer)
{
    const char *path = test_join(test_dir(), "some.jsonl");
    gr_data *d = DATA(.paths = &path, .n_paths = 1, .tokenizer = tokenizer, .apart = true, .threads = 1), *e = NULL;
    gr_status s = d ? gr_data_split(d, 0.3, &e) : gr_error_status();
    for (int shuffle = 0; s == GR_OK && shuffle < 2; shuffle++) {
        gr_rows *r = gr_rows_new(d, 6, shuffle, 1);
        s = r ? GR_OK : gr_error_status();
        gr_rows_free(r);
    }
    gr_data_free(e);
    gr_data_free(d);
    gr_corpus *c = s == GR_OK ? gr_corpus_load(&path, 1) : NULL;
    d = c ? DATA(.corpus = c, .tokenizer = tokenizer, .apart = true, .threads = 1) : NULL;
    s = d ? GR_OK : gr_error_status();
    gr_data_free(d);
    gr_corpus_free(c);
    return s;
}

TEST(without_memory_nothing_is_left_behind)
{
    static const char text[] = "{\"prompt\": \"the quick \", \"completion\": \"brown fox\"}\n"
                               "{\"text\": \"and a text\", \"other\": 1}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    test_file("some.jsonl", text, strlen(text));
    gr_tokenizer *t = gr_tokenizer_load(test_source("tests/data/tokenizers/llama2.json"));
    CHECK_MADE(t);
    CHECK_OK(load_and_pack(t)); /* what the tokenizer takes for itself is its own */
    CHECK(SWEEP_ALLOCATIONS(load_and_pack, t) > 50);
    gr_tokenizer_free(t);
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

/* Documents of random lengths whose ids are numbered through, so that each can be found again. */
static gr_data *numbered(gr_document *documents, int64_t n, int longest, uint32_t seed)
{
    gr_data *d = gr_alloc_zero(1, sizeof *d);
    for (int64_t i = 0, at = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        int64_t length = 2 + (seed >> 8) % (uint32_t)(seed >> 28 ? (longest + 3) / 4 : longest);
        seed = seed * 1664525u + 1013904223u;
        bool has_prompt = seed >> 31;
        documents[i] =
            (gr_document){at, at + length, has_prompt ? 1 + (int32_t)((seed >> 8) % (length - 1)) : 1, 0, 0, 0};
        d->n = at += length;
    }
    d->documents = gr_alloc((size_t)n * sizeof *documents);
    memcpy(d->documents, documents, (size_t)n * sizeof *documents);
    d->n_documents = n;
    d->ids = gr_alloc((size_t)d->n * sizeof *d->ids);
    for (int64_t i = 0; i < d->n; i++)
        d->ids[i] = (int32_t)i;
    gr_data_note(d);
    return d;
}

enum { LONGEST_ROW = 64 };

/* Looks at row k: seen[id] counts how often a token is a target. Returns the places filled. */
static int64_t look_at_row(const gr_rows *r, int64_t k, int64_t context, int *seen)
{
    gr_token tokens[LONGEST_ROW], targets[LONGEST_ROW];
    int64_t segments[LONGEST_ROW], trained = 0, filled = 0;
    gr_rows_fill(r, k, tokens, targets, segments);
    for (int64_t i = 0; i < context; i++) {
        bool starts = i == 0 || segments[i] != segments[i - 1];
        CHECK(i == 0 || segments[i] == segments[i - 1] || segments[i] == segments[i - 1] + 1);
        CHECK(starts || tokens[i] == tokens[i - 1] + 1 || (tokens[i] == 0 && targets[i] == -100));
        CHECK(targets[i] == -100 || targets[i] == tokens[i] + 1);
        filled += tokens[i] != 0 || targets[i] != -100;
        if (targets[i] != -100) {
            seen[targets[i]]++;
            trained++;
        }
    }
    CHECK(trained > 0); /* so that no step can be empty */
    return filled;
}

static void check_epoch(const gr_data *d, const gr_rows *r, int64_t context, int64_t epoch, int *seen)
{
    gr_rows_info info = *gr_rows_describe(r);
    memset(seen, 0, (size_t)d->n * sizeof *seen);
    for (int64_t k = 0; k < info.rows; k++)
        look_at_row(r, epoch * info.rows + k, context, seen);
    for (int64_t i = 0; i < d->n_documents; i++)
        for (int64_t at = d->documents[i].begin; at < d->documents[i].end; at++)
            CHECK_EQ_INT(seen[at], at >= d->documents[i].begin + d->documents[i].given);
}

TEST(every_token_is_learned_once_an_epoch)
{
    enum { N = 300 };
    gr_document documents[N];
    for (int64_t context = 1; context <= LONGEST_ROW; context = context < 5 ? context + 1 : context * 2 - 3)
        for (int shuffle = 0; shuffle < 2; shuffle++)
            for (int longest = 1; longest <= 150; longest = longest * 5 + 3) {
                NOTE("context %d, %s, documents up to %d", (int)context, shuffle ? "shuffled" : "in order",
                     longest + 1);
                gr_data *d = numbered(documents, N, longest, (uint32_t)(context * 10 + longest));
                gr_rows *r = gr_rows_new(d, context, shuffle, 5);
                CHECK_MADE(r);
                int *seen = malloc((size_t)d->n * sizeof *seen);
                for (int64_t epoch = 0; epoch < 3; epoch++)
                    check_epoch(d, r, context, epoch, seen);
                gr_rows_info info = *gr_rows_describe(r);
                int64_t trained = 0;
                for (int64_t i = 0; i < N; i++)
                    trained += length_of(d, i) - documents[i].given;
                CHECK_EQ_INT(info.trained, trained);
                CHECK_EQ_INT(info.documents, N);
                CHECK(info.filled <= info.rows * context);
                free(seen);
                gr_rows_free(r);
                gr_data_free(d);
            }
}

/* Best fit leaves little empty; epochs have the rows in other orders, seeds too; the same arguments the same rows. */
TEST(rows_are_full_and_shuffled)
{
    enum { N = 3000, CONTEXT = 64 };
    static gr_document documents[N];
    gr_data *d = numbered(documents, N, 60, 3);
    gr_rows *r = gr_rows_new(d, CONTEXT, true, 5), *again = gr_rows_new(d, CONTEXT, true, 5);
    gr_rows *other = gr_rows_new(d, CONTEXT, true, 6), *in_order = gr_rows_new(d, CONTEXT, false, 5);
    gr_rows_info info = *gr_rows_describe(r);
    CHECK((double)info.filled > 0.995 * (double)(info.rows * CONTEXT));
    CHECK(gr_rows_describe(in_order)->rows > info.rows);
    gr_token a[2][CONTEXT], b[2][CONTEXT];
    int64_t segments_a[CONTEXT], segments_b[CONTEXT], moved = 0, differ = 0;
    for (int64_t k = 0; k < 2 * info.rows; k++) {
        gr_rows_fill(r, k, a[0], a[1], segments_a);
        gr_rows_fill(again, k, b[0], b[1], segments_b);
        CHECK(memcmp(a, b, sizeof a) == 0 && memcmp(segments_a, segments_b, sizeof segments_a) == 0);
        gr_rows_fill(other, k, b[0], b[1], segments_b);
        differ += memcmp(a, b, sizeof a) != 0;
        gr_rows_fill(r, k + info.rows, b[0], b[1], segments_b);
        moved += memcmp(a, b, sizeof a) != 0;
    }
    CHECK(differ > info.rows && moved > info.rows);
    for (int64_t k = 0, at = -1; k < gr_rows_describe(in_order)->rows; k++) { /* in order it is */
        gr_rows_fill(in_order, k, a[0], a[1], segments_a);
        CHECK(a[0][0] > at);
        at = a[0][0];
    }
    gr_rows_free(in_order);
    gr_rows_free(other);
    gr_rows_free(again);
    gr_rows_free(r);
    gr_data_free(d);
}

/* A prompt of 30 tokens, a completion of 5, rows of 16: the end of the prompt is what stays. */
TEST(a_prompt_too_long_loses_its_beginning)
{
    gr_document document = {0, 35, 30, 0, 0, 0};
    gr_data *d = numbered(&document, 1, 1, 1);
    gr_free(d->ids);
    d->ids = gr_alloc(35 * sizeof *d->ids);
    for (int i = 0; i < 35; i++)
        d->ids[i] = i;
    d->documents[0] = (gr_document){0, d->n = 35, 30, 0, 0, 0};
    gr_rows *r = gr_rows_new(d, 16, true, 0);
    gr_rows_info info = *gr_rows_describe(r);
    CHECK_EQ_INT(info.rows, 1);
    CHECK_EQ_INT(info.cut_prompts, 1);
    CHECK_EQ_INT(info.left_out, 35 - 1 - 16);
    CHECK_EQ_INT(info.trained, 5);
    gr_token tokens[16], targets[16];
    int64_t segments[16];
    gr_rows_fill(r, 0, tokens, targets, segments);
    CHECK_EQ_INT(tokens[0], 18);
    CHECK_EQ_INT(targets[10], -100);
    CHECK_EQ_INT(targets[11], 30);
    CHECK_EQ_INT(targets[15], 34);
    gr_rows_free(r);
    gr_data_free(d);
}

/* A step of 8 rows that learn 1, 40, 2, … tokens has one loss and one gradient, however it is cut into micro-batches. */
TEST(every_token_weighs_the_same)
{
    enum { N = 8, CONTEXT = 16 };
    static double gradients[4][1 << 14];
    double losses[4];
    gr_token tokens[N * CONTEXT], targets[N * CONTEXT];
    int64_t segments[N * CONTEXT];
    int32_t ids[N * CONTEXT + 1];
    tiny_ids(ids, N * CONTEXT + 1);
    for (int i = 0; i < N * CONTEXT; i++) {
        int row = i / CONTEXT, learned = (const int[]){1, 16, 0, 2, 15, 1, 1, 9}[row];
        tokens[i] = ids[i];
        targets[i] = i % CONTEXT >= CONTEXT - learned ? ids[i + 1] : -100;
        segments[i] = i % CONTEXT > 6;
    }
    memset(gradients, 0, sizeof gradients);
    for (int d = 0; test_device(d); d++) {
        gr_device *device = gr_device_open(test_device(d), 2);
        gr_model *m = tiny_model("llama", device);
        for (int k = 0; k < 4; k++) {
            int64_t accumulate = (const int64_t[]){1, 2, 4, 8}[k];
            gr_train_options o = gradient_options(N / accumulate, CONTEXT);
            o.accumulate = accumulate;
            o.segments = true;
            NOTE("%s, %d micro-batches", test_device(d), (int)accumulate);
            memset(gradients[k], 0, sizeof gradients[k]);
            losses[k] = add_gradients(m, &o, &(gr_batch){tokens, targets, segments}, 1, gradients[k]);
            CHECK_NEAR(losses[k], losses[0], 1e-5);
            for (int i = 0; i < 1 << 14; i++)
                CHECK_NEAR(gradients[k][i], gradients[0][i], 1e-6);
        }
        gr_model_free(m);
        gr_device_close(device);
    }
}

TEST(whole_documents_are_cut_off_for_evaluation)
{
    gr_document documents[10];
    gr_data *d = numbered(documents, 10, 20, 9), *e;
    int64_t n = gr_data_describe(d)->tokens;
    CHECK_OK(gr_data_split(d, 0.2, &e));
    CHECK_EQ_INT(gr_data_describe(d)->tokens + gr_data_describe(e)->tokens, n);
    CHECK_EQ_INT(gr_data_describe(d)->documents + gr_data_describe(e)->documents, 10);
    CHECK((double)gr_data_describe(e)->tokens >= 0.2 * (double)n);
    CHECK_EQ_INT(e->documents[0].begin, d->documents[d->n_documents - 1].end);
    gr_rows *r = gr_rows_new(e, 64, false, 0);
    gr_token tokens[64], targets[64];
    int64_t segments[64];
    gr_rows_fill(r, 0, tokens, targets, segments);
    CHECK_EQ_INT(tokens[0], e->documents[0].begin);
    gr_rows_free(r);
    gr_data_free(e);
    gr_data_free(d);
    d = numbered(documents, 1, 20, 9);
    CHECK_STATUS(gr_data_split(d, 0.5, &e), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "it is one document");
    gr_data_free(d);
}
