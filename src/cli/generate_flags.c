#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "cli/generate.h"
#include "text/buffer.h"

#define INT(field) GR_INT(gr_generate_flags, field)
#define FLOAT(field) GR_FLOAT(gr_generate_flags, field)
#define TEXT(field) GR_TEXT(gr_generate_flags, field)

const gr_flag gr_generate_flag_table[] = {
    {"prompt", TEXT(prompt), .letter = 'p', .group = 'p', .value = "TEXT", .help = "what to continue; - reads stdin"},
    {"prompt-file", TEXT(prompt_file), .group = 'p', .value = "FILE", .help = "the same from a file, byte for byte"},
    {"ids", GR_IDS(gr_generate_flags, ids), .group = 'p', .value = "IDS", .help = "token ids to continue: 1,2,3"},
    {"tokens", INT(tokens), .letter = 'n', .value = "N", .initial = "128", .min = 1, .unit = "tokens",
     .help = "new ones at most"},
    {"samples", INT(samples), .value = "N", .initial = "1", .min = 1,
     .help = "texts to make; each has its own seed, one more than the one before"},
    {GR_HEADING("How tokens are drawn, in this order")},
    {"repeat-penalty", FLOAT(repeat_penalty), .value = "X", .initial = "1", .min = 1e-3,
     .help = "makes tokens that were there before less likely; 1: off"},
    {"frequency-penalty", FLOAT(frequency_penalty), .value = "X", .initial = "0", .min = -2, .max = 2,
     .help = "taken off a new token's logit for each time it was made; 0: off"},
    {"presence-penalty", FLOAT(presence_penalty), .value = "X", .initial = "0", .min = -2, .max = 2,
     .help = "taken off once, if it was made at all; 0: off"},
    {"temperature", FLOAT(temperature), .value = "X", .initial = "0.8",
     .help = "1: as the model says; lower is safer; 0: always the most likely token"},
    {"top-k", INT(top_k), .value = "N", .initial = "0", .unit = "tokens", .help = "only the N most likely; 0: all"},
    {"top-p", FLOAT(top_p), .value = "X", .initial = "0.95", .max = 1,
     .help = "only the most likely that together have this probability; 1: all"},
    {"min-p", FLOAT(min_p), .value = "X", .initial = "0", .max = 1,
     .help = "only those at least this fraction as likely as the most likely one; 0: all"},
    {"typical-p", FLOAT(typical_p), .value = "X", .initial = "0", .max = 1,
     .help = "only the most typical that together have this probability; 0 or 1: all"},
    {GR_HEADING("Where a text ends")},
    {"stop", GR_LIST(gr_generate_flags, stop), .value = "TEXT", .help = "before this text; may be repeated"},
    {"ignore-eos", GR_SWITCH(gr_generate_flags, ignore_eos), .help = "not at the model's end-of-text token"},
    {0},
};

/* ---- the prompt --------------------------------------------------------------------------------------------- */

static gr_status read_stdin(gr_bytes *text)
{
    size_t got;
    do {
        if (gr_bytes_reserve(text, 65536) != GR_OK)
            return GR_ERR_MEMORY;
        got = fread(text->data + text->size, 1, 65536, stdin);
        text->size += got;
    } while (got > 0);
    return ferror(stdin) ? gr_fail_errno("reading", "standard input") : GR_OK;
}

static gr_status read_text(const gr_generate_flags *f, gr_bytes *text)
{
    const char *file = f->prompt_file;
    if ((file && strcmp(file, "-") == 0) || (f->prompt && strcmp(f->prompt, "-") == 0))
        return read_stdin(text);
    if (!file)
        return gr_bytes_add_string(text, f->prompt ? f->prompt : "");
    text->data = gr_file_read(file, (size_t)1 << 30, &text->size);
    text->cap = text->size;
    return text->data ? GR_OK : gr_error_status();
}

/* The model's own token for a beginning; many have only one for the end, which stands between texts. */
static gr_status begin_text(const gr_opened *on, int64_t *id)
{
    const gr_model_info *i = gr_model_describe(on->model);
    const gr_tokenizer *t = on->tokenizer;
    int64_t choices[] = {t ? gr_tokenizer_bos(t) : -1, i->bos, t ? gr_tokenizer_eos(t) : -1, i->eos};
    for (int k = 0; k < 4; k++)
        if (choices[k] >= 0 && choices[k] < i->vocab) {
            *id = choices[k];
            return GR_OK;
        }
    return gr_fail(GR_ERR_ARGUMENT,
                   "the prompt is empty, and %s has no token that begins a text\ngive a prompt: -p TEXT", on->path);
}

static gr_status encode(const gr_opened *on, const gr_bytes *text, int64_t **ids, int64_t *n)
{
    const int32_t *encoded = NULL;
    size_t count = 0;
    gr_status s = GR_OK;
    if (text->size > 0)
        s = gr_need_tokenizer(on);
    if (s == GR_OK && on->tokenizer)
        s = gr_tokenizer_encode(on->tokenizer, text->data ? text->data : "", text->size, GR_ADD_SPECIAL, &encoded,
                                &count);
    *ids = s == GR_OK ? gr_alloc((count + 1) * sizeof **ids) : NULL;
    if (!*ids)
        return gr_error_status();
    for (size_t i = 0; i < count; i++)
        (*ids)[i] = encoded[i];
    *n = (int64_t)count;
    return GR_OK;
}

gr_status gr_read_prompt(gr_args *args, const gr_opened *on, int64_t **ids, int64_t *n)
{
    const gr_generate_flags *f = args->options;
    if (f->ids.rows > 1)
        return gr_args_fail(args, "--ids: one row of ids is a prompt, there are %zu\nRun generate once for each.",
                            f->ids.rows);
    gr_bytes text = {0};
    gr_status s = GR_OK;
    if (f->ids.count > 0) {
        *n = (int64_t)f->ids.count;
        *ids = gr_alloc(f->ids.count * sizeof **ids);
        if (!*ids)
            return GR_ERR_MEMORY;
        memcpy(*ids, f->ids.ids, f->ids.count * sizeof **ids);
    } else {
        s = read_text(f, &text);
        if (s == GR_OK)
            s = encode(on, &text, ids, n);
        if (s == GR_OK && *n == 0) {
            *n = 1;
            s = begin_text(on, *ids);
        }
    }
    gr_bytes_free(&text);
    int64_t vocab = gr_model_describe(on->model)->vocab;
    for (int64_t i = 0; s == GR_OK && i < *n; i++)
        if ((*ids)[i] >= vocab)
            s = f->ids.count ? gr_args_fail(args, "--ids: token id %lld is not in the vocabulary of %lld",
                                            (long long)(*ids)[i], (long long)vocab)
                             : gr_fail(GR_ERR_FILE,
                                       "%s: its tokenizer made the id %lld, its model knows %lld\n"
                                       "tokenizer.json and config.json do not belong together",
                                       on->path, (long long)(*ids)[i], (long long)vocab);
    return s;
}
