/* Where the library's own remarks go: to the callback of gr_set_log, else nowhere. */
#ifndef GR_BASE_LOG_H
#define GR_BASE_LOG_H

#include "base/error.h"

void gr_remark(gr_log_level level, const char *fmt, ...) GR_PRINTF(2, 3);

#endif
