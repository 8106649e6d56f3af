/* What a call of an op costs: counted from shapes, whatever the device. */
#include "op/op.h"

#include "base/dtype.h"

static double bytes_of(const gr_spec *s)
{
    return (double)gr_dtype_size(s->dtype, gr_spec_count(s));
}

/* Reading a tensor touches no more than there is behind its views. */
static double bytes_read(const gr_tensor *t)
{
    double least = bytes_of(&t->spec);
    for (const gr_tensor *node = t->source ? t->source : t; node->op->view; node = t->source ? t->source : t) {
        t = node->in[0];
        least = bytes_of(&t->spec) < least ? bytes_of(&t->spec) : least;
    }
    return least;
}

static double bytes_once(const gr_tensor *node)
{
    double sum = 0;
    for (int i = 0; i < node->n_in; i++) {
        bool again = !node->in[i];
        for (int k = 0; k < i; k++)
            again = again || node->in[k] == node->in[i];
        if (!again)
            sum += bytes_read(node->in[i]) * ((node->op->writes >> i & 1) ? 2 : 1);
    }
    for (int k = 0; k < node->n_out && !node->op->writes; k++)
        sum += bytes_of(&node->outs[k]->spec);
    return sum;
}

void gr_op_cost(const gr_tensor *node, double *flops, double *bytes)
{
    *flops = *bytes = 0;
    if (node->source || node->op->view || (node->op->flags & GR_OP_BOUND))
        return;
    *bytes = bytes_once(node);
    if (node->op->flags & GR_OP_ELEMENTWISE)
        *flops = (double)gr_spec_count(&node->spec);
    if (node->op->cost)
        node->op->cost(node, flops, bytes);
}
