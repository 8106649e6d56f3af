/* What was read, known by its bytes. */
#ifndef GR_DATA_INPUTS_H
#define GR_DATA_INPUTS_H

#include "gradus.h"

typedef struct gr_input_file {
    char *name;
    int64_t bytes;
    uint64_t checksum;
    bool is_jsonl; /* records, by its name or its beginning */
} gr_input_file;
typedef struct gr_inputs {
    gr_input_file *list; /* [n] in the order of reading */
    size_t n, cap;
} gr_inputs;
gr_status gr_inputs_add(gr_inputs *l, const gr_input_file *file); /* its name is copied */
gr_status gr_inputs_copy(gr_inputs *to, const gr_inputs *from);   /* free in any case */
void gr_inputs_free(gr_inputs *l);
/* Of all of them, names left out; *bytes is their sum. */
uint64_t gr_inputs_digest(const gr_inputs *l, int64_t *bytes);

#endif
