/* What `gradus info --ops` says is what compiling does: every op of the list, on every device. */
#include "test.h"

#include "base/json.h"
#include "op_harness.h"
#include "program/how.h"

static gr_json_doc *doc;

static void ask(void)
{
    char *text = gr_op_report();
    CHECK_MADE(text);
    doc = gr_json_parse("the report", text, strlen(text));
    CHECK_MADE(doc);
    gr_free(text);
}

static const char *said(const gr_op *op, const char *key)
{
    gr_json list = gr_json_get(gr_json_root(doc), "ops");
    for (size_t i = 0; i < gr_json_size(list); i++)
        if (strcmp(gr_json_as_text(gr_json_get(gr_json_item(list, i), "op"), NULL), op->name) == 0)
            return gr_json_as_text(gr_json_get(gr_json_item(list, i), key), NULL);
    return NULL;
}

/* What became of the op in a program of its own. */
static const char *done(const op_case *c, const gr_device *d)
{
    const gr_code *code = &c->program->code;
    if (c->node->op->view)
        return "view";
    for (int i = 0; i < code->n; i++) {
        if (code->steps[i].call.op != c->node->op)
            continue;
        bool is_slow = code->steps[i].kernel == gr_backend_ref.find(d, code->steps[i].call.node);
        return is_slow && d->backend != &gr_backend_ref ? "reference" : "kernel";
    }
    return "composed";
}

TEST(the_report_says_what_compiling_does)
{
    static const char *const names[] = {"ref", "cpu", "far"};
    ask();
    for (int k = 0; k < 3; k++) {
        gr_device *d = gr_device_open(names[k], 1);
        CHECK_MADE(d);
        for (int i = 0; gr_op_list(i); i++) {
            op_call call;
            op_case c;
            const gr_op *op = gr_op_list(i);
            NOTE("%s on %s", op->name, names[k]);
            if (!op_call_make(&call, op, 0, GR_F32)) {
                CHECK(!said(op, names[k]));
                continue;
            }
            CHECK_OK(op_case_open(&c, &call, d, GR_F32, OP_VALUES | OP_PLAIN | (op->outputs > 1 ? OP_ONE_OUT : 0)));
            bool fuses = strcmp(said(op, names[k]), "fused") == 0;
            CHECK_EQ_STR(done(&c, d), fuses ? "kernel" : said(op, names[k]));
            CHECK(!fuses || gr_device_fuses(d, c.node));
            op_case_close(&c);
            op_call_free(&call);
        }
        gr_device_close(d);
    }
    gr_json_free(doc);
}

/* A gradient is asked for, from a float to a float; where none can flow nothing is to be said. */
TEST(the_report_knows_the_gradients)
{
    gr_device *d = gr_device_open("ref", 1);
    int asked = 0;
    ask();
    for (int i = 0; gr_op_list(i); i++) {
        op_call call;
        op_case c;
        const gr_op *op = gr_op_list(i);
        bool any = false;
        NOTE("%s", op->name);
        if ((op->flags & (GR_OP_EFFECT | GR_OP_STOP)) || !op_call_make(&call, op, 0, GR_F32))
            continue;
        for (int k = 0; k < call.sample.n_in; k++)
            any |= op_call_wants_grad(&call, k);
        gr_status s = any ? op_case_open(&c, &call, d, GR_F32, OP_GRADS | OP_ONE_OUT) : GR_OK;
        if (any && gr_tensor_spec(c.node)->dtype == GR_F32) {
            CHECK_EQ_STR(said(op, "gradient"), s == GR_OK ? "yes" : "no");
            asked++;
        }
        if (any)
            op_case_close(&c);
        op_call_free(&call);
    }
    CHECK(asked > 50);
    gr_json_free(doc);
    gr_device_close(d);
}
