/* The list of op records. */
#include "op/op.h"

const gr_op *gr_op_list(int i)
{
#define LIST(name) &gr_op_##name,
    static const gr_op *const ops[] = {GR_OPS(LIST)};
#undef LIST
    return i >= 0 && i < (int)(sizeof ops / sizeof ops[0]) ? ops[i] : NULL;
}
