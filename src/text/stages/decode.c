/* The kinds of decoders, and the chain of them. */
#include "text/stages/decode.h"
#include "text/unicode/byte_level.h"
#include "text/stages/chain.h"
#include "text/stages/pattern.h"

/* ---- lists of strings --------------------------------------------------------------------------------------- */

gr_status gr_strings_add(gr_strings *s, const char *text, size_t size)
{
    gr_status status = gr_grow(&s->end, &s->cap, s->n + 1, sizeof *s->end);
    if (status == GR_OK)
        status = gr_bytes_add(&s->text, text, size);
    if (status == GR_OK)
        s->end[s->n++] = s->text.size;
    return status;
}

/* What was appended to text since the last string becomes a string. */
static gr_status close_string(gr_strings *s)
{
    return gr_strings_add(s, "", 0);
}

void gr_strings_clear(gr_strings *s)
{
    s->text.size = 0;
    s->n = 0;
}

void gr_strings_free(gr_strings *s)
{
    gr_bytes_free(&s->text);
    gr_free(s->end);
    *s = (gr_strings){0};
}

const char *gr_strings_at(const gr_strings *s, size_t i, size_t *size)
{
    size_t start = i ? s->end[i - 1] : 0;
    *size = s->end[i] - start;
    return s->text.data ? s->text.data + start : "";
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

typedef struct step step;

/* A kind of decoder: how it reads its settings, and what it makes of a list. */
typedef struct kind {
    const char *type;
    gr_status (*read)(step *s, gr_json value);
    gr_status (*run)(const step *s, const gr_strings *in, gr_strings *out);
} kind;

struct step {
    const kind *kind;
    gr_pattern a, b;     /* what is replaced by what */
    char character[8];   /* one character */
    int64_t start, stop; /* Strip: at most that many */
    bool flag;           /* Metaspace: the first token drops its spaces; WordPiece and CTC: cleanup */
};

struct gr_decoder {
    step *step;
    size_t n, cap;
    bool join_with_space; /* no decoder at all */
};

static gr_status read_nothing(step *s, gr_json value)
{
    (void)s, (void)value;
    return GR_OK;
}

static gr_status run_byte_level(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_bytes bytes = {0};
    gr_status status = gr_bytes_reserve(&bytes, in->text.size);
    (void)s;
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        if (!gr_byte_level_decode(text, size, &bytes))
            status = gr_bytes_add(&bytes, text, size);
    }
    if (status == GR_OK)
        status = gr_utf8_repair(bytes.data, bytes.size, false, &out->text, NULL);
    gr_bytes_free(&bytes);
    return status == GR_OK ? close_string(out) : status;
}

/* The byte of "<0x0A>", or -1. */
static int byte_token(const char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        const char *d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return -1;
        value = value * 16 + (int)(d - digits) % 16;
    }
    return value;
}

/* A run of byte tokens is text if all of it is valid; else every byte of it is U+FFFD. */
static gr_status end_run(gr_bytes *run, gr_strings *out)
{
    gr_status s = GR_OK;
    if (gr_utf8_valid(run->data, run->size))
        s = run->size ? gr_strings_add(out, run->data, run->size) : GR_OK;
    else
        for (size_t i = 0; i < run->size && s == GR_OK; i++)
            s = gr_strings_add(out, "\xEF\xBF\xBD", 3);
    run->size = 0;
    return s;
}

static gr_status run_byte_fallback(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_bytes run = {0};
    gr_status status = GR_OK;
    (void)s;
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        int byte = byte_token(text, size);
        if (byte >= 0) {
            status = gr_bytes_add(&run, &(char){(char)byte}, 1);
            continue;
        }
        status = end_run(&run, out);
        if (status == GR_OK)
            status = gr_strings_add(out, text, size);
    }
    if (status == GR_OK)
        status = end_run(&run, out);
    gr_bytes_free(&run);
    return status;
}

static gr_status run_fuse(const step *s, const gr_strings *in, gr_strings *out)
{
    (void)s;
    return gr_strings_add(out, in->text.data, in->text.size);
}

/* One character from a key, into s->character. */
static gr_status read_character(step *s, gr_json value, const char *key)
{
    size_t size;
    int n;
    const char *text = gr_json_as_text(gr_json_get(value, key), &size);
    if (gr_json_check(value.doc) != GR_OK)
        return gr_error_status();
    if (!size || gr_utf8_read(text, text + size, &n) >= GR_INVALID_BYTE || (size_t)n != size)
        return gr_json_fail(gr_json_get(value, key), "expected one character");
    memcpy(s->character, text, size);
    s->character[size] = 0;
    return GR_OK;
}

static gr_status read_strip(step *s, gr_json value)
{
    s->start = gr_json_int(value, "start", 0, 0, 1 << 30);
    s->stop = gr_json_int(value, "stop", 0, 0, 1 << 30);
    return read_character(s, value, "content");
}

static gr_status run_strip(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_status status = GR_OK;
    size_t n = strlen(s->character);
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        for (int64_t k = 0; k < s->start && size >= n && memcmp(text, s->character, n) == 0; k++) {
            text += n;
            size -= n;
        }
        for (int64_t k = 0; k < s->stop && size >= n && memcmp(text + size - n, s->character, n) == 0; k++)
            size -= n;
        status = gr_strings_add(out, text, size);
    }
    return status;
}

static gr_status read_replace(step *s, gr_json value)
{
    size_t size;
    const char *content = gr_json_as_text(gr_json_get(value, "content"), &size);
    gr_status status = gr_json_check(value.doc);
    if (status == GR_OK)
        status = gr_pattern_read(gr_json_get(value, "pattern"), &s->a);
    return status == GR_OK ? gr_pattern_set(&s->b, content, size) : status;
}

typedef struct replacing {
    gr_bytes *out;
    const char *with;
    size_t size;
} replacing;

static gr_status replace_part(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    replacing *r = ctx;
    return is_match ? gr_bytes_add(r->out, r->with, r->size) : gr_bytes_add(r->out, text + start, stop - start);
}

static gr_status run_replace(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_status status = GR_OK;
    replacing r = {&out->text, s->b.text, s->b.size};
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        status = gr_pattern_walk(&s->a, text, size, replace_part, &r);
        if (status == GR_OK)
            status = close_string(out);
    }
    return status;
}

static gr_status read_metaspace(step *s, gr_json value)
{
    const char *scheme = gr_json_text(value, "prepend_scheme", "always");
    s->flag = strcmp(scheme, "never") != 0 && gr_json_bool(value, "add_prefix_space", true);
    return read_character(s, value, "replacement");
}

/* The replacement character becomes a space, but in the first token it stands for the space that encoding put there. */
static gr_status run_metaspace(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_status status = GR_OK;
    gr_pattern mark = {(char *)s->character, strlen(s->character), NULL};
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        replacing r = {&out->text, " ", i == 0 && s->flag ? 0 : 1};
        status = gr_pattern_walk(&mark, text, size, replace_part, &r);
        if (status == GR_OK)
            status = close_string(out);
    }
    return status;
}

static gr_status read_bpe(step *s, gr_json value)
{
    const char *suffix = gr_json_text(value, "suffix", "</w>");
    return gr_pattern_set(&s->a, suffix, strlen(suffix));
}

static gr_status run_bpe(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_status status = GR_OK;
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        replacing r = {&out->text, " ", i + 1 < in->n};
        status = gr_pattern_walk(&s->a, text, size, replace_part, &r);
        if (status == GR_OK && !s->a.size && !size) /* an empty suffix is found in an empty token, too */
            status = gr_bytes_add(r.out, r.with, r.size);
        if (status == GR_OK)
            status = close_string(out);
    }
    return status;
}

/* What cleaning up replaces, in this order; WordPiece decodes texts whose words and marks were cut apart. */
static const char *const clean_ups[][2] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

/* *text becomes what cleaning makes of it; *spare is used up. */
static gr_status clean_up(gr_bytes *text, gr_bytes *spare)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < sizeof clean_ups / sizeof *clean_ups && s == GR_OK; i++) {
        gr_pattern from = {(char *)clean_ups[i][0], strlen(clean_ups[i][0]), NULL};
        spare->size = 0;
        replacing r = {spare, clean_ups[i][1], strlen(clean_ups[i][1])};
        if (text->size)
            s = gr_pattern_walk(&from, text->data, text->size, replace_part, &r);
        gr_bytes swap = *text;
        *text = *spare;
        *spare = swap;
    }
    return s;
}

static gr_status read_word_piece(step *s, gr_json value)
{
    const char *prefix = gr_json_text(value, "prefix", "##");
    s->flag = gr_json_bool(value, "cleanup", true);
    return gr_pattern_set(&s->a, prefix, strlen(prefix));
}

/* A token with the prefix goes to what is before it, others have a space between. */
static gr_status run_word_piece(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_bytes word = {0}, spare = {0};
    gr_status status = GR_OK;
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size, n = s->a.size;
        const char *text = gr_strings_at(in, i, &size);
        bool joins = size >= n && (!n || memcmp(text, s->a.text, n) == 0);
        word.size = 0;
        if (i && joins)
            status = gr_bytes_add(&word, text + n, size - n);
        else
            status = i && gr_bytes_add(&word, " ", 1) != GR_OK ? GR_ERR_MEMORY : gr_bytes_add(&word, text, size);
        if (status == GR_OK && s->flag)
            status = clean_up(&word, &spare);
        if (status == GR_OK)
            status = gr_strings_add(out, word.data, word.size);
    }
    gr_bytes_free(&word);
    gr_bytes_free(&spare);
    return status;
}

static gr_status read_ctc(step *s, gr_json value)
{
    const char *pad = gr_json_text(value, "pad_token", "<pad>"),
               *delimiter = gr_json_text(value, "word_delimiter_token", "|");
    s->flag = gr_json_bool(value, "cleanup", true);
    gr_status status = gr_pattern_set(&s->a, pad, strlen(pad));
    return status == GR_OK ? gr_pattern_set(&s->b, delimiter, strlen(delimiter)) : status;
}

/* Tokens that repeat are one, and padding is nothing; cleaning up takes the delimiter of words for a space. */
static gr_status run_ctc(const step *s, const gr_strings *in, gr_strings *out)
{
    gr_bytes word = {0}, spare = {0};
    gr_status status = GR_OK;
    size_t last_size = 0;
    const char *last = NULL;
    for (size_t i = 0; i < in->n && status == GR_OK; i++) {
        size_t size;
        const char *text = gr_strings_at(in, i, &size);
        if (last && size == last_size && memcmp(text, last, size) == 0)
            continue;
        last = text;
        last_size = size;
        replacing r = {&word, "", 0};
        word.size = 0;
        status = gr_pattern_walk(&s->a, text, size, replace_part, &r);
        if (status == GR_OK && s->flag)
            status = clean_up(&word, &spare);
        if (status == GR_OK && s->flag) {
            spare.size = 0;
            r = (replacing){&spare, " ", 1};
            status = word.size ? gr_pattern_walk(&s->b, word.data, word.size, replace_part, &r) : GR_OK;
        }
        const gr_bytes *made = s->flag ? &spare : &word;
        if (status == GR_OK && made->size)
            status = gr_strings_add(out, made->data, made->size);
    }
    gr_bytes_free(&word);
    gr_bytes_free(&spare);
    return status;
}

static const kind kinds[] = {
    {"ByteLevel", read_nothing, run_byte_level},
    {"ByteFallback", read_nothing, run_byte_fallback},
    {"Fuse", read_nothing, run_fuse},
    {"Strip", read_strip, run_strip},
    {"Replace", read_replace, run_replace},
    {"Metaspace", read_metaspace, run_metaspace},
    {"BPEDecoder", read_bpe, run_bpe},
    {"WordPiece", read_word_piece, run_word_piece},
    {"CTC", read_ctc, run_ctc},
};

/* ---- the chain ---------------------------------------------------------------------------------------------- */

static gr_status add_step(void *to, const void *kind_of_step, gr_json value)
{
    gr_decoder *d = to;
    const kind *k = kind_of_step;
    gr_status status = gr_grow(&d->step, &d->cap, d->n + 1, sizeof *d->step);
    if (status != GR_OK)
        return status;
    step *s = &d->step[d->n++];
    *s = (step){.kind = k};
    return k->read(s, value);
}

static const gr_chain chain = {
    .stage = "decoder",
    .list = "decoders",
    .supported = "those of tokenizers: ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, BPEDecoder, "
                 "WordPiece, CTC",
    .kinds = kinds,
    .count = sizeof kinds / sizeof *kinds,
    .size = sizeof *kinds,
    .add = add_step,
};

gr_decoder *gr_decoder_read(gr_json value)
{
    gr_decoder *d = gr_alloc_zero(1, sizeof *d);
    if (!d)
        return NULL;
    d->join_with_space = !gr_json_is(value);
    if (!d->join_with_space && gr_chain_read(&chain, value, d) != GR_OK) {
        gr_decoder_free(d);
        return NULL;
    }
    return d;
}

void gr_decoder_free(gr_decoder *d)
{
    for (size_t i = 0; d && i < d->n; i++) {
        gr_pattern_free(&d->step[i].a);
        gr_pattern_free(&d->step[i].b);
    }
    if (d)
        gr_free(d->step);
    gr_free(d);
}

bool gr_decoder_is_byte_level(const gr_decoder *d)
{
    return d->n == 1 && d->step[0].kind->run == run_byte_level;
}

gr_status gr_decoder_run(const gr_decoder *d, gr_strings *tokens, gr_strings *spare, gr_bytes *out)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < d->n && s == GR_OK; i++) {
        gr_strings_clear(spare);
        s = d->step[i].kind->run(&d->step[i], tokens, spare);
        gr_strings swap = *tokens;
        *tokens = *spare;
        *spare = swap;
    }
    for (size_t i = 0; i < tokens->n && s == GR_OK && d->join_with_space; i++) {
        size_t size;
        const char *text = gr_strings_at(tokens, i, &size);
        s = i ? gr_bytes_add(out, " ", 1) : GR_OK;
        if (s == GR_OK)
            s = gr_bytes_add(out, text, size);
    }
    if (s == GR_OK && !d->join_with_space)
        s = gr_bytes_add(out, tokens->text.data, tokens->text.size);
    return s;
}
