/* XOR, the smallest thing a network can learn that a line cannot: two layers, binary cross-entropy, AdamW.
 * Shows parameters in a store, a loss and its gradients in one graph, and a program that is run over and over. */
#include <gradus.h>

#include <stdio.h>

enum { HIDDEN = 8, PARAMS = 4, STEPS = 400 };
enum { WEIGHTS, M, V }; /* the weights, and AdamW's two moments: a store each */

static const struct {
    const char *name;
    int ndim;
    int64_t shape[2];
} params[PARAMS] = {{"w1", 2, {2, HIDDEN}}, {"b1", 1, {HIDDEN}}, {"w2", 2, {HIDDEN, 1}}, {"b2", 1, {1}}};

/* Tensors of a store begin as zeros; this program draws the weights. */
static gr_status init(gr_store **stores, gr_device *device)
{
    gr_graph *g = gr_graph_new();
    const int64_t one = 1;
    gr_tensor *seed = gr_constant(g, GR_I64, 0, NULL, &one);
    for (uint32_t i = 0; i < PARAMS; i++) {
        for (int s = WEIGHTS; s <= V; s++)
            gr_store_add(stores[s], params[i].name, s == WEIGHTS ? GR_WEIGHT : GR_MOMENT, GR_F32, params[i].ndim,
                         params[i].shape);
        gr_tensor *drawn = gr_normal(seed, i, GR_F32, params[i].ndim, params[i].shape);
        gr_assign(gr_param(g, stores[WEIGHTS], params[i].name), drawn);
    }
    gr_program *p = gr_compile(g, NULL, 0, device, NULL);
    gr_status s = p ? gr_run(p, NULL, 0, NULL, 0) : gr_error_status();
    gr_program_free(p);
    gr_graph_free(g);
    return s;
}

/* Inputs: x, y, step. Outputs: loss, and p, the probabilities of a one. */
static gr_program *training_step(gr_store **stores, gr_device *device)
{
    gr_graph *g = gr_graph_new();
    const int64_t of_x[] = {4, 2}, of_y[] = {4, 1};
    const gr_adamw_options adamw = {.size = sizeof adamw, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
    gr_tensor *x = gr_input(g, "x", GR_F32, 2, of_x), *y = gr_input(g, "y", GR_F32, 2, of_y);
    gr_tensor *step = gr_input(g, "step", GR_I64, 0, NULL), *lr = gr_fill(g, GR_F32, 0, NULL, 0.05);
    gr_tensor *p[PARAMS], *grads[PARAMS];
    for (int i = 0; i < PARAMS; i++)
        p[i] = gr_param(g, stores[WEIGHTS], params[i].name);
    gr_tensor *h = gr_tanh(gr_add(gr_matmul(x, p[0], false, false), p[1]));
    gr_tensor *logits = gr_add(gr_matmul(h, p[2], false, false), p[3]);
    gr_tensor *out[] = {gr_name(gr_bce(logits, y), "loss"), gr_name(gr_sigmoid(logits), "p")};
    gr_grad(out[0], p, grads, PARAMS);
    for (int i = 0; i < PARAMS; i++)
        gr_adamw(p[i], grads[i], gr_param(g, stores[M], params[i].name), gr_param(g, stores[V], params[i].name), lr,
                 step, NULL, &adamw);
    gr_program *program = gr_compile(g, out, 2, device, NULL); /* NULL if anything above failed: checked once */
    gr_graph_free(g);
    return program;
}

int main(void)
{
    const float x[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, y[4] = {0, 1, 1, 0};
    float loss = 0, p[4] = {0};
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *stores[] = {gr_store_new(device), gr_store_new(device), gr_store_new(device)};
    gr_program *program = init(stores, device) == GR_OK ? training_step(stores, device) : NULL;
    gr_status s = program ? GR_OK : gr_error_status();
    int64_t step = 1;
    const gr_given in[] = {
        {"x", GR_F32, x, sizeof x}, {"y", GR_F32, y, sizeof y}, {"step", GR_I64, &step, sizeof step}};
    const gr_wanted out[] = {{"loss", GR_F32, &loss, sizeof loss}, {"p", GR_F32, p, sizeof p}};
    for (; s == GR_OK && step <= STEPS; step++) {
        s = gr_run(program, in, 3, out, 2);
        if (step == 1 || step % 100 == 0)
            printf("step %3d  loss %.4f\n", (int)step, (double)loss);
    }
    if (s != GR_OK)
        fprintf(stderr, "%s\n", gr_error());
    for (int i = 0; i < 4; i++)
        printf("%g xor %g = %.3f\n", (double)x[i][0], (double)x[i][1], (double)p[i]);
    gr_program_free(program);
    for (int i = 0; i < 3; i++)
        gr_store_free(stores[i]);
    gr_device_close(device);
    return s == GR_OK && p[0] < 0.1f && p[1] > 0.9f && p[2] > 0.9f && p[3] < 0.1f ? 0 : 1;
}
