/* tiktoken's form of a tokenizer.model: lines of a token's bytes in base64, a space and its rank. */
#include <stdio.h>
#include "text/files/convert.h"
#include "text/files/json_text.h"
#include "text/files/ranks.h"
#include "base/base64.h"
#include "base/error.h"

/* ---- what its class says beside it -------------------------------------------------------------------------- */

static const char llama3[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                             "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char kimi[] = "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])*"
                           "(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
                           "[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])+"
                           "(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
                           "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum {
    llama3_tokens = 128000,
    reserved = 256,          /* special tokens behind those of LLaMA 3 and Kimi */
    most_reserved = 1 << 18, /* that added_tokens_decoder can ask for */
};

typedef struct file {
    const char *name;
    gr_vocab tokens;
    gr_bytes added; /* entries of "added_tokens" */
    gr_vocab special;
} file;

/* ---- lines -------------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

typedef struct line {
    const char *token, *token_end;
    int64_t rank; /* -1: not "token rank" */
} line;

static line read_line(const char *p, const char *end)
{
    line l = {.rank = -1};
    while (end > p && is_space(end[-1]))
        end--;
    while (p < end && is_space(*p))
        p++;
    for (l.token = p; p < end && !is_space(*p); p++)
        ;
    l.token_end = p;
    while (p < end && is_space(*p))
        p++;
    int64_t rank = 0;
    for (const char *digit = p; digit < end; digit++) {
        if (*digit < '0' || *digit > '9' || rank > INT32_MAX)
            return l;
        rank = rank * 10 + (*digit - '0');
    }
    if (p < end && rank < INT32_MAX)
        l.rank = rank;
    return l;
}

static const char *end_of_line(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline : end;
}

bool gr_is_tiktoken(const void *data, size_t size)
{
    unsigned char bytes[192];
    const char *p = data, *end = p + size;
    while (p < end && (*p == '\n' || *p == '\r'))
        p++;
    line l = p < end ? read_line(p, end_of_line(p, end)) : (line){.rank = -1};
    size_t n = l.rank < 0 ? 0 : (size_t)(l.token_end - l.token);
    return n >= 2 && n <= 256 - 4 && gr_base64_decode(l.token, n, bytes, &n);
}

static gr_status add_line(file *f, const char *p, const char *end, gr_bytes *bytes, size_t number)
{
    line l = read_line(p, end);
    size_t n = 0, size = (size_t)(l.token_end - l.token);
    if (l.token == l.token_end)
        return GR_OK;
    bytes->size = 0;
    gr_status s = gr_bytes_reserve(bytes, size / 4 * 3 + 3);
    if (s != GR_OK)
        return s;
    if (l.rank < 0 || !gr_base64_decode(l.token, size, (unsigned char *)bytes->data, &n) || !n)
        return gr_fail(GR_ERR_FILE,
                       "%s:%zu: expected base64, a space and a rank below 2^31\nthe file is damaged: fetch it again",
                       f->name, number);
    if (gr_vocab_add(&f->tokens, bytes->data, n, (uint32_t)l.rank) != GR_OK)
        return gr_fail_in("%s:%zu", f->name, number);
    return GR_OK;
}

static gr_status read_lines(file *f, const char *p, const char *end)
{
    gr_bytes bytes = {0};
    gr_status s = GR_OK;
    for (size_t number = 1; p < end && s == GR_OK; number++) {
        const char *stop = end_of_line(p, end);
        s = add_line(f, p, stop, &bytes, number);
        p = stop + 1;
    }
    gr_bytes_free(&bytes);
    if (s == GR_OK && !f->tokens.count)
        s = gr_fail(GR_ERR_FILE, "%s: there are no tokens in it", f->name);
    return s;
}

/* ---- special tokens ----------------------------------------------------------------------------------------- */

/* Once each: the first counts. */
static gr_status add_special(file *f, const char *content, size_t size)
{
    const char *separator = f->added.size ? ",\n" : "\n";
    size_t id = f->tokens.count + f->special.count;
    gr_status s = GR_OK;
    if (!size || gr_vocab_find(&f->special, content, size) >= 0)
        return GR_OK;
    s = gr_vocab_add(&f->special, content, size, (uint32_t)f->special.count);
    if (s == GR_OK)
        s = gr_bytes_add_string(&f->added, separator);
    return s == GR_OK ? gr_json_add_added_token(&f->added, (int64_t)id, content, size, true) : s;
}

/* Ids behind the vocabulary: as added_tokens_decoder, sorted by id, calls them, or kept for later. */
static gr_status add_by_id(file *f, const gr_told_list *decoder, int64_t first, int64_t last)
{
    gr_status s = GR_OK;
    size_t k = 0;
    for (int64_t id = first; id <= last && s == GR_OK; id++) {
        char name[64];
        while (k < decoder->n && decoder->at[k].id < id)
            k++;
        bool told = k < decoder->n && decoder->at[k].id == id;
        snprintf(name, sizeof name, "<|reserved_token_%lld|>", (long long)id);
        s = told ? add_special(f, decoder->at[k].content, decoder->at[k].size) : add_special(f, name, strlen(name));
    }
    return s;
}

static gr_status add_told(file *f, const gr_beside *b, bool is_kimi)
{
    const gr_told_list *decoder = &b->decoder, *extra = &b->extra;
    int64_t first = (int64_t)f->tokens.count, last = decoder->n ? decoder->at[decoder->n - 1].id : 0;
    gr_status s;
    if (is_kimi)
        last = first + reserved - 1;
    if (last >= first + most_reserved)
        return gr_fail(GR_ERR_FILE, "tokenizer_config.json: added_tokens_decoder has id %lld, where %s has %lld tokens",
                       (long long)last, f->name, (long long)first);
    s = add_by_id(f, decoder, first, last);
    for (size_t i = 0; i < extra->n && s == GR_OK; i++)
        s = add_special(f, extra->at[i].content, extra->at[i].size);
    return s;
}

/* Meta's file alone: the names are those of LLaMA 3.1, which fill places that 3.0 left empty. */
static gr_status add_llama3(file *f)
{
    static const struct {
        int at;
        const char *name;
    } known[] = {{0, "<|begin_of_text|>"},   {1, "<|end_of_text|>"},   {4, "<|finetune_right_pad_id|>"},
                 {6, "<|start_header_id|>"}, {7, "<|end_header_id|>"}, {8, "<|eom_id|>"},
                 {9, "<|eot_id|>"},          {10, "<|python_tag|>"}};
    gr_status s = GR_OK;
    for (int i = 0, k = 0, spare = 0; i < reserved && s == GR_OK; i++) {
        char name[64];
        bool is_known = k < (int)(sizeof known / sizeof *known) && known[k].at == i;
        if (!is_known)
            snprintf(name, sizeof name, "<|reserved_special_token_%d|>", spare++);
        s = is_known ? add_special(f, known[k].name, strlen(known[k].name)) : add_special(f, name, strlen(name));
        k += is_known;
    }
    return s;
}

/* ---- the whole ---------------------------------------------------------------------------------------------- */

static const char llama3_post[] =
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<|begin_of_text|>\", \"type_id\": "
    "0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": "
    "\"<|begin_of_text|>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": "
    "{\"id\": \"<|begin_of_text|>\", \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
    "\"special_tokens\": {\"<|begin_of_text|>\": {\"id\": \"<|begin_of_text|>\", \"ids\": [128000], \"tokens\": "
    "[\"<|begin_of_text|>\"]}}}";

/* The file does not say its pattern. Beside a config it is LLaMA 3's to transformers, but for what has code of its own;
 * alone, LLaMA 3's file is known by its size. */
static gr_status choose(const file *f, const gr_beside *b, gr_ranks *r, bool *is_kimi)
{
    char shown[80];
    *is_kimi = b && b->own_code && strstr(b->own_code, "tokenization_kimi.");
    if (*is_kimi)
        r->pattern = kimi;
    else if (b && b->any && !b->own_code)
        r->pattern = llama3;
    else if (b && b->own_code)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: only the program %s knows what pattern cuts texts for these tokens\nput the tokenizer.json "
                       "of it there",
                       f->name, gr_printable(b->own_code, strlen(b->own_code), shown, sizeof shown));
    else if (f->tokens.count == llama3_tokens)
        r->pattern = llama3, r->post = llama3_post;
    else
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "%s: nothing says what pattern cuts texts for these %zu tokens\nput a config.json or a "
                       "tokenizer_config.json beside it, then it is LLaMA 3's, or a tokenizer.json",
                       f->name, f->tokens.count);
    return GR_OK;
}

gr_status gr_convert_tiktoken(const gr_beside *b, const char *name, const void *data, size_t size, gr_bytes *json)
{
    file f = {.name = name};
    gr_ranks r = {.name = name, .tokens = &f.tokens, .added = &f.added};
    bool is_kimi = false;
    gr_status s = read_lines(&f, data, (const char *)data + size);
    if (s == GR_OK)
        s = choose(&f, b, &r, &is_kimi);
    if (s == GR_OK)
        s = r.post ? add_llama3(&f) : add_told(&f, b, is_kimi);
    if (s == GR_OK)
        s = gr_convert_ranks(&r, json);
    gr_vocab_free(&f.tokens);
    gr_vocab_free(&f.special);
    gr_bytes_free(&f.added);
    return s;
}
