/* Writing to the terminal, and watching for signals. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "cli/human.h"
#include "cli/term.h"

/* One terminal, one state. The lock is held while a line or the bar is written: the library may log from any thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool colours_out, colours_err, is_utf8, draws_bar, write_failed;

static atomic_bool is_pipe_broken; /* whoever read stdout or stderr is gone */

static struct {
    bool is_active, is_drawn;
    char label[64], beside[160];
    double first, done, total;
    double started, drawn_at, next_line; /* seconds */
} bar;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- what the terminal can do ------------------------------------------------------------------------------- */

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != 0;
}

/* The locale as POSIX reads it: the first of these that is set. */
static bool locale_is_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++)
        if (is_set(names[i])) {
            const char *value = getenv(names[i]);
            return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "UTF8") || strstr(value, "utf-8");
        }
    return false;
}

void gr_term_start(bool quiet)
{
    const char *kind = getenv("TERM");
    bool is_dumb = kind == NULL || *kind == 0 || strcmp(kind, "dumb") == 0;
    /* https://no-color.org */
    bool wants = !quiet && !is_dumb && !is_set("NO_COLOR");
    colours_out = wants && isatty(STDOUT_FILENO);
    colours_err = wants && isatty(STDERR_FILENO);
    draws_bar = !quiet && !is_dumb && isatty(STDERR_FILENO);
    is_utf8 = locale_is_utf8();
}

int gr_term_width(FILE *to)
{
    struct winsize size;
    if (ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

bool gr_term_is_utf8(void)
{
    return is_utf8;
}

int gr_term_columns(const char *text)
{
    int columns = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        /* Lead bytes E3..ED begin most of the wide (CJK, kana, Hangul) characters, F0 9F.. the emoji. */
        if ((*s >= 0xE3 && *s <= 0xED) || *s == 0xF0)
            columns += 2;
        else if ((*s & 0xC0) != 0x80)
            columns++;
    }
    return columns;
}

const char *gr_style_on(FILE *to, gr_style style)
{
    static const char *const codes[] = {"\x1b[0m",  "\x1b[1m",  "\x1b[2m", "\x1b[31m",
                                        "\x1b[32m", "\x1b[33m", "\x1b[36m"};
    return (to == stdout ? colours_out : colours_err) ? codes[style] : "";
}

/* ---- the bar ------------------------------------------------------------------------------------------------ */

/* `columns` cells filled to `part`, in eighths of a cell where the terminal can. */
static void draw_cells(char *to, size_t size, double part, int columns)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int filled = (int)(part * columns * 8 + 0.5);
    size_t used = 0;
    for (int i = 0; i < columns; i++) {
        int here = filled - 8 * i;
        const char *cell = here >= 8             ? (is_utf8 ? "█" : "#")
                           : here > 0 && is_utf8 ? eighths[here]
                                                 : (is_utf8 ? " " : "-");
        used += (size_t)snprintf(to + used, size - used, "%s", cell);
    }
}

/* Share done, 0 to 1; -1 where the total is not known. */
static double part_done(void)
{
    if (bar.total <= 0)
        return -1;
    double part = bar.done / bar.total;
    return part < 0 ? 0 : part > 1 ? 1 : part;
}

/* ", 3 min 10 s left", from the speed since the start of this process. */
static void describe_time(char *to, size_t size, const char *separator)
{
    double elapsed = now() - bar.started, fresh = bar.done - bar.first;
    int n = snprintf(to, size, "%s%s", separator, gr_human_time(elapsed).s);
    if (bar.total > bar.done && fresh > 0 && elapsed > 1)
        snprintf(to + n, size - (size_t)n, "%s%s left", separator,
                 gr_human_time((bar.total - bar.done) * elapsed / fresh).s);
}

static void draw(void)
{
    char times[96], percent[8] = "", cells[256] = "";
    double part = part_done();
    describe_time(times, sizeof times, is_utf8 ? " · " : ", ");
    if (part >= 0)
        snprintf(percent, sizeof percent, " %3d%%", (int)(part * 100));
    int width = gr_term_width(stderr) - 1;
    int room = width - gr_term_columns(bar.label) - gr_term_columns(percent) - gr_term_columns(bar.beside) -
               gr_term_columns(times) - 4;
    if (part >= 0 && room >= 6)
        draw_cells(cells, sizeof cells, part, room > 30 ? 30 : room);
    /* A narrow terminal loses the bar first, then the times, then the text. */
    if (gr_term_columns(bar.label) + gr_term_columns(percent) + gr_term_columns(bar.beside) + gr_term_columns(times) +
            1 >
        width)
        times[0] = 0;
    bool fits = gr_term_columns(bar.label) + gr_term_columns(percent) + gr_term_columns(bar.beside) + 1 <= width;
    fprintf(stderr, "\r%s%s%s%s%s%s%s%s %s%s%s%s\x1b[K", gr_style_on(stderr, GR_BOLD), bar.label,
            gr_style_on(stderr, GR_PLAIN), percent, *cells ? (is_utf8 ? " ▕" : " [") : "", gr_style_on(stderr, GR_CYAN),
            cells, gr_style_on(stderr, GR_PLAIN), *cells ? (is_utf8 ? "▏" : "] ") : "", fits ? bar.beside : "",
            gr_style_on(stderr, GR_DIM), times);
    fprintf(stderr, "%s", gr_style_on(stderr, GR_PLAIN));
    fflush(stderr);
    bar.is_drawn = true;
    bar.drawn_at = now();
}

static void undraw(void)
{
    if (bar.is_drawn)
        fputs("\r\x1b[K", stderr);
    bar.is_drawn = false;
}

/* Where there is no bar: a line after 2, 4, 8, … seconds, then every minute. */
static void print_line(void)
{
    double elapsed = now() - bar.started;
    if (elapsed < bar.next_line)
        return;
    bar.next_line = elapsed + (elapsed < 2 ? 2 : elapsed > 60 ? 60 : elapsed);
    char times[96];
    describe_time(times, sizeof times, ", ");
    if (part_done() >= 0)
        fprintf(stderr, "%s %d%%%s%s%s\n", bar.label, (int)(part_done() * 100), *bar.beside ? ", " : "", bar.beside,
                times);
    else
        fprintf(stderr, "%s%s%s%s\n", bar.label, *bar.beside ? ", " : "", bar.beside, times);
}

void gr_progress_start(const char *label, double first, double total)
{
    pthread_mutex_lock(&lock);
    undraw();
    memset(&bar, 0, sizeof bar);
    bar.is_active = true;
    bar.first = bar.done = first;
    bar.total = total;
    bar.started = bar.drawn_at = now(); /* what is done at once shows no bar */
    bar.next_line = 2;
    snprintf(bar.label, sizeof bar.label, "%s", label);
    pthread_mutex_unlock(&lock);
}

void gr_progress_update(double done, const char *fmt, ...)
{
    pthread_mutex_lock(&lock);
    bar.done = done;
    bool is_last = bar.total > 0 && done >= bar.total;
    if (bar.is_active && (!draws_bar || is_last || now() - bar.drawn_at >= 0.1)) {
        va_list list;
        va_start(list, fmt);
        vsnprintf(bar.beside, sizeof bar.beside, fmt, list);
        va_end(list);
        if (draws_bar)
            draw();
        else
            print_line();
    }
    pthread_mutex_unlock(&lock);
}

bool gr_progress_is_bar(void)
{
    pthread_mutex_lock(&lock);
    bool is_bar = bar.is_active && draws_bar;
    pthread_mutex_unlock(&lock);
    return is_bar;
}

void gr_progress_end(void)
{
    pthread_mutex_lock(&lock);
    undraw();
    bar.is_active = false;
    pthread_mutex_unlock(&lock);
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

/* Text that may come from a file: what would move the cursor or ring the bell is shown, not obeyed. */
static void print_safely(FILE *to, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            fprintf(to, "\\x%02x", c);
        else
            fputc(c, to);
    }
}

static void print_line_of(const char *prefix, gr_style style, const char *fmt, va_list list)
{
    char text[2 * GR_ERROR_SIZE]; /* messages name paths */
    vsnprintf(text, sizeof text, fmt, list);
    pthread_mutex_lock(&lock);
    bool redraw = bar.is_drawn;
    undraw();
    if (*prefix)
        fprintf(stderr, "%s%s%s", gr_style_on(stderr, style), prefix, gr_style_on(stderr, GR_PLAIN));
    print_safely(stderr, text, strlen(text));
    fputc('\n', stderr);
    if (redraw)
        draw();
    pthread_mutex_unlock(&lock);
}

void gr_note(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    print_line_of("", GR_PLAIN, fmt, list);
    va_end(list);
}

void gr_warn(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    print_line_of("warning: ", GR_YELLOW, fmt, list);
    va_end(list);
}

void gr_out(const char *fmt, ...)
{
    va_list list;
    pthread_mutex_lock(&lock);
    bool redraw = bar.is_drawn;
    undraw();
    if (redraw)
        fflush(stderr);
    va_start(list, fmt);
    write_failed |= vprintf(fmt, list) < 0;
    va_end(list);
    /* Whoever reads along sees a line when it is made; only the bar needs the order on the screen kept. */
    if (redraw) {
        fflush(stdout);
        draw();
    }
    pthread_mutex_unlock(&lock);
}

void gr_out_bytes(const void *data, size_t size)
{
    if (size > 0) /* data may be NULL else */
        write_failed |= fwrite(data, 1, size, stdout) != size;
}

gr_status gr_out_json(gr_json_doc *doc)
{
    char *text = doc ? gr_json_format(doc, false, NULL) : NULL;
    if (text) {
        gr_out("%s\n", text);
        fflush(stdout);
    }
    gr_free(text);
    gr_json_free(doc);
    return text ? GR_OK : gr_error_status();
}

gr_status gr_out_finish(void)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout) || write_failed;
    if (failed && atomic_load(&is_pipe_broken)) { /* whoever read has seen enough: nothing to be said */
        gr_error_clear();
        return GR_ERR_INTERRUPTED;
    }
    if (failed)
        return gr_fail(GR_ERR_FILE, "stdout: cannot be written\nCheck that the disk it goes to is not full.");
    return GR_OK;
}

void gr_print_error(const char *message, const char *default_hint)
{
    size_t length = strcspn(message, "\n");
    const char *hint = message[length] == '\n' && message[length + 1] != 0 ? message + length + 1 : default_hint;
    pthread_mutex_lock(&lock);
    undraw();
    fprintf(stderr, "%sgradus:%s ", gr_style_on(stderr, GR_RED), gr_style_on(stderr, GR_PLAIN));
    print_safely(stderr, message, length);
    fputc('\n', stderr);
    /* One line, whatever the message holds. */
    print_safely(stderr, hint, strcspn(hint, "\n"));
    fputc('\n', stderr);
    pthread_mutex_unlock(&lock);
}

/* ---- signals ------------------------------------------------------------------------------------------------ */

static atomic_int is_asked;       /* somebody wants this to end */
static atomic_bool is_last;       /* and not by Ctrl-C: the process is to end */
static atomic_bool is_silent;     /* who asked is told elsewhere */
static atomic_llong first_ctrl_c; /* when it came, in milliseconds and not 0; 0: it did not */
enum { SAME_CTRL_C = 100 };       /* milliseconds: wrappers pass on what the terminal sends as well */

static void say_stopping(void)
{
    static const char text[] = "\ngradus: stopping as soon as the work is safe; Ctrl-C again stops at once\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
}

/* Only what POSIX allows in a handler: atomics, clock_gettime, write, _exit. */
static void on_signal(int number)
{
    long long at = (long long)(now() * 1e3) + 1, none = 0;
    bool is_first = number != SIGINT || atomic_compare_exchange_strong(&first_ctrl_c, &none, at);
    if (!is_first && at - none >= SAME_CTRL_C)
        _exit(130);
    /* What is sent a second time without a hand on the keyboard asks for the same: timeout sends to the process and to
     * its group, a shell that hangs up after the terminal did. */
    if (number != SIGINT)
        atomic_store(&is_last, true);
    if (atomic_exchange(&is_asked, 1) == 0 && number != SIGPIPE && !atomic_load(&is_silent))
        say_stopping();
}

/* The message would go where nobody reads. */
static void on_broken_pipe(int number)
{
    atomic_store(&is_pipe_broken, true);
    on_signal(number);
}

static void watch(int number, void (*handler)(int))
{
    struct sigaction action = {0};
    action.sa_handler = handler;
    /* Reads and writes go on: the flag is looked at between steps. */
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* The signals that ask for an end. Left ignored where the caller ignores them, as nohup does; but for these two. */
static sigset_t asking_signals(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2};
    sigset_t set;
    struct sigaction was;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (i < 2 || (sigaction(all[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN))
            sigaddset(&set, all[i]);
    return set;
}

void gr_interrupt_watch(void)
{
    sigset_t set = asking_signals();
    gr_interrupt_keep();
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&set, number) == 1)
            watch(number, on_signal);
}

/* ---- ending while there is nothing to keep ------------------------------------------------------------------ */

static sigset_t held;
static pthread_mutex_t quit_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*quit)(void *user); /* NULL: what is asked for is kept in mind */
static void *quit_user;

/* A handler could not clean up; a thread can. */
static void *wait_for_signals(void *unused)
{
    static const char text[] =
        "\ngradus: stopped before the first step\nNothing of it is kept: give the command again.\n";
    int number;
    (void)unused;
    for (;;) {
        if (sigwait(&held, &number) != 0)
            continue;
        pthread_mutex_lock(&quit_lock); /* and kept: whoever wants it now waits for the end */
        if (quit) {
            quit(quit_user);
            ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
            (void)written;
            _exit(130);
        }
        pthread_mutex_unlock(&quit_lock);
        on_signal(number);
    }
    return NULL;
}

void gr_interrupt_hold(void)
{
    held = asking_signals();
    pthread_sigmask(SIG_BLOCK, &held, NULL);
}

void gr_interrupt_quit(void (*clean)(void *user), void *user)
{
    pthread_t thread;
    quit = clean;
    quit_user = user;
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &held, NULL);
}

void gr_interrupt_keep(void)
{
    pthread_mutex_lock(&quit_lock);
    quit = NULL;
    pthread_mutex_unlock(&quit_lock);
}

void gr_broken_pipe_watch(void)
{
    watch(SIGPIPE, on_broken_pipe);
}

void gr_signals_start(void)
{
    /* Whoever started this may have left it ignored, and then `| head` would not end it. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* write() tells: EFBIG */
}

bool gr_interrupted(void *unused)
{
    (void)unused;
    return atomic_load(&is_asked) > 0;
}

bool gr_interrupt_forget(void)
{
    atomic_store(&is_silent, true);
    if (atomic_load(&is_last))
        return false;
    atomic_store(&first_ctrl_c, 0);
    atomic_store(&is_asked, 0);
    return true;
}

/* Bytes of the control character at text[i]; 0: it is none. Those above ASCII are two bytes of UTF-8. */
static size_t control_at(const char *text, size_t size, size_t i)
{
    unsigned char c = (unsigned char)text[i], next = i + 1 < size ? (unsigned char)text[i + 1] : 0;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0)
        return 2;
    return (c < 0x20 && c != '\t' && c != '\n') || c == 0x7F;
}

void gr_out_safely(const char *text, size_t size)
{
    size_t from = 0;
    for (size_t i = 0, n; i < size; i += n ? n : 1) {
        n = control_at(text, size, i);
        if (n == 0)
            continue;
        gr_out_bytes(text + from, i - from);
        gr_out("\\x%02x", (unsigned char)text[i + n - 1]);
        from = i + n;
    }
    gr_out_bytes(text + from, size - from);
}
