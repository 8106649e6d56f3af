/* A build without PCRE2. */
#include "text/stages/regex.h"
#include "base/error.h"

gr_regex *gr_regex_new(const char *pattern, size_t size)
{
    gr_fail(GR_ERR_UNSUPPORTED,
            "regex '%.*s': this build has no PCRE2\nbuild with libpcre2-dev installed, or use a tokenizer with the "
            "pattern of GPT-2, LLaMA 3 or Qwen",
            size > 200 ? 200 : (int)size, pattern);
    return NULL;
}

void gr_regex_free(gr_regex *r)
{
    (void)r;
}

gr_regex_search *gr_regex_search_new(const gr_regex *r, const char *text, size_t size)
{
    (void)r, (void)text, (void)size;
    return NULL;
}

gr_status gr_regex_next(gr_regex_search *s, size_t from, bool *found, size_t *start, size_t *stop)
{
    (void)s, (void)from, (void)start, (void)stop;
    *found = false;
    return GR_OK;
}

void gr_regex_search_free(gr_regex_search *s)
{
    (void)s;
}
