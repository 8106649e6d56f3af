/* A build without utf8proc: readers of tokenizer.json refuse what would need these. */
#include "text/unicode/unicode.h"
#include "base/error.h"

bool gr_unicode_has_forms(void)
{
    return false;
}

gr_status gr_unicode_normalize(gr_form form, const char *text, size_t size, gr_bytes *out)
{
    (void)form, (void)text, (void)size, (void)out;
    return gr_fail(GR_ERR_UNSUPPORTED, "normalize: this build has no utf8proc\nbuild with libutf8proc-dev installed");
}

uint32_t gr_unicode_lower(uint32_t c)
{
    return c;
}

uint32_t gr_unicode_upper(uint32_t c)
{
    return c >= 'a' && c <= 'z' ? c - 32 : c;
}

bool gr_unicode_printable(uint32_t c)
{
    return c >= ' ' && c < 0x7F;
}
