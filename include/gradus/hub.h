/* Models and datasets of a hub that speaks Hugging Face's protocol, in the cache that its other tools use too. A part of
 * gradus.h, which programs include. */
#ifndef GRADUS_HUB_H
#define GRADUS_HUB_H

#include "gradus/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- hub ---------------------------------------------------------------------------------------------------- */

typedef enum gr_hub_event_kind {
    GR_HUB_CHOSEN, /* gr_hub_pull: a file that is wanted, before anything is fetched; bytes; done: of them here already */
    GR_HUB_BEGIN,    /* gr_hub_pull: all files have been told; bytes to fetch; text: the commit */
    GR_HUB_PROGRESS, /* gr_hub_pull: done of bytes are here, of all files; file: the one that is being fetched */
    GR_HUB_WAIT,     /* gr_hub_pull: waits for so many seconds (0: until another process is done); text: why */
    GR_HUB_REPO, /* gr_hub_walk: a revision in the cache; name; text: the commit; file: its directory; bytes; done: files */
    GR_HUB_GOOD,    /* gr_hub_walk: a file whose bytes have the hash they should */
    GR_HUB_BAD,     /* gr_hub_walk: a file whose bytes have not; text: why */
    GR_HUB_UNKNOWN, /* gr_hub_walk: a file of which nothing says what hash it should have */
} gr_hub_event_kind;
typedef struct gr_hub_event {
    size_t size;
    gr_hub_event_kind kind;
    const char *name; /* "org/name@revision" */
    const char *file; /* its path in the repository */
    const char *text;
    int64_t bytes, done;
    double seconds;
    bool is_dataset;
} gr_hub_event;

/* The library reads no environment: what Hugging Face's tools take from HF_HOME, HF_TOKEN and so on is given here. */
typedef struct gr_hub_options {
    size_t size;
    const char *cache;        /* its directory, "~/.cache/huggingface/hub" as it is spelled out; needed */
    const char *endpoint;     /* NULL: https://huggingface.co */
    const char *token;        /* sent to the endpoint, and to nobody else; NULL: none */
    const char *certificates; /* a file of certificates to trust instead of the system's; NULL: the system's */
    bool dataset;             /* names are of datasets */
    bool offline;             /* gr_hub_pull never asks anybody */
    bool no_links;            /* files of a snapshot are files, not links into the cache's store */
    int retries;              /* of a request that brings nothing; 0: five, negative: none */
    double answer_timeout;    /* seconds until a connection and the first byte of an answer; 0: 10 */
    double stall_timeout;     /* seconds with less than 1 kB/s after which a transfer is begun again; 0: 30 */
    const char *to;           /* gr_hub_pull: a directory for the files, instead of the cache; NULL: the cache */
    const char *const
        *include; /* [n_include] patterns of files, instead of what a model needs; a * matches any characters */
    const char *const *exclude; /* [n_exclude] patterns of files to leave out */
    int n_include, n_exclude;
    const char *file; /* of several GGUF files this one; NULL: what the name says, "org/name:Q4_K_M" */
    bool (*event)(void *user, const gr_hub_event *event); /* NULL: nobody wants to know */
    void *user;
} gr_hub_options;

/* What a name, "org/name", "org/name@revision" or with ":Q4_K_M" behind it, stands for in the cache: the directory of its
 * snapshot, or a .gguf file in it. Nobody is asked over the network. Caller frees with gr_free. NULL is GR_ERR_ARGUMENT for
 * what is no such name, and GR_ERR_FILE when it is not in the cache, or only a part of it. Any thread. */
GR_API char *gr_hub_find(const char *name, const gr_hub_options *options);
/* Fetches what is not in the cache yet, and returns what gr_hub_find does, or options.to. Every file's hash is compared
 * with the hub's before a snapshot shows it; what was interrupted goes on where it was. Of a model its config, tokenizer,
 * chat template, licence and weights of one kind: safetensors, else GGUF, else PyTorch's files, which are read as data.
 * When the hub cannot be reached, that is what gr_hub_find finds, with a remark; not with `include` or `to`. NULL is
 * GR_ERR_NETWORK when the hub refuses, or nothing is found then, GR_ERR_FILE when what it gives is not what it lists or
 * is not there, GR_ERR_INTERRUPTED when `event` returned false. Any thread. */
GR_API char *gr_hub_pull(const char *name, const gr_hub_options *options);

typedef enum gr_hub_work {
    GR_HUB_LIST,   /* tells of every revision */
    GR_HUB_VERIFY, /* tells of every file whether its bytes are right; a bad one is GR_ERR_FILE at the end */
    GR_HUB_REMOVE, /* removes the revision, and what no other one uses */
} gr_hub_work;
/* What is in the cache: of a name, or with NULL (not for GR_HUB_REMOVE) of all, or of all datasets. Any thread. */
GR_API gr_status gr_hub_walk(const char *name, gr_hub_work work, const gr_hub_options *options);

#ifdef __cplusplus
}
#endif

#endif
