/* Writing a model, as convert and merge do: saved, read again, compared, and told. */
#ifndef GR_CLI_CONVERT_H
#define GR_CLI_CONVERT_H

#include "cli/open.h"

enum { GR_WRITE_F32, GR_WRITE_F16, GR_WRITE_BF16, GR_WRITE_KEEP };

typedef struct gr_write_flags {
    const char *out;
    int dtype;
    int64_t shard_size, split_size; /* of a directory, of a GGUF file */
    bool gguf;                      /* a GGUF file, no directory; convert says so */
    const char *pre;                /* of it: what its pre-tokenizer is called */
} gr_write_flags;
extern const gr_flag gr_write_flag_table[]; /* of a struct that begins with gr_write_flags */

/* What only a directory or only a GGUF file has is refused for the other; is the name free? */
gr_status gr_check_write(gr_args *args, const gr_write_flags *f);
/* Writes on->model to --out, with the other files of on->path. */
gr_status gr_write_model(gr_args *args, const gr_write_flags *f, const gr_opened *on);

#endif
