/* Adding tokens to a tokenizer, and to the model that is trained with it. */
#include "cli/add_tokens.h"
#include <stdio.h>
#include <string.h>
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
    *added = (gr_added_tokens){0};
    if (!flags->add_tokens)
        return GR_OK;
    added->before = gr_tokenizer_describe(*tokenizer)->vocab_size;
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

gr_status gr_add_token_rows(gr_args *args, const gr_opened *on, gr_added_tokens *added)
{
    long long rows = (long long)gr_model_describe(on->model)->vocab;
    for (gr_token id = (gr_token)rows; id < added->before && added->n < GR_MOST_ADDED; id++)
        added->ids[added->n++] = id; /* of the tokenizer alone, so far */
    if (added->n == 0)
        return GR_OK;
    if (on->adapter)
        return gr_args_fail(args, "--add-tokens: is of a new adapter, and there is one already\nLeave it out.");
    gr_status s = gr_model_add_tokens(on->model, added->ids, added->n);
    long long is = (long long)gr_model_describe(on->model)->vocab;
    if (s == GR_OK && is > rows)
        gr_note("the model's %lld rows of tokens become %lld, the new ones the mean of the others", rows, is);
    return s;
}
