/* Writing JSON strings into texts that are put together by hand, where a document would only be built to be printed. */
#ifndef GR_TEXT_JSON_TEXT_H
#define GR_TEXT_JSON_TEXT_H

#include "text/unicode/buffer.h"

/* Appends "text" in quotes, escaped. */
gr_status gr_json_add_text(gr_bytes *out, const char *text, size_t size);
/* Appends one entry of "added_tokens", searched for in the text as it was written. */
gr_status gr_json_add_added_token(gr_bytes *out, int64_t id, const char *content, size_t size, bool special);

#endif
