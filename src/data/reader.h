/* Reading documents, to train models and tokenizers on: of files, folders and standard input, a part in memory at a time. */
#ifndef GR_DATA_READER_H
#define GR_DATA_READER_H

#include "base/thread.h"
#include "data/inputs.h"

#include <stdio.h>

/* A document as it was read, or the next part of a long one. */
typedef struct gr_document_text {
    const char *text;
    size_t size;
    size_t prompt; /* bytes at its beginning that are given, not learned; 0: none */
    size_t file;   /* index in gr_reader.files */
    int64_t line;  /* of a .jsonl file; -n: record n of an array; 0: the document is the whole file */
    bool is_chat;  /* the text is a record, as JSON, that holds a conversation */
    bool more;     /* it goes on behind these bytes; then */
    size_t used;   /* is set by whoever takes it: bytes that are done. The others come again, with more behind them */
} gr_document_text;

/* What was left out, or is odd, and where first. */
typedef struct gr_left_out {
    int64_t count;
    size_t file;
    int64_t line;
    int64_t at; /* byte of the file, where that matters */
} gr_left_out;

enum { GR_MOST_KEYS = 4 };
typedef char gr_unread_keys[GR_MOST_KEYS][32]; /* of .jsonl objects, that mean nothing here; "": none */

/* What came through pipes, kept to be read again. */
typedef struct gr_kept_pipes {
    FILE **file; /* [n] in the order of reading */
    size_t n, cap;
} gr_kept_pipes;
void gr_kept_pipes_free(gr_kept_pipes *k);

/* Give it take and user, zero the rest. */
typedef struct gr_reader {
    gr_status (*take)(void *user, gr_document_text *d); /* d is the reader's, for the time of the call */
    /* NULL, or what records go to instead, by all threads at a time and in any order. */
    gr_status (*count)(void *user, int worker, const gr_document_text *d);
    gr_status (*passed)(void *user, int64_t bytes); /* of a file of records are done; may be NULL */
    void *user;
    int threads;                /* that parse records; 0: one per core */
    gr_pool *pool;              /* NULL: of its own */
    bool quiet;                 /* no remarks: they have been made */
    bool chats;                 /* conversations are taken, too; else they are an error */
    bool learns_tokenizer;      /* which that error tells of */
    gr_kept_pipes *keep, *kept; /* NULL, or where pipes are kept; where they are read from */
    size_t pipes;               /* read so far */
    char **files; /* [n_files] the names of the files read so far; the owner's to free with gr_files_free */
    size_t n_files, files_cap;
    gr_inputs inputs;         /* what they held; the owner's to free */
    int64_t documents, bytes; /* given to take or count */
    int64_t apart;            /* of the documents: conversations, and completions of prompts */
    gr_left_out empty_text, empty_completion;
    gr_left_out not_utf8, with_nul, with_mark, like_json,
        table; /* files that are read as text, and may not be meant so */
    gr_unread_keys keys;
} gr_reader;

/* Reads all documents of files, directories and "-", in order, and remarks on what it left out. None at all is an error. */
gr_status gr_read_documents(gr_reader *r, const char *const *paths, int n);
void gr_files_free(char **files, size_t n);
/* Is it a file that is read as one text, by its name and by what it holds? What is no file is none. */
gr_status gr_is_text_file(const char *path, bool *is);
enum { GR_PLACE_SIZE = 4096 + 64 }; /* the longest path, and where in it */
/* "book.txt", "chats.jsonl: line 7" or "chats.json: record 7". Returns buffer. */
const char *gr_place(char *const *files, size_t file, int64_t line, char *buffer, size_t cap);

/* For tests: how many bytes of a file are read at a time; 0: the usual. Returns what it was. */
size_t gr_reader_block(size_t bytes);

/* ---- inside ------------------------------------------------------------------------------------------------- */

struct gr_window;
/* jsonl.c: the documents of the newest of r->files, whose records lie so; bytes: at a time. */
gr_status gr_read_records(gr_reader *r, struct gr_window *w, bool is_array, size_t bytes);
void gr_leave_out(gr_left_out *l, size_t file, int64_t line);

#endif
