/* What eval and quantize share. */
#include <math.h>
#include "base/mem.h"
#include "cli/human.h"
#include "cli/measure.h"
#include "cli/term.h"

/* ---- the text ----------------------------------------------------------------------------------------------- */

/* Does this tokenizer put its BOS before a text? Then the model expects it there. */
static gr_status begins_with_bos(gr_tokenizer *t, bool *out)
{
    const gr_token *ids;
    size_t n;
    gr_status s = gr_tokenizer_encode(t, "", 0, GR_ADD_SPECIAL, &ids, &n);
    *out = s == GR_OK && n > 0 && gr_tokenizer_describe(t)->bos >= 0 && ids[0] == gr_tokenizer_describe(t)->bos;
    return s;
}

static gr_status read_text(const gr_args *args, const gr_corpus *corpus, gr_tokenizer *tokenizer, gr_measured_text *out)
{
    bool bos = false;
    const gr_data_options o = {
        .size = sizeof o, .corpus = corpus, .tokenizer = tokenizer, .threads = (int)args->common.threads};
    gr_data *data = gr_data_new(&o);
    gr_status s = data ? begins_with_bos(tokenizer, &bos) : gr_error_status();
    if (s == GR_OK) {
        const gr_data_info *info = gr_data_describe(data);
        *out = (gr_measured_text){.n = info->tokens + bos, .bytes = info->bytes};
        out->ids = gr_alloc((size_t)out->n * sizeof *out->ids);
        s = out->ids ? GR_OK : GR_ERR_MEMORY;
        if (s == GR_OK) {
            if (bos)
                out->ids[0] = gr_tokenizer_describe(tokenizer)->bos;
            memcpy(out->ids + bos, info->ids, (size_t)info->tokens * sizeof *out->ids);
        }
    }
    gr_data_free(data);
    return s;
}

/* ---- conversations ------------------------------------------------------------------------------------------ */

enum { LONGEST = 1 << 16 /* tokens of a conversation */ };

/* The tokens of a row's documents, without what fills it up. */
static gr_status add_row(const gr_rows *rows, int64_t k, gr_token *row, int64_t *segments, gr_measured_text *out)
{
    gr_rows_fill(rows, k, row, row + LONGEST, segments);
    for (int64_t i = 0; i < LONGEST; i++) {
        gr_segment_place place = GR_INIT(gr_segment_place);
        gr_status s = i && segments[i] == segments[i - 1] ? GR_OK : gr_rows_place(rows, k, segments[i], &place);
        if (s != GR_OK || place.is_padding)
            return s;
        out->ids[out->n++] = row[i];
    }
    return GR_OK;
}

static gr_status join_documents(const gr_data *data, gr_measured_text *out)
{
    gr_rows *rows = gr_rows_new(data, LONGEST, false, 0);
    const gr_rows_info *info = gr_rows_describe(rows);
    gr_token *row = info ? gr_alloc(2 * LONGEST * sizeof *row) : NULL; /* and its targets */
    int64_t *segments = row ? gr_alloc(LONGEST * sizeof *segments) : NULL;
    out->ids = segments ? gr_alloc((size_t)(info->rows * LONGEST) * sizeof *out->ids) : NULL;
    gr_status s = out->ids ? GR_OK : gr_error_status();
    for (int64_t k = 0; s == GR_OK && k < info->rows; k++)
        s = add_row(rows, k, row, segments, out);
    if (s == GR_OK)
        gr_note("documents: %s of them, every token of what the template makes of conversations",
                gr_human_integer(info->documents).s);
    gr_free(row);
    gr_free(segments);
    gr_rows_free(rows);
    return s;
}

/* Each as the model's template writes it, one after the other. */
static gr_status read_chats(const gr_args *args, const gr_corpus *corpus, const gr_opened *on,
                            const gr_chat_flags *template, gr_measured_text *out)
{
    gr_chat chat = {0};
    const gr_chat_data_flags flags = {.template = *template, .loss = GR_LOSS_ALL};
    gr_data_options o = {.size = sizeof o,
                         .corpus = corpus,
                         .tokenizer = on->tokenizer,
                         .apart = true,
                         .threads = (int)args->common.threads};
    gr_status s = gr_chat_open_for_data((gr_args *)args, &flags, on->found ? on->found->tokenizer : on->path, &chat);
    gr_chat_set_data(&chat, &flags, &o);
    gr_data *data = s == GR_OK ? gr_data_new(&o) : NULL;
    if (s == GR_OK)
        s = data ? join_documents(data, out) : gr_error_status();
    if (s == GR_OK)
        out->bytes = gr_data_describe(data)->bytes;
    gr_data_free(data);
    gr_chat_close(&chat);
    return s;
}

gr_status gr_measured_read(const gr_args *args, const char *path, const gr_opened *on, const gr_chat_flags *template,
                           gr_measured_text *out)
{
    gr_corpus *corpus = gr_corpus_load(&path, 1);
    if (!corpus)
        return gr_error_status();
    gr_status s = gr_corpus_describe(corpus)->apart ? read_chats(args, corpus, on, template, out)
                                                    : read_text(args, corpus, on->tokenizer, out);
    gr_corpus_free(corpus);
    return s;
}

void gr_measured_free(gr_measured_text *text)
{
    gr_free(text->ids);
    *text = (gr_measured_text){0};
}

void gr_choose_windows(gr_measured_text *t, int64_t most)
{
    int64_t windows = t->n / GR_CALIBRATION_WINDOW, wanted = most / GR_CALIBRATION_WINDOW;
    if (wanted < 1 || windows <= wanted) {
        t->n = t->n < most ? t->n : most;
        return;
    }
    for (int64_t i = 0; i < wanted; i++)
        memmove(t->ids + i * GR_CALIBRATION_WINDOW, t->ids + i * windows / wanted * GR_CALIBRATION_WINDOW,
                GR_CALIBRATION_WINDOW * sizeof *t->ids);
    t->n = wanted * GR_CALIBRATION_WINDOW;
}

/* ---- distances ---------------------------------------------------------------------------------------------- */

void gr_put_perhaps(gr_json into, const char *key, double x)
{
    if (isfinite(x))
        gr_json_put_real(into, key, x);
    else
        gr_json_put_null(into, key);
}

void gr_print_distance(const gr_distance *d)
{
    gr_out("perplexity     %.6g +- %.2g\n", exp(d->loss), exp(d->loss) * d->loss_error);
    gr_out("against        %.6g +- %.2g, loss %.6f\n", exp(d->against), exp(d->against) * d->against_error, d->against);
    gr_out("KL             %.6g +- %.2g mean, %.6g 99 %%, %.6g most\n", d->kl, d->kl_error, d->kl_99, d->kl_most);
    gr_out("same first     %.4f %%\n", 100 * d->same);
}

void gr_put_distance(gr_json root, const char *name, const gr_distance *d)
{
    gr_put_perhaps(root, "perplexity", exp(d->loss));
    gr_put_perhaps(root, "perplexity_error", exp(d->loss) * d->loss_error);
    gr_put_perhaps(root, "loss_error", d->loss_error);
    gr_json against = gr_json_put_object(root, "against");
    gr_json_put_path(against, "path", name);
    gr_json_put_real(against, "loss", d->against);
    gr_put_perhaps(against, "loss_error", d->against_error);
    gr_put_perhaps(against, "perplexity", exp(d->against));
    gr_put_perhaps(against, "perplexity_error", exp(d->against) * d->against_error);
    gr_put_perhaps(root, "kl_mean", d->kl);
    gr_put_perhaps(root, "kl_error", d->kl_error);
    gr_put_perhaps(root, "kl_99", d->kl_99);
    gr_put_perhaps(root, "kl_most", d->kl_most);
    gr_json_put_real(root, "same_first", d->same);
}

bool gr_show_measuring(void *user, int64_t done, int64_t total, double loss)
{
    (void)user;
    gr_progress_update(1, "measuring %.0f %%, loss %.4f", 100 * (double)done / (double)total, loss);
    return !gr_interrupted(NULL);
}

bool gr_show_quantizing(void *user, const char *what, double done)
{
    (void)user;
    gr_progress_update(done, "%s", what);
    return !gr_interrupted(NULL);
}
