/* Where the library's own remarks go: to the callback of gr_set_log, else nowhere. */
#ifndef GR_BASE_LOG_H
#define GR_BASE_LOG_H

#include "base/error.h"

void gr_remark(gr_log_level level, const char *fmt, ...) GR_PRINTF(2, 3);

/* Between the two, remarks of this thread go nowhere: for a copy of what has been remarked on. They may nest. */
void gr_remarks_pause(void);
void gr_remarks_resume(void);

#endif
