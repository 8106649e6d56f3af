/* The parts of gradus info: each fills in a part of the report, and prints it. */
#ifndef GR_CLI_INFO_H
#define GR_CLI_INFO_H

#include "base/json.h"

/* The grid of ops and devices: puts the array "ops" in. */
gr_status gr_info_ops(gr_json report);
gr_status gr_info_print_ops(gr_json list);
/* A model's configuration, weights and tokenizer: an object. */
gr_status gr_info_model(const char *path, gr_json into);
void gr_info_print_model(gr_json model);

#endif
