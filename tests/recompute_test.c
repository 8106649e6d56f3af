/* Recomputation: the same bits as without, in less memory.
 * labels: slow */
#include "trained.h"

#include "model/arch/list.h"

#define TYPE(type) #type,
static const char *const types[] = {GR_ARCHS(TYPE)};
enum { N_TYPES = sizeof types / sizeof types[0] };

static void same_as_without(const gr_model_info *info, const char *on, gr_train_options o, int steps)
{
    o.recompute = GR_RECOMPUTE_NONE;
    trained whole = train(info, on, &o, steps);
    for (int k = GR_RECOMPUTE_ATTENTION; k <= GR_RECOMPUTE_BLOCK; k++) {
        o.recompute = (gr_recompute)k;
        trained again = train(info, on, &o, steps);
        CHECK_EQ_INT(again.size, whole.size);
        if (memcmp(again.weights, whole.weights, whole.size) != 0)
            FAIL("%s on %s, recomputation %d: other weights, loss %.9g and %.9g", info->arch, on, k, again.loss,
                 whole.loss);
        CHECK(again.plan.flops > whole.plan.flops);
        free(again.weights);
    }
    free(whole.weights);
}

TEST(every_architecture_trains_by_the_same_bits)
{
    for (int a = 0; a < N_TYPES; a++) {
        gr_train_options o = tiny_options();
        gr_model_info info = tiny_info(types[a], strcmp(types[a], "gpt2") == 0);
        NOTE("%s", types[a]);
        o.dropout = strcmp(types[a], "gpt2") == 0 ? 0.2 : 0;
        same_as_without(&info, "cpu", o, 4);
    }
}

/* Other devices, accumulation, precisions, optimizers. */
TEST(with_everything_else)
{
    gr_model_info info = tiny_info("gpt2", true);
    for (int d = 0; test_device(d); d++)
        for (int k = 0; k < 4; k++) {
            gr_train_options o = tiny_options();
            NOTE("%s, case %d", test_device(d), k);
            o.dropout = k == 0 ? 0.3 : 0;
            o.accumulate = 1 + k % 2;
            o.precision = k == 2 ? GR_PRECISION_BF16 : k == 3 ? GR_PRECISION_FP16 : GR_PRECISION_F32;
            o.optimizer = k == 1 ? GR_LION : GR_ADAMW;
            same_as_without(&info, test_device(d), o, 3);
        }
}

/* Of a block its input is kept: with many of them that is what counts. */
TEST(a_block_keeps_its_input)
{
    const char *archs[] = {"gpt2", "llama"};
    for (int a = 0; a < 2; a++) {
        gr_model_info info = tiny_info(archs[a], true);
        info.layers = 12;
        info.embed = 64;
        info.heads = 4;
        info.ffn = 256;
        info.context = 64;
        gr_train_options o = tiny_options();
        o.batch = 4;
        o.context = 64;
        trained whole = train(&info, "cpu", &o, 0);
        o.recompute = GR_RECOMPUTE_ATTENTION;
        trained attention = train(&info, "cpu", &o, 0);
        o.recompute = GR_RECOMPUTE_BLOCK;
        trained block = train(&info, "cpu", &o, 0);
        NOTE("%s: %d, %d, %d bytes", archs[a], (int)whole.plan.peak_activations, (int)attention.plan.peak_activations,
             (int)block.plan.peak_activations);
        CHECK(attention.plan.peak_activations * 10 < whole.plan.peak_activations * 9);
        CHECK(block.plan.peak_activations * 4 < whole.plan.peak_activations);
        CHECK(block.plan.total < attention.plan.total && attention.plan.total < whole.plan.total);
        CHECK(block.plan.flops < whole.plan.flops * 1.4); /* a forward pass more */
        free(whole.weights);
        free(attention.weights);
        free(block.weights);
    }
}

static gr_program *compile_plain(gr_device *device, gr_store *store, gr_recompute what, bool backward)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *w = gr_param(g, store, "w"), *loss = gr_sum(gr_tanh(gr_tanh(w)), 0, false), *out[2] = {loss, NULL};
    gr_compile_options o = GR_INIT(gr_compile_options);
    o.recompute = what;
    if (backward)
        CHECK_OK(gr_grad(loss, &w, &out[1], 1));
    gr_program *p = gr_compile(g, out, 1 + backward, device, &o);
    gr_graph_free(g);
    return p;
}

/* Without names of blocks there is nothing to go by; a graph without a backward pass has nothing to keep. */
TEST(names_are_needed)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *store = gr_store_new(device);
    CHECK_OK(gr_store_add(store, "w", GR_WEIGHT, GR_F32, 1, (int64_t[]){7}));
    CHECK(!compile_plain(device, store, GR_RECOMPUTE_BLOCK, true));
    CHECK_ERROR(GR_ERR_ARGUMENT, "no name in this graph says which block");
    CHECK(!compile_plain(device, store, GR_RECOMPUTE_ATTENTION, true));
    CHECK_ERROR(GR_ERR_ARGUMENT, "no name in this graph says which block");
    CHECK(!compile_plain(device, store, (gr_recompute)7, true));
    CHECK_ERROR(GR_ERR_ARGUMENT, "no recomputation number 7");
    gr_program *p = compile_plain(device, store, GR_RECOMPUTE_BLOCK, false);
    CHECK_MADE(p);
    gr_program_free(p);
    gr_store_free(store);
    gr_device_close(device);
}

/* A chain in two blocks, of which the last alone is computed again. */
static gr_program *compile_blocks(gr_device *device, gr_store *store, int64_t blocks)
{
    gr_compile_options o = GR_INIT(gr_compile_options);
    gr_graph *g = gr_graph_new();
    gr_tensor *w = g ? gr_param(g, store, "w") : NULL, *x = w, *out[2];
    o.recompute = GR_RECOMPUTE_BLOCK;
    o.recompute_blocks = blocks;
    for (int i = 0; x && i < 2; i++)
        x = gr_name_exactly(gr_tanh(gr_name_exactly(gr_tanh(x), i ? "h.1.mlp" : "h.0.mlp")), i ? "h.1.out" : "h.0.out");
    out[0] = x ? gr_sum(x, 0, false) : NULL;
    bool is_built = out[0] && gr_grad(out[0], &w, &out[1], 1) == GR_OK;
    gr_program *p = is_built ? gr_compile(g, out, 2, device, &o) : NULL;
    gr_graph_free(g);
    return p;
}

TEST(the_last_blocks_alone)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_store *store = gr_store_new(device);
    CHECK_OK(gr_store_add(store, "w", GR_WEIGHT, GR_F32, 1, (int64_t[]){7}));
    double flops[3];
    for (int64_t blocks = 0; blocks <= 2; blocks++) {
        gr_program *p = compile_blocks(device, store, blocks);
        CHECK_MADE(p);
        flops[blocks] = gr_program_plan(p)->flops;
        gr_program_free(p);
    }
    CHECK(flops[1] < flops[2] && flops[2] == flops[0]);
    bool is_made = false;
    for (int64_t at = 1; !is_made; at++) {
        int64_t before = gr_mem_read_stats().live_blocks;
        NOTE("allocation %d", (int)at);
        gr_mem_fail_at(at);
        gr_program *p = compile_blocks(device, store, 1);
        gr_mem_fail_at(0);
        is_made = p;
        if (!p)
            CHECK_EQ_INT(gr_error_status(), GR_ERR_MEMORY);
        gr_program_free(p);
        CHECK_EQ_INT(gr_mem_read_stats().live_blocks, before);
    }
    gr_store_free(store);
    gr_device_close(device);
}

/* Without memory for the pass, the program is not made, and nothing is left behind. */
TEST(memory_that_cannot_be_had)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    CHECK_MADE(m);
    gr_train_options o = tiny_options();
    o.recompute = GR_RECOMPUTE_BLOCK;
    check_sweep(m, &o);
    gr_model_free(m);
    gr_device_close(device);
}
