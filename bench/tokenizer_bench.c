/* Encoding and decoding speed of a tokenizer on a text, one thread.
 *
 *     build/bench/tokenizer_bench [TOKENIZER FILE [SECONDS]]
 *
 * Without arguments a small tokenizer and a text of the repository, in whose root it is called then. Prints one JSON object:
 * MiB of text a second, the first round and the best of all in SECONDS (default 2). */
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "base/machine.h"
#include "base/mem.h"

int main(int argc, char **argv)
{
    static char *own[] = {"tokenizer_bench", "tests/data/tokenizers/gpt2.json", "include/gradus/train.h", NULL};
    double limit = argc > 3 ? atof(argv[3]) : 2, start = gr_seconds(), load, first = 0, encode = 1e30, decode = 1e30;
    size_t size, n = 0, back_size;
    const int32_t *ids;
    const char *back;
    if (argc == 1)
        argv = own, argc = 3;
    if (argc < 3) {
        fprintf(stderr, "usage: tokenizer_bench [TOKENIZER FILE [SECONDS]]\n");
        return 2;
    }
    gr_tokenizer *t = gr_tokenizer_load(argv[1]);
    load = gr_seconds() - start;
    char *text = t ? gr_file_read(argv[2], SIZE_MAX / 2, &size) : NULL;
    if (!text) {
        fprintf(stderr, "%s\n", gr_error());
        return 1;
    }
    for (double end = gr_seconds() + limit; gr_seconds() < end;) {
        start = gr_seconds();
        if (gr_tokenizer_encode(t, text, size, 0, &ids, &n) != GR_OK) {
            fprintf(stderr, "%s\n", gr_error());
            return 1;
        }
        encode = gr_seconds() - start < encode ? gr_seconds() - start : encode;
        first = first ? first : encode;
    }
    for (double end = gr_seconds() + limit; gr_seconds() < end;) {
        start = gr_seconds();
        if (gr_tokenizer_decode(t, ids, n, 0, &back, &back_size) != GR_OK)
            return 1;
        decode = gr_seconds() - start < decode ? gr_seconds() - start : decode;
    }
    double mib = (double)size / (1 << 20);
    printf("{\"tokenizer\": \"%s\", \"text\": \"%s\", \"load_s\": %.4f, \"tokens\": %zu, \"first_mib_s\": %.1f, "
           "\"encode_mib_s\": %.1f, \"decode_mib_s\": %.1f}\n",
           argv[1], argv[2], load, n, mib / first, mib / encode, mib / decode);
    gr_tokenizer_free(t);
    gr_free(text);
    return 0;
}
