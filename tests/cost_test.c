/* What programs cost: sums over their calls against closed formulas of the model's sizes. */
#include "tiny.h"

#include "op/op.h"
#include "program/program.h"

/* GPT-2: B texts of T tokens, L layers C wide with F between, H heads, V tokens known. */
static const double B = 3, T = 7, L = 2, C = 8, F = 20, H = 2, V = TINY_VOCAB;

/* Of a forward pass, products of matrices alone: qkv, out, up and down of each layer, and the head. */
static double products(void)
{
    return L * 2 * B * T * (C * 3 * C + C * C + C * F + F * C) + 2 * B * T * C * V;
}

static double forward(void)
{
    double pairs = B * H * T * (T + 1) / 2, norm = 7 * B * T * C;
    double layer = 2 * norm + B * T * (3 * C + C + F + C) /* biases */ + pairs * (4 * C / H + 5) +
                   B * T * F /* gelu */ + 2 * B * T * C /* residuals */;
    return products() + L * layer + norm + B * T * C /* positions */;
}

typedef struct subject {
    gr_device *device;
    gr_model *model;
    gr_graph *graph;
    gr_tensor *logits;
} subject;

static subject open_subject(void)
{
    subject s = {.device = gr_device_open("cpu", 2), .graph = gr_graph_new()};
    s.model = tiny_model("gpt2", s.device);
    gr_forward f = {.size = sizeof f,
                    .tokens = gr_input(s.graph, "tokens", GR_I64, 2, (int64_t[]){(int64_t)B, (int64_t)T})};
    s.logits = gr_model_forward(s.model, &f);
    CHECK_MADE(s.logits);
    return s;
}

static void close_subject(subject *s)
{
    gr_graph_free(s->graph);
    gr_model_free(s->model);
    gr_device_close(s->device);
}

TEST(gpt2_forward_is_its_formula)
{
    subject s = open_subject();
    gr_program *p = gr_compile(s.graph, &s.logits, 1, s.device, NULL);
    CHECK_MADE(p);
    const gr_plan *plan = gr_program_plan(p);
    CHECK_NEAR(plan->flops, forward(), 0);
    CHECK_EQ_INT(plan->calls, p->code.n);
    CHECK(plan->moved > (double)plan->weights - 4 * V * C && plan->moved < 20 * (double)plan->weights);
    gr_program_free(p);
    close_subject(&s);
}

/* A weight's gradient and an input's are a product each, as large as the one that they belong to. */
TEST(gpt2_products_of_a_step_are_three_times_those_forward)
{
    subject s = open_subject();
    gr_tensor *targets = gr_input(s.graph, "targets", GR_I64, 2, (int64_t[]){(int64_t)B, (int64_t)T});
    gr_tensor *loss = gr_cross_entropy(s.logits, targets, -100), *wrt[64], *grads[64];
    gr_store *store = gr_model_store(s.model);
    int n = gr_store_count(store);
    CHECK(n <= 64);
    for (int i = 0; i < n; i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(store, i, &e));
        wrt[i] = gr_param(s.graph, store, e.name);
    }
    CHECK_OK(gr_grad(loss, wrt, grads, n));
    gr_program *p = gr_compile(s.graph, grads, n, s.device, NULL);
    CHECK_MADE(p);
    double of_products = 0, flops, bytes;
    for (int i = 0; i < p->code.n; i++)
        if (p->code.steps[i].call.op == &gr_op_matmul) {
            gr_op_cost(p->code.steps[i].call.node, &flops, &bytes);
            of_products += flops;
        }
    CHECK_NEAR(of_products, 3 * products(), 0);
    gr_program_free(p);
    close_subject(&s);
}

/* A trainer's step: all its micro-batches, and one update. */
TEST(trainers_count_micro_batches)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    gr_plan cost[3];
    for (int i = 0; i < 3; i++) {
        gr_train_options o = tiny_options();
        o.accumulate = i + 2;
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_MADE(t);
        cost[i] = *gr_trainer_plan(t);
        gr_trainer_free(t);
    }
    CHECK(cost[0].flops > 0 && cost[1].flops > cost[0].flops);
    CHECK(cost[2].flops - cost[1].flops == cost[1].flops - cost[0].flops);
    CHECK(cost[2].moved - cost[1].moved == cost[1].moved - cost[0].moved);
    CHECK_EQ_INT(cost[2].calls - cost[1].calls, cost[1].calls - cost[0].calls);
    gr_model_free(m);
    gr_device_close(device);
}

/* Cost of a node of a graph of its own. */
static void check_cost(gr_tensor *t, double flops, double bytes)
{
    double f, b;
    CHECK_MADE(t);
    gr_op_cost(t, &f, &b);
    NOTE("%s", t->op->name);
    CHECK_NEAR(f, flops, 0);
    CHECK_NEAR(b, bytes, 0);
}

TEST(single_ops)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "x", GR_F32, 2, (int64_t[]){6, 4}), *row = gr_input(g, "row", GR_F32, 1, (int64_t[]){4});
    gr_tensor *ids = gr_input(g, "ids", GR_I64, 1, (int64_t[]){3}),
              *half = gr_input(g, "h", GR_F16, 2, (int64_t[]){5, 4});
    check_cost(x, 0, 0);
    check_cost(gr_permute(x, (int[]){1, 0}), 0, 0);
    check_cost(gr_add(x, x), 24, 2 * 96);                                         /* one operand, read once */
    check_cost(gr_add(x, gr_expand(row, 2, (int64_t[]){6, 4})), 24, 2 * 96 + 16); /* what is broadcast is small */
    check_cost(gr_cast(x, GR_F16), 0, 96 + 48);
    check_cost(gr_matmul(x, half, false, true), 2 * 6 * 5 * 4, 96 + 40 + 120);
    check_cost(gr_matmul(x, gr_reshape(row, 2, (int64_t[]){1, 4}), false, true), 2 * 6 * 4, 96 + 16 + 24);
    check_cost(gr_embedding(x, ids), 0, 24 + 2 * 48); /* three rows of the table, not all */
    check_cost(gr_softmax(x), 5 * 24, 2 * 96);
    check_cost(gr_sum(x, 1, false), 24, 96 + 16);
    gr_graph_free(g);
}

static gr_status infer(const gr_tensor *node, gr_spec *out)
{
    *out = *gr_in(node, 0);
    return GR_OK;
}

/* A record of a newer header says so by what it sets. */
TEST(records_of_newer_versions_are_refused)
{
    gr_op op = {.name = "new", .inputs = 1, .outputs = 1, .infer = infer};
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "x", GR_F32, 0, NULL);
    CHECK_MADE(gr_node(g, &op, &x, 1, NULL));
    op.reserved[6] = "kernel void new() {}";
    CHECK(!gr_node(g, &op, &x, 1, NULL));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "new: its record asks for what a newer version of the library can do");
    gr_graph_free(g);
}
