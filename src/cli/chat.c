/* gradus chat. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/utf8.h"
#include "cli/chat.h"
#include "cli/term.h"
#include "cli/verbs.h"

/* ---- the model ---------------------------------------------------------------------------------------------- */

enum { USUAL_CONTEXT = 8192 }; /* keys and values of more are much memory that few conversations need */

static gr_status open_generator(gr_args *args, gr_partner *p)
{
    const gr_chat_options *o = args->options;
    const gr_model_info *info = gr_model_describe(p->on.model);
    int64_t usual = info->context < USUAL_CONTEXT ? info->context : USUAL_CONTEXT;
    if (o->context && info->limit && o->context > info->limit)
        return gr_args_fail(args, "--context: the model takes %lld tokens at most\nGive no more.",
                            (long long)info->limit);
    p->capacity = o->context ? o->context : usual;
    if (p->capacity > info->context)
        gr_warn("a context of %lld tokens is more than the %lld that the model was made for", (long long)p->capacity,
                (long long)info->context);
    p->generator = gr_generator_new(p->on.model, 1, p->capacity);
    return p->generator ? gr_generator_reset(p->generator) : gr_error_status();
}

static gr_status render_with(gr_partner *p, const char *variables, const gr_rendered **out)
{
    static const char probe[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}";
    gr_conversation c = GR_INIT(gr_conversation);
    c.json = probe;
    c.json_size = sizeof probe - 1;
    c.variables = variables;
    c.variables_size = strlen(variables);
    c.tokenizer = p->on.tokenizer;
    return gr_template_render(p->chat.template, &c, out);
}

/* A template that knows the variable makes two texts of its two values. */
static gr_status check_thinking(gr_args *args, gr_partner *p)
{
    const gr_rendered *yes = NULL, *no = NULL;
    gr_status s = render_with(p, "{\"enable_thinking\": true}", &yes);
    if (s == GR_OK)
        s = render_with(p, "{\"enable_thinking\": false}", &no);
    if (s == GR_OK && strcmp(yes->text, no->text) == 0)
        s = gr_args_fail(args,
                         "--no-thinking: this model's chat template does not know enable_thinking\nLeave it out.");
    gr_free(yes);
    gr_free(no);
    return s;
}

gr_status gr_partner_open(gr_args *args, gr_partner *p)
{
    const gr_chat_options *o = args->options;
    gr_load_options load = GR_INIT(gr_load_options);
    gr_dtype cache[2];
    gr_set_running(args, &o->running, cache, &load);
    gr_status s = gr_open_model(args, args->positional[0], &load, &p->on);
    if (s == GR_OK)
        s = gr_need_tokenizer(&p->on);
    if (s == GR_OK)
        s = gr_chat_open(args, &o->template, p->on.found->tokenizer, &p->chat);
    if (s == GR_OK)
        s = gr_chat_find_end(&p->chat, p->on.tokenizer);
    if (s == GR_OK && o->no_thinking)
        s = check_thinking(args, p);
    return s == GR_OK ? open_generator(args, p) : s;
}

void gr_partner_close(gr_partner *p)
{
    gr_generator_free(p->generator);
    gr_chat_close(&p->chat);
    gr_close_opened(&p->on);
    *p = (gr_partner){0};
}

/* ---- not a terminal ----------------------------------------------------------------------------------------- */

/* What is wrong with a line is told, and no reason to leave out those behind it. */
static gr_status answer_line(gr_talk *t, const gr_bytes *line, int64_t number, int64_t *unanswered)
{
    size_t before = t->said.n;
    gr_status s = gr_talk_say(t, line->data ? line->data : "", line->size);
    bool is_of_line = s == GR_ERR_ARGUMENT || s == GR_ERR_FILE || s == GR_ERR_UNSUPPORTED;
    if (!is_of_line || t->said.n != before) /* an answer that cannot be written is one, too */
        return s;
    gr_fail_in("standard input: line %lld", (long long)number);
    gr_print_error(gr_error(), "Correct this line; those behind it are read.");
    gr_error_clear();
    (*unanswered)++;
    return GR_OK;
}

/* A message a line. */
static gr_status answer_lines(gr_talk *t)
{
    gr_bytes ahead = {0}, line = {0};
    int64_t n = 0, unanswered = 0;
    gr_status s = GR_OK;
    gr_line_end end = GR_LINE_WHOLE;
    gr_interrupt_watch();
    while (s == GR_OK && end == GR_LINE_WHOLE) {
        line.size = 0;
        end = gr_plain_read(&ahead, &line);
        if (end == GR_LINE_WHOLE)
            s = answer_line(t, &line, ++n, &unanswered);
    }
    gr_bytes_free(&ahead);
    gr_bytes_free(&line);
    if (s == GR_OK && end == GR_LINE_CANCELLED)
        s = gr_fail(GR_ERR_INTERRUPTED, "chat: stopped\nEach message before has its answer.");
    if (s == GR_OK && end == GR_LINE_FAILED)
        return gr_error_status();
    if (s == GR_OK && unanswered > 0)
        s = gr_fail(GR_ERR_ARGUMENT, "chat: lines without an answer: %lld of %lld\nWhy is told above, line by line.",
                    (long long)unanswered, (long long)n);
    return s;
}

/* ---- a terminal --------------------------------------------------------------------------------------------- */

static bool ends_with(const gr_bytes *b, const char *end)
{
    size_t n = strlen(end);
    return b->size >= n && memcmp(b->data + b->size - n, end, n) == 0;
}

/* A message of one line or several, NUL-terminated; in a block nothing is a command. */
static gr_line_end read_message(gr_talk *t, gr_bytes *out, bool *is_block)
{
    static const char block[] = "\"\"\"";
    gr_line_end end = gr_lines_read(t->lines, "> ", out);
    bool in_block = *is_block = end == GR_LINE_WHOLE && out->size == 3 && memcmp(out->data, block, 3) == 0;
    if (in_block)
        out->size = 0;
    while (end == GR_LINE_WHOLE && (in_block || ends_with(out, "\\"))) {
        size_t from = out->size;
        if (!in_block)
            out->data[out->size - 1] = '\n';
        end = gr_lines_read(t->lines, ". ", out);
        if (in_block && end == GR_LINE_WHOLE && out->size == from + 3 && memcmp(out->data + from, block, 3) == 0) {
            out->size = from > 0 ? from - 1 : 0; /* and without the last line's end */
            break;
        }
        if (in_block && end == GR_LINE_WHOLE && gr_bytes_add(out, "\n", 1) != GR_OK)
            end = GR_LINE_FAILED;
    }
    if (end == GR_LINE_WHOLE && gr_bytes_add(out, "", 1) != GR_OK)
        end = GR_LINE_FAILED;
    return end;
}

/* What a turn fails with ends the turn, not the conversation. */
static gr_status take_message(gr_talk *t, const gr_bytes *message, bool is_block)
{
    const char *text = message->data;
    size_t size = message->size - 1;
    if (size == 0)
        return GR_OK;
    gr_lines_remember(t->lines, text);
    gr_status s;
    if (is_block || text[0] != '/')
        s = gr_talk_say(t, text, size);
    else
        s = text[1] == '/' ? gr_talk_say(t, text + 1, size - 1) : gr_talk_command(t, text);
    t->args->is_usage = false;
    if (!gr_interrupt_forget())
        return gr_fail(GR_ERR_INTERRUPTED, "chat: asked to end\n/save FILE keeps a conversation.");
    if (s != GR_OK && s != GR_ERR_INTERRUPTED)
        gr_print_error(gr_error(), "/help lists what there is.");
    return GR_OK;
}

static gr_status converse(gr_talk *t)
{
    gr_bytes message = {0};
    gr_status s = GR_OK;
    bool cancelled = false, is_block;
    gr_interrupt_watch();
    gr_interrupt_forget();
    gr_note("Write a message; /help tells what else there is.");
    while (s == GR_OK && !t->over) {
        message.size = 0;
        gr_line_end end = read_message(t, &message, &is_block);
        if (end == GR_LINE_OVER) /* the shell's prompt is to stand in a line of its own */
            gr_out("\n");
        t->over = end == GR_LINE_OVER || (end == GR_LINE_CANCELLED && cancelled);
        if (end == GR_LINE_CANCELLED && !t->over)
            gr_note("Ctrl-C again, or Ctrl-D, ends.");
        cancelled = end == GR_LINE_CANCELLED;
        if (end == GR_LINE_WHOLE)
            s = take_message(t, &message, is_block);
        else if (end == GR_LINE_FAILED)
            s = gr_error_status();
    }
    if (s == GR_OK && cancelled)
        s = gr_fail(GR_ERR_INTERRUPTED, "chat: ended by Ctrl-C\n/save FILE keeps a conversation.");
    gr_bytes_free(&message);
    return s;
}

/* Where the lines of other sessions are. */
static char *history_file(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool has_state = state && *state == '/';
    char *folder = NULL, *path = NULL;
    if (has_state || (home && *home))
        folder = has_state ? gr_strfmt("%s/gradus", state) : gr_strfmt("%s/.local/state/gradus", home);
    if (folder && gr_dir_make(folder) == GR_OK)
        path = gr_path_join(folder, "chat_history");
    gr_free(folder);
    return path;
}

static gr_status open_lines(gr_talk *t)
{
    char *history = history_file();
    t->lines = gr_lines_open(history);
    gr_free(history);
    return t->lines ? GR_OK : gr_error_status();
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status work_on(gr_talk *t)
{
    gr_chat_options *o = t->args->options;
    static const char off[] = "enable_thinking=false";
    gr_status s = GR_OK;
    for (size_t i = 0; i < o->stop.count; i++)
        if (!*o->stop.items[i])
            return gr_args_fail(t->args, "--stop: a stop text is empty\nGive it at least one character.");
    if (o->system && !gr_utf8_valid(o->system, strlen(o->system)))
        return gr_args_fail(t->args, "--system: the text is not UTF-8\nGive it in UTF-8.");
    if (o->no_thinking)
        s = gr_grow(&o->template.args.items, &o->template.args.cap, o->template.args.count + 1, sizeof(char *));
    if (s == GR_OK && o->no_thinking)
        o->template.args.items[o->template.args.count++] = off;
    if (s == GR_OK)
        s = gr_partner_open(t->args, &t->with);
    if (s == GR_OK)
        gr_tell_precision(t->with.on.device, (gr_precision)o->running.precision);
    if (s == GR_OK)
        s = gr_samplers_of_model(t->args, &t->with.on);
    if (s == GR_OK && o->system)
        s = gr_messages_set_system(&t->said, o->system);
    if (s == GR_OK && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !t->args->common.json)
        s = open_lines(t);
    if (s != GR_OK)
        return s;
    return t->lines ? converse(t) : answer_lines(t);
}

static gr_status run(gr_args *args)
{
    gr_talk t = {.args = args, .o = args->options};
    gr_status s = work_on(&t);
    gr_lines_close(t.lines);
    gr_messages_free(&t.said);
    gr_partner_close(&t.with);
    gr_free(t.adapter);
    return s;
}

static const gr_flag chat_flags[] = {
    {"system", GR_TEXT(gr_chat_options, system), .value = "TEXT", .help = "what the model is told first"},
    GR_CHAT_FLAGS(gr_chat_options, template, ""),
    {"no-thinking", GR_SWITCH(gr_chat_options, no_thinking),
     .help = "answers without reasoning, where the chat template knows enable_thinking"},
    {"context", GR_INT(gr_chat_options, context), .value = "N", .shown = "the model's, 8192 at most", .min = 2,
     .max = 1e15, .unit = "tokens", .help = "that a conversation may have"},
    {"tokens", GR_INT(gr_chat_options, tokens), .letter = 'n', .value = "N", .shown = "what the context has room for",
     .min = 1, .max = 1e15, .unit = "tokens", .help = "of an answer at most"},
    GR_RUNNING_FLAGS(gr_chat_options, running),
    GR_SAMPLER_FLAGS(gr_chat_options, samplers),
    {GR_HEADING("Where an answer ends")},
    {"stop", GR_LIST(gr_chat_options, stop), .value = "TEXT", .help = "before this text"},
    {0},
};

const gr_verb gr_verb_chat = {
    .name = "chat",
    .summary = "talks with a model",
    .positional = "MODEL",
    .about =
        "MODEL is what generate takes, and has a chat template. Samplers that are not given are those of its "
        "generation_config.json. On a terminal lines are edited, and /help lists the commands: /retry, /undo, /edit, "
        "/save and others; Ctrl-C stops an answer.\n"
        "\n"
        "Not on a terminal each line of stdin is a message, and each line of stdout an answer, in which \\n is the end "
        "of a "
        "line and \\\\ a backslash. A line without an answer is told on stderr with its number and why, those behind "
        "it "
        "are answered, and the exit code is 1. With --json an answer is an object: role, content, reasoning_content if "
        "there is "
        "any, ids, "
        "tokens (of the answer), prompt_tokens (of the conversation before it), cached_tokens (of these), stop (eos, "
        "length "
        "or stop), seed, first_token_s.",
    .flags = chat_flags,
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"a conversation", "gradus chat model --system 'Answer in one sentence.'"},
                 {"two questions of a script, with a fine-tuned adapter",
                  "printf 'Who are you?\\nWhy?\\n' | gradus chat model --adapter run"}},
    .options_size = sizeof(gr_chat_options),
    .run = run,
};
