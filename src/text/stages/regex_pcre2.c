/* Regexes by PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "text/stages/regex.h"
#include "text/stages/regex_translate.h"
#include "text/unicode/unicode.h"
#include "base/error.h"

enum { match_limit = 10 * 1000 * 1000, heap_limit_kib = 1 << 20, stack_most = 16 << 20 };

struct gr_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
    bool stand_ins; /* new characters are shown as older ones */
};

static void *take(size_t size, void *user)
{
    (void)user;
    return gr_alloc(size);
}

static void give(void *p, void *user)
{
    (void)user;
    gr_free(p);
}

/* A line ends with \n and nothing else; patterns are Unicode; ^ and $ are ends of lines, as in Ruby. */
static gr_status compile(gr_regex *r, const char *pattern, size_t size)
{
    gr_bytes translated = {0};
    int error = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR message[128];
    gr_status s = gr_regex_translate(pattern, size, &translated, &r->stand_ins);
    pcre2_compile_context *context = s != GR_OK ? NULL : pcre2_compile_context_create(r->memory);
    if (s == GR_OK && !context)
        s = GR_ERR_MEMORY;
    if (s == GR_OK) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        pcre2_set_parens_nest_limit(context, 250);
        r->code = pcre2_compile((PCRE2_SPTR)(translated.data ? translated.data : ""), translated.size,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &at, context);
    }
    if (s == GR_OK && !r->code) {
        pcre2_get_error_message(error, message, sizeof message);
        s = gr_fail(error == PCRE2_ERROR_NOMEMORY ? GR_ERR_MEMORY : GR_ERR_UNSUPPORTED,
                    "regex '%.*s': %s\n" GR_REGEX_HINT, size > 200 ? 200 : (int)size, pattern, (const char *)message);
    }
    pcre2_compile_context_free(context);
    gr_bytes_free(&translated);
    return s;
}

gr_regex *gr_regex_new(const char *pattern, size_t size)
{
    gr_regex *r = gr_alloc_zero(1, sizeof *r);
    if (!r)
        return NULL;
    r->memory = pcre2_general_context_create(take, give, NULL);
    if (!r->memory || compile(r, pattern, size) != GR_OK) {
        gr_regex_free(r);
        return NULL;
    }
    pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* where it cannot be had, matching is slower */
    return r;
}

void gr_regex_free(gr_regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_general_context_free(r->memory);
    gr_free(r);
}

struct gr_regex_search {
    const gr_regex *regex;
    const char *text;
    size_t size;
    char *shadow; /* the text with some characters changed, if it has any of these: see stand_in */
    pcre2_match_data *match;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* made when 32 KiB of the thread's own do not do */
};

/* What the library is shown in place of a character: U+001A for an invalid byte, and for code points newer than the
 * library's Unicode an older one of the same kind and size, unless the pattern tells them apart. */
static uint32_t stand_in(const gr_regex *regex, uint32_t c)
{
    if (c >= GR_INVALID_BYTE)
        return 0x1A;
    const gr_range *r = regex->stand_ins ? gr_range_find(gr_recent, gr_recent_count, c) : NULL;
    return r ? (uint32_t)r->value : c;
}

static gr_status make_shadow(gr_regex_search *s)
{
    const char *text = s->text, *end = text + s->size;
    for (const char *p = text; p < end;) {
        int n;
        uint32_t c = gr_utf8_read(p, end, &n), shown = c < 0x800 ? c : stand_in(s->regex, c);
        if (shown != c && !s->shadow) {
            s->shadow = gr_alloc(s->size);
            if (!s->shadow)
                return GR_ERR_MEMORY;
            memcpy(s->shadow, text, s->size);
            s->text = s->shadow;
        }
        if (shown != c)
            gr_utf8_write(shown, s->shadow + (p - text));
        p += n;
    }
    return GR_OK;
}

gr_regex_search *gr_regex_search_new(const gr_regex *r, const char *text, size_t size)
{
    gr_regex_search *s = gr_alloc_zero(1, sizeof *s);
    if (!s)
        return NULL;
    s->regex = r;
    s->text = text;
    s->size = size;
    s->match = pcre2_match_data_create_from_pattern(r->code, r->memory);
    s->limits = pcre2_match_context_create(r->memory);
    if (!s->match || !s->limits || make_shadow(s) != GR_OK) {
        gr_regex_search_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->limits, match_limit);
    pcre2_set_heap_limit(s->limits, heap_limit_kib);
    return s;
}

static int match(gr_regex_search *s, size_t from)
{
    return pcre2_match(s->regex->code, (PCRE2_SPTR)s->text, s->size, from, PCRE2_NO_UTF_CHECK, s->match, s->limits);
}

gr_status gr_regex_next(gr_regex_search *s, size_t from, bool *found, size_t *start, size_t *stop)
{
    int n = match(s, from);
    if (n == PCRE2_ERROR_JIT_STACKLIMIT && !s->stack) {
        s->stack = pcre2_jit_stack_create(32 << 10, stack_most, s->regex->memory);
        pcre2_jit_stack_assign(s->limits, NULL, s->stack);
        n = match(s, from);
    }
    *found = n >= 0;
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(n, message, sizeof message);
        return gr_fail(n == PCRE2_ERROR_NOMEMORY ? GR_ERR_MEMORY : GR_ERR_UNSUPPORTED,
                       "encode: the tokenizer's regex gives up at byte %zu: %s\nput a space or the end of a line into "
                       "the text near there",
                       from, (const char *)message);
    }
    if (n < 0)
        return GR_OK;
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
    *start = span[0];
    *stop = span[1] < span[0] ? span[0] : span[1];
    return GR_OK;
}

void gr_regex_search_free(gr_regex_search *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    pcre2_jit_stack_free(s->stack);
    gr_free(s->shadow);
    gr_free(s);
}
