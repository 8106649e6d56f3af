/* Documents on their way to token ids: short ones wait until there are enough for all cores, of long ones the parts that
 * can be encoded alone go at once. */
#ifndef GR_TRAIN_ENCODER_H
#define GR_TRAIN_ENCODER_H

#include "data/reader.h"
#include "text/tokenizer.h"

/* ids[0, n), somebody else's. */
typedef struct gr_id_span {
    const int32_t *ids;
    size_t n;
} gr_id_span;

/* Set tokenizer, threads, reader, put and user; zero the rest. */
typedef struct gr_encoder {
    gr_tokenizer *tokenizer;
    int threads;
    const gr_reader *reader; /* whose files errors name */
    /* Gets the ids of a document or, of a long one, of its next part: d->more where more parts come; and those of its
     * prompt alone. */
    gr_status (*put)(void *user, const gr_document_text *d, gr_id_span whole, gr_id_span prompt);
    void *user;
    gr_bytes text;             /* of the documents that wait */
    gr_document_text *waiting; /* [n] their text is NULL: it follows that of the one before */
    size_t n, cap;
    bool in_parts; /* the document at hand has begun */
} gr_encoder;

/* A gr_reader's take, with the encoder as its user. */
gr_status gr_encoder_take(void *encoder, gr_document_text *d);
gr_status gr_encoder_finish(gr_encoder *e); /* those that wait */
void gr_encoder_free(gr_encoder *e);

#endif
