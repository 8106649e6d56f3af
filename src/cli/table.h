/* Columns that line up: cells are given row by row. */
#ifndef GR_CLI_TABLE_H
#define GR_CLI_TABLE_H

#include <stdio.h>
#include "base/error.h"

typedef struct gr_table gr_table;

/* Heads split by '|'; one that begins with '>' is aligned to the right: "tensor|dtype|>bytes". NULL: no memory. */
gr_table *gr_table_new(const char *heads);
/* The next cell, left to right, row after row. NULL table is fine. */
void gr_table_cell(gr_table *t, const char *fmt, ...) GR_PRINTF(2, 3);
/* Prints to stdout and frees. GR_ERR_MEMORY if a cell or the table itself could not be had. */
gr_status gr_table_print(gr_table *t);
void gr_table_free(gr_table *t); /* one that is not to be printed; NULL is fine */

#endif
