/* Graphs: shape rules and what they say when they refuse, failures that stick, and differentiation. */
#include "test.h"

#include "graph/graph.h"
#include "op/op.h"
#include "program/run.h"

/* ---- helpers ------------------------------------------------------------------------------------------------ */

static gr_tensor *input(gr_graph *g, int ndim, const int64_t *shape)
{
    return gr_input(g, "x", GR_F32, ndim, shape);
}

static gr_tensor *vector(gr_graph *g, int64_t n, const double *values)
{
    return gr_constant(g, GR_F64, 1, &n, values);
}

static gr_tensor *scalar(gr_graph *g, double value)
{
    return gr_constant(g, GR_F64, 0, NULL, &value);
}

static void check_values(gr_tensor *t, const double *expected)
{
    double got[64];
    CHECK_MADE(t);
    CHECK(gr_tensor_count(t) <= 64);
    CHECK_OK(gr_eval(t, got, (size_t)gr_tensor_count(t) * sizeof *got));
    for (int64_t i = 0; i < gr_tensor_count(t); i++) {
        NOTE("element %d", (int)i);
        CHECK_NEAR(got[i], expected[i], 1e-12 * (1 + fabs(expected[i])));
    }
    NOTE("%s", "");
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

TEST(shapes_broadcast_from_the_right)
{
    static const struct {
        int na, nb, n; /* n -1: refused */
        int64_t a[3], b[3], out[3];
    } pairs[] = {
        {0, 0, 0, {0}, {0}, {0}},
        {1, 0, 1, {4}, {0}, {4}},
        {2, 1, 2, {3, 4}, {4}, {3, 4}},
        {1, 3, 3, {4}, {2, 3, 1}, {2, 3, 4}},
        {3, 3, 3, {2, 1, 7}, {2, 5, 1}, {2, 5, 7}},
        {2, 2, 2, {3, 0}, {1, 1}, {3, 0}},
        {1, 1, 1, {0}, {1}, {0}},
        {1, 1, -1, {0}, {2}, {0}},
        {2, 1, -1, {3, 4}, {3}, {0}},
        {3, 3, -1, {2, 3, 4}, {2, 2, 4}, {0}},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        NOTE("pair %d", (int)i);
        gr_graph *g = gr_graph_new();
        gr_tensor *sum = gr_add(input(g, pairs[i].na, pairs[i].a), input(g, pairs[i].nb, pairs[i].b));
        if (pairs[i].n < 0) {
            CHECK(!sum);
            CHECK_ERROR(GR_ERR_ARGUMENT, "do not broadcast");
        } else {
            gr_spec expected = gr_spec_make(GR_F32, pairs[i].n, pairs[i].out);
            CHECK_MADE(sum);
            CHECK(gr_spec_same_shape(&sum->spec, &expected));
        }
        gr_graph_free(g);
    }
}

TEST(refusals_name_op_and_shapes)
{
    gr_graph *g = gr_graph_new();
    CHECK(!gr_matmul(input(g, GR_DIMS(2, 3)), input(g, GR_DIMS(4, 5)), false, false));
    CHECK_ERROR(GR_ERR_ARGUMENT, "matmul");
    CHECK_ERROR(GR_ERR_ARGUMENT, "f32[2,3], f32[4,5]");
    CHECK_ERROR(GR_ERR_ARGUMENT, "inner dims differ: 3 and 4");
    gr_graph_free(g);

    g = gr_graph_new();
    size_t scope = gr_graph_scope_push(g, "h.%d.attn.", 7);
    CHECK(!gr_add(input(g, GR_DIMS(2)), gr_input(g, "y", GR_F64, GR_DIMS(2))));
    CHECK_ERROR(GR_ERR_ARGUMENT, "h.7.attn.add: dtypes differ");
    CHECK_ERROR(GR_ERR_ARGUMENT, "f32[2], f64[2]");
    gr_graph_scope_pop(g, scope);
    gr_graph_free(g);
}

/* Each is one call that must be refused, and a word of the reason. */
TEST(nonsense_is_refused)
{
    enum { CALLS = 16 };
    for (int i = 0; i < CALLS; i++) {
        NOTE("call %d", i);
        gr_graph *g = gr_graph_new();
        gr_tensor *x = input(g, GR_DIMS(2, 6)), *ids = gr_input(g, "ids", GR_I64, GR_DIMS(3)), *none = x;
        const char *why = "";
        switch (i) {
        case 0:
            none = gr_reshape(x, GR_DIMS(5, -1)), why = "number of elements";
            break;
        case 1:
            none = gr_reshape(x, GR_DIMS(1, 1, 1, 1, 1, 2, 6)), why = "7 dims";
            break;
        case 2:
            none = gr_permute(x, (int[]){0, 0}), why = "order";
            break;
        case 3:
            none = gr_slice(x, 1, 2, 7), why = "[2, 7)";
            break;
        case 4:
            none = gr_slice(x, 2, 0, 1), why = "no dim 2";
            break;
        case 5:
            none = gr_pad(x, 0, -1, 0, 0), why = "less than 0";
            break;
        case 6:
            none = gr_expand(x, GR_DIMS(2, 7)), why = "cannot become 7";
            break;
        case 7:
            none = gr_sum(x, 8, false), why = "axes";
            break;
        case 8:
            none = gr_exp(ids), why = "floating-point";
            break;
        case 9:
            none = gr_gather(x, x), why = "i64 or i32";
            break;
        case 10:
            none = gr_select(x, x, x), why = "bool";
            break;
        case 11:
            none = gr_reduce_max(input(g, GR_DIMS(2, 0)), 2, false), why = "no maximum";
            break;
        case 12:
            none = gr_cast(x, (gr_dtype)99), why = "no dtype 99";
            break;
        case 13:
            none = gr_input(g, "big", GR_F32, GR_DIMS(INT64_MAX / 2, 4)), why = "too many";
            break;
        case 14:
            none = gr_cross_entropy_rows(x, ids, -100), why = "i64[2]";
            break;
        case 15:
            none = gr_assign(x, x), why = "must be a gr_param";
            break;
        }
        CHECK(!none);
        CHECK_ERROR(GR_ERR_ARGUMENT, why);
        CHECK_STATUS(gr_graph_check(g), GR_ERR_ARGUMENT);
        gr_graph_free(g);
    }
}

TEST(first_failure_sticks_and_null_passes_through)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = input(g, GR_DIMS(2, 3));
    gr_tensor *bad = gr_matmul(x, x, false, false);
    CHECK(!bad);
    CHECK(!gr_tanh(gr_add(bad, x)));
    CHECK(!gr_name(gr_softmax(bad), "p"));
    CHECK(!gr_tanh(x)); /* the graph has failed, so nothing is appended to it any more */
    gr_sum(gr_exp(NULL), 0, false);
    gr_error_clear();
    CHECK_STATUS(gr_graph_check(g), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "matmul");
    gr_tensor *grads[1] = {x};
    CHECK_STATUS(gr_grad(bad, &x, grads, 1), GR_ERR_ARGUMENT);
    CHECK(!grads[0]);
    gr_graph_free(g);
    CHECK(!gr_input(NULL, "x", GR_F32, 0, NULL));
}

TEST(reshape_infers_one_dim)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = input(g, GR_DIMS(2, 6));
    CHECK_EQ_INT(gr_tensor_spec(gr_reshape(x, GR_DIMS(4, -1)))->shape[1], 3);
    CHECK(gr_reshape(x, GR_DIMS(2, 6)) == x);
    CHECK_EQ_INT(gr_tensor_spec(gr_sum(x, 2, true))->ndim, 2);
    CHECK_EQ_INT(gr_tensor_spec(gr_sum(x, 2, false))->ndim, 1);
    CHECK_EQ_INT(gr_tensor_spec(gr_sum(x, 0, false))->ndim, 0);
    gr_graph_free(g);
}

static bool remember(void *user, const char *line)
{
    char *text = user;
    snprintf(text + strlen(text), 1000 - strlen(text), "%s\n", line);
    return true;
}

TEST(names_and_printing)
{
    char text[1000] = "";
    gr_graph *g = gr_graph_new();
    size_t scope = gr_graph_scope_push(g, "h.0.");
    gr_tensor *x = gr_tanh(input(g, GR_DIMS(2, 3)));
    gr_graph_scope_pop(g, scope);
    gr_name(gr_exp(x), "e%d", 5);
    CHECK_EQ_STR(gr_tensor_name(x), "h.0.tanh");
    CHECK_OK(gr_graph_print(g, remember, text));
    CHECK(strstr(text, "%1 h.0.tanh = tanh f32[2,3] %0\n"));
    CHECK(strstr(text, "%2 e5 = exp f32[2,3] %1\n"));
    gr_graph_free(g);
}

/* ---- differentiation ---------------------------------------------------------------------------------------- */

TEST(gradients_of_all_uses_add_up)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = vector(g, 3, (double[]){-1, 0.5, 2}), *d;
    gr_tensor *y = gr_add(gr_mul(x, x), gr_add(x, gr_detach(gr_mul(x, x)))); /* x^2 + x + a constant */
    CHECK_OK(gr_grad(gr_sum(y, 0, false), &x, &d, 1));
    check_values(d, (double[]){-1, 2, 5});
    gr_graph_free(g);
}

TEST(broadcast_dims_are_summed_away)
{
    gr_graph *g = gr_graph_new();
    double a[] = {1, 2, 3}, b[] = {10, 20};
    gr_tensor *x = gr_constant(g, GR_F64, 2, (int64_t[]){3, 1}, a), *y = vector(g, 2, b), *s = scalar(g, 5);
    gr_tensor *wrt[] = {x, y, s}, *d[3];
    CHECK_OK(gr_grad(gr_sum(gr_mul(gr_mul(x, y), s), 0, false), wrt, d, 3));
    CHECK(gr_spec_same_shape(&d[0]->spec, &x->spec) && gr_spec_same_shape(&d[1]->spec, &y->spec));
    check_values(d[0], (double[]){150, 150, 150});
    check_values(d[1], (double[]){30, 30});
    check_values(d[2], (double[]){180});
    gr_graph_free(g);
}

/* global_norm has no rule of its own; y lies between x and the norm. */
TEST(through_a_composition_to_an_intermediate)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = vector(g, 2, (double[]){1.5, 2}), *y = gr_scale(x, 2), *wrt[] = {x, y}, *d[2];
    CHECK(!gr_op_global_norm.grad);
    CHECK_OK(gr_grad(gr_global_norm(&y, 1), wrt, d, 2));
    check_values(d[1], (double[]){0.6, 0.8});
    check_values(d[0], (double[]){1.2, 1.6});
    gr_graph_free(g);
}

TEST(detached_and_unrelated_get_zeros)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = vector(g, 2, (double[]){1, 2}), *other = vector(g, 2, (double[]){1, 2}), *wrt[] = {x, other}, *d[2];
    gr_tensor *loss = gr_sum(gr_mul(gr_detach(x), other), 0, false);
    CHECK_OK(gr_grad(loss, wrt, d, 2));
    check_values(d[0], (double[]){0, 0});
    check_values(d[1], (double[]){1, 2});
    gr_graph_free(g);
}

TEST(gradient_of_a_gradient)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = scalar(g, 3), *cube = gr_mul(x, gr_mul(x, x)), *first, *second, *third;
    CHECK_OK(gr_grad(cube, &x, &first, 1));
    CHECK_OK(gr_grad(first, &x, &second, 1));
    CHECK_OK(gr_grad(second, &x, &third, 1));
    CHECK_NEAR(gr_item(first), 27, 1e-12);
    CHECK_NEAR(gr_item(second), 18, 1e-12);
    CHECK_NEAR(gr_item(third), 6, 1e-12);
    gr_graph_free(g);
}

/* d/dx of the mean that layer norm saves: what flows into a saved output must arrive. */
TEST(saved_outputs_are_differentiable)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = vector(g, 4, (double[]){1, 2, 4, 9}), *w = vector(g, 4, (double[]){1, 1, 1, 1}), *d;
    gr_tensor *mean = gr_output(gr_layer_norm(x, w, NULL, 1e-5f), 1);
    CHECK_OK(gr_grad(mean, &x, &d, 1));
    check_values(d, (double[]){0.25, 0.25, 0.25, 0.25});
    gr_graph_free(g);
}

TEST(parts_of_a_split)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = vector(g, 5, (double[]){1, 2, 3, 4, 5}), *part[3], *d;
    CHECK(gr_split(x, 0, (int64_t[]){2, 0, 3}, 3, part));
    check_values(part[2], (double[]){3, 4, 5});
    CHECK_EQ_INT(gr_tensor_count(part[1]), 0);
    CHECK_OK(gr_grad(gr_sum(gr_mul(part[2], part[2]), 0, false), &x, &d, 1)); /* nothing flows into the others */
    check_values(d, (double[]){0, 0, 6, 8, 10});
    CHECK(!gr_output(part[0], GR_MAX_OUTPUTS));
    CHECK_ERROR(GR_ERR_ARGUMENT, "split: output 8");
    gr_graph_free(g);

    g = gr_graph_new();
    x = input(g, GR_DIMS(5));
    CHECK(!gr_split(x, 0, (int64_t[]){2, 2}, 2, part));
    CHECK(!part[0] && !part[1]);
    CHECK_ERROR(GR_ERR_ARGUMENT, "split");
    gr_graph_free(g);
}

TEST(global_norm_of_more_tensors_than_a_node_takes)
{
    enum { N = 70 };
    gr_graph *g = gr_graph_new();
    gr_tensor *x[N], *d[N];
    double squares = 0;
    for (int i = 0; i < N; i++) {
        x[i] = scalar(g, i + 1);
        squares += (i + 1) * (i + 1);
    }
    gr_tensor *norm = gr_global_norm(x, N);
    CHECK_NEAR(gr_item(norm), sqrt(squares), 1e-9);
    CHECK_OK(gr_grad(norm, x, d, N));
    CHECK_NEAR(gr_item(d[68]), 69 / sqrt(squares), 1e-12);
    gr_graph_free(g);
}

/* Of many, of two stores, with names alike. */
TEST(a_tensor_of_a_store_is_one_node)
{
    enum { N = 300 };
    gr_graph *g = gr_graph_new();
    gr_device *device = gr_device_open("ref", 1);
    gr_store *stores[] = {gr_store_new(device), gr_store_new(device)};
    gr_tensor *first[2][N];
    char name[16];
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "w%d", i);
            CHECK_OK(gr_store_add(stores[k], name, GR_WEIGHT, GR_F32, 0, NULL));
            first[k][i] = gr_param(g, stores[k], name);
            CHECK_MADE(first[k][i]);
        }
    CHECK_EQ_INT((int)g->n_params, 2 * N);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "w%d", i);
            CHECK(gr_param(g, stores[k], name) == first[k][i]);
        }
    CHECK_EQ_INT((int)g->n_params, 2 * N);
    gr_graph_free(g);
    gr_store_free(stores[0]);
    gr_store_free(stores[1]);
    gr_device_close(device);
}

static gr_status infer_like(const gr_tensor *node, gr_spec *out)
{
    *out = node->in[0]->spec;
    return GR_OK;
}

TEST(missing_rule_is_named)
{
    static const gr_op hard = {.name = "hard", .inputs = 1, .outputs = 1, .infer = infer_like};
    static const gr_op jump = {
        .name = "jump", .inputs = 1, .outputs = 1, .infer = infer_like, .no_grad = "it has steps"};
    const gr_op *ops[] = {&hard, &jump};
    const char *why[] = {"it has no rule", "it has steps"};
    for (int i = 0; i < 2; i++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = vector(g, 2, (double[]){1, 2}), *d = x;
        gr_tensor *y = gr_name(gr_node(g, ops[i], &x, 1, NULL), "h.3.mlp.y");
        CHECK_STATUS(gr_grad(gr_sum(gr_tanh(y), 0, false), &x, &d, 1), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "h.3.mlp.y");
        CHECK_ERROR(GR_ERR_UNSUPPORTED, ops[i]->name);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, why[i]);
        CHECK(!d);
        gr_graph_free(g);
    }
}

static gr_status grad_of_another_dtype(gr_grad_args *a)
{
    a->d_in[0] = gr_cast(a->d_out[0], GR_F64);
    return GR_OK;
}

static gr_status grad_left_out(gr_grad_args *a)
{
    (void)a;
    return GR_OK;
}

/* What a rule gives is looked at: nobody's gradient becomes 0, or of another dtype, by a mistake in an op. */
TEST(rules_that_are_wrong)
{
    static const gr_op wide = {
        .name = "wide", .inputs = 1, .outputs = 1, .infer = infer_like, .grad = grad_of_another_dtype};
    static const gr_op forgets = {
        .name = "forgets", .inputs = 1, .outputs = 1, .infer = infer_like, .grad = grad_left_out};
    for (int i = 0; i < 2; i++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = gr_input(g, "x", GR_F32, 1, (int64_t[]){2}), *d = x;
        gr_tensor *y = gr_sum(gr_node(g, i ? &forgets : &wide, &x, 1, NULL), 0, false);
        CHECK(gr_grad(y, &x, &d, 1) != GR_OK && !d);
        if (i)
            CHECK_ERROR(GR_ERR_UNSUPPORTED, "the gradient rule of forgets gives none for input 0");
        else
            CHECK_ERROR(GR_ERR_ARGUMENT, "dtype f64, expected f32");
        gr_graph_free(g);
    }
}

/* Rounding to blocks has no gradient: one that is wanted behind it is an error, not 0. */
TEST(no_gradient_through_blocks)
{
    for (int i = 0; i < 2; i++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *in[] = {gr_input(g, "w", GR_F32, 2, (int64_t[]){2, 64}),
                           gr_input(g, "x", GR_F32, 2, (int64_t[]){3, 64})};
        gr_tensor *y = gr_sum(gr_matmul(in[1], gr_cast(in[0], GR_Q8_0), false, true), 0, false), *d;
        CHECK_MADE(y);
        CHECK_STATUS(gr_grad(y, &in[i], &d, 1), i ? GR_OK : GR_ERR_UNSUPPORTED);
        if (!i)
            CHECK_ERROR(GR_ERR_UNSUPPORTED, "no gradient flows into q8_0");
        gr_graph_free(g);
    }
}

TEST(grad_refuses_what_makes_no_sense)
{
    gr_graph *g = gr_graph_new(), *other = gr_graph_new();
    gr_tensor *x = input(g, GR_DIMS(3)), *ids = gr_input(g, "ids", GR_I64, 0, NULL), *far = input(other, GR_DIMS(3));
    gr_tensor *d, *null = NULL;
    CHECK_STATUS(gr_grad(x, &x, &d, 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "one floating-point value");
    gr_graph_free(g);
    g = gr_graph_new();
    x = input(g, GR_DIMS(3));
    CHECK_STATUS(gr_grad(gr_sum(x, 0, false), &far, &d, 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "another graph");
    gr_graph_free(g);
    g = gr_graph_new();
    x = input(g, GR_DIMS(3));
    CHECK_STATUS(gr_grad(gr_sum(x, 0, false), &null, &d, 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "wrt[0] is NULL");
    gr_graph_free(g);
    g = gr_graph_new();
    x = input(g, GR_DIMS(3));
    ids = gr_input(g, "ids", GR_I64, 0, NULL);
    CHECK_STATUS(gr_grad(gr_sum(x, 0, false), &ids, &d, 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "not floating-point");
    gr_graph_free(g);
    gr_graph_free(other);
}

/* ---- without memory ----------------------------------------------------------------------------------------- */

static gr_status build_and_differentiate(void *ctx)
{
    (void)ctx;
    gr_graph *g = gr_graph_new();
    if (!g)
        return gr_error_status();
    gr_tensor *x = gr_input(g, "x", GR_F32, 2, (int64_t[]){4, 8}), *w = gr_input(g, "w", GR_F32, 1, (int64_t[]){8});
    gr_tensor *wrt[] = {x, w}, *d[2];
    for (int i = 0; i < 40; i++)
        x = gr_name(gr_gelu(gr_layer_norm(x, w, NULL, 1e-5f)), "h.%d", i);
    gr_grad(gr_mean(x, 0, false), wrt, d, 2);
    gr_status s = gr_graph_check(g);
    gr_graph_free(g);
    return s;
}

TEST(every_allocation_may_fail)
{
    CHECK(SWEEP_ALLOCATIONS(build_and_differentiate, NULL) > 5);
}
