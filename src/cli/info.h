/* The parts of gradus info. Each fills in a part of the JSON document, or prints when there is none (doc NULL). */
#ifndef GR_CLI_INFO_H
#define GR_CLI_INFO_H

#include "format/json.h"

/* The grid of ops and devices; into an array. */
gr_status gr_info_ops(gr_json list);
/* A model's configuration, weights and tokenizer; into an object. */
gr_status gr_info_model(const char *path, gr_json into);

#endif
