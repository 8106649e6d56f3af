/* Lines without an editor: as the terminal gives them. */
#include "cli/line.h"
#include "cli/term.h"

struct gr_lines {
    gr_bytes ahead;
};

gr_lines *gr_lines_open(const char *history)
{
    (void)history;
    return gr_alloc_zero(1, sizeof(gr_lines));
}

gr_line_end gr_lines_read(gr_lines *l, const char *prompt, gr_bytes *out)
{
    gr_out("%s", prompt);
    if (gr_out_finish() != GR_OK)
        return GR_LINE_FAILED;
    gr_line_end end = gr_plain_read(&l->ahead, out);
    return end == GR_LINE_CANCELLED && !gr_interrupt_forget() ? GR_LINE_OVER : end;
}

void gr_lines_remember(gr_lines *l, const char *text)
{
    (void)l;
    (void)text;
}

void gr_lines_close(gr_lines *l)
{
    if (l)
        gr_bytes_free(&l->ahead);
    gr_free(l);
}

const char *gr_lines_editor(void)
{
    return "no editor";
}
