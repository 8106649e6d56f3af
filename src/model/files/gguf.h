/* A GGUF file as a model's directory would be: the texts of its files, and its tensors under the architecture's names. */
#ifndef GR_MODEL_FILES_GGUF_H
#define GR_MODEL_FILES_GGUF_H

#include "model/files/names.h"

/* The config.json that its keys and tensors say, for one of the architectures there are; caller frees. Keys that would change
 * numbers and are not honoured are errors, unknown ones a remark. */
char *gr_gguf_config(const gr_gguf *file, const gr_weights *weights);
/* Its general.file_type, and 1; 0: none, or a guess. */
uint32_t gr_gguf_told_type(const gr_gguf *file);
/* Its generation_config.json: what begins, ends and pads a text. NULL: nothing is said, or a failure (*s). */
char *gr_gguf_generation(const gr_gguf *file, gr_status *s);
/* Gives tensors the architecture's names, and says how they lie. What has no name there keeps its own; rotary factors, which are
 * in config.json, are left out. */
gr_status gr_gguf_name_tensors(gr_names *n, const gr_arch *arch);
/* What the architecture calls a tensor of such a file, caller frees; NULL: it has no name for it. */
gr_status gr_gguf_own_name(const gr_arch *arch, const char *name, char **own, gr_gguf_change *change);
/* A tensor of the file's shape as transformers has it, in a buffer of t->bytes. */
gr_status gr_gguf_apply(const gr_weight *t, gr_gguf_change change, const gr_hparams *h, void *to); /* the reverse */
gr_status gr_gguf_undo(const gr_weight *t, gr_gguf_change change, const gr_hparams *h, void *to);

#endif
