/* Widths of columns, and printing them. */
#include <stdarg.h>
#include <string.h>
#include "base/mem.h"
#include "cli/table.h"
#include "cli/term.h"

struct gr_table {
    char **cells; /* the heads are the first row */
    size_t count, cap, columns;
    bool failed;
};

static void add(gr_table *t, const char *text, size_t length)
{
    if (gr_grow(&t->cells, &t->cap, t->count + 1, sizeof *t->cells) != GR_OK) {
        t->failed = true;
        return;
    }
    char *cell = gr_strfmt("%.*s", (int)length, text);
    t->failed |= cell == NULL;
    t->cells[t->count++] = cell;
}

gr_table *gr_table_new(const char *heads)
{
    gr_table *t = gr_alloc_zero(1, sizeof *t);
    if (t == NULL)
        return NULL;
    for (;;) {
        size_t length = strcspn(heads, "|");
        add(t, heads, length);
        t->columns++;
        if (heads[length] == 0)
            return t;
        heads += length + 1;
    }
}

void gr_table_cell(gr_table *t, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    int length = vsnprintf(NULL, 0, fmt, list);
    va_end(list);
    char *text = t && length >= 0 ? gr_alloc((size_t)length + 1) : NULL;
    if (t != NULL && text == NULL)
        t->failed = true;
    if (text == NULL)
        return;
    va_start(list, fmt);
    vsnprintf(text, (size_t)length + 1, fmt, list);
    va_end(list);
    add(t, text, (size_t)length);
    gr_free(text);
}

static int column_width(const gr_table *t, size_t column)
{
    int width = 0;
    for (size_t i = column; i < t->count; i += t->columns) {
        int columns = gr_term_columns(t->cells[i]) - (i < t->columns && t->cells[i][0] == '>');
        width = columns > width ? columns : width;
    }
    return width;
}

static void print_row(const gr_table *t, const int *width, size_t row)
{
    for (size_t c = 0; c < t->columns && row * t->columns + c < t->count; c++) {
        const char *cell = t->cells[row * t->columns + c];
        bool is_right = t->cells[c][0] == '>';
        cell += row == 0 && is_right;
        int fill = width[c] - gr_term_columns(cell);
        /* Nothing behind the last column, so that no line ends in spaces. */
        gr_out("%*s%s%*s", is_right ? fill : 0, "", cell, is_right || c + 1 == t->columns ? 0 : fill, "");
        gr_out("%s", c + 1 < t->columns ? "  " : "");
    }
    gr_out("%s\n", row == 0 ? gr_style_on(stdout, GR_PLAIN) : "");
}

void gr_table_free(gr_table *t)
{
    for (size_t i = 0; t && i < t->count; i++)
        gr_free(t->cells[i]);
    if (t)
        gr_free(t->cells);
    gr_free(t);
}

gr_status gr_table_print(gr_table *t)
{
    if (t == NULL)
        return GR_ERR_MEMORY;
    int *width = t->failed ? NULL : gr_alloc(t->columns * sizeof *width);
    gr_status status = width != NULL ? GR_OK : GR_ERR_MEMORY;
    if (status == GR_OK) {
        for (size_t c = 0; c < t->columns; c++)
            width[c] = column_width(t, c);
        gr_out("%s", gr_style_on(stdout, GR_BOLD));
        for (size_t row = 0; row * t->columns < t->count; row++)
            print_row(t, width, row);
    }
    gr_free(width);
    gr_table_free(t);
    return status;
}
