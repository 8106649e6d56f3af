/* What the library's own graphs consist of, before and after compiling: training, evaluating and generating with every
 * architecture, every rotary kind and every activation. And names of any length in them. */
#include "tiny.h"

#include "base/json.h"
#include "format/safetensors.h"
#include "model/arch/list.h"
#include "op/op.h"
#include "program/program.h"
#include "train/trainer.h"

#define TYPE(type) #type,
static const char *const types[] = {GR_ARCHS(TYPE)};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* A small model of this type with one more key; NULL: none. */
static gr_model *model_with(const char *type, const char *key, const char *value, gr_device *device)
{
    gr_model_info info = tiny_info(type, false);
    char *plain = gr_model_config_json(&info), text[400];
    CHECK_MADE(plain);
    gr_json_doc *doc = gr_json_parse("config.json", plain, strlen(plain));
    snprintf(text, sizeof text, "{\"%s\": %s}", key ? key : "x", value ? value : "0");
    gr_json_doc *more = gr_json_parse("more", text, strlen(text));
    CHECK_MADE(more);
    if (key)
        gr_json_put_copy(gr_json_root(doc), key, gr_json_get(gr_json_root(more), key));
    char *config = gr_json_format(doc, true, NULL);
    gr_model *m = gr_model_new("config.json", config, strlen(config), device);
    CHECK_MADE(m);
    gr_json_free(doc);
    gr_json_free(more);
    gr_free(plain);
    gr_free(config);
    return m;
}

/* ---- no f64: there are devices without it ------------------------------------------------------------------- */

static void check_nodes(const gr_graph *g)
{
    char label[256];
    for (size_t i = 0; i < g->n; i++)
        if (g->nodes[i]->spec.dtype == GR_F64)
            FAIL("%s (%s) is f64", gr_tensor_label(g->nodes[i], label, sizeof label), g->nodes[i]->op->name);
}

static void check_graph(gr_graph *g, gr_tensor *const *outputs, int n, gr_device *device)
{
    CHECK_OK(gr_graph_check(g));
    check_nodes(g);
    gr_program *p = gr_compile(g, outputs, n, device, NULL);
    CHECK_MADE(p);
    CHECK(p->graph->n > 10);
    check_nodes(p->graph);
    gr_program_free(p);
    gr_graph_free(g);
}

enum { BATCH = 2, LENGTH = 6 };

static gr_tensor *loss_of(gr_model *m, gr_graph *g, double dropout)
{
    int64_t shape[] = {BATCH, LENGTH};
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I64, 2, shape), .dropout = dropout};
    f.segment = gr_input(g, "segments", GR_I64, 2, shape);
    f.positions = gr_input(g, "positions", GR_I64, 2, shape);
    f.seed = dropout > 0 ? gr_input(g, "seed", GR_I64, 0, NULL) : NULL;
    return gr_cross_entropy(gr_model_forward(m, &f), gr_input(g, "targets", GR_I64, 2, shape), -100);
}

static void check_training(gr_model *m, gr_device *device)
{
    enum { MOST = 128 };
    gr_tensor *params[MOST], *grads[MOST], *outputs[2];
    gr_store *weights = gr_model_trainable(m), *moments = gr_store_new(device), *squares = gr_store_new(device);
    gr_graph *g = gr_graph_new();
    int n = gr_store_count(weights);
    CHECK(n > 0 && n <= MOST);
    outputs[0] = loss_of(m, g, 0.1);
    for (int i = 0; i < n; i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(weights, i, &e));
        CHECK_OK(gr_store_add(moments, e.name, GR_MOMENT, e.dtype, e.ndim, e.shape));
        CHECK_OK(gr_store_add(squares, e.name, GR_MOMENT, e.dtype, e.ndim, e.shape));
        params[i] = gr_param(g, weights, e.name);
    }
    CHECK_OK(gr_grad(outputs[0], params, grads, n));
    outputs[1] = gr_global_norm(grads, n);
    gr_tensor *lr = gr_input(g, "lr", GR_F32, 0, NULL), *step = gr_input(g, "step", GR_I64, 0, NULL);
    gr_tensor *factor = gr_clip_factor(outputs[1], 1);
    for (int i = 0; i < n; i++) {
        gr_tensor *moment = gr_param(g, moments, params[i]->name), *square = gr_param(g, squares, params[i]->name);
        if (i % 2)
            gr_adamw(params[i], grads[i], moment, square, lr, step, factor,
                     &(gr_adamw_options){sizeof(gr_adamw_options), 0.9f, 0.99f, 1e-8f, 0, 0});
        else
            gr_sgd(params[i], grads[i], moment, lr, factor, 0.9f, 0);
    }
    check_graph(g, outputs, 2, device);
    g = gr_graph_new();
    outputs[0] = loss_of(m, g, 0);
    check_graph(g, outputs, 1, device);
    gr_store_free(moments);
    gr_store_free(squares);
}

static void check_generating(gr_model *m, gr_device *device)
{
    for (int64_t t = 1; t <= LENGTH; t += LENGTH - 1) {
        gr_graph *g = gr_graph_new();
        gr_store *cache = gr_store_new(device);
        int64_t shape[] = {BATCH, t};
        gr_cache_options kept = {sizeof kept, GR_F32, GR_F32, BATCH + 1, 12, LENGTH};
        CHECK_OK(gr_model_add_cache(m, cache, &kept));
        gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I64, 2, shape), .cache = cache};
        f.positions = gr_input(g, "positions", GR_I64, 2, shape);
        f.slot = gr_input(g, "slot", GR_I64, 2, shape);
        f.ring_slot = gr_input(g, "ring_slot", GR_I64, 2, shape);
        f.sequence = gr_input(g, "sequence", GR_I64, 1, shape);
        f.length = gr_input(g, "length", GR_I64, 1, shape);
        f.rows = gr_input(g, "rows", GR_I64, 1, shape);
        gr_tensor *logits = gr_model_forward(m, &f);
        check_graph(g, &logits, 1, device);
        gr_store_free(cache);
    }
}

static void check_model(gr_model *m, gr_device *device)
{
    check_training(m, device);
    check_generating(m, device);
    gr_lora_options lora = GR_INIT(gr_lora_options);
    lora.dropout = 0.1;
    lora.dora = true;
    lora.targets = (const char *const[]){"all-linear"};
    lora.n_targets = 1;
    CHECK_OK(gr_model_add_adapter(m, &lora));
    check_training(m, device);
    gr_model_free(m);
}

TEST(no_f64)
{
    static const char *const keys[][3] = {
        {"llama", "rope_parameters", "{\"rope_type\": \"dynamic\", \"factor\": 3}"},
        {"llama", "rope_parameters", "{\"rope_type\": \"yarn\", \"factor\": 3}"},
        {"llama", "rope_parameters",
         "{\"rope_type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1, 2],"
         " \"original_max_position_embeddings\": 4}"},
        {"mistral", "sliding_window", "3"},
        {"gpt2", "scale_attn_by_inverse_layer_idx", "true"},
    };
    static const char *const names[] = {"ref", "cpu"};
    for (int d = 0; d < 2; d++) {
        gr_device *device = gr_device_open(names[d], 1);
        for (int i = 0; i < N_TYPES; i++) {
            NOTE("%s on %s", types[i], names[d]);
            check_model(model_with(types[i], NULL, NULL, device), device);
        }
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            NOTE("%s with %s %s on %s", keys[i][0], keys[i][1], keys[i][2], names[d]);
            check_model(model_with(keys[i][0], keys[i][1], keys[i][2], device), device);
        }
        gr_device_close(device);
    }
}

TEST(no_f64_in_activations)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_safetensors *file = gr_safetensors_open(test_source("tests/data/activations.safetensors"));
    CHECK_MADE(file);
    int count = 0;
    for (int i = 0; i < gr_safetensors_count(file); i++) {
        const char *name = gr_safetensors_entry(file, i)->name;
        char quoted[64];
        if (strncmp(name, "y.", 2) != 0)
            continue;
        NOTE("%s", name + 2);
        snprintf(quoted, sizeof quoted, "\"%s\"", name + 2);
        check_model(model_with("llama", "hidden_act", quoted, device), device);
        count++;
    }
    CHECK(count > 0);
    gr_safetensors_close(file);
    gr_device_close(device);
}

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Longer than any buffer. */
static const char *long_name(void)
{
    static char name[1000];
    for (size_t i = 0; i + 1 < sizeof name; i++)
        name[i] = (char)('a' + i % 26);
    return name;
}

/* Names that differ behind a long beginning are different ones. */
TEST(long_names)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_model *m = tiny_model("llama", device);
    gr_store *store = gr_model_store(m);
    int n = gr_store_count(store);
    gr_graph *g = gr_graph_new();
    gr_graph_scope_push(g, "%s.", long_name());
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I64, 2, (int64_t[]){1, 3})};
    CHECK_MADE(gr_model_forward(m, &f));
    CHECK_EQ_INT(gr_store_count(store), 2 * n);
    for (int i = 0; i < n; i++) {
        gr_entry e = GR_INIT(gr_entry), under = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(store, i, &e));
        CHECK_OK(gr_store_entry(store, n + i, &under));
        CHECK_EQ_INT(strlen(under.name), strlen(long_name()) + 1 + strlen(e.name));
        CHECK_EQ_STR(under.name + strlen(long_name()) + 1, e.name);
    }
    gr_graph_free(g);
    gr_train_options o = tiny_options();
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_store_count(gr_trainer_store(t)), 2 * 2 * n);
    gr_trainer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}
