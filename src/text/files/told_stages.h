/* Switches told beside a tokenizer.json. For some classes transformers makes the stages around the model anew, as
 * add_prefix_space and legacy say, and not as tokenizer.json has them. */
#ifndef GR_TEXT_TOLD_STAGES_H
#define GR_TEXT_TOLD_STAGES_H

#include "text/files/classes.h"

/* Where a switch is told that tokenizer.json has otherwise, *json is replaced by a text with the class's stages; else it
 * stays. */
gr_status gr_apply_told_stages(const gr_tokenizer_class *c, const gr_beside *b, char **json, size_t *size);

#endif
