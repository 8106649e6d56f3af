/* A record of hostile bytes that should be a conversation: refused with a reason, or tokens of which some are learned. The first
 * byte says by which template, and what is learned. */
#include <string.h>

#include "text/tokenizer.h"
#include "train/chats.h"

static const char *const texts[] = {
    "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}{% if add_generation_prompt %}<assistant>{% "
    "endif %}",
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }};{% "
    "endgeneration %}"
    "{% else %}{{ m.content }};{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    "{{ tools | tojson }}{% for m in messages %}{% if loop.last %}!{% endif %}{{ m }}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception(m.content) }}{% endif %}{{ m.content | trim "
    "}}{% endfor %}"};
enum { TEXTS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gr_tokenizer *tokenizer;
    if (!tokenizer)
        tokenizer = gr_tokenizer_byte();
    if (!tokenizer || size < 1)
        return 0;
    gr_template_source source = GR_INIT(gr_template_source);
    source.text = texts[data[0] % TEXTS];
    source.text_size = strlen(source.text);
    gr_chats c = {.template = gr_template_open(&source),
                  .tokenizer = tokenizer,
                  .loss = (gr_chat_loss)(data[0] / TEXTS % 3),
                  .ambiguous_last = data[0] / (TEXTS * 3) % 2};
    gr_chat_row row = {0};
    gr_error_clear();
    gr_status s = gr_chat_row_make(&c, (const char *)data + 1, size - 1, &row);
    if ((s == GR_OK) != (gr_error_status() == GR_OK) || (s != GR_OK && !gr_error()[0]))
        __builtin_trap();
    if (s == GR_OK && row.learned.size != row.ids.size)
        __builtin_trap();
    for (size_t i = 0; s == GR_OK && i < row.learned.size; i++)
        if (row.learned.data[i] != 0 && row.learned.data[i] != 1)
            __builtin_trap();
    gr_chat_row_free(&row);
    gr_template_free((gr_template *)c.template);
    return 0;
}
