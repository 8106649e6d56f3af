/* Merges found from ranks, and the tokenizer.json made of them. */
#include <stdio.h>
#include <stdlib.h>
#include "text/files/json_text.h"
#include "text/files/ranks.h"
#include "text/unicode/byte_level.h"
#include "base/error.h"

enum { longest_token = 1024 }; /* bytes; splitting takes the square of it */

/* A byte string as the byte alphabet spells it. */
static gr_status add_spelled(gr_bytes *json, gr_bytes *spelled, const gr_vocab *v, int64_t id)
{
    size_t size = 0;
    const char *text = gr_vocab_text(v, id, &size);
    spelled->size = 0;
    gr_status s = gr_byte_level_encode(text, size, spelled);
    return s == GR_OK ? gr_json_add_text(json, spelled->data, spelled->size) : s;
}

static gr_status add_number(gr_bytes *json, uint64_t id)
{
    char number[32];
    snprintf(number, sizeof number, ": %llu", (unsigned long long)id);
    return gr_bytes_add_string(json, number);
}

static gr_status add_vocab(const gr_ranks *r, gr_bytes *spelled, gr_bytes *json)
{
    const char *separator = "\n";
    gr_status s = GR_OK;
    for (size_t id = 0; r->special && id < r->special->rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(r->special, (int64_t)id, &size);
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = gr_json_add_text(json, text, size);
        if (s == GR_OK)
            s = add_number(json, id);
        separator = ",\n";
    }
    for (size_t rank = 0; rank < r->tokens->rows && s == GR_OK; rank++) {
        size_t size;
        if (!gr_vocab_text(r->tokens, (int64_t)rank, &size))
            continue;
        s = gr_bytes_add_string(json, separator);
        if (s == GR_OK)
            s = add_spelled(json, spelled, r->tokens, (int64_t)rank);
        if (s == GR_OK)
            s = add_number(json, (uint64_t)r->first + rank);
        separator = ",\n";
    }
    return s;
}

typedef struct split {
    int32_t left, right;
} split;

static int compare_splits(const void *x, const void *y)
{
    const split *a = x, *b = y;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

/* The merges that make one token, in the order of their parts' ranks. */
static gr_status add_splits(const gr_vocab *v, const char *text, size_t size, gr_bytes *spelled, bool *any,
                            gr_bytes *json)
{
    split at[longest_token];
    size_t n = 0;
    gr_status s = GR_OK;
    for (size_t cut = 1; cut < size; cut++) {
        int32_t left = gr_vocab_find(v, text, cut);
        int32_t right = left < 0 ? -1 : gr_vocab_find(v, text + cut, size - cut);
        if (right >= 0)
            at[n++] = (split){left, right};
    }
    if (n > 1)
        qsort(at, n, sizeof *at, compare_splits);
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        s = gr_bytes_add_string(json, *any ? ",\n[" : "\n[");
        *any = true;
        if (s == GR_OK)
            s = add_spelled(json, spelled, v, at[i].left);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, ", ");
        if (s == GR_OK)
            s = add_spelled(json, spelled, v, at[i].right);
        if (s == GR_OK)
            s = gr_bytes_add_string(json, "]");
    }
    return s;
}

static gr_status add_merges(const gr_ranks *r, gr_bytes *spelled, gr_bytes *json)
{
    bool any = false;
    gr_status s = GR_OK;
    for (size_t rank = 0; rank < r->tokens->rows && s == GR_OK; rank++) {
        size_t size;
        const char *text = gr_vocab_text(r->tokens, (int64_t)rank, &size);
        if (text && size > longest_token)
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "%s: the token of rank %zu has %zu bytes, the most is %d\ncheck that this is the right file",
                           r->name, rank, size, longest_token);
        if (text)
            s = add_splits(r->tokens, text, size, spelled, &any, json);
    }
    return s;
}

static gr_status add_stages(const gr_ranks *r, gr_bytes *json)
{
    gr_status s = gr_bytes_add_string(json, "{\"version\": \"1.0\",\n\"added_tokens\": [");
    if (s == GR_OK && r->added->size)
        s = gr_bytes_add(json, r->added->data, r->added->size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "],\n\"normalizer\": null,\n\"pre_tokenizer\": {\"type\": \"Sequence\", "
                                      "\"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    if (s == GR_OK)
        s = gr_json_add_text(json, r->pattern, strlen(r->pattern));
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
                                      "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": "
                                      "false}]},\n\"post_processor\": ");
    if (s == GR_OK)
        s = gr_bytes_add_string(json, r->post ? r->post : "null");
    return s == GR_OK
               ? gr_bytes_add_string(
                     json, ",\n\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": "
                           "true, \"use_regex\": true},\n\"model\": {\"type\": \"BPE\", \"dropout\": null, "
                           "\"unk_token\": null, \"fuse_unk\": false, \"byte_fallback\": false, "
                           "\"ignore_merges\": true,\n\"vocab\": {")
               : s;
}

gr_status gr_convert_ranks(const gr_ranks *r, gr_bytes *json)
{
    gr_bytes spelled = {0};
    gr_status s = add_stages(r, json);
    if (s == GR_OK)
        s = add_vocab(r, &spelled, json);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, "},\n\"merges\": [");
    if (s == GR_OK)
        s = add_merges(r, &spelled, json);
    gr_bytes_free(&spelled);
    return s == GR_OK ? gr_bytes_add_string(json, "]}}\n") : s;
}
