/* Documents: rows of several that do not see each other, what is trained on, and what is refused. */
#include "tiny.h"

static const char *const devices[] = {"ref", "cpu", "far"};
enum { N_DEVICES = 3 };

/* ---- rows of several documents ---------------------------------------------------------------------------------- */

/* Two rows of 12 tokens: how long the documents in them are. The last of row 0 is padding. */
enum { ROWS = 2, WIDTH = 12, MOST_DOCUMENTS = 4 };
static const int lengths[ROWS][MOST_DOCUMENTS] = {{5, 1, 4, 2}, {3, 9}};

typedef struct packed {
    int64_t tokens[ROWS * WIDTH], targets[ROWS * WIDTH], segments[ROWS * WIDTH];
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
    gr_step_report r;
    CHECK_OK(gr_trainer_step(t, batch, &r));
    gr_entry e;
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

static int trained_in(const int64_t *targets, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += targets[i] != -100;
    return count;
}

static void check_packed_is_alone(const char *arch, const char *device_name, int64_t accumulate)
{
    NOTE("%s on %s, %d micro-batches", arch, device_name, (int)accumulate);
    enum { MOST = 4096 };
    static double together[MOST], alone[MOST];
    memset(together, 0, sizeof together);
    memset(alone, 0, sizeof alone);
    gr_device *device = gr_device_open(device_name, 2);
    gr_model *m = tiny_model(arch, device);
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
    const char *archs[] = {"gpt2", "llama"}; /* llama shares each key head between two */
    for (int a = 0; a < 2; a++)
        for (int d = 0; d < N_DEVICES; d++)
            for (int64_t accumulate = 1; accumulate <= 2; accumulate++)
                check_packed_is_alone(archs[a], devices[d], accumulate);
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
    gr_step_report r;
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
