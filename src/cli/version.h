/* What this executable is, and what it can run on. */
#ifndef GR_CLI_VERSION_H
#define GR_CLI_VERSION_H

void gr_version_print(void);

#endif
