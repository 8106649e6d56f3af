/* A chat template of hostile bytes and a conversation of hostile bytes: refused with a reason, or rendered within its limits to
 * text whose ranges lie in it. The input is both, with a zero byte between. */
#include <string.h>

#include "base/utf8.h"
#include "gradus.h"

static void check_ranges(const gr_text_range *ranges, size_t n, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].from < at || ranges[i].to < ranges[i].from || ranges[i].to > size)
            __builtin_trap();
        at = ranges[i].to;
    }
}

static void render(const gr_template *t, const char *json, size_t size)
{
    static const char hello[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello <|end|>\", \"a\": [1, 2.5, {\"b\": null}]}]}";
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *r = NULL;
    c.json = size ? json : hello;
    c.json_size = size ? size : sizeof hello - 1;
    c.has_now = true;
    c.max_steps = 100000;
    c.max_memory = (size_t)16 << 20;
    c.max_text = (size_t)1 << 20;
    gr_error_clear();
    gr_status s = gr_template_render(t, &c, &r);
    if ((s == GR_OK) != (r != NULL) || (s != GR_OK && !gr_error()[0]))
        __builtin_trap();
    if (!r)
        return;
    if (r->text_size > c.max_text || r->text[r->text_size] || !gr_utf8_valid(r->text, r->text_size))
        __builtin_trap();
    check_ranges(r->untrusted, r->n_untrusted, r->text_size);
    check_ranges(r->generated, r->n_generated, r->text_size);
    gr_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *zero = size ? memchr(text, 0, size) : NULL;
    size_t first = zero ? (size_t)(zero - text) : size, rest = zero ? size - first - 1 : 0;
    gr_template_source source = GR_INIT(gr_template_source);
    source.text = size ? text : "";
    source.text_size = first;
    gr_error_clear();
    gr_template *t = gr_template_open(&source);
    if (!t && (!gr_error()[0] || gr_error_status() == GR_OK))
        __builtin_trap();
    if (t)
        render(t, zero ? zero + 1 : "", rest);
    gr_template_free(t);
    return 0;
}
