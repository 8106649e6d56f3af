/* The commands of gradus chat: lines that begin with /. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/number.h"
#include "cli/chat.h"
#include "cli/human.h"
#include "cli/suggest.h"
#include "cli/term.h"
#include "cli/value.h"

enum { MOST_OF_A_MESSAGE = 1 << 26 }; /* bytes */

/* A command; rest: what stands behind its name, "" if nothing. */
typedef struct command {
    const char *name, *value, *help;
    gr_status (*run)(gr_talk *t, const char *rest);
} command;

static gr_status needs(const char *what)
{
    return gr_fail(GR_ERR_ARGUMENT, "%s\n/help lists what there is.", what);
}

/* ---- what was said ------------------------------------------------------------------------------------------ */

static gr_status system_message(gr_talk *t, const char *rest)
{
    gr_status s = gr_messages_set_system(&t->said, rest);
    if (s == GR_OK)
        gr_note(*rest ? "[system message set]" : "[no system message]");
    return s;
}

static gr_status undo(gr_talk *t, const char *rest)
{
    (void)rest;
    if (!gr_talk_undo(t))
        return needs("/undo: nothing was said yet");
    gr_note("[the last message and its answer are taken back]");
    return GR_OK;
}

static gr_status retry(gr_talk *t, const char *rest)
{
    (void)rest;
    return gr_talk_again(t, true);
}

static gr_status drop(gr_talk *t, const char *rest)
{
    static const gr_flag turns = {.kind = GR_KIND_INT, .min = 1, .max = INT32_MAX, .unit = "turns"};
    int64_t n = 1;
    if (*rest && gr_value_parse(&turns, rest, &n) != GR_OK)
        return gr_fail_in("/drop");
    int64_t dropped = gr_messages_drop(&t->said, n);
    if (dropped == 0)
        return needs("/drop: there is no turn to take out");
    t->last.is_there = t->last.is_there && t->said.n > 0;
    gr_note("[%lld of the oldest turns taken out]", (long long)dropped);
    return GR_OK;
}

/* ---- editing the last message ------------------------------------------------------------------------------- */

/* Runs the user's editor on a file; the text that it leaves. */
static gr_status run_editor(const char *editor, const char *path, gr_bytes *out)
{
    char *words = gr_strfmt("%s '%s'", editor, path);
    int code = words ? system(words) : 0;
    gr_free(words);
    if (!words)
        return GR_ERR_MEMORY;
    if (code != 0)
        return gr_fail(GR_ERR_ARGUMENT, "/edit: %s failed\nSet VISUAL or EDITOR, or write /edit TEXT.", editor);
    out->data = gr_file_read(path, MOST_OF_A_MESSAGE, &out->size);
    if (!out->data)
        return gr_error_status();
    while (out->size > 0 && out->data[out->size - 1] == '\n')
        out->size--;
    return GR_OK;
}

static gr_status edit_text(const char *text, gr_bytes *out)
{
    const char *editor = getenv("VISUAL"), *folder = getenv("TMPDIR");
    editor = editor && *editor ? editor : getenv("EDITOR");
    if (!editor || !*editor)
        return gr_fail(GR_ERR_ARGUMENT, "/edit: VISUAL and EDITOR name no editor\nWrite /edit TEXT.");
    char *path = gr_strfmt("%s/gradus-message-XXXXXX", folder && *folder ? folder : "/tmp");
    int file = path ? mkstemp(path) : -1;
    gr_status s = !path ? GR_ERR_MEMORY : file < 0 ? gr_fail_errno("making", path) : GR_OK;
    if (file >= 0) {
        size_t n = strlen(text);
        s = write(file, text, n) == (ssize_t)n ? GR_OK : gr_fail_errno("writing", path);
        close(file);
        if (s == GR_OK)
            s = run_editor(editor, path, out);
        unlink(path);
    }
    gr_free(path);
    return s;
}

static gr_status edit(gr_talk *t, const char *rest)
{
    int64_t last = gr_messages_last_user(&t->said);
    gr_bytes text = {0};
    if (last < 0)
        return needs("/edit: nothing was said yet");
    char *was = *rest ? NULL : gr_messages_text(&t->said, last);
    gr_status s = *rest ? gr_bytes_add_string(&text, rest) : was ? edit_text(was, &text) : gr_error_status();
    if (s == GR_OK) {
        gr_talk_undo(t);
        s = gr_talk_say(t, text.data ? text.data : "", text.size);
    }
    gr_free(was);
    gr_bytes_free(&text);
    return s;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* A file that is there is written over only if it holds a conversation. */
static gr_status may_write(const char *path)
{
    char head[256] = "";
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(head, 1, sizeof head - 1, file) : 0;
    if (file)
        fclose(file);
    head[n] = 0;
    if (n == 0 || (head[0] == '{' && strstr(head, "\"messages\"")))
        return GR_OK;
    return gr_fail(GR_ERR_ARGUMENT, "/save: %s is there, and is no conversation\nGive another name.", path);
}

static gr_status save(gr_talk *t, const char *rest)
{
    if (!*rest)
        return needs("/save: needs the name of a file");
    gr_status s = may_write(rest);
    if (s == GR_OK)
        s = gr_messages_save(&t->said, rest);
    if (s == GR_OK)
        gr_note("[%zu message%s saved]", t->said.n, gr_plural((int64_t)t->said.n));
    return s;
}

static gr_status load(gr_talk *t, const char *rest)
{
    if (!*rest)
        return needs("/load: needs the name of a file");
    gr_status s = gr_messages_load(&t->said, rest);
    if (s != GR_OK)
        return s;
    t->keep = 0;
    t->last.is_there = false;
    gr_note("[%zu message%s loaded]", t->said.n, gr_plural((int64_t)t->said.n));
    return GR_OK;
}

/* ---- the model ---------------------------------------------------------------------------------------------- */

static gr_status tokens(gr_talk *t, const char *rest)
{
    const struct gr_last *l = &t->last;
    int64_t n;
    (void)rest;
    gr_status s = gr_talk_count(t, &n);
    if (s != GR_OK)
        return s;
    gr_note("%lld of %lld tokens of the context%s", (long long)n, (long long)t->with.capacity,
            t->said.n > 0 ? "" : ": nothing was said yet");
    bool has_rate = l->made > 1 && l->decode_s > 0; /* of those behind the first */
    if (l->is_there)
        gr_note(
            "of the last turn %lld were in the cache, %lld were read, the first new one came after %s, %lld made%s%s%s",
            (long long)l->kept, (long long)(l->conversation - l->made - l->kept), gr_human_time(l->first_s).s,
            (long long)l->made, has_rate ? ", " : "",
            has_rate ? gr_human_count((double)(l->made - 1) / l->decode_s).s : "", has_rate ? "/s" : "");
    return GR_OK;
}

/* The new one is opened before the old one is let go: what cannot be had changes nothing. */
static gr_status adapter(gr_talk *t, const char *rest)
{
    gr_partner fresh = {.on = {.is_again = true}};
    const char *was = t->args->common.adapter;
    char *name = *rest ? gr_strdup(strcmp(rest, "off") == 0 ? "none" : rest) : NULL;
    if (!name)
        return *rest ? GR_ERR_MEMORY : needs("/adapter: needs a directory, or off");
    t->args->common.adapter = name;
    gr_status s = gr_partner_open(t->args, &fresh);
    if (s != GR_OK) {
        t->args->common.adapter = was;
        gr_partner_close(&fresh);
        gr_free(name);
        return s;
    }
    gr_partner_close(&t->with);
    gr_free(t->adapter);
    t->with = fresh;
    t->adapter = name;
    t->keep = 0;
    gr_note("[adapter %s]", rest);
    return GR_OK;
}

/* Those flags that change no more than how an answer is made. */
static gr_status set(gr_talk *t, const char *rest)
{
    static const char *const names[] = {
        "temperature",      "top-k",  "top-p", "min-p", "typical-p", "repeat-penalty", "frequency-penalty",
        "presence-penalty", "tokens", "seed"};
    size_t n = strcspn(rest, " ="), i = 0, count = sizeof names / sizeof *names;
    const char *value = rest + n + strspn(rest + n, " =");
    while (i < count && (strlen(names[i]) != n || strncmp(names[i], rest, n) != 0))
        i++;
    if (i == count || !*value)
        return gr_fail(GR_ERR_ARGUMENT,
                       "/set%s%.*s: %s\nNames are temperature, top-k, top-p, min-p, typical-p, "
                       "repeat-penalty, frequency-penalty, presence-penalty, tokens, seed.",
                       n ? " " : "", (int)(n > 40 ? 40 : n), rest,
                       n > 0 && i == count ? "there is nothing of this name to set" : "takes a name and a value");
    const gr_slot *slot = gr_args_slot(t->args, names[i]);
    gr_status s = gr_value_parse(slot->flag, value, slot->field);
    if (s != GR_OK)
        return gr_fail_in("/set %s", names[i]);
    gr_note("[%s %s]", names[i], value);
    return GR_OK;
}

/* ---- the list ----------------------------------------------------------------------------------------------- */

static gr_status quit(gr_talk *t, const char *rest)
{
    (void)rest;
    t->over = true;
    return GR_OK;
}

static gr_status help(gr_talk *t, const char *rest);

static const command commands[] = {
    {"system", "TEXT", "what the model is told first; without TEXT nothing", system_message},
    {"retry", "", "another answer to the last message", retry},
    {"undo", "", "takes the last message and its answer back", undo},
    {"edit", "[TEXT]", "the last message anew: TEXT, or what VISUAL or EDITOR makes of it", edit},
    {"drop", "[N]", "takes the N oldest turns out, 1 if not said", drop},
    {"save", "FILE", "writes the conversation as JSON", save},
    {"load", "FILE", "goes on with a conversation from a file", load},
    {"tokens", "", "how full the context is, and what the last turn took", tokens},
    {"adapter", "DIR|off", "puts another adapter on the model, or none", adapter},
    {"set", "NAME VALUE", "a sampler, as /set temperature 0.7; or tokens, seed", set},
    {"help", "", "this list", help},
    {"quit", "", "ends, as Ctrl-D and /exit do", quit},
    {"exit", "", NULL, quit}, /* what others call it */
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static gr_status help(gr_talk *t, const char *rest)
{
    (void)t;
    (void)rest;
    for (int i = 0; i < COMMANDS && commands[i].help; i++)
        gr_note("/%s %-*s  %s", commands[i].name, (int)(20 - strlen(commands[i].name)), commands[i].value,
                commands[i].help);
    gr_note("A line that ends with \\ goes on in the next; between two lines of \"\"\" all lines are one message. A "
            "message "
            "that begins with / has one more: //.");
    gr_note("Ctrl-C stops an answer and keeps what was said; twice, or Ctrl-D, ends.");
    return GR_OK;
}

gr_status gr_talk_command(gr_talk *t, const char *line)
{
    size_t n = strcspn(line + 1, " \t");
    const char *rest = line + 1 + n + strspn(line + 1 + n, " \t");
    gr_suggestion near = {.written = line + 1};
    for (int i = 0; i < COMMANDS; i++) {
        if (strlen(commands[i].name) == n && strncmp(commands[i].name, line + 1, n) == 0)
            return commands[i].run(t, rest);
        gr_suggest(&near, commands[i].name, strlen(commands[i].name));
    }
    return gr_fail(GR_ERR_ARGUMENT, "/%.*s: no such command\n%s%s%s", (int)(n > 40 ? 40 : n), line + 1,
                   near.best ? "Did you mean /" : "/help lists what there is", near.best ? near.best : "",
                   near.best ? "?" : ".");
}
