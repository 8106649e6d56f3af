/* Dtypes: what holds for every record, and all that a dtype whose values share blocks can and cannot do, shown by one that
 * no list has. */
#include "block_dtype.h"
#include "tiny.h"

#include "format/weights.h"
#include "graph/graph.h"
#include "op/op.h"
#include "program/run.h"
#include "program/store.h"

enum { K = 64 };           /* of rows: two blocks */
enum { HOST_DEVICES = 3 }; /* of test_device: blocks are packed and unpacked on the host */

/* ---- every record ------------------------------------------------------------------------------------------- */

static void check_record(gr_dtype d)
{
    const gr_dtype_info *info = gr_dtype_get(d);
    gr_dtype same;
    NOTE("%s", info->name);
    CHECK(gr_dtype_from_name(info->name, &same) && same == d);
    CHECK(gr_dtype_from_safetensors(info->safetensors, &same) && same == d);
    CHECK(info->block >= 1 && info->block <= GR_DTYPE_BLOCK_MOST && info->block_bytes >= 1);
    CHECK(info->block == 1 || GR_DTYPE_BLOCK_MOST % info->block == 0);
    CHECK(info->align >= 1 && info->align <= 8 && info->block_bytes % info->align == 0);
    CHECK(gr_dtype_exists(info->sums) && gr_dtype_get(info->sums)->block == 1);
    CHECK((info->block == 1) == (info->load != NULL) && (info->block == 1) == (info->store != NULL));
    CHECK(!info->is_float || info->block == 1);
    CHECK(!info->is_activation || (info->is_weight && info->is_f32_inside && info->sums == GR_F32));
    CHECK(info->to_f32);
}

/* What was rounded once stays as it is, of blocks nearly: their scales may be found a little better the second time; of rows
 * whose least code stands for more than the largest value, a step. And what is read value by value is what is read in rows. */
static void check_rows(gr_dtype d)
{
    enum { N = 2 * GR_DTYPE_BLOCK_MOST };
    const gr_dtype_info *info = gr_dtype_get(d);
    float in[N], once[N], twice[N];
    double again = info->by_row ? 1.5 : 0.2, room[N], step = 100 / exp2(8.0 * info->block_bytes / info->block),
           bound = fmax(1.6 * step, 0.2);
    for (int i = 0; i < N; i++)
        in[i] = (float)sin(i * 1.3) * 50;
    if (info->from_f32) {
        info->from_f32(in, room, N);
        info->to_f32(room, once, N);
        info->from_f32(once, room, N);
    } else {
        memset(room, 0x35, sizeof room);
        info->to_f32(room, once, N);
    }
    info->to_f32(room, twice, N);
    for (int i = 0; i < N; i++) {
        NOTE("%s, value %d", info->name, i);
        CHECK(info->block > 1 ? fabs((double)twice[i] - (double)once[i]) < again * step : twice[i] == once[i]);
        CHECK((float)gr_dtype_load(d, room, i) == twice[i]);
        if (info->from_f32 && (info->is_float || info->block > 1))
            CHECK(fabs((double)once[i] - (double)in[i]) < bound);
    }
}

TEST(every_record_is_sound)
{
    block_dtype();
    int n = 0;
    for (; gr_dtype_name((gr_dtype)n); n++) {
        check_record((gr_dtype)n);
        check_rows((gr_dtype)n);
    }
    CHECK(n > GR_BOOL + 1);
}

TEST(dtypes_of_tests_come_and_go)
{
    gr_dtype more[GR_DTYPE_SPARE + 1], d = block_dtype(), found;
    int n = 0;
    while ((more[n] = gr_dtype_add(&block_dtype_record)) != GR_DTYPE_NONE)
        n++;
    CHECK_EQ_INT(n, GR_DTYPE_SPARE - 1);
    for (int i = 0; i < n; i++)
        gr_dtype_forget(more[i]);
    CHECK(gr_dtype_exists(d) && !gr_dtype_exists(more[0]));
    gr_dtype_forget(d);
    CHECK(!gr_dtype_exists(d) && !gr_dtype_from_name("blocks32", &found) && !gr_dtype_name(d));
    gr_dtype_forget(GR_F32);
    CHECK(gr_dtype_exists(GR_F32));
    CHECK(gr_dtype_exists(block_dtype()));
}

/* ---- sizes -------------------------------------------------------------------------------------------------- */

TEST(sizes_are_whole_blocks)
{
    gr_dtype d = block_dtype();
    size_t bytes;
    char why[128];
    CHECK_EQ_INT(gr_dtype_size(d, 64), 68);
    CHECK_EQ_INT(gr_dtype_values(d, 68), 64);
    CHECK(gr_dtype_size(d, 33) == SIZE_MAX && gr_dtype_size(d, -32) == SIZE_MAX);
    CHECK_EQ_INT(gr_dtype_width(d), 0);
    CHECK_EQ_INT(gr_dtype_width(GR_BF16), 2);
    CHECK(gr_dtype_shape_size(d, 2, (int64_t[]){3, 64}, &bytes) && bytes == 3 * 68);
    CHECK(gr_dtype_shape_size(d, 2, (int64_t[]){0, 64}, &bytes) && bytes == 0);
    CHECK(!gr_dtype_shape_size(d, 2, (int64_t[]){64, 3}, &bytes));
    CHECK(!gr_dtype_shape_size(d, 0, NULL, &bytes));
    CHECK(!gr_dtype_shape_size(d, 2, (int64_t[]){INT64_MAX / 2, 64}, &bytes));
    CHECK_EQ_STR(gr_dtype_shape_fault(d, 2, (int64_t[]){64, 33}, why, sizeof why),
                 "the last dim, 33, is no multiple of 32, the values in a block of blocks32");
    CHECK(gr_dtype_shape_fault(GR_F32, 2, (int64_t[]){64, 33}, why, sizeof why) == NULL);
}

/* Rows [n, K] that the dtype holds exactly, as f32 and as blocks. */
typedef struct table {
    int64_t n;
    float *wide;
    void *blocks;
    size_t bytes;
} table;

static table table_of(int64_t n, uint32_t seed)
{
    const gr_dtype_info *info = gr_dtype_get(block_dtype());
    table t = {.n = n, .wide = malloc((size_t)(n * K) * sizeof(float)), .bytes = gr_dtype_size(block_dtype(), n * K)};
    t.blocks = malloc(t.bytes);
    for (int64_t i = 0; i < n * K; i++) {
        seed = seed * 1664525u + 1013904223u;
        t.wide[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    info->from_f32(t.wide, t.blocks, n * K);
    info->to_f32(t.blocks, t.wide, n * K);
    return t;
}

static void table_free(table *t)
{
    free(t->wide);
    free(t->blocks);
}

TEST(stores_hold_blocks)
{
    gr_dtype d = block_dtype();
    table t = table_of(5, 1);
    for (int i = 0; test_device(i); i++) {
        gr_device *device = gr_device_open(test_device(i), 1);
        gr_store *store = gr_store_new(device);
        gr_entry e = GR_INIT(gr_entry);
        void *back = malloc(t.bytes);
        CHECK_OK(gr_store_add(store, "w", GR_WEIGHT, d, 2, (int64_t[]){5, K}));
        CHECK_OK(gr_store_entry(store, 0, &e));
        CHECK_EQ_INT(e.bytes, 5 * 68);
        CHECK_OK(gr_store_write(store, "w", t.blocks, t.bytes));
        CHECK_OK(gr_store_read(store, "w", back, t.bytes));
        CHECK(memcmp(back, t.blocks, t.bytes) == 0);
        CHECK_STATUS(gr_store_add(store, "v", GR_WEIGHT, d, 2, (int64_t[]){K, 5}), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "\"v\" is impossible: the last dim, 5, is no multiple of 32");
        CHECK_STATUS(gr_store_add(store, "s", GR_WEIGHT, d, 0, NULL), GR_ERR_ARGUMENT);
        free(back);
        gr_store_free(store);
        gr_device_close(device);
    }
    table_free(&t);
}

/* ---- what graphs refuse ------------------------------------------------------------------------------------- */

static gr_tensor *blocks(gr_graph *g, int64_t rows, int64_t columns)
{
    return gr_input(g, "blocks", block_dtype(), 2, (int64_t[]){rows, columns});
}

static gr_tensor *floats(gr_graph *g, int64_t rows, int64_t columns)
{
    return gr_input(g, "floats", GR_F32, 2, (int64_t[]){rows, columns});
}

/* Every op that does not say that it takes blocks: nothing is computed with values that have no places of their own. */
TEST(ops_refuse_blocks)
{
    int refused = 0;
    const gr_op *op;
    for (int i = 0; (op = gr_op_list(i)); i++) {
        if (!op->inputs || (op->flags & GR_OP_BLOCKS) || op == &gr_op_fused)
            continue;
        NOTE("%s", op->name);
        gr_graph *g = gr_graph_new();
        char attr[512] = {0};
        gr_tensor *in[GR_MAX_INPUTS];
        for (int k = 0; k < op->inputs; k++)
            in[k] = blocks(g, 4, K);
        CHECK(!gr_node(g, op, in, op->inputs, attr));
        CHECK_ERROR(GR_ERR_ARGUMENT, op->name);
        CHECK_ERROR(GR_ERR_ARGUMENT, "whose values share blocks\ncast it first");
        gr_graph_free(g);
        refused++;
    }
    CHECK(refused > 50);
}

#define REFUSED(expression, text)                                                                                      \
    do {                                                                                                               \
        gr_graph *g = gr_graph_new();                                                                                  \
        CHECK(!(expression));                                                                                          \
        CHECK_ERROR(GR_ERR_ARGUMENT, text);                                                                            \
        gr_graph_free(g);                                                                                              \
    } while (0)

TEST(blocks_are_not_cut)
{
    gr_dtype d = block_dtype();
    gr_tensor *parts[2];
    REFUSED(gr_slice(blocks(g, 4, K), 1, 16, 48), "slice: a cut at 16 goes through a block of blocks32");
    REFUSED(gr_slice(blocks(g, 4, K), 1, 0, 48), "slice: a cut at 48");
    REFUSED(gr_split(blocks(g, 4, K), 1, (int64_t[]){40, 24}, 2, parts), "split: a cut at 40");
    REFUSED(gr_permute(blocks(g, K, K), (int[]){1, 0}),
            "permute: the values of blocks32 share blocks along the last dim");
    REFUSED(gr_reshape(blocks(g, 4, K), 2, (int64_t[]){16, 16}), "reshape: the last dim, 16, is no multiple of 32");
    REFUSED(gr_input(g, "x", d, 1, (int64_t[]){31}), "input: the last dim, 31");
    REFUSED(gr_input(g, "x", d, 0, NULL), "input: the last dim, 1");
    REFUSED(gr_constant(g, d, 1, (int64_t[]){31}, "x"), "constant: the last dim, 31");
    REFUSED(gr_constant(g, GR_DTYPE_NONE, 1, (int64_t[]){31}, "x"), "there is no dtype");
    REFUSED(gr_cast(floats(g, K, 3), d), "cast: the last dim, 3");
    REFUSED(gr_cast(gr_cast(floats(g, 3, K), GR_I32), d), "cast: i32 and blocks32 are not cast to each other");
    REFUSED(gr_cast(blocks(g, 3, K), GR_I32), "go by way of f32");
    REFUSED(gr_fill(g, d, 2, (int64_t[]){4, K}, 0), "fill: cannot make blocks32");
    REFUSED(gr_iota(g, d, K), "iota: cannot make blocks32");
    REFUSED(gr_gather(gr_input(g, "x", d, 1, (int64_t[]){K}), gr_iota(g, GR_I64, 3)), "gather: needs at least 2 dims");
}

TEST(matmul_takes_blocks_along_k_alone)
{
    static const char why[] = "values that share blocks are taken as b [.., N, K] with transpose_b";
    REFUSED(gr_matmul(floats(g, 3, K), blocks(g, K, K), false, false), why);
    REFUSED(gr_matmul(blocks(g, 3, K), floats(g, 5, K), false, true), why);
    REFUSED(gr_matmul(blocks(g, 3, K), blocks(g, 5, K), false, true), why);
    REFUSED(gr_matmul(gr_cast(floats(g, 3, K), GR_F16), blocks(g, 5, K), false, true), why);
}

TEST(there_is_no_gradient_of_blocks)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *x = floats(g, 3, K), *w = blocks(g, 5, K), *d;
    gr_tensor *loss = gr_sum(gr_matmul(x, w, false, true), 0, false);
    CHECK_STATUS(gr_grad(loss, &w, &d, 1), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "wrt[0] is of a dtype whose values share blocks");
    gr_graph_free(g);
    g = gr_graph_new();
    x = floats(g, 3, K);
    loss = gr_sum(gr_cast(gr_cast(x, block_dtype()), GR_F32), 0, false);
    CHECK_STATUS(gr_grad(loss, &x, &d, 1), GR_ERR_UNSUPPORTED);
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "no gradient flows into blocks32");
    gr_graph_free(g);
    g = gr_graph_new();
    x = floats(g, 3, K);
    loss = gr_sum(gr_add(x, gr_cast(gr_detach(gr_cast(x, block_dtype())), GR_F32)), 0, false);
    CHECK_OK(gr_grad(loss, &x, &d, 1));
    gr_graph_free(g);
}

/* ---- what programs compute ---------------------------------------------------------------------------------- */

typedef struct subject {
    gr_device *device;
    gr_graph *graph;
    gr_store *store;
    gr_tensor *w; /* [9, K] blocks, a store's */
    table t;
} subject;

static subject open_subject(const char *device)
{
    subject s = {.device = gr_device_open(device, 2), .graph = gr_graph_new(), .t = table_of(9, 7)};
    s.store = gr_store_new(s.device);
    CHECK_OK(gr_store_add(s.store, "w", GR_WEIGHT, block_dtype(), 2, (int64_t[]){9, K}));
    CHECK_OK(gr_store_write(s.store, "w", s.t.blocks, s.t.bytes));
    s.w = gr_param(s.graph, s.store, "w");
    CHECK_MADE(s.w);
    NOTE("%s", device);
    return s;
}

static void close_subject(subject *s)
{
    gr_store_free(s->store);
    gr_graph_free(s->graph);
    gr_device_close(s->device);
    table_free(&s->t);
}

/* Runs, and out has the values as f32. */
static void run(subject *s, gr_tensor *y, float *out)
{
    y = gr_cast(y, GR_F32);
    CHECK_MADE(y);
    gr_program *p = gr_compile(s->graph, &y, 1, s->device, NULL);
    CHECK_MADE(p);
    CHECK_OK(gr_program_run(p, NULL, (void *[]){out}));
    gr_program_free(p);
}

static void check_rows_of(const subject *s, const float *got, const int *rows, int n, int from, int columns)
{
    for (int r = 0; r < n; r++)
        for (int c = 0; c < columns; c++) {
            float want = s->t.wide[rows[r] * K + from + c];
            if (!(got[r * columns + c] == want))
                FAIL("row %d, value %d is %g, not %g", r, c, (double)got[r * columns + c], (double)want);
        }
}

TEST(casts_are_the_records_rows)
{
    for (int i = 0; i < HOST_DEVICES; i++) {
        subject s = open_subject(test_device(i));
        float got[9 * K];
        run(&s, s.w, got);
        CHECK(memcmp(got, s.t.wide, sizeof got) == 0);
        gr_tensor *x = gr_constant(s.graph, GR_F32, 2, (int64_t[]){9, K}, s.t.wide);
        gr_tensor *y = gr_cast(gr_cast(gr_cast(x, GR_F64), block_dtype()), GR_F32);
        run(&s, y, got);
        CHECK(memcmp(got, s.t.wide, sizeof got) == 0);
        /* what lies strided is made into blocks as well */
        gr_tensor *turned = gr_permute(gr_constant(s.graph, GR_F32, 2, (int64_t[]){K, 9}, s.t.wide), (int[]){1, 0});
        run(&s, gr_cast(turned, block_dtype()), got);
        for (int k = 0; k < 9 * K; k++)
            CHECK_NEAR(got[k], s.t.wide[k % K * 9 + k / K], 0.01);
        close_subject(&s);
    }
}

/* GPUs have no kernels for blocks. */
TEST(a_device_without_kernels_for_blocks_says_so)
{
    if (!test_device(HOST_DEVICES))
        SKIP("no OpenCL device (tools/setup --gpu)");
    subject s = open_subject(test_device(HOST_DEVICES));
    gr_tensor *y = gr_cast(s.w, GR_F32);
    CHECK(!gr_compile(s.graph, &y, 1, s.device, NULL));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "this device has no kernel for");
    close_subject(&s);
}

TEST(views_and_copies_move_whole_blocks)
{
    static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < HOST_DEVICES; i++) {
        subject s = open_subject(test_device(i));
        float got[3 * 9 * K];
        run(&s, gr_slice(s.w, 0, 2, 7), got);
        check_rows_of(&s, got, all + 2, 5, 0, K);
        run(&s, gr_slice(s.w, 1, 32, 64), got);
        check_rows_of(&s, got, all, 9, 32, 32);
        run(&s, gr_reshape(gr_slice(s.w, 1, 32, 64), 3, (int64_t[]){3, 3, 32}), got);
        check_rows_of(&s, got, all, 9, 32, 32);
        gr_tensor *turned = gr_permute(gr_reshape(s.w, 3, (int64_t[]){3, 3, K}), (int[]){1, 0, 2});
        run(&s, gr_reshape(turned, 2, (int64_t[]){9, K}), got); /* no view: a copy is put in */
        check_rows_of(&s, got, (int[]){0, 3, 6, 1, 4, 7, 2, 5, 8}, 9, 0, K);
        run(&s, gr_expand(gr_slice(s.w, 0, 4, 5), 2, (int64_t[]){3, K}), got);
        check_rows_of(&s, got, (int[]){4, 4, 4}, 3, 0, K);
        gr_tensor *parts[2];
        CHECK(gr_split(s.w, 1, (int64_t[]){32, 32}, 2, parts));
        run(&s, gr_concat((gr_tensor *[]){parts[1], parts[1]}, 2, 0), got);
        check_rows_of(&s, got, all, 9, 32, 32);
        check_rows_of(&s, got + 9 * 32, all, 9, 32, 32);
        run(&s, gr_concat((gr_tensor *[]){parts[0], parts[1]}, 2, 1), got);
        check_rows_of(&s, got, all, 9, 0, K);
        close_subject(&s);
    }
}

TEST(rows_are_looked_up)
{
    static const int64_t index[] = {8, 0, 3, 3};
    for (int i = 0; i < HOST_DEVICES; i++) {
        subject s = open_subject(test_device(i));
        float got[4 * K];
        gr_tensor *ids = gr_constant(s.graph, GR_I64, 2, (int64_t[]){2, 2}, index);
        run(&s, gr_embedding(s.w, ids), got);
        check_rows_of(&s, got, (int[]){8, 0, 3, 3}, 4, 0, K);
        run(&s, gr_gather(s.w, ids), got);
        check_rows_of(&s, got, (int[]){8, 0, 3, 3}, 4, 0, K);
        run(&s,
            gr_gather(gr_reshape(s.w, 3, (int64_t[]){3, 3, K}),
                      gr_constant(s.graph, GR_I32, 1, (int64_t[]){1}, (int32_t[]){2})),
            got);
        check_rows_of(&s, got, (int[]){6, 7, 8}, 3, 0, K);
        close_subject(&s);
    }
}

TEST(stores_are_written_by_rows_of_blocks)
{
    for (int i = 0; i < HOST_DEVICES; i++) {
        subject s = open_subject(test_device(i));
        float got[9 * K];
        CHECK_OK(gr_store_add(s.store, "copy", GR_WEIGHT, block_dtype(), 2, (int64_t[]){9, K}));
        CHECK_OK(gr_store_add(s.store, "cache", GR_CACHE, block_dtype(), 3, (int64_t[]){1, 9, K}));
        gr_tensor *cache = gr_param(s.graph, s.store, "cache");
        gr_tensor *rows = gr_reshape(gr_slice(s.w, 0, 0, 2), 3, (int64_t[]){1, 2, K});
        gr_tensor *slot = gr_constant(s.graph, GR_I64, 2, (int64_t[]){1, 2}, (int64_t[]){5, -1});
        CHECK_MADE(gr_write_rows(cache, rows, slot, NULL));
        CHECK_MADE(gr_assign(gr_param(s.graph, s.store, "copy"), s.w));
        gr_program *p = gr_compile(s.graph, NULL, 0, s.device, NULL);
        CHECK_MADE(p);
        CHECK_OK(gr_program_run(p, NULL, NULL));
        gr_program_free(p);
        gr_graph *g = gr_graph_new(), *before = s.graph;
        s.graph = g;
        run(&s, gr_param(g, s.store, "copy"), got);
        CHECK(memcmp(got, s.t.wide, sizeof got) == 0);
        run(&s, gr_param(g, s.store, "cache"), got);
        for (int k = 0; k < 9 * K; k++)
            CHECK(got[k] == (k / K == 5 ? s.t.wide[k % K] : 0));
        gr_graph_free(before);
        close_subject(&s);
    }
}

/* matmul means the numbers that the blocks stand for, and its gradient for a is theirs. */
TEST(products_are_those_of_the_numbers_meant)
{
    for (int i = 0; i < HOST_DEVICES; i++) {
        subject s = open_subject(test_device(i));
        table x = table_of(2 * 3, 99);
        gr_tensor *wide = gr_constant(s.graph, GR_F32, 2, (int64_t[]){9, K}, s.t.wide);
        gr_tensor *a = gr_constant(s.graph, GR_F32, 3, (int64_t[]){2, 3, K}, x.wide), *y[2], *d[2];
        float got[2][2 * 3 * 9], grad[2][2 * 3 * K];
        for (int k = 0; k < 2; k++) {
            y[k] = gr_matmul(a, k ? wide : s.w, false, true);
            CHECK_MADE(y[k]);
            CHECK_OK(gr_grad(gr_sum(gr_mul(y[k], y[k]), 0, false), &a, &d[k], 1));
            run(&s, y[k], got[k]);
            run(&s, d[k], grad[k]);
        }
        for (int k = 0; k < 2 * 3 * 9; k++)
            CHECK_NEAR(got[0][k], got[1][k], 1e-5);
        for (int k = 0; k < 2 * 3 * K; k++)
            CHECK_NEAR(grad[0][k], grad[1][k], 1e-4);
        gr_tensor *turned =
            gr_matmul(gr_permute(a, (int[]){0, 2, 1}), gr_reshape(s.w, 3, (int64_t[]){1, 9, K}), true, true);
        run(&s, turned, got[1]);
        for (int k = 0; k < 2 * 3 * 9; k++)
            CHECK_NEAR(got[0][k], got[1][k], 1e-5);
        table_free(&x);
        close_subject(&s);
    }
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* A file of an f32, of blocks, and of bytes. */
static const char *written(const table *t)
{
    static char path[300];
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "model.safetensors"));
    gr_weight tensors[] = {
        {.name = "a", .dtype = GR_U8, .ndim = 1, .shape = {3}, .data = "abc"},
        {.name = "b", .dtype = block_dtype(), .ndim = 2, .shape = {t->n, K}, .data = t->blocks},
        {.name = "c", .dtype = GR_F32, .ndim = 1, .shape = {K}, .data = t->wide},
    };
    CHECK_OK(gr_safetensors_write(path, &(gr_safetensors_spec){.tensors = tensors, .count = 3}));
    return path;
}

TEST(files_keep_blocks)
{
    table t = table_of(5, 3);
    const char *path = written(&t);
    gr_safetensors *st = gr_safetensors_open(path);
    CHECK_MADE(st);
    CHECK_EQ_STR(gr_safetensors_entry(st, 0)->name, "c"); /* by what addresses are a multiple of */
    const gr_weight *w = gr_safetensors_find(st, "b");
    CHECK(w && w->dtype == block_dtype() && w->bytes == t.bytes && (uintptr_t)w->data % 2 == 0);
    CHECK(memcmp(w->data, t.blocks, t.bytes) == 0);
    CHECK_EQ_INT(gr_weight_values(w), 5 * K);
    CHECK_EQ_STR(gr_weight_dtype_name(w), "blocks32");
    float *wide = malloc(5 * K * sizeof *wide);
    gr_weight_to_f32(w, wide);
    CHECK(memcmp(wide, t.wide, 5 * K * sizeof *wide) == 0);
    free(wide);
    gr_safetensors_close(st);

    gr_dtype_forget(block_dtype());
    CHECK(!gr_safetensors_open(path));
    CHECK_ERROR(GR_ERR_FILE, "there is no dtype GR_TEST_BLOCKS32 in safetensors files");
    CHECK_ERROR(GR_ERR_FILE, "model.safetensors");
    block_dtype();
    gr_weight bad = {.name = "b", .dtype = block_dtype(), .ndim = 2, .shape = {K, 5}, .data = t.blocks};
    CHECK_STATUS(gr_safetensors_write(path, &(gr_safetensors_spec){.tensors = &bad, .count = 1}), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "tensor \"b\": the last dim, 5, is no multiple of 32");
    table_free(&t);
}

TEST(files_that_lie_about_blocks_are_refused)
{
    static const char *const headers[] = {
        "{\"b\":{\"dtype\":\"GR_TEST_BLOCKS32\",\"shape\":[2,33],\"data_offsets\":[0,68]}}",
        "{\"b\":{\"dtype\":\"GR_TEST_BLOCKS32\",\"shape\":[],\"data_offsets\":[0,34]}}",
        "{\"b\":{\"dtype\":\"GR_TEST_BLOCKS32\",\"shape\":[64],\"data_offsets\":[0,64]}}",
        "{\"b\":{\"dtype\":\"GR_TEST_BLOCKS32\",\"shape\":[9223372036854775776,32],\"data_offsets\":[0,34]}}",
    };
    static const char *const why[] = {"33, is no multiple of 32", "1, is no multiple of 32",
                                      "64 bytes, but dtype and shape need 68", "overflows"};
    block_dtype();
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char file[8 + 256 + 68] = {0};
        size_t n = strlen(headers[i]);
        NOTE("%s", headers[i]);
        file[0] = (char)n;
        memcpy(file + 8, headers[i], n);
        const char *end = strrchr(headers[i], ',') + 1;
        CHECK(!gr_safetensors_parse("lies", file, 8 + n + (size_t)atoi(end)));
        CHECK_ERROR(GR_ERR_FILE, why[i]);
    }
}

/* ---- models ------------------------------------------------------------------------------------------------- */

/* GPT-2's Conv1Ds are [in, out], and of blocks [out, in]. */
static bool is_conv1d(const char *name)
{
    return strstr(name, ".c_") != NULL;
}

static void turn(float *x, int64_t rows, int64_t columns)
{
    float *copy = malloc((size_t)(rows * columns) * sizeof *copy);
    memcpy(copy, x, (size_t)(rows * columns) * sizeof *copy);
    for (int64_t i = 0; i < rows * columns; i++)
        x[i % columns * rows + i / columns] = copy[i];
    free(copy);
}

/* A llama whose matrices are blocks, as a directory; weights of the store are rounded to what blocks hold. */
static const char *model_of_blocks(gr_model *m)
{
    static char dir[300];
    snprintf(dir, sizeof dir, "%s", test_join(test_dir(), "blocks"));
    gr_store *store = gr_model_store(m);
    int n = gr_store_count(store);
    gr_weight *tensors = calloc((size_t)n, sizeof *tensors);
    for (int i = 0; i < n; i++) {
        gr_entry e = GR_INIT(gr_entry);
        CHECK_OK(gr_store_entry(store, i, &e));
        int64_t count = (int64_t)(e.bytes / 4);
        float *wide = malloc(e.bytes);
        void *data = wide;
        CHECK_OK(gr_store_read(store, e.name, wide, e.bytes));
        tensors[i] = (gr_weight){.name = e.name, .dtype = e.ndim == 2 ? block_dtype() : e.dtype, .ndim = e.ndim};
        memcpy(tensors[i].shape, e.shape, sizeof e.shape);
        if (e.ndim == 2) {
            bool turns = is_conv1d(e.name);
            data = malloc(gr_dtype_size(block_dtype(), count));
            if (turns)
                turn(wide, e.shape[0], e.shape[1]);
            block_dtype_record.from_f32(wide, data, count);
            block_dtype_record.to_f32(data, wide, count);
            if (turns) {
                turn(wide, e.shape[1], e.shape[0]);
                tensors[i].shape[0] = e.shape[1];
                tensors[i].shape[1] = e.shape[0];
            }
            CHECK_OK(gr_store_write(store, e.name, wide, e.bytes));
            free(wide);
        }
        tensors[i].data = data;
    }
    CHECK_OK(gr_dir_make(dir));
    CHECK_OK(gr_file_write(test_join(dir, "config.json"), gr_model_describe(m)->config,
                           strlen(gr_model_describe(m)->config)));
    CHECK_OK(gr_weights_save(dir, &(gr_safetensors_spec){.tensors = tensors, .count = n}, 20000));
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)tensors[i].data);
    free(tensors);
    return dir;
}

static void logits_of(gr_model *m, float *out, size_t *weights)
{
    static const gr_token ids[] = {1, 5, 9, 30, 2, 0, 7, 7};
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){2, 4})};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = logits ? gr_compile(g, &logits, 1, gr_model_describe(m)->device, NULL) : NULL;
    CHECK_MADE(p);
    *weights = gr_program_plan(p)->weights;
    CHECK_OK(gr_program_run(p, (const void *[]){ids}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
}

static gr_model *wide_model(gr_device *device, const char *arch, int64_t embed)
{
    gr_model_info info = tiny_info(arch, strcmp(arch, "gpt2") == 0);
    info.embed = embed;
    info.ffn = 2 * embed;
    gr_model *m = tiny_model_of(&info, device, 3);
    CHECK_MADE(m);
    return m;
}

/* Loaded where it lies, counted, run, and written again as it is and as f32. */
static void check_model(const char *arch, const char *device_name)
{
    NOTE("%s on %s", arch, device_name);
    gr_device *device = gr_device_open(device_name, 2);
    gr_model *wide = wide_model(device, arch, 32);
    const char *dir = model_of_blocks(wide);
    gr_model *m = gr_model_load(dir, NULL, device);
    CHECK_MADE(m);
    CHECK_EQ_INT(gr_model_describe(m)->parameters, gr_model_describe(wide)->parameters);
    size_t n = (size_t)(8 * TINY_VOCAB), weights, of_wide, matrices = 0, rest = 0;
    float a[8 * TINY_VOCAB], b[8 * TINY_VOCAB];
    logits_of(m, a, &weights);
    logits_of(wide, b, &of_wide);
    for (size_t i = 0; i < n; i++)
        CHECK_NEAR(a[i], b[i], 2e-5);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(gr_model_store(m)); i++) {
        CHECK_OK(gr_store_entry(gr_model_store(m), i, &e));
        CHECK_EQ_INT(e.dtype, e.ndim == 2 ? block_dtype() : GR_F32);
        *(e.ndim == 2 ? &matrices : &rest) += e.bytes;
    }
    CHECK_EQ_INT(weights, matrices + rest);
    CHECK_EQ_INT(of_wide, matrices / 34 * 32 * 4 + rest);
    static const gr_save_options as[] = {{.size = sizeof *as}, {.size = sizeof *as, .cast = true, .dtype = GR_F32}};
    for (int k = 0; k < 2; k++) {
        const char *to = test_join(test_dir(), k ? "again-f32" : "again");
        CHECK_OK(gr_model_save(m, to, &as[k], NULL));
        gr_model *again = gr_model_load(to, NULL, device);
        CHECK_MADE(again);
        logits_of(again, b, &of_wide);
        for (size_t i = 0; i < n; i++)
            CHECK_NEAR(a[i], b[i], 2e-5);
        CHECK_EQ_INT(of_wide, k ? matrices / 34 * 32 * 4 + rest : weights);
        gr_model_free(again);
    }
    gr_model_free(m);
    gr_model_free(wide);
    gr_device_close(device);
}

TEST(models_of_blocks_ref)
{
    check_model("llama", "ref");
}
TEST(models_of_blocks_cpu)
{
    check_model("llama", "cpu");
}
TEST(models_of_blocks_far)
{
    check_model("llama", "far");
}
TEST(models_of_blocks_with_conv1d)
{
    check_model("gpt2", "cpu");
}

/* An adapter is trained on frozen blocks, and merged into them. */
TEST(adapters_of_blocks)
{
    gr_device *device = gr_device_open("cpu", 2);
    gr_model *wide = wide_model(device, "llama", 32);
    gr_model *m = gr_model_load(model_of_blocks(wide), NULL, device);
    CHECK_MADE(m);
    gr_lora_options lora = GR_INIT(gr_lora_options);
    lora.targets = (const char *const[]){"all-linear"};
    lora.n_targets = 1;
    CHECK_OK(gr_model_add_adapter(m, &lora));
    gr_train_options o = tiny_options();
    gr_trainer *t = gr_trainer_new(m, &o);
    CHECK_MADE(t);
    gr_token tokens[64], targets[64];
    gr_step_report report = GR_INIT(gr_step_report);
    double first = 0;
    for (int step = 0; step < 15; step++) {
        tiny_batch(&o, 0, tokens, targets);
        CHECK_OK(gr_trainer_step(t, &(gr_batch){tokens, targets, NULL}, &report));
        first = step ? first : report.loss;
    }
    CHECK(report.loss < first - 0.3);
    gr_trainer_free(t);
    float a[8 * TINY_VOCAB], b[8 * TINY_VOCAB];
    size_t weights;
    logits_of(m, a, &weights);
    CHECK_OK(gr_model_save_adapter(m, test_join(test_dir(), "adapter")));
    gr_model_free(m);
    m = gr_model_load(test_join(test_dir(), "blocks"), NULL, device);
    CHECK_MADE(m);
    CHECK_OK(gr_model_load_adapter(m, test_join(test_dir(), "adapter")));
    CHECK_OK(gr_model_merge_adapter(m));
    logits_of(m, b, &weights);
    double worst = 0;
    for (int i = 0; i < 8 * TINY_VOCAB; i++)
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    CHECK(worst > 0 && worst < 0.1); /* rounded to blocks once */
    gr_model_free(m);
    gr_model_free(wide);
    gr_device_close(device);
}
