/* A transformer of two layers written by hand, without gr_model. It learns to copy: eight random tokens, then the same
 * eight again, which it has to predict. */
#include <gradus.h>

#include <stdio.h>

enum { B = 16, N = 8, T = 2 * N - 1, V = 16, C = 32, H = 2, LAYERS = 2, STEPS = 300, MOST = 32 };

typedef struct build {
    gr_graph *g;
    gr_store *stores[3]; /* the weights, and AdamW's two moments under the same names */
    gr_tensor *param[MOST];
    int n;
} build;

static unsigned random_state = 1;

static unsigned draw(void) /* 0 to 15 */
{
    return (random_state = random_state * 1664525u + 1013904223u) >> 28;
}

/* Declares a parameter: random values up to ±limit, or ones where that is 0. */
static gr_tensor *param(build *b, int ndim, int64_t rows, int64_t columns, float limit)
{
    char name[32];
    float values[4 * C * C];
    int64_t shape[] = {rows, columns}, count = ndim == 2 ? rows * columns : rows;
    snprintf(name, sizeof name, "p%d", b->n);
    for (int i = 0; i < 3; i++)
        gr_store_add(b->stores[i], name, i ? GR_MOMENT : GR_WEIGHT, GR_F32, ndim, shape);
    for (int64_t i = 0; i < count; i++)
        values[i] = limit > 0 ? limit * ((float)draw() - 7.5f) / 7.5f : 1;
    gr_store_write(b->stores[0], name, values, (size_t)count * sizeof *values);
    return b->param[b->n++] = gr_param(b->g, b->stores[0], name);
}

static gr_tensor *linear(build *b, gr_tensor *x, int64_t in, int64_t out)
{
    return gr_matmul(x, param(b, 2, in, out, 0.14f), false, false);
}

static gr_tensor *norm(build *b, gr_tensor *x)
{
    return gr_rms_norm(x, param(b, 1, C, 0, 0), 1e-5f);
}

static gr_tensor *block(build *b, gr_tensor *x) /* x [B, T, C] */
{
    const int64_t heads[] = {B, T, H, C / H}, shape[] = {B, T, C};
    gr_attention_options causal = GR_INIT(gr_attention_options);
    gr_tensor *n = norm(b, x), *qkv[3];
    causal.causal = true;
    for (int i = 0; i < 3; i++)
        qkv[i] = gr_reshape(linear(b, n, C, C), 4, heads);
    gr_tensor *y = gr_attention(qkv[0], qkv[1], qkv[2], &causal);
    x = gr_add(x, linear(b, gr_reshape(y, 3, shape), C, C));
    return gr_add(x, linear(b, gr_gelu(linear(b, norm(b, x), C, 4 * C)), 4 * C, C));
}

/* Inputs: tokens, targets, step. Output: the loss. */
static gr_program *training_step(build *b, gr_device *device)
{
    const int64_t shape[] = {B, T};
    const gr_adamw_options adamw = {.size = sizeof adamw, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-8f};
    gr_tensor *tokens = gr_input(b->g, "tokens", GR_I32, 2, shape);
    gr_tensor *targets = gr_input(b->g, "targets", GR_I32, 2, shape);
    gr_tensor *step = gr_input(b->g, "step", GR_I64, 0, NULL), *lr = gr_fill(b->g, GR_F32, 0, NULL, 3e-3), *grads[MOST];
    gr_tensor *x = gr_add(gr_embedding(param(b, 2, V, C, 0.5f), tokens), param(b, 2, T, C, 0.5f));
    for (int i = 0; i < LAYERS; i++)
        x = block(b, x);
    gr_tensor *loss = gr_name(gr_cross_entropy(linear(b, norm(b, x), C, V), targets, -100), "loss");
    gr_grad(loss, b->param, grads, b->n);
    for (int i = 0; i < b->n; i++) {
        const char *name = gr_tensor_name(b->param[i]);
        gr_adamw(b->param[i], grads[i], gr_param(b->g, b->stores[1], name), gr_param(b->g, b->stores[2], name), lr,
                 step, NULL, &adamw);
    }
    return gr_compile(b->g, &loss, 1, device, NULL); /* NULL if anything above failed: checked once */
}

int main(void)
{
    gr_token said[N], tokens[B][T], targets[B][T];
    float loss = 0;
    gr_device *device = gr_device_open("cpu", 0);
    build b = {gr_graph_new(), {gr_store_new(device), gr_store_new(device), gr_store_new(device)}, {NULL}, 0};
    gr_program *program = training_step(&b, device);
    gr_status s = program ? GR_OK : gr_error_status();
    int64_t step = 1;
    const gr_given in[] = {{"tokens", GR_I32, tokens, sizeof tokens},
                           {"targets", GR_I32, targets, sizeof targets},
                           {"step", GR_I64, &step, sizeof step}};
    const gr_wanted out = {"loss", GR_F32, &loss, sizeof loss};
    for (; s == GR_OK && step <= STEPS; step++) {
        for (int row = 0; row < B; row++) {
            for (int i = 0; i < N; i++)
                said[i] = draw();
            for (int t = 0; t < T; t++) { /* what cannot be known is not trained on: -100 */
                tokens[row][t] = said[t % N];
                targets[row][t] = t < N - 1 ? -100 : said[(t + 1) % N];
            }
        }
        s = gr_run(program, in, 3, &out, 1);
        if (step == 1 || step % 50 == 0)
            printf("step %3d  loss %.4f\n", (int)step, (double)loss);
    }
    if (s != GR_OK)
        fprintf(stderr, "%s\n", gr_error());
    gr_program_free(program);
    gr_graph_free(b.g);
    for (int i = 0; i < 3; i++)
        gr_store_free(b.stores[i]);
    gr_device_close(device);
    return s == GR_OK && loss < 0.05f ? 0 : 1; /* guessing gives 2.77; every batch is new to it */
}
