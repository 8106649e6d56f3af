/* What torch.save writes since PyTorch 1.6: a zip archive with a pickle, data.pkl, that says what there is, and an entry
 * data/KEY for the bytes of each storage. Tensors that lie in their storage as C arrays do are read where they are;
 * others (transposed, expanded, of a machine of the other byte order) are copied. Nothing of the file is ever run. */
#ifndef GR_FORMAT_TORCH_H
#define GR_FORMAT_TORCH_H

#include "format/source.h"

/* A state_dict: the tensors that stand in the outermost dict under names. NULL self on failure. */
gr_status gr_torch_open(const char *path, gr_source *out);
/* The same over bytes that the caller keeps. */
gr_status gr_torch_parse(const char *path, const void *data, size_t size, gr_source *out);

#endif
