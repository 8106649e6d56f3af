/* What gradus plan takes of gradus quantize. */
#ifndef GR_CLI_QUANTIZE_H
#define GR_CLI_QUANTIZE_H

#include "cli/chat_template.h"
#include "cli/open.h"

typedef struct gr_quantize_flags {
    const char *to, *out, *eval, *pre, *calibrate, *imatrix, *save_imatrix, *group;
    int64_t context, calibration_tokens, split_size;
    int method, format;
    double max_loss;
    gr_texts tensors;
    gr_chat_flags chat;
    bool pure, requantize, resume, zero_points;
} gr_quantize_flags;
extern const gr_flag gr_quantize_flag_table[];
/* What quantizing with these flags would need, and how large what it writes would be; `on` is opened for it. */
gr_status gr_quantize_need(gr_args *args, gr_opened *on, gr_plan *need, int64_t *file_bytes);

#endif
