/* The inside of a JSON document: values in one arena, which goes when the document goes. Seen by json*.c alone. */
#ifndef GR_BASE_JSON_NODE_H
#define GR_BASE_JSON_NODE_H

#include "base/json.h"

typedef struct gr_json_node {
    uint8_t type; /* gr_json_type */
    bool truth;
    bool is_bytes;     /* a text that is not UTF-8: a path, see gr_json_put_path */
    uint32_t key_size; /* of the name in its object; keys and texts have a NUL behind them */
    const char *key;
    union {
        int64_t i;
        double r;
        struct {
            const char *bytes;
            size_t size;
        } text;
        /* Items in the order of the file. Of an object `order` has their indices sorted by key: found in log n steps
         * whatever the keys are, where a hash table can be made slow by whoever writes the file. */
        struct {
            struct gr_json_node **items;
            uint32_t *order;
            uint32_t n, cap;
        } list;
    } as;
} gr_json_node;

typedef struct gr_json_chunk {
    struct gr_json_chunk *next;
    size_t size, used; /* of the bytes behind this header */
} gr_json_chunk;

struct gr_json_doc {
    char *name; /* what messages call it */
    gr_json_node *root;
    gr_json_chunk *chunks;
    size_t chunk_size;         /* of the next one */
    const gr_json_node *twice; /* the first object with a key that stands in it twice, */
    const char *twice_key;     /* and that key; NULL: there is none */
    gr_status status;          /* the first failure, and its message */
    gr_kept_error error;
};

/* From the document's arena, aligned for a node; NULL: no memory, gr_error() is set. */
void *gr_json_take(gr_json_doc *doc, size_t size);
gr_json_node *gr_json_node_new(gr_json_doc *doc, gr_json_type type);
/* A copy with a NUL behind it. */
const char *gr_json_keep(gr_json_doc *doc, const char *bytes, size_t size);

/* The place of a key in `order`: where it stands (*found) or belongs. */
uint32_t gr_json_place(const gr_json_node *object, const char *key, size_t size, bool *found);
/* Sorts the items of an object that has been read; of a key that stands there twice the last value counts, at the place
 * of the first, as in Python. */
gr_status gr_json_seal(gr_json_doc *doc, gr_json_node *object);

/* json_parse.c: the root of a text, or NULL with gr_error() set. */
gr_json_node *gr_json_parse_into(gr_json_doc *doc, const char *text, size_t size);

#endif
