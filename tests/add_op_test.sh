#!/bin/sh
# docs/add-an-op.md, followed to the letter on a copy of the tree: two element-wise ops, one of them with arguments, get a
# record, a line in the list and a reference kernel, and none on the cpu. They pass the suite, and stand beside ops that the
# cpu runs in chains.
set -eu
[ "$GRADUS_KIND" = plain ] || { echo "skipped: links the archive with files of its own"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$GRADUS_SOURCE/include" "$GRADUS_SOURCE/src" "$GRADUS_SOURCE/tests" "$work"
cd "$work"
replace() { # FILE OLD NEW
    sed "s/$2/$3/" "$1" >edited
    ! cmp -s edited "$1" || { echo "FAILED: no '$2' in $1" >&2; exit 1; }
    mv edited "$1"
}

# 1. The records go into the file of their family, their names into the list.
replace src/op/list.h 'X(sigmoid)' 'X(sigmoid) X(atan) X(at_most)'
replace include/gradus/graph.h '^GR_API gr_tensor \*gr_sigmoid(gr_tensor \*x);' '&\nGR_API gr_tensor *gr_atan(gr_tensor *x);'
cat >>src/op/elementwise.c <<'END'

RULE1(atan, gr_div(d, gr_offset(gr_mul(x, x), 1)))
UNARY(atan, "inverse tangent", gr_infer_like_float, sample_any, GR_HIGH)

RULE1(at_most, gr_select(gr_lt(x, gr_scalar_like(x, *(const float *)a->node->attr)), d, gr_scalar_like(d, 0)))

/* 2. Calls of the op: sizes from the common shapes, values where it is smooth. */
static bool sample_at_most(int i, gr_sample *s)
{
    *(float *)(void *)s->attr.bytes = 0.25f + (float)i;
    return i % 2 ? sample_unary(i, s, -3, 0) : sample_unary(i, s, 9, 10);
}

const gr_op gr_op_at_most = {
    .name = "at_most",
    .doc = "min(x, limit)",
    .inputs = 1,
    .outputs = 1,
    .attr_size = sizeof(float),
    .flags = GR_OP_ELEMENTWISE,
    .precision = GR_WIDEST,
    .infer = gr_infer_like_float,
    .grad = grad_at_most,
    .sample = sample_at_most,
};
END
# 3. A basic op has a reference kernel.
replace src/backend/ref/ref.h 'X(sigmoid)' 'X(sigmoid) X(atan) X(at_most)'
cat >>src/backend/ref/elementwise.c <<'END'
UNARY(atan, atan(x))
UNARY(at_most, isnan(x) || x < *(const float *)c->attr ? x : *(const float *)c->attr)
END
cat >chain.c <<'END'
#include "op/op.h"
#include <math.h>
#include <stdio.h>
int main(void)
{
    enum { N = 3000 };
    static float in[N], out[N];
    gr_device *d = gr_device_open("cpu", 2);
    gr_graph *g = gr_graph_new();
    int64_t n = N;
    float limit = 0.5f;
    gr_tensor *x = gr_input(g, "x", GR_F32, 1, &n), *t = gr_add(gr_atan(gr_scale(x, 2)), x);
    t = gr_add(gr_node(g, &gr_op_at_most, &t, 1, &limit), x);
    gr_program *p = gr_compile(g, &t, 1, d, NULL);
    for (int i = 0; i < N; i++)
        in[i] = (float)(i - N / 2) / 500;
    if (!p || gr_run(p, (gr_given[]){{"x", GR_F32, in, sizeof in}}, 1, (gr_wanted[]){{"output 0", GR_F32, out, sizeof out}}, 1) != GR_OK)
        return puts(gr_error()), 1;
    for (int i = 0; i < N; i++)
        if (fabsf(out[i] - (fminf(atanf(2 * in[i]) + in[i], limit) + in[i])) > 1e-6f)
            return printf("element %d is %g\n", i, (double)out[i]), 1;
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(d);
    return 0;
}
END

libraries=$(sed -n 's/^Libs\(\.private\)*: *//p' "$GRADUS_BUILD/gradus.pc" | tr '\n' ' ' | sed 's/-L[^ ]*{libdir}//; s/-lgradus//')
build() { # PROGRAM SOURCE...: what was changed comes before the archive. Unquoted on purpose: words.
    program=$1
    shift
    $GRADUS_COMPILER -std=gnu11 -O1 -Iinclude -Isrc -Itests "$@" list.o elementwise.o ref_elementwise.o ref.o \
        "$GRADUS_BUILD/libgradus.a" $libraries -lm -lpthread -ldl -o "$program"
}
compile() { $GRADUS_COMPILER -std=gnu11 -O1 -Iinclude -Isrc -c "$1" -o "$2"; }
compile src/op/list.c list.o
compile src/op/elementwise.c elementwise.o
compile src/backend/ref/elementwise.c ref_elementwise.o
compile src/backend/ref/ref.c ref.o
helpers=$(ls tests/*.c | grep -v '_test\.c$')
build op_test tests/op_test.c $helpers
build fuse_test tests/fuse_test.c $helpers
build chain chain.c

./op_test atan at_most
./chain
./fuse_test
