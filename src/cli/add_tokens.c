/* Adding tokens to a tokenizer, and giving them rows that are there and unused. */
#include "cli/add_tokens.h"
#include <stdio.h>
#include <string.h>
#include "base/dtype.h"
#include "base/mem.h"
#include "cli/term.h"

/* ---- the tokenizer ------------------------------------------------------------------------------------------ */

/* Those that are new, and their names. */
static void note_added(const gr_tokenizer *was, const gr_tokenizer *is, const char *const *tokens,
                       gr_added_tokens *added)
{
    char said[400] = "";
    for (int i = 0; tokens[i] && added->n < GR_MOST_ADDED; i++)
        if (gr_tokenizer_id(was, tokens[i]) < 0) {
            added->ids[added->n++] = gr_tokenizer_id(is, tokens[i]);
            snprintf(said + strlen(said), sizeof said - strlen(said), "%s%s", *said ? ", " : "", tokens[i]);
        }
    if (added->n > 0)
        gr_note("tokens added: %s", said);
}

gr_status gr_add_tokens(gr_args *args, const gr_chat_data_flags *flags, gr_tokenizer **tokenizer,
                        gr_added_tokens *added)
{
    gr_template_source source = GR_INIT(gr_template_source);
    *added = (gr_added_tokens){.before = gr_tokenizer_describe(*tokenizer)->vocab_size};
    if (!flags->add_tokens)
        return GR_OK;
    if (!gr_chat_is_name(flags->template.file))
        return gr_args_fail(args, "--add-tokens: is for --chat-template chatml, llama3, mistral or gemma\nGive one of "
                                  "them, or leave it out.");
    source.name = flags->template.file;
    gr_template *t = gr_template_open(&source);
    if (!t)
        return gr_args_blame(args, gr_error_status());
    const char *const *needs = gr_template_describe(t)->needs;
    gr_tokenizer *made = gr_tokenizer_extend(*tokenizer, needs);
    if (made) {
        note_added(*tokenizer, made, needs, added);
        gr_tokenizer_free(*tokenizer);
        *tokenizer = made;
    }
    gr_template_free(t);
    return made ? GR_OK : gr_error_status();
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

gr_status gr_check_added_rows(gr_args *args, const gr_opened *on, const gr_added_tokens *added)
{
    const gr_model_info *info = gr_model_describe(on->model);
    long long rows = (long long)info->vocab, needed = (long long)added->before + added->n;
    if (added->n == 0)
        return GR_OK;
    if (on->adapter)
        return gr_args_fail(args, "--add-tokens: is of a new adapter, and there is one already\nLeave it out.");
    if (needed > rows)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "--add-tokens: the template needs %d tokens more, and of the model's %lld rows %lld are unused\n"
                       "tables do not grow here: resize_token_embeddings of transformers makes a larger one",
                       added->n, rows, rows - (long long)added->before);
    return GR_OK;
}

/* A tensor with a row for each token of the model. */
static bool is_table(const gr_entry *e, int64_t vocab)
{
    return e->ndim == 2 && e->shape[0] == vocab;
}

/* The mean of the first rows of a tensor. */
static gr_status take_mean(const gr_store *store, const gr_entry *e, int64_t rows, float *mean)
{
    int64_t width = e->shape[1];
    size_t bytes = e->bytes / (size_t)e->shape[0];
    char *data = gr_alloc(e->bytes);
    float *row = gr_alloc((size_t)width * sizeof *row);
    gr_status s = data && row ? gr_store_read(store, e->name, data, e->bytes) : GR_ERR_MEMORY;
    for (int64_t c = 0; s == GR_OK && c < width; c++)
        mean[c] = 0;
    for (int64_t r = 0; s == GR_OK && r < rows; r++) {
        gr_dtype_get(e->dtype)->to_f32(data + (size_t)r * bytes, row, width);
        for (int64_t c = 0; c < width; c++)
            mean[c] += (row[c] - mean[c]) / (float)(r + 1);
    }
    gr_free(row);
    gr_free(data);
    return s;
}

/* Of an f32 tensor. */
static gr_status set_rows(gr_store *store, const gr_entry *e, const int64_t *rows, int n, const float *mean)
{
    size_t width = (size_t)e->shape[1];
    float *data = gr_alloc(e->bytes);
    gr_status s = data ? gr_store_read(store, e->name, data, e->bytes) : GR_ERR_MEMORY;
    for (int i = 0; s == GR_OK && i < n; i++)
        memcpy(data + (size_t)rows[i] * width, mean, width * sizeof *mean);
    if (s == GR_OK)
        s = gr_store_write(store, e->name, data, e->bytes);
    gr_free(data);
    return s;
}

/* Rows of a whole table that is trained, or the last ones of those tokens that an adapter trains. */
static gr_status set_entry(gr_model *model, const gr_entry *e, const gr_added_tokens *added)
{
    int64_t vocab = gr_model_describe(model)->vocab, rows[GR_MOST_ADDED];
    gr_store *weights = gr_model_store(model), *trained = gr_model_trainable(model);
    bool is_whole = is_table(e, vocab), is_rows = strstr(e->name, "trainable_tokens_delta") != NULL;
    gr_entry from = *e;
    gr_status s = GR_OK;
    if (!is_whole && !is_rows)
        return GR_OK;
    for (int i = 0; i < added->n; i++)
        rows[i] = is_whole ? added->ids[i] : e->shape[0] - added->n + i;
    for (int i = 0; is_rows && s == GR_OK && i < gr_store_count(weights); i++) {
        s = gr_store_entry(weights, i, &from);
        if (is_table(&from, vocab))
            break;
    }
    float *mean = s == GR_OK ? gr_alloc((size_t)e->shape[1] * sizeof *mean) : NULL;
    s = mean ? take_mean(is_rows ? weights : trained, &from, added->before, mean) : gr_error_status();
    if (s == GR_OK)
        s = set_rows(trained, e, rows, added->n, mean);
    gr_free(mean);
    return s;
}

gr_status gr_set_added_rows(gr_model *model, const gr_added_tokens *added)
{
    gr_store *trained = gr_model_trainable(model);
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = GR_OK;
    for (int i = 0; added->n > 0 && s == GR_OK && i < gr_store_count(trained); i++) {
        s = gr_store_entry(trained, i, &e);
        if (s == GR_OK)
            s = set_entry(model, &e, added);
    }
    return s;
}
