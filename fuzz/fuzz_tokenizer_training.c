/* Training a tokenizer on any bytes: the first two choose options, the rest is text. What was learned must give the text
 * back. */
#include <string.h>

#include "base/mem.h"
#include "gradus.h"
#include "text/tokenizer.h"
#include "text/train/trainer.h"

static bool go_on(void *user, const gr_tokenizer_progress *progress)
{
    (void)progress;
    return --*(int *)user > 0;
}

static gr_tokenizer *train(const uint8_t *data, const char *text, size_t size)
{
    int questions = 1 + data[1] / 2;
    gr_tokenizer_training o = {.size = sizeof o,
                               .vocab_size = 257 + data[0],
                               .min_frequency = data[0] % 3,
                               .whole_texts = data[1] & 1,
                               .threads = 1};
    if (data[1] < 64) {
        o.progress = go_on;
        o.user = &questions;
    }
    gr_tokenizer_trainer *trainer = gr_tokenizer_trainer_new(&o);
    gr_tokenizer *t = NULL;
    if (trainer && gr_tokenizer_trainer_feed(trainer, text, size) == GR_OK)
        t = gr_tokenizer_trainer_finish(trainer);
    if (!t && gr_error_status() != GR_ERR_INTERRUPTED)
        __builtin_trap();
    gr_tokenizer_trainer_free(trainer);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int32_t *ids;
    const char *back;
    size_t n, back_size;
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 2;
    size -= 2;
    gr_tokenizer *t = train(data, text, size);
    if (!t)
        return 0;
    gr_tokenizer *byte = gr_tokenizer_byte();
    if (!byte || gr_tokenizer_encode(byte, text, size, 0, &ids, &n) != GR_OK ||
        gr_tokenizer_decode(byte, ids, n, 0, &back, &back_size) != GR_OK)
        __builtin_trap();
    char *wanted = gr_alloc(back_size + 1);
    memcpy(wanted, back, back_size + 1);
    size_t wanted_size = back_size;
    if (gr_tokenizer_encode(t, text, size, 0, &ids, &n) != GR_OK || n > size ||
        gr_tokenizer_decode(t, ids, n, 0, &back, &back_size) != GR_OK || back_size != wanted_size ||
        memcmp(back, wanted, back_size) != 0)
        __builtin_trap();
    gr_free(wanted);
    gr_tokenizer_free(byte);
    gr_tokenizer_free(t);
    return 0;
}
