/* The Kullback-Leibler divergence of two models, and what goes with it. */
#include "infer/distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "model/layers/model.h"

enum {
    LOGITS = 1 << 22, /* of a model, at a time */
    PIECE_LEAST = 16, /* rows: fewer would read the head again and again */
};

/* ---- rows --------------------------------------------------------------------------------------------------- */

/* Of logits [n, V] of both models. */
static void measure(gr_tensor *x, gr_tensor *y, gr_tensor *targets, gr_tensor *out[GR_ROW_MEASURES])
{
    gr_tensor *q = gr_log_softmax(x), *p = gr_log_softmax(y);
    gr_tensor *best_x = gr_cast(gr_argmax(x), GR_F32), *best_y = gr_cast(gr_argmax(y), GR_F32); /* ids are below 2^24 */
    out[GR_ROW_LOSS] = gr_cross_entropy_rows(x, targets, GR_ROW_IGNORED);
    out[GR_ROW_AGAINST] = gr_cross_entropy_rows(y, targets, GR_ROW_IGNORED);
    out[GR_ROW_KL] = gr_sum(gr_mul(gr_exp(p), gr_sub(p, q)), 1u << 1, false);
    out[GR_ROW_SAME] = gr_cast(gr_eq(best_x, best_y), GR_F32);
}

/* Pieces of up to GR_MAX_INPUTS at a time, until one is left; `x` is used up. */
static gr_tensor *join(gr_tensor **x, int64_t n)
{
    while (n > 1) {
        int64_t made = 0;
        for (int64_t at = 0; at < n; at += GR_MAX_INPUTS) {
            int64_t m = n - at < GR_MAX_INPUTS ? n - at : GR_MAX_INPUTS;
            x[made++] = m == 1 ? x[at] : gr_concat(x + at, (int)m, 0);
        }
        n = made;
    }
    return x[0];
}

void gr_distance_rows(gr_model *model, gr_model *against, const gr_forward *f, gr_tensor *targets,
                      gr_tensor *out[GR_ROW_MEASURES])
{
    gr_forward body = *f;
    body.hidden = true;
    gr_model *const models[] = {model, against};
    gr_tensor *hidden[2];
    memset(out, 0, GR_ROW_MEASURES * sizeof *out);
    if (!f->tokens || !targets)
        return;
    int64_t rows = f->tokens->spec.shape[0] * f->tokens->spec.shape[1], vocab = model->h.vocab;
    for (int i = 0; i < 2; i++) {
        gr_tensor *x = gr_model_forward(models[i], &body);
        hidden[i] = x ? gr_reshape(x, 2, (int64_t[]){rows, x->spec.shape[2]}) : NULL;
    }
    targets = gr_reshape(targets, 1, &rows);
    int64_t fit = LOGITS / vocab, step = fit > PIECE_LEAST ? fit : PIECE_LEAST, n = (rows + step - 1) / step;
    gr_tensor **pieces = gr_alloc_zero((size_t)(n * GR_ROW_MEASURES), sizeof(gr_tensor *));
    for (int64_t i = 0; pieces && i < n; i++) {
        int64_t from = i * step, to = from + step < rows ? from + step : rows;
        gr_tensor *logits[2], *row[GR_ROW_MEASURES];
        for (int k = 0; k < 2; k++)
            logits[k] = gr_model_logits(models[k], f, gr_slice(hidden[k], 0, from, to));
        measure(logits[0], logits[1], gr_slice(targets, 0, from, to), row);
        for (int k = 0; k < GR_ROW_MEASURES; k++)
            pieces[k * n + i] = row[k];
    }
    for (int k = 0; k < GR_ROW_MEASURES; k++)
        out[k] = pieces ? join(pieces + k * n, n) : NULL;
    gr_free(pieces);
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

gr_status gr_distance_add(gr_distance_sums *s, const float row[GR_ROW_MEASURES])
{
    gr_status st = gr_grow(&s->kl, &s->capacity, s->n + 1, sizeof *s->kl);
    if (st != GR_OK)
        return st;
    s->kl[s->n++] = row[GR_ROW_KL];
    for (int k = 0; k < GR_ROW_MEASURES; k++) {
        s->sum[k] += (double)row[k];
        s->squares[k] += (double)row[k] * (double)row[k];
    }
    return GR_OK;
}

static int by_size(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of the mean of n independent values. */
static double error_of(const gr_distance_sums *s, int measure)
{
    double n = (double)s->n, mean = s->sum[measure] / n, variance = s->squares[measure] / n - mean * mean;
    return n > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0;
}

void gr_distance_tell(gr_distance_sums *s, gr_distance *out)
{
    double n = (double)s->n;
    if (!s->n)
        return;
    qsort(s->kl, s->n, sizeof *s->kl, by_size);
    out->loss = s->sum[GR_ROW_LOSS] / n;
    out->loss_error = error_of(s, GR_ROW_LOSS);
    out->against = s->sum[GR_ROW_AGAINST] / n;
    out->against_error = error_of(s, GR_ROW_AGAINST);
    out->kl = s->sum[GR_ROW_KL] / n;
    out->kl_error = error_of(s, GR_ROW_KL);
    out->kl_99 = (double)s->kl[(s->n * 99 + 99) / 100 - 1];
    out->kl_most = (double)s->kl[s->n - 1];
    out->same = s->sum[GR_ROW_SAME] / n;
}
