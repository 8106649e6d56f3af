/* gradus chat in a terminal, which this test is the other end of: editing, history, Ctrl-C, resizing, and that a conversation
 * that was changed goes on as one that was not. The model has learned a text by heart. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a terminal --------------------------------------------------------------------------------------------- */

typedef struct terminal {
    int fd;
    pid_t pid;
    char seen[1 << 20]; /* since the last thing that was expected */
    size_t n;
} terminal;

static terminal *the_terminal; /* one at a time */

static const char *executable(void)
{
    const char *bin = getenv("GRADUS_BIN");
    if (!bin || !*bin || access(bin, X_OK) != 0)
        SKIP("no executable (GRADUS_BIN)");
    return bin;
}

static void run_child(int fd, const char *name, char *const *words)
{
    close(fd);
    setsid();
    int other = open(name, O_RDWR); /* becomes the controlling terminal */
    for (int i = 0; i < 3; i++)
        dup2(other, i);
    if (other > 2)
        close(other);
    signal(SIGINT, SIG_DFL);
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    execv(words[0], words);
    _exit(127);
}

static terminal *start(const char *model, const char *more[])
{
    char *words[24] = {(char *)executable(), "chat", (char *)model, "--threads", "1"};
    int n = 5;
    for (int i = 0; more[i]; i++)
        words[n++] = (char *)more[i];
    terminal *t = calloc(1, sizeof *t);
    t->fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (t->fd < 0 || grantpt(t->fd) != 0 || unlockpt(t->fd) != 0)
        SKIP("no pseudo-terminals here");
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    const char *name = ptsname(t->fd);
    t->pid = fork();
    if (t->pid == 0)
        run_child(t->fd, name, words);
    ioctl(t->fd, TIOCSWINSZ, &size);
    return the_terminal = t;
}

/* More of what the command writes; false: nothing for 30 s, or it has ended. */
static bool hear(terminal *t)
{
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    if (poll(&p, 1, 30000) <= 0)
        return false;
    if (t->n > sizeof t->seen / 2) {
        t->n /= 2;
        memmove(t->seen, t->seen + t->n, t->n);
    }
    ssize_t got = read(t->fd, t->seen + t->n, sizeof t->seen - 1 - t->n);
    t->n += got > 0 ? (size_t)got : 0;
    t->seen[t->n] = 0;
    return got > 0;
}

static void expect(terminal *t, const char *text)
{
    char *at;
    while (!(at = strstr(t->seen, text)))
        if (!hear(t)) {
            fprintf(stderr, "--- expected '%s', seen:\n%s\n---\n", text, t->seen);
            CHECK(!"the text that was expected");
        }
    at += strlen(text);
    t->n -= (size_t)(at - t->seen);
    memmove(t->seen, at, t->n + 1);
}

static void type(terminal *t, const char *keys)
{
    CHECK_EQ_INT(write(t->fd, keys, strlen(keys)), strlen(keys));
}

/* A line, and its effect, which is waited for. */
static void enter(terminal *t, const char *line, const char *effect)
{
    type(t, line);
    type(t, "\r");
    expect(t, "\n");
    expect(t, effect);
    expect(t, "> ");
}

static int finish(terminal *t)
{
    int status = 0;
    while (hear(t)) {
    }
    if (waitpid(t->pid, &status, WNOHANG) == 0) {
        struct timespec second = {1, 0};
        nanosleep(&second, NULL);
        kill(t->pid, SIGKILL); /* nothing to do if it has ended by now */
    }
    waitpid(t->pid, &status, 0);
    close(t->fd);
    free(t);
    the_terminal = NULL;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- a model ------------------------------------------------------------------------------------------------ */

static const char text[] = "the quick brown fox jumps over the lazy dog; née Ödön, 狐/.\n";

/* In the folder of the test, which becomes the current one: run, turn.jinja, and no history. */
static void make_model(void)
{
    char command[1400], many[40 * sizeof text] = "";
    static const char turn[] = "{% for m in messages %}{{ m.content }};\n{% endfor %}";
    for (int i = 0; i < 40; i++)
        strcat(many, text);
    test_file("text.txt", many, strlen(many));
    test_file("turn.jinja", turn, sizeof turn - 1);
    CHECK_EQ_INT(chdir(test_dir()), 0);
    snprintf(
        command, sizeof command,
        "'%s' train text.txt --tokenizer char --arch llama --steps 60 --layers 1 --embed 32 --heads 2 --context 64 "
        "--batch 4 --lr 1e-2 --warmup 5 --out run --quiet 2>log",
        executable());
    CHECK_EQ_INT(system(command), 0);
    setenv("XDG_STATE_HOME", test_dir(), 1);
    unsetenv("VISUAL");
    unsetenv("EDITOR");
}

#define WITH(...) ((const char *[]){"--chat-template", "turn.jinja", "--context", "2000", __VA_ARGS__, NULL})

static char *content(const char *path)
{
    char *made = gr_file_read(path, 1 << 20, NULL);
    CHECK_MADE(made);
    return made;
}

static void check_same(const char *a, const char *b)
{
    char *one = content(a), *two = content(b);
    CHECK_EQ_STR(one, two);
    gr_free(one);
    gr_free(two);
}

static void check_holds(const char *path, const char *part)
{
    char *all = content(path);
    if (!strstr(all, part))
        fprintf(stderr, "--- %s:\n%s---\n", path, all);
    CHECK(strstr(all, part));
    gr_free(all);
}

/* ---- tests -------------------------------------------------------------------------------------------------- */

TEST(editing_history_and_lines)
{
    make_model();
    char command[700];
    snprintf(command, sizeof command, "'%s' --version | grep -q 'lines: libedit'", executable());
    if (system(command) != 0)
        SKIP("this build has no line editor");
    terminal *t = start("run", WITH("-n", "12", "--temperature", "0"));
    expect(t, "> ");
    enter(t, "the quXX\x7f\x7fick", "\n");
    enter(t, "\x1b[A", "\n");        /* the line before */
    enter(t, "ick\x01the qu", "\n"); /* from its beginning */
    enter(t, "/save a.json", "6 messages saved");
    check_holds("a.json",
                "[\n {\"role\": \"user\", \"content\": \"the quick\"},\n {\"role\": \"assistant\", \"content\": \"");
    char *all = content("a.json");
    char *second = strstr(strstr(all, "the quick") + 1, "the quick");
    CHECK(second && strstr(second + 1, "the quick"));
    gr_free(all);
    struct winsize size = {.ws_row = 10, .ws_col = 30};
    CHECK_EQ_INT(ioctl(t->fd, TIOCSWINSZ, &size), 0);
    enter(t, "née Ödön, 狐 née Ödön, 狐 née Ödön, \xe7\x8b\x90\x7f", "\n"); /* wider than the terminal */
    type(t, "one\\\r");
    expect(t, ". ");
    enter(t, "two", "\n");
    type(t, "\"\"\"\r");
    expect(t, ". ");
    type(t, "/three\r");
    expect(t, ". ");
    type(t, "fox\r");
    expect(t, ". ");
    enter(t, "\"\"\"", "\n");
    enter(t, "//fox", "\n");
    enter(t, "/save b.json", "14 messages saved");
    check_holds("b.json", "\"née Ödön, 狐 née Ödön, 狐 née Ödön, \"");
    check_holds("b.json", "\"one\\ntwo\"");
    check_holds("b.json", "\"/three\\nfox\"");
    check_holds("b.json", "\"/fox\"");
    type(t, "/exit\r"); /* what others call /quit */
    CHECK_EQ_INT(finish(t), 0);
    check_holds("gradus/chat_history", "the\\040quick");
}

/* Another answer, another message, a turn taken back: as if nothing else had been said, bit for bit. */
TEST(undo_and_retry)
{
    make_model();
    terminal *t = start("run", WITH("-n", "30", "--temperature", "1.5"));
    expect(t, "> ");
    enter(t, "the quick", "\n");
    enter(t, "fox", "\n");
    enter(t, "/save whole.json", "saved");
    enter(t, "/undo", "taken back");
    enter(t, "dog; the lazy fox over the brown dog", "\n");
    enter(t, "jumps", "\n");
    enter(t, "/undo", "taken back");
    enter(t, "/undo", "taken back");
    enter(t, "fox", "\n");
    enter(t, "/save undone.json", "saved");
    check_same("whole.json", "undone.json");
    enter(t, "/retry", "\n"); /* draws with the next seed */
    enter(t, "/save retried.json", "saved");
    enter(t, "/edit lazy", "\n");
    enter(t, "/save edited.json", "saved");
    enter(t, "/drop", "1 of the oldest");
    enter(t, "/save dropped.json", "2 messages");
    enter(t, "/load whole.json", "4 messages loaded");
    enter(t, "/tokens", "of 2000 tokens");
    enter(t, "/retry", "\n");
    type(t, "/quit\r");
    CHECK_EQ_INT(finish(t), 0);
    t = start("run", WITH("-n", "30", "--temperature", "1.5"));
    expect(t, "> ");
    enter(t, "the quick", "\n");
    enter(t, "/set seed 2", "");
    enter(t, "fox", "\n");
    enter(t, "/save second.json", "saved");
    enter(t, "/undo", "taken back");
    enter(t, "/set seed 1", "");
    enter(t, "lazy", "\n");
    enter(t, "/save lazy.json", "saved");
    type(t, "\x04");
    CHECK_EQ_INT(finish(t), 0);
    check_same("retried.json", "second.json");
    check_same("edited.json", "lazy.json");
    char *whole = content("whole.json"), *retried = content("retried.json");
    CHECK(strcmp(whole, retried) != 0);
    gr_free(whole);
    gr_free(retried);
}

TEST(ctrl_c)
{
    make_model();
    terminal *t =
        start("run", ((const char *[]){"--chat-template", "turn.jinja", "--context", "200000", "-n", "190000", NULL}));
    expect(t, "> ");
    type(t, "the quick\r");
    expect(t, "\n");
    expect(t, "brown");
    type(t, "\x03");
    expect(t, "[stopped");
    expect(t, "> ");
    enter(t, "/save kept.json", "2 messages saved"); /* what was said until then */
    check_holds("kept.json", "brown");
    enter(t, "/set tokens 5", "[tokens 5]");
    enter(t, "fox", "\n");
    type(t, "half a line\x03");
    expect(t, "Ctrl-C again");
    expect(t, "> ");
    enter(t, "/save kept.json", "4 messages saved"); /* without half a line */
    type(t, "\x03");
    expect(t, "Ctrl-C again");
    expect(t, "> ");
    type(t, "\x03");
    CHECK_EQ_INT(finish(t), 130);
}

TEST(what_cannot_be_done)
{
    make_model();
    test_file("own.txt", "mine", 4);
    test_file("system.jinja", "{{ messages[0].role[0] }}{{ messages[-1].content }}", 51);
    terminal *t =
        start("run", ((const char *[]){"--chat-template", "turn.jinja", "--context", "60", "-n", "20", NULL}));
    expect(t, "> ");
    enter(t, "/undo", "nothing was said yet");
    enter(t, "/tokens", "0 of 60 tokens of the context: nothing was said yet");
    enter(t, "/rety", "Did you mean /retry?");
    enter(t, "/set temperature -1", "/set temperature");
    enter(t, "/set speed 2", "/set speed: there is nothing of this name to set");
    enter(t, "/set temperature", "/set temperature: takes a name and a value");
    enter(t, "/drop x", "/drop: ");
    enter(t, "/drop -1", "/drop: ");
    enter(t, "/drop 0", "/drop: ");
    enter(t, "/set temperature 0", "");
    enter(t, "/load nowhere.json", "nowhere.json");
    enter(t, "/load own.txt", "own.txt");
    enter(t, "/save own.txt", "is no conversation");
    enter(t, "/adapter nowhere", "nowhere");
    enter(t, "/edit", "nothing was said yet");
    enter(t, "the quick", "\n");
    enter(t, "/edit", "VISUAL and EDITOR name no editor");
    enter(t, "the lazy dog; the lazy dog", "the conversation has 6"); /* and what was typed is taken back */
    enter(t, "/drop", "1 of the oldest");
    enter(t, "/drop", "no turn");
    enter(t, "the quick", "\n");
    enter(t, "the quick", "the context of 60 tokens is full");
    enter(t, "/help", "/adapter DIR|off");
    type(t, "\x04");
    expect(t, "\n"); /* for the shell's prompt */
    CHECK_EQ_INT(finish(t), 0);
}

/* Another adapter, another model of the same base; and a message that an editor makes. */
TEST(adapters_and_an_editor)
{
    make_model();
    char command[700], many[41 * 24] = "";
    for (int i = 0; i < 40; i++)
        strcat(many, "the quick dog née fox;\n");
    test_file("other.txt", many, strlen(many));
    snprintf(command, sizeof command,
             "'%s' finetune run other.txt --steps 40 --context 32 --lr 2e-2 --lora-rank 4 --lora-targets all-linear "
             "--out tuned "
             "--quiet 2>log",
             executable());
    CHECK_EQ_INT(system(command), 0);
    terminal *t = start("run", WITH("-n", "20", "--temperature", "0"));
    expect(t, "> ");
    enter(t, "the quick", "\n");
    enter(t, "/save base.json", "saved");
    enter(t, "/adapter tuned", "[adapter tuned]");
    enter(t, "/retry", "\n");
    enter(t, "/save tuned.json", "saved");
    enter(t, "/adapter off", "[adapter off]");
    enter(t, "/retry", "\n");
    enter(t, "/save off.json", "saved");
    type(t, "\x04");
    CHECK_EQ_INT(finish(t), 0);
    static const char editor[] = "#!/bin/sh\nsed 's/lazy/quick/' \"$1\" >made && cp made \"$1\"\n";
    test_file("editor", editor, sizeof editor - 1);
    CHECK_EQ_INT(system("chmod +x editor"), 0);
    setenv("EDITOR", "./editor", 1);
    t = start("run", WITH("-n", "20", "--temperature", "0", "--adapter", "tuned"));
    expect(t, "> ");
    enter(t, "the lazy", "\n");
    enter(t, "/edit", "\n");
    enter(t, "/save given.json", "2 messages saved");
    type(t, "\x04");
    CHECK_EQ_INT(finish(t), 0);
    check_same("base.json", "off.json");
    check_same("tuned.json", "given.json");
    char *base = content("base.json"), *tuned = content("tuned.json");
    CHECK(strcmp(base, tuned) != 0);
    gr_free(base);
    gr_free(tuned);
}
