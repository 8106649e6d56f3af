/* Lines by libedit. While one is edited the terminal sends no signals: Ctrl-C and Ctrl-Z are keys like others. */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/line.h"
#include "cli/term.h"

enum { REMEMBERED = 1000 };

struct gr_lines {
    EditLine *edit;
    History *history;
    char *file; /* of the history; NULL: none */
    const char *prompt;
    bool cancelled;
};

static volatile sig_atomic_t resized;

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static char *prompt_of(EditLine *edit)
{
    gr_lines *l;
    el_get(edit, EL_CLIENTDATA, &l);
    return (char *)l->prompt;
}

/* One character. A signal that asks for the end, or a terminal that is gone, is the end of the input; a new width is told on.
 */
static int next_character(EditLine *edit, wchar_t *out)
{
    char bytes[8];
    size_t n = 0;
    mbstate_t state = {0};
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    while (n < sizeof bytes) {
        int ready = poll(&input, 1, GR_LINE_WAIT);
        if (gr_interrupted(NULL))
            return 0;
        if (resized) {
            resized = 0;
            el_resize(edit);
        }
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t got = read(STDIN_FILENO, bytes + n, 1);
        if (got <= 0)
            return 0;
        size_t used = mbrtowc(out, bytes + n++, 1, &state);
        if (used == (size_t)-1)
            memset(&state, n = 0, sizeof state); /* no character of this locale: as if it had not been typed */
        else if (used != (size_t)-2)
            return 1;
    }
    return 0;
}

static unsigned char on_cancel(EditLine *edit, int key)
{
    gr_lines *l;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &l);
    l->cancelled = true;
    return CC_NEWLINE;
}

static unsigned char on_stop(EditLine *edit, int key)
{
    (void)key;
    el_set(edit, EL_PREP_TERM, 0);
    kill(getpid(), SIGTSTP);
    el_set(edit, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

static void set_up(gr_lines *l)
{
    HistEvent event;
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, prompt_of);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_GETCFN, next_character);
    el_set(l->edit, EL_SETTY, "-d", "-isig", NULL);
    el_set(l->edit, EL_ADDFN, "gradus-cancel", "Gives up the line", on_cancel);
    el_set(l->edit, EL_ADDFN, "gradus-stop", "Stops the process", on_stop);
    el_set(l->edit, EL_BIND, "^C", "gradus-cancel", NULL);
    el_set(l->edit, EL_BIND, "^Z", "gradus-stop", NULL);
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    history(l->history, &event, H_SETSIZE, REMEMBERED);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_HIST, history, l->history);
    if (l->file)
        history(l->history, &event, H_LOAD, l->file);
    struct sigaction action = {0};
    action.sa_handler = on_resize;
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, NULL);
}

gr_lines *gr_lines_open(const char *file)
{
    setlocale(LC_CTYPE, ""); /* what the terminal sends are characters of it */
    gr_lines *l = gr_alloc_zero(1, sizeof *l);
    if (!l)
        return NULL;
    l->file = file ? gr_strdup(file) : NULL;
    l->history = history_init();
    l->edit = el_init("gradus", stdin, stdout, stderr);
    if ((file && !l->file) || !l->history || !l->edit) {
        gr_fail(GR_ERR_MEMORY, "the line editor cannot be set up\nSet TERM to the kind of your terminal.");
        gr_lines_close(l);
        return NULL;
    }
    set_up(l);
    return l;
}

gr_line_end gr_lines_read(gr_lines *l, const char *prompt, gr_bytes *out)
{
    int n = 0;
    l->prompt = prompt;
    l->cancelled = false;
    el_set(l->edit, EL_PREP_TERM, 1); /* before there is a prompt: what is typed from then on are keys */
    const char *line = el_gets(l->edit, &n);
    if (gr_interrupted(NULL)) /* before the terminal was told to send no signals */
        return gr_interrupt_forget() ? GR_LINE_CANCELLED : GR_LINE_OVER;
    if (l->cancelled)
        return GR_LINE_CANCELLED;
    if (!line || n <= 0)
        return GR_LINE_OVER;
    n -= line[n - 1] == '\n';
    return gr_bytes_add(out, line, (size_t)n) == GR_OK ? GR_LINE_WHOLE : GR_LINE_FAILED;
}

void gr_lines_remember(gr_lines *l, const char *text)
{
    HistEvent event;
    history(l->history, &event, H_ENTER, text);
}

/* What was typed is nobody else's business. */
static void save(gr_lines *l)
{
    HistEvent event;
    mode_t was = umask(077);
    history(l->history, &event, H_SAVE, l->file);
    umask(was);
}

void gr_lines_close(gr_lines *l)
{
    if (!l)
        return;
    if (l->edit)
        el_end(l->edit);
    if (l->file && l->history)
        save(l);
    if (l->history)
        history_end(l->history);
    gr_free(l->file);
    gr_free(l);
}

const char *gr_lines_editor(void)
{
    return "libedit";
}
