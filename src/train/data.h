/* Training data, from files to rows: documents that are read (data/reader.h) become token ids (stream.c: of one stream,
 * documents.c: of documents kept apart), and these rows of `context` tokens and their successors (rows.c, pack.c). */
#ifndef GR_TRAIN_DATA_H
#define GR_TRAIN_DATA_H

#include "base/buffer.h"
#include "data/corpus.h"

/* ---- ids ---------------------------------------------------------------------------------------------------- */

/* Tokens [begin, end) of the data. Those from begin + given on are trained on: predicted from what is before them; of a
 * conversation only some of these. */
typedef struct gr_document {
    int64_t begin, end;
    int32_t given; /* 1 at least: nothing is before the first */
    uint32_t file : 31, is_chat : 1;
    int64_t line;
} gr_document;

/* Conversations of a file that are left out: how many, and the first. */
typedef struct gr_refused {
    int64_t count, line;
    char *why;
} gr_refused;

struct gr_data {
    gr_token *ids;
    int64_t n;
    int64_t bytes;          /* of text; 0: unknown */
    gr_document *documents; /* [n_documents] kept apart; NULL: ids are one stream */
    int64_t n_documents;
    gr_bytes learned; /* of conversations: a bit for each of the ids, as far as it goes */
    gr_too_long too_long;
    int64_t conversations; /* that were read, refused ones included */
    char *template;        /* what they were made with, by its name and digest; NULL: there are none */
    uint64_t template_digest;
    gr_refused *refused; /* [n_refused] by file, as far as there are any */
    size_t n_refused, refused_cap;
    char **files; /* [n_files] that documents name */
    size_t n_files;
    gr_inputs inputs;     /* none: of ids */
    gr_data_info info;    /* for callers */
    const gr_data *whole; /* of a part: whose all these are */
};

static inline bool gr_is_learned(const gr_data *d, const gr_document *document, int64_t i)
{
    return i >= document->begin + document->given && (!document->is_chat || (d->learned.data[i / 8] >> i % 8 & 1) != 0);
}

/* What gr_data_new does with each of its sources. */
gr_data *gr_data_of_ids(const gr_token *ids, int64_t n);
gr_data *gr_data_read_stream(const gr_data_options *from);
gr_data *gr_data_read_documents(const gr_data_options *from);
/* Fills in the info of what is complete, or has changed. */
void gr_data_note(gr_data *d);
/* data.c: hands over what a reader and its documents came to; where s is an error, frees it and is NULL. d may be NULL. */
gr_data *gr_data_close(gr_data *d, gr_ids *ids, gr_reader *r, gr_status s);

/* ---- rows --------------------------------------------------------------------------------------------------- */

/* Row k of all rows of a stream that a run ever sees: tokens [context] and the same shifted by one as targets. A function
 * of its arguments alone, so that a run can go on anywhere. Sequential: from k · context on, wrapping at the end.
 * Shuffled: every epoch cuts the stream at another phase and visits the windows in another order. */
void gr_data_row(const gr_data *d, bool shuffle, uint64_t seed, int64_t k, int64_t context, gr_token *tokens,
                 gr_token *targets);
/* Windows of a stream that an epoch visits. */
int64_t gr_data_windows(const gr_data *d, bool shuffle, int64_t context);

/* A part of a document that fits a row: tokens [at, at + n), whose successors are its targets. */
typedef struct gr_row_piece {
    int64_t at;
    int64_t document;
    int64_t n;
} gr_row_piece;

struct gr_rows {
    const gr_data *data;
    int64_t context;
    bool shuffle;
    uint64_t seed;
    int64_t count;        /* of an epoch */
    gr_row_piece *pieces; /* of documents: row after row */
    int64_t *first;       /* [count + 1] of each row's pieces */
    gr_rows_file *files;  /* of info */
    gr_rows_info info;    /* count and context included */
};

/* A row with nothing to train on, as stands behind the last one. segments may be NULL. */
void gr_rows_empty(int64_t context, gr_token *tokens, gr_token *targets, int64_t *segments);
/* pack.c: fills in pieces, first, count and info. */
gr_status gr_pack(gr_rows *r);
/* Rows of the data that a step with room for so many takes: of a run that has an end (gr_run_options.rows) at most those of
 * an epoch, so that no row is in a step twice and each epoch has a step. */
int64_t gr_rows_of_step(const gr_rows *r, int64_t room, int64_t rows);
/* The end of what a row may hold of a document: that of one which is cut is before its own; its beginning: it is left out. */
int64_t gr_rows_end(const gr_rows *r, const gr_document *document);
/* Which of the rows of an epoch row k is. */
int64_t gr_rows_index(const gr_rows *r, int64_t k);

#endif
