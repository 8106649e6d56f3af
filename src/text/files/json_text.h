/* Writing JSON strings into texts that are put together by hand, where a document would only be built to be printed. */
#ifndef GR_TEXT_JSON_TEXT_H
#define GR_TEXT_JSON_TEXT_H

#include "base/json.h"
#include "text/stages/added.h"

/* Appends one entry of "added_tokens", searched for in the text as it was written. */
gr_status gr_json_add_added_token(gr_bytes *out, int64_t id, const char *content, size_t size, bool special);
gr_status gr_json_add_flagged_token(gr_bytes *out, int64_t id, const char *content, size_t size,
                                    const gr_added_token *flags);
/* Appends the post-processor that puts a token before every text and one behind it; both are JSON strings, empty: none. */
gr_status gr_json_add_template(gr_bytes *out, const gr_bytes *before, gr_token first, const gr_bytes *after,
                               gr_token last);
/* Appends the value of a key of the object `json`, which has it. */
gr_status gr_json_copy_member(gr_bytes *out, const char *json, size_t size, const char *key);
/* Appends the object `json` with the value of `key` replaced, or put first where it is missing. */
gr_status gr_json_add_replaced(gr_bytes *out, const char *json, size_t size, const char *key, const gr_bytes *value);

#endif
