/* The parts of the hub's room: names, addresses, headers, listings; the cache's layout; files that come in parts; requests. */
#ifndef GR_HUB_HUB_H
#define GR_HUB_HUB_H

#include "base/buffer.h"
#include "base/json.h"
#include "base/sha.h"
#include "hub/http.h"

enum {
    GR_COMMIT = GR_SHA1_HEX, /* digits of a commit */
    GR_HASH_SIZE = GR_SHA256_HEX + 1,
    GR_NAME_SIZE = 256,          /* of "org/name", and of a revision */
    GR_MOST_FILES = 1000 * 1000, /* in a listing */
};

/* ---- names (name.c) ----------------------------------------------------------------------------------------- */

/* "org/name@revision:QUANT" in its parts. */
typedef struct gr_hub_name {
    char repo[GR_NAME_SIZE], revision[GR_NAME_SIZE];
    char quant[64]; /* "": none */
} gr_hub_name;

/* GR_ERR_ARGUMENT: it is no such name. */
gr_status gr_hub_name_parse(const char *text, gr_hub_name *name);
/* Does it look like one? Says nothing else. */
bool gr_hub_is_name(const char *text);
/* GR_ERR_FILE for a path from a listing that could lead out of its directory, or that not every system can have. `where`
 * says whose it is. */
gr_status gr_hub_check_path(const char *where, const char *path, size_t size);
/* Is text[0, size) so many lower-case hexadecimal digits? */
bool gr_hub_is_hex(const char *text, size_t size, size_t digits);
/* Does a pattern of a command line (fnmatch; * also matches /) fit the path, or the name behind its last /? */
bool gr_hub_fits(const char *pattern, const char *path);
/* Is it a file that DATA may be? */
bool gr_hub_is_data(const char *path);
/* Is it the GGUF file of this kind ("Q4_K_M"), or a part of one? */
bool gr_hub_is_quant(const char *path, const char *quant);
/* Of "x-00002-of-00005.gguf" 2 and 5; of another name 1 and 1. `end`: ".gguf" */
bool gr_hub_shard(const char *path, const char *end, int *number, int *count);

/* ---- addresses (url.c) -------------------------------------------------------------------------------------- */

/* Caller frees; NULL: gr_error(). What is no address of http or https is GR_ERR_NETWORK. */
char *gr_url_resolve(const char *base, const char *location, size_t size);
/* The same scheme, host and port. */
bool gr_url_same_place(const char *a, const char *b);
bool gr_url_is_https(const char *url);
/* "host" for messages. */
const char *gr_url_host(const char *url, char *out, size_t cap);
/* Appends text with all but unreserved characters as %XX; slashes stay where `keep_slash`. */
gr_status gr_url_escape(gr_bytes *out, const char *text, bool keep_slash);

/* ---- an answer's head (head.c) ------------------------------------------------------------------------------ */

typedef struct gr_http_head {
    int status;
    int64_t length;          /* of Content-Length; -1: not told */
    int64_t from, to, total; /* of Content-Range: both ends count; -1: there is none, or it makes no sense */
    bool has_range;          /* a Content-Range was there, of whatever sense */
    bool is_encoded;         /* gzip or the like, which length does not count */
    double wait;             /* of Retry-After or RateLimit; -1: not told */
    int64_t linked_size;     /* -1: not told */
    char etag[GR_HASH_SIZE]; /* X-Linked-Etag, else ETag, if it is a hash; "": none */
    bool has_linked_etag;
    char commit[GR_COMMIT + 1];
    char error[48];        /* X-Error-Code */
    char message[200];     /* X-Error-Message, made fit to be shown */
    char *location, *next; /* Location; Link of rel="next" */
    bool no_memory;
} gr_http_head;

void gr_http_head_begin(gr_http_head *h);
/* A line as it came. A status line begins anew. */
void gr_http_head_line(gr_http_head *h, const char *line, size_t size);
void gr_http_head_free(gr_http_head *h);

/* ---- listings (tree.c) -------------------------------------------------------------------------------------- */

typedef struct gr_hub_file {
    char *path;
    int64_t size;
    char hash[GR_HASH_SIZE]; /* sha256 of what LFS or Xet has, else git's sha1 of the blob */
    bool chosen;
    bool is_weights;
    int64_t here;  /* bytes of it that need not be fetched */
    bool is_there; /* where it is wanted, so that nothing needs to be done */
} gr_hub_file;

typedef struct gr_hub_tree {
    gr_hub_file *files;
    size_t n, cap;
} gr_hub_tree;

/* Adds the files of a page of the listing. */
gr_status gr_hub_tree_add(gr_hub_tree *t, const char *name, const char *text, size_t size);
/* The commit that a revision's description names. */
gr_status gr_hub_read_commit(const char *name, const char *text, size_t size, char commit[GR_COMMIT + 1]);
void gr_hub_tree_free(gr_hub_tree *t);
/* GR_ERR_FILE when two chosen files could not lie side by side on every system. */
gr_status gr_hub_tree_check(const gr_hub_tree *t, const char *name);

/* choose.c: marks what is wanted. GR_ERR_ARGUMENT says what there is to choose from. */
gr_status gr_hub_choose(gr_hub_tree *t, const gr_hub_name *name, const gr_hub_options *o);

/* ---- the cache (cache.c) ------------------------------------------------------------------------------------ */

/* "models--org--name" in the cache, or in `.locks` of it. Caller frees. */
char *gr_hub_folder(const gr_hub_options *o, const char *repo);
/* The commit of a revision: itself, or what its ref says. GR_ERR_FILE: not here. */
gr_status gr_hub_commit(const gr_hub_options *o, const gr_hub_name *name, char commit[GR_COMMIT + 1]);
/* "folder/snapshots/commit"; caller frees. */
char *gr_hub_snapshot(const gr_hub_options *o, const char *repo, const char *commit);
/* What of a snapshot is meant: itself, or a GGUF file in it; caller frees. */
char *gr_hub_meant(const gr_hub_name *name, const gr_hub_options *o, const char *snapshot);
/* All files below a directory, paths relative to it, sorted. */
gr_status gr_hub_list_files(const char *dir, char ***paths, size_t *n);
/* Shows the chosen files of the tree, whose bytes are in `blobs`, under their names in a snapshot; then the ref. */
gr_status gr_hub_publish(const gr_hub_options *o, const gr_hub_name *name, const char *commit, const gr_hub_tree *t);
/* The same in a directory of its own, for options.to. */
gr_status gr_hub_place(const gr_hub_options *o, const gr_hub_tree *t, const char *blobs);
/* The hash of a file as the hub names it, to compare. `going` as in gr_http. */
gr_status gr_hub_hash_file(const char *path, size_t digits, gr_http_going *going, void *user, char hash[GR_HASH_SIZE]);

/* ---- a file that comes in parts (part.c) -------------------------------------------------------------------- */

/* "blobs/HASH.part" with, beside it, "HASH.part.ranges": what of it was written, a line a piece with the hash so far. So what
 * a killed process left is believed only as far as its bytes are what they were. A record that is open does not move. */
struct gr_hub_keeper;
typedef struct gr_hub_part {
    char *path, *ranges;
    int fd, ranges_fd;
    int64_t size;  /* of the whole file */
    int64_t at;    /* bytes so far */
    int64_t noted; /* of which the side file tells; behind `at`, as the hash is */
    gr_sha hash;
    bool is_sha1;
    size_t fill; /* bytes of the piece that is not whole yet */
    struct gr_hub_keeper *beside;
} gr_hub_part;

enum { GR_PIECE = 256 * 1024 }; /* bytes of a line; what a killed process has to fetch again at most */

/* Opens or makes the part, and reads what is there. Close in any case. */
gr_status gr_hub_part_open(gr_hub_part *p, const char *path, int64_t size, const char *hash, gr_http_going *going,
                           void *user);
gr_status gr_hub_part_add(gr_hub_part *p, const void *data, size_t size);
/* Notes what came last. */
gr_status gr_hub_part_keep(gr_hub_part *p);
/* Forgets all bytes. */
gr_status gr_hub_part_begin(gr_hub_part *p);
/* GR_OK with *is_right: all bytes are there, and have this hash; then they are made durable. */
gr_status gr_hub_part_check(gr_hub_part *p, const char *hash, bool *is_right);
/* Gives the whole file its name; the side file goes. */
gr_status gr_hub_part_name(gr_hub_part *p, const char *path);
void gr_hub_part_close(gr_hub_part *p);
void gr_hub_part_remove(gr_hub_part *p);
/* One line of a side file, "offset length hash\n", with the first 64 bits of the hash of all bytes up to there. False: it is
 * none. */
bool gr_hub_read_range(const char *line, size_t size, int64_t *from, int64_t *length, uint64_t *hash);

/* ---- locks (lock.c) ----------------------------------------------------------------------------------------- */

typedef struct gr_hub_lock {
    int fd;       /* -1: none */
    bool is_held; /* false: this file system has no locks */
} gr_hub_lock;

/* Waits; wait(user, who) is called now and then, and says whether to go on. */
gr_status gr_hub_lock_open(gr_hub_lock *l, const char *path, bool (*wait)(void *user, const char *who), void *user);
void gr_hub_lock_close(gr_hub_lock *l);

/* ---- requests (fetch.c) ------------------------------------------------------------------------------------- */

/* One conversation with a hub. */
typedef struct gr_hub {
    const gr_hub_options *o;
    const char *endpoint;
    const char *label; /* "org/name", for messages */
    gr_http *http;
    char *authorization;       /* the header; NULL: no token */
    uint64_t luck;             /* of how long to wait */
    const char *file;          /* of events */
    int64_t done, total, told; /* bytes of all files; those told of last */
    double told_at;
    bool stopped;   /* `event` said so */
    bool has_spare; /* the cache has what is asked for: patience is short */
    bool gave_up;   /* and at its end */
} gr_hub;

gr_status gr_hub_open(gr_hub *h, const gr_hub_options *o, const char *label);
void gr_hub_close(gr_hub *h);
/* False, and nothing is done any more, when the caller says so. */
bool gr_hub_tell(gr_hub *h, const gr_hub_event *event);
bool gr_hub_going(void *h); /* a gr_http_going */

/* The text behind an address of the hub: with it the next page's, NULL: there is none; caller frees. */
gr_status gr_hub_get(gr_hub *h, const char *url, gr_bytes *text, char **next);
/* All that is missing of a file goes to its part. */
gr_status gr_hub_get_file(gr_hub *h, const char *url, const gr_hub_file *file, const char *commit, gr_hub_part *part);

/* The defaults of options that are 0. */
int gr_hub_retries(const gr_hub_options *o);

#endif
