/* What is read more than once: paths, and what was found in them. */
#ifndef GR_DATA_CORPUS_H
#define GR_DATA_CORPUS_H

#include "data/reader.h"

struct gr_corpus {
    char **paths; /* [n] */
    int n;
    gr_kept_pipes kept;
    gr_corpus_info info;
    gr_inputs inputs;
};

/* Reads it again, which fails where it is no longer what it was. r as for gr_read_documents. */
gr_status gr_corpus_read(const gr_corpus *c, gr_reader *r);

#endif
