/* What compiling does to a training step, each with each: precision, recomputation, the head in pieces, early updates,
 * fusion. Without 16 bits all of it has the same bits; with them fusion rounds in fewer places.
 * labels: slow */
#include "trained.h"

#include "backend/cpu/gemm.h"

enum { RECOMPUTE = 1, HEAD = 2, UPDATES = 4, FUSE = 8, PRECISION = 16, ALL = 32 };

static trained train_with(const char *arch, gr_precision precision, int on)
{
    static const char *const names[] = {"recompute", "head", "updates", "fuse", "precision"};
    gr_model_info info = tiny_info(arch, strcmp(arch, "gpt2") == 0);
    gr_train_options o = tiny_options();
    char passes[64] = "";
    info.context = 256;
    o.batch = 2;
    o.context = 250;
    o.clip_last = true;
    o.precision = precision;
    o.recompute = GR_RECOMPUTE_BLOCK;
    o.head_rows = GR_GEMM_SUM;
    for (int i = 0; i < 5; i++)
        if (!(on >> i & 1))
            snprintf(passes + strlen(passes), sizeof passes - strlen(passes), "%s-%s", *passes ? "," : "", names[i]);
    o.passes = *passes ? passes : NULL;
    return train(&info, "cpu", &o, 3);
}

TEST(each_with_each)
{
    static const char *const archs[] = {"gpt2", "llama"};
    static const gr_precision precisions[] = {GR_PRECISION_BF16, GR_PRECISION_FP16};
    for (int a = 0; a < 2; a++)
        for (int p = 0; p < 2; p++) {
            trained base[ALL / FUSE] = {{0}}; /* by precision and fusion */
            for (int on = 0; on < ALL; on++) {
                trained *b = &base[on / FUSE];
                trained t = train_with(archs[a], precisions[p], on);
                NOTE("%s, precision %d, passes %d: losses %.9g and %.9g", archs[a], p, on, t.loss, b->loss);
                if (b->weights) {
                    check_same(&t, b, "passes");
                    free(t.weights);
                } else {
                    *b = t;
                }
            }
            check_same(&base[0], &base[1], "fusion in f32");
            CHECK_NEAR(base[2].loss, base[0].loss, 0.02 * base[0].loss);
            CHECK_NEAR(base[3].loss, base[2].loss, 0.005 * base[0].loss);
            for (int i = 0; i < ALL / FUSE; i++)
                free(base[i].weights);
        }
}
