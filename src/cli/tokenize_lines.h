/* Tokenizing many lines: a block at a time on all threads, answers in the lines' order. */
#ifndef GR_CLI_TOKENIZE_LINES_H
#define GR_CLI_TOKENIZE_LINES_H

#include "base/buffer.h"
#include "base/thread.h"

/* What is made of an input. */
typedef struct gr_line_format {
    const gr_tokenizer *tokenizer; /* each thread has a share of it */
    unsigned encode_flags, decode_flags;
    bool jsonl; /* lines are {"text": …} or {"ids": […]}; else text */
    bool json;  /* answers are objects, with "tokens" */
} gr_line_format;

/* Appends ids as they are answered, newline included. */
gr_status gr_line_ids(const gr_line_format *f, const int32_t *ids, size_t n, gr_bytes *out);
/* Appends the answer to one text, newline included; and to one row of ids. */
gr_status gr_line_encode(const gr_line_format *f, gr_tokenizer *t, const char *text, size_t size, gr_bytes *out);
gr_status gr_line_decode(const gr_line_format *f, gr_tokenizer *t, const int32_t *ids, size_t n, gr_bytes *out);

/* All lines of stdin, answers to stdout. threads 0: one per core. */
gr_status gr_lines_from_stdin(const gr_line_format *f, int threads);

#endif
