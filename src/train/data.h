/* Training data, from files to rows: documents are read one by one (corpus.c, jsonl.c), become token ids (stream.c: of one
 * stream, documents.c: of documents kept apart), and these rows of `context` tokens and their successors (rows.c, pack.c). */
#ifndef GR_TRAIN_DATA_H
#define GR_TRAIN_DATA_H

#include "base/error.h"

/* ---- what was read ---- */

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
gr_status gr_inputs_add(gr_inputs *l, const char *name, const void *data, size_t size, bool is_jsonl);
gr_status gr_inputs_copy(gr_inputs *to, const gr_inputs *from); /* free in any case */
void gr_inputs_free(gr_inputs *l);
/* Of all of them, names left out; *bytes is their sum. */
uint64_t gr_inputs_digest(const gr_inputs *l, int64_t *bytes);

/* ---- reading ---- */

/* A document as it was read. */
typedef struct gr_document_text {
    const char *text;
    size_t size;
    size_t prompt; /* bytes at its beginning that are given, not learned; 0: none */
    size_t file;   /* index in gr_reader.files */
    int64_t line;  /* of a .jsonl file; -n: record n of an array; 0: the document is the whole file */
} gr_document_text;

/* What was left out, or is odd, and where first. */
typedef struct gr_left_out {
    int64_t count;
    size_t file;
    int64_t line;
    size_t at; /* byte of the file, where that matters */
} gr_left_out;

enum { GR_MOST_KEYS = 4 };

/* Give it take and user, zero the rest. */
typedef struct gr_reader {
    gr_status (*take)(void *user, const gr_document_text *d); /* d is the reader's, for the time of the call */
    void *user;
    char **files; /* [n_files] the names of the files read so far; the owner's to free with gr_files_free */
    size_t n_files, files_cap;
    gr_inputs inputs;         /* what they held; the owner's to free */
    int64_t documents, bytes; /* given to take */
    gr_left_out empty_text, empty_completion;
    gr_left_out not_utf8, with_nul, with_mark, like_json,
        table;                   /* files that are read as text, and may not be meant so */
    char keys[GR_MOST_KEYS][32]; /* of .jsonl objects, that mean nothing here; "": none */
    char *pair;                  /* a prompt and its completion, one behind the other */
    size_t pair_cap;
} gr_reader;

/* Reads all documents of files, directories and "-", in order, and remarks on what it left out. None at all is an error. */
gr_status gr_read_documents(gr_reader *r, const char *const *paths, int n);
void gr_files_free(char **files, size_t n);
/* jsonl.c: the documents of a text with an object a line; `file` is the newest of r->files. */
gr_status gr_read_jsonl(gr_reader *r, const char *text, size_t size);
/* The same for an array of such objects. */
gr_status gr_read_json_array(gr_reader *r, const char *text, size_t size);
/* Is it a file that is read as one text, by its name and by what it holds? */
bool gr_is_text_file(const char *path);
/* The name of the file that is read next. */
gr_status gr_reader_begin(gr_reader *r, const char *name);
/* Gives r->take a document; an empty one is counted instead. */
gr_status gr_reader_take(gr_reader *r, const gr_document_text *d);
enum { GR_PLACE_SIZE = 4096 + 64 }; /* the longest path, and where in it */
/* "book.txt", "chats.jsonl: line 7" or "chats.json: record 7". Returns buffer. */
const char *gr_place(char *const *files, size_t file, int64_t line, char *buffer, size_t cap);

struct gr_corpus {
    char *text; /* [size] of all documents */
    size_t size, capacity;
    gr_document_text *documents; /* [n]; their text is NULL, it follows that of the one before */
    size_t n, documents_cap;
    char **files; /* [n_files] */
    size_t n_files;
    gr_inputs inputs;
};

/* ---- ids ---- */

/* Tokens [begin, end) of the data. Those from begin + given on are trained on: predicted from what is before them. */
typedef struct gr_document {
    int64_t begin, end;
    int32_t given; /* 1 at least: nothing is before the first */
    int32_t file;
    int64_t line;
} gr_document;

struct gr_data {
    int32_t *ids;
    int64_t n;
    int64_t bytes;          /* of text; 0: unknown */
    gr_document *documents; /* [n_documents] kept apart; NULL: ids are one stream */
    int64_t n_documents;
    char **files; /* [n_files] that documents name */
    size_t n_files;
    gr_inputs inputs;     /* none: of ids */
    const gr_data *whole; /* of a part: whose all these are */
};

/* ---- rows ---- */

/* Row k of all rows of a stream that a run ever sees: tokens [context] and the same shifted by one as targets. A function
 * of its arguments alone, so that a run can go on anywhere. Sequential: from k · context on, wrapping at the end.
 * Shuffled: every epoch cuts the stream at another phase and visits the windows in another order. */
void gr_data_row(const gr_data *d, bool shuffle, uint64_t seed, int64_t k, int64_t context, int64_t *tokens,
                 int64_t *targets);
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
    gr_rows_info info;    /* count and context included */
};

/* A row with nothing to train on, as stands behind the last one. segments may be NULL. */
void gr_rows_empty(int64_t context, int64_t *tokens, int64_t *targets, int64_t *segments);
/* pack.c: fills in pieces, first, count and info. */
gr_status gr_pack(gr_rows *r);
/* Rows of the data that a step with room for so many takes: of a run that has an end (gr_run_options.rows) at most those of
 * an epoch, so that no row is in a step twice and each epoch has a step. */
int64_t gr_rows_of_step(const gr_rows *r, int64_t room, int64_t rows);
/* Which of the rows of an epoch row k is. */
int64_t gr_rows_index(const gr_rows *r, int64_t k);

#endif
