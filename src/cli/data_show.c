/* gradus data show: the rows that training reads, made by the functions that training calls. */
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "cli/human.h"
#include "cli/open.h"
#include "cli/term.h"
#include "cli/train_flags.h"
#include "cli/verbs.h"

typedef struct options {
    int64_t context, batch, accumulate, first, steps, rows;
    int order, documents;
    double eval_fraction, epochs;
    bool borders;
    gr_chat_data_flags chats;
} options;

static const gr_flag flags[] = {
    {"context", GR_INT(options, context), .value = "N", .initial = "512", .shown = "512, at most the model's", .min = 1,
     .max = 1 << 24, .unit = "tokens", .help = "of a row"},
    {"batch", GR_INT(options, batch), .value = "N", .initial = "4", .min = 1, .max = 1 << 20, .unit = "rows",
     .help = "of a micro-batch"},
    {"accumulate", GR_INT(options, accumulate), .value = "N", .initial = "1", .min = 1, .max = 1 << 20,
     .help = "micro-batches of a step"},
    {"order", GR_CHOICE(options, order), .value = "shuffle|sequential", .initial = "shuffle",
     .help = "rows in random order, or one after the other"},
    {"documents", GR_CHOICE(options, documents), .value = "joined|apart", .initial = "apart",
     .shown = "apart; one text file: joined",
     .help = "one stream of text, as train has it, or documents that never see each other, as finetune has them"},
    GR_CHAT_DATA_FLAGS(options, chats),
    {GR_HEADING("Which rows")},
    {"eval-fraction", GR_FLOAT(options, eval_fraction), .value = "X", .max = 0.9, .shown = "0",
     .help = "leave out this last part of the data, as training would"},
    {"epochs", GR_FLOAT(options, epochs), .value = "X", .positive = true, .shown = "no end",
     .help = "passes over the data: rows behind them are empty, as they are in the last step of training"},
    {"first", GR_INT(options, first), .value = "N", .initial = "1", .min = 1, .max = 1e6,
     .help = "the first step to show"},
    {"steps", GR_INT(options, steps), .value = "N", .initial = "1", .group = 'n', .min = 1, .max = 1e6,
     .help = "how many steps to show"},
    {"rows", GR_INT(options, rows), .value = "N", .group = 'n', .max = 1e15, .shown = "those of the steps",
     .help = "how many rows to show; 0: the summary alone"},
    {"borders", GR_SWITCH(options, borders), .help = "a | between tokens"},
    {0},
};

typedef struct show {
    const gr_args *args;
    const options *o;
    gr_opened on;
    gr_chat chat;
    gr_data *data, *eval;
    gr_rows *rows;
    gr_text_stream *stream; /* makes text of tokens, one by one */
    int64_t context;
    int64_t end;                /* of the rows; those behind it are empty */
    gr_token *tokens, *targets; /* [context] of the row at hand */
    int64_t *segments;
    gr_bytes out; /* the line at hand */
} show;

/* ---- opening ------------------------------------------------------------------------------------------------ */

/* Of a model its config.json is enough; a tokenizer alone has none. */
static gr_status open_model(show *s)
{
    gr_find_options how = GR_INIT(gr_find_options);
    how.path_only = true;
    s->on.found = gr_find(s->args->positional[0], &how);
    if (!s->on.found)
        return gr_error_status();
    s->on.path = s->on.found->path;
    s->on.tokenizer = gr_tokenizer_load(s->on.path);
    char *config = s->on.tokenizer ? gr_path_join(s->on.path, "config.json") : NULL;
    if (!config)
        return gr_error_status();
    bool is_model = gr_path_is_file(config) || gr_ends_with(s->on.path, ".gguf");
    gr_free(config);
    if (!is_model)
        return GR_OK;
    const gr_load_options declared = {.size = sizeof declared, .declare_only = true};
    s->on.device = gr_device_open("ref", 1);
    s->on.model = s->on.device ? gr_model_load(s->on.path, &declared, s->on.device) : NULL;
    return s->on.model ? GR_OK : gr_error_status();
}

static gr_status open_data(show *s)
{
    const char *const *data = s->args->positional + 1;
    int n = (int)s->args->count - 1;
    bool joined = false;
    if (!gr_args_given(s->args, "documents") &&
        gr_corpus_is_one_text(data, n, &joined) != GR_OK) /* as finetune has it */
        return gr_error_status();
    gr_token eos = s->on.model ? gr_model_describe(s->on.model)->eos : -1;
    gr_data_options o = {.size = sizeof o, .paths = data, .n_paths = n, .tokenizer = s->on.tokenizer};
    o.apart = s->o->documents == 1 && !joined;
    o.eos = eos >= 0 ? &eos : NULL;
    o.threads = (int)s->args->common.threads;
    gr_added_tokens added;
    if (!o.apart && gr_chat_check_joined((gr_args *)s->args) != GR_OK)
        return gr_error_status();
    if (gr_add_tokens((gr_args *)s->args, &s->o->chats, &s->on.tokenizer, &added) != GR_OK)
        return gr_error_status();
    if (s->on.model && gr_add_token_rows((gr_args *)s->args, &s->on, &added) != GR_OK) /* as finetune has it */
        return gr_error_status();
    o.tokenizer = s->on.tokenizer;
    if (gr_chat_open_for_data((gr_args *)s->args, &s->o->chats, s->on.path, &s->chat) != GR_OK)
        return gr_error_status();
    gr_chat_set_data(&s->chat, &s->o->chats, &o);
    s->data = gr_data_new(&o);
    if (!s->data || (o.apart && gr_chat_check_heard((gr_args *)s->args, s->data) != GR_OK))
        return gr_error_status();
    gr_status status = s->o->eval_fraction > 0 ? gr_data_split(s->data, s->o->eval_fraction, &s->eval) : GR_OK;
    return status == GR_ERR_ARGUMENT ? gr_args_fail((gr_args *)s->args, "--eval-fraction: %.900s", gr_error()) : status;
}

static gr_status open_rows(show *s)
{
    int64_t most = s->on.model ? gr_model_describe(s->on.model)->context : INT64_MAX;
    s->context = s->o->context;
    if (s->context > most && gr_args_given(s->args, "context"))
        return gr_args_fail((gr_args *)s->args, "--context: %lld, the model's is %lld\nGive a smaller one.",
                            (long long)s->context, (long long)most);
    s->context = s->context < most ? s->context : most;
    int64_t n = gr_data_describe(s->data)->tokens;
    bool is_short = gr_data_describe(s->data)->documents == 0 && n <= s->context;
    if (is_short && gr_args_given(s->args, "context"))
        return gr_args_fail(
            (gr_args *)s->args,
            "--context: a row of %lld tokens needs %lld, and the data has %lld\nGive more text, or a smaller "
            "--context.",
            (long long)s->context, (long long)s->context + 1, (long long)n);
    s->context = is_short ? n - 1 : s->context;
    s->rows = gr_rows_new(s->data, s->context, s->o->order == 0, (uint64_t)s->args->common.seed);
    s->stream = gr_text_stream_new(s->on.tokenizer, 0);
    s->tokens = gr_alloc(2 * (size_t)s->context * sizeof *s->tokens);
    s->segments = gr_alloc((size_t)s->context * sizeof *s->segments);
    if (!s->rows || !s->stream || !s->tokens || !s->segments)
        return gr_error_status();
    s->targets = s->tokens + s->context;
    s->end = s->o->epochs > 0 ? gr_epoch_rows(s->rows, s->o->epochs) : INT64_MAX;
    return GR_OK;
}

/* ---- a row -------------------------------------------------------------------------------------------------- */

/* Places [from, to) of the row at hand: a document, or the padding behind the last. */
typedef struct part {
    int64_t from, to;
    gr_segment_place place; /* file NULL: of a stream, or padding */
} part;

static part part_at(const show *s, int64_t k, int64_t from)
{
    part p = {.from = from, .to = from, .place = GR_INIT(gr_segment_place)};
    while (p.to < s->context && s->segments[p.to] == s->segments[from])
        p.to++;
    if (k < s->end)
        gr_rows_place(s->rows, k, s->segments[from], &p.place);
    p.place.is_padding |= k >= s->end;
    return p;
}

static bool is_control(const show *s, gr_token id)
{
    gr_token_kind kind;
    gr_tokenizer_token(s->on.tokenizer, id, NULL, &kind);
    return kind == GR_TOKEN_CONTROL;
}

/* A row behind the last. */
static void empty_row(show *s)
{
    for (int64_t i = 0; i < s->context; i++) {
        s->tokens[i] = 0;
        s->segments[i] = 0;
        s->targets[i] = -100;
    }
}

/* ---- as text ------------------------------------------------------------------------------------------------ */

/* As JSON, but line breaks and tabs in their short forms. */
static gr_status add_quoted(gr_bytes *out, const char *text, size_t size)
{
    static const char *const longs[] = {"\\u000A", "\\u0009", "\\u000D"}, shorts[] = "ntr";
    size_t from = out->size, to = from;
    gr_status status = gr_json_add_text(out, text, size);
    if (status != GR_OK)
        return status;
    while (from < out->size) {
        int found = -1;
        for (int i = 0; i < 3 && out->size - from > 6; i++)
            found = memcmp(out->data + from, longs[i], 6) == 0 ? i : found;
        bool escape = out->data[from] == '\\';
        out->data[to++] = out->data[from++];
        if (escape) {
            out->data[to++] = found < 0 ? out->data[from] : shorts[found];
            from += found < 0 ? 1 : 5;
        }
    }
    out->size = to;
    return GR_OK;
}

/* What a line is made of: text in quotes, and control tokens outside of them. */
typedef struct line {
    gr_bytes done, run; /* the line so far; text not in it yet */
} line;

static gr_status flush(line *l)
{
    gr_status status = l->run.size ? gr_bytes_add_string(&l->done, " ") : GR_OK;
    if (status == GR_OK && l->run.size)
        status = add_quoted(&l->done, l->run.data, l->run.size);
    l->run.size = 0;
    return status;
}

/* The stream spells control tokens out, behind what was not a whole character yet. */
static gr_status add_token(show *s, line *l, gr_token id)
{
    const char *text, *name;
    size_t size, length = 0;
    gr_status status = gr_text_stream_feed(s->stream, id, &text, &size);
    name = is_control(s, id) ? gr_tokenizer_token(s->on.tokenizer, id, &length, NULL) : NULL;
    bool spelled = name && size >= length && memcmp(text + size - length, name, length) == 0;
    if (status == GR_OK)
        status = gr_bytes_add(&l->run, text, size - (spelled ? length : 0));
    if (status == GR_OK && (spelled || s->o->borders))
        status = flush(l);
    if (status == GR_OK && spelled)
        status = gr_bytes_add_string(&l->done, " ");
    return status == GR_OK && spelled ? gr_bytes_add(&l->done, name, length) : status;
}

static gr_status add_rest(show *s, line *l)
{
    const char *text;
    size_t size;
    gr_status status = gr_text_stream_feed(s->stream, -1, &text, &size);
    return status == GR_OK ? gr_bytes_add(&l->run, text, size) : status;
}

/* And begins the next one. */
static gr_status print_line(line *l, const char *what, gr_style style)
{
    gr_status status = flush(l);
    if (status == GR_OK)
        status = gr_bytes_add(&l->done, "", 1);
    if (status == GR_OK && l->done.size > 1)
        gr_out("    %-7s%s%s%s\n", what, gr_style_on(stdout, style), l->done.data, gr_style_on(stdout, GR_PLAIN));
    l->done.size = 0;
    return status;
}

/* Lines of what is given and what is learned, in turn; the token behind the last place may be learned, too. */
static gr_status print_text(show *s, const part *p)
{
    line l = {0};
    bool learns = false;
    gr_status status = add_token(s, &l, s->tokens[p->from]);
    for (int64_t i = p->from; i < p->to && status == GR_OK; i++) {
        bool is_learned = s->targets[i] >= 0;
        if (!is_learned && i + 1 == p->to) /* what stands behind the last place is not in the row */
            break;
        if (is_learned != learns)
            status = print_line(&l, learns ? "learned" : "given", learns ? GR_GREEN : GR_DIM);
        learns = is_learned;
        if (status == GR_OK)
            status = add_token(s, &l, i + 1 < p->to ? s->tokens[i + 1] : s->targets[i]);
    }
    if (status == GR_OK)
        status = add_rest(s, &l);
    if (status == GR_OK)
        status = print_line(&l, learns ? "learned" : "given", learns ? GR_GREEN : GR_DIM);
    gr_bytes_free(&l.done);
    gr_bytes_free(&l.run);
    return status;
}

static gr_status print_part(show *s, const part *p, int64_t number)
{
    const char *file = p->place.file;
    long long number_in_file = (long long)p->place.line;
    if (p->place.is_padding) {
        gr_out("  %spadding, %lld token%s%s\n", gr_style_on(stdout, GR_DIM), (long long)(p->to - p->from),
               gr_plural(p->to - p->from), gr_style_on(stdout, GR_PLAIN));
        return GR_OK;
    }
    if (file) {
        gr_out("  %s%s", gr_style_on(stdout, number % 2 ? GR_YELLOW : GR_CYAN), file);
        if (number_in_file != 0)
            gr_out(": %s %lld", number_in_file > 0 ? "line" : "record", llabs(number_in_file));
        gr_out("%s\n", gr_style_on(stdout, GR_PLAIN));
    }
    return print_text(s, p);
}

static gr_status print_row(show *s, int64_t step, int64_t row, int64_t k)
{
    int64_t parts = 0;
    gr_status status = GR_OK;
    gr_out("%sstep %lld, row %lld%s, epoch %lld\n", gr_style_on(stdout, GR_BOLD), (long long)step, (long long)row,
           gr_style_on(stdout, GR_PLAIN), (long long)(k / gr_rows_describe(s->rows)->rows + 1));
    for (int64_t at = 0; at < s->context && status == GR_OK;) {
        part p = part_at(s, k, at);
        status = print_part(s, &p, parts++);
        at = p.to;
    }
    return status;
}

/* ---- as JSON ------------------------------------------------------------------------------------------------ */

/* Of ids, or of other numbers. */
static gr_status add_numbers(gr_bytes *out, const char *name, const gr_token *ids, const int64_t *others, int64_t n)
{
    char number[64];
    snprintf(number, sizeof number, ", \"%s\": [", name);
    gr_status status = gr_bytes_add_string(out, number);
    for (int64_t i = 0; i < n && status == GR_OK; i++) {
        snprintf(number, sizeof number, "%s%lld", i ? ", " : "", (long long)(ids ? ids[i] : others[i]));
        status = gr_bytes_add_string(out, number);
    }
    return status == GR_OK ? gr_bytes_add_string(out, "]") : status;
}

/* What each token adds to the text: whole characters, with the token that completes them. */
static gr_status add_pieces(show *s, const part *p)
{
    gr_status status = GR_OK;
    for (int64_t i = p->from; i < p->to && status == GR_OK; i++) {
        const char *text = "", *rest = "";
        size_t size = 0, more = 0;
        gr_bytes piece = {0};
        if (!p->place.is_padding)
            status = gr_text_stream_feed(s->stream, s->tokens[i], &text, &size);
        if (status == GR_OK)
            status = gr_bytes_add(&piece, text, size);
        if (status == GR_OK && i + 1 == p->to)
            status = gr_text_stream_feed(s->stream, -1, &rest, &more);
        if (status == GR_OK)
            status = gr_bytes_add(&piece, rest, more);
        if (status == GR_OK)
            status = gr_bytes_add_string(&s->out, i ? ", " : "");
        if (status == GR_OK)
            status = gr_json_add_text(&s->out, piece.size ? piece.data : "", piece.size);
        gr_bytes_free(&piece);
    }
    return status;
}

static gr_status add_document(show *s, const part *p)
{
    char number[40];
    const char *name = p->place.file;
    gr_status status = gr_bytes_add_string(&s->out, p->from ? ", {\"file\": " : "{\"file\": ");
    if (status == GR_OK)
        status = gr_json_add_text(&s->out, name, strlen(name));
    snprintf(number, sizeof number, ", \"line\": %lld}", (long long)llabs(p->place.line));
    return status == GR_OK ? gr_bytes_add_string(&s->out, number) : status;
}

static gr_status print_json(show *s, int64_t step, int64_t row, int64_t k)
{
    char head[100];
    snprintf(head, sizeof head, "{\"step\": %lld, \"row\": %lld, \"epoch\": %lld", (long long)step, (long long)row,
             (long long)(k / gr_rows_describe(s->rows)->rows + 1));
    s->out.size = 0;
    gr_status status = gr_bytes_add_string(&s->out, head);
    if (status == GR_OK)
        status = add_numbers(&s->out, "ids", s->tokens, NULL, s->context);
    if (status == GR_OK)
        status = add_numbers(&s->out, "targets", s->targets, NULL, s->context);
    if (status == GR_OK)
        status = add_numbers(&s->out, "segments", NULL, s->segments, s->context);
    for (int text = 1; text >= 0 && status == GR_OK; text--) {
        status = gr_bytes_add_string(&s->out, text ? ", \"text\": [" : ", \"documents\": [");
        for (int64_t at = 0; at < s->context && status == GR_OK;) {
            part p = part_at(s, k, at);
            if (text)
                status = add_pieces(s, &p);
            else if (p.place.file)
                status = add_document(s, &p);
            at = p.to;
        }
        if (status == GR_OK)
            status = gr_bytes_add_string(&s->out, "]");
    }
    if (status == GR_OK)
        status = gr_bytes_add_string(&s->out, "}\n");
    if (status == GR_OK)
        gr_out_bytes(s->out.data, s->out.size);
    return status;
}

/* ---- the summary -------------------------------------------------------------------------------------------- */

static double padding_of(const show *s, const gr_rows_info *i)
{
    return i->documents ? 1 - (double)i->filled / (double)(i->rows * s->context) : 0;
}

static const gr_rows_file *file_at(const gr_rows_info *i, int64_t which)
{
    return (const gr_rows_file *)(const void *)((const char *)i->files + (size_t)which * i->files->size);
}

static void put_files(gr_json into, const gr_rows_info *i)
{
    gr_json list = gr_json_put_array(into, "files");
    for (int64_t k = 0; k < i->n_files; k++) {
        const gr_rows_file *f = file_at(i, k);
        gr_json o = gr_json_put_object(list, NULL);
        gr_json_put_path(o, "file", f->name);
        gr_json_put_int(o, "documents", f->documents);
        gr_json_put_int(o, "tokens", f->tokens);
        gr_json_put_int(o, "trained", f->trained);
        gr_json_put_int(o, "cut", f->cut);
        gr_json_put_int(o, "dropped", f->dropped);
        gr_json_put_int(o, "refused", f->refused);
        if (f->why) {
            gr_json_put_int(o, "refused_line", llabs(f->refused_line));
            gr_json_put_text(o, "why", f->why);
        }
    }
}

/* Only what there is more of than none. */
static void print_count(const char *what, int64_t n)
{
    if (n > 0)
        gr_out(", %s %s", gr_human_integer(n).s, what);
}

static void print_file(const gr_rows_file *f)
{
    gr_out("%s: %s document%s", f->name, gr_human_integer(f->documents).s, gr_plural(f->documents));
    print_count("tokens", f->tokens);
    print_count("learned", f->trained);
    print_count("cut", f->cut);
    print_count("dropped", f->dropped);
    print_count("refused", f->refused);
    if (f->why)
        gr_out(" (%s %lld: %s)", f->refused_line > 0 ? "line" : "record", llabs(f->refused_line), f->why);
    gr_out("\n");
}

static gr_status print_summary_json(const show *s, const gr_rows_info *i)
{
    gr_json_doc *doc = gr_json_new("the summary");
    if (!doc)
        return gr_error_status();
    gr_json o = gr_json_root(doc);
    gr_json_put_int(o, "rows", i->rows);
    gr_json_put_int(o, "tokens", i->tokens);
    gr_json_put_int(o, "documents", i->documents);
    gr_json_put_int(o, "trained", i->trained);
    gr_json_put_real(o, "padding", padding_of(s, i));
    gr_json_put_int(o, "cut_documents", i->cut);
    gr_json_put_int(o, "cut_prompts", i->cut_prompts);
    gr_json_put_int(o, "left_out", i->left_out);
    gr_json_put_int(o, "cut_chats", i->cut_chats);
    gr_json_put_int(o, "cut_tokens", i->cut_tokens);
    gr_json_put_int(o, "dropped", i->dropped);
    put_files(o, i);
    return gr_out_json(doc);
}

static void print_summary(const show *s, const gr_rows_info *i)
{
    gr_out("an epoch       %s row%s of %s tokens\n", gr_human_integer(i->rows).s, gr_plural(i->rows),
           gr_human_integer(s->context).s);
    gr_out("tokens         %s\n", gr_human_integer(i->tokens).s);
    if (i->documents == 0)
        return;
    gr_out("learned        %s\n", gr_human_integer(i->trained).s);
    gr_out("documents      %s\n", gr_human_integer(i->documents).s);
    gr_out("padding        %.1f%%\n", 100 * padding_of(s, i));
    if (i->cut > 0)
        gr_out("cut            %s, longer than a row\n", gr_human_integer(i->cut).s);
    if (i->cut_prompts > 0)
        gr_out("left out       %s token%s at the beginning of %s prompt%s\n", gr_human_integer(i->left_out).s,
               gr_plural(i->left_out), gr_human_integer(i->cut_prompts).s, gr_plural(i->cut_prompts));
    if (i->cut_chats > 0)
        gr_out("left out       %s token%s at the end of %s conversation%s, longer than a row\n",
               gr_human_integer(i->cut_tokens).s, gr_plural(i->cut_tokens), gr_human_integer(i->cut_chats).s,
               gr_plural(i->cut_chats));
    if (i->dropped > 0)
        gr_out("dropped        %s, of which nothing that fits a row is learned\n", gr_human_integer(i->dropped).s);
    bool tells = i->n_files > 1;
    for (int64_t k = 0; k < i->n_files; k++)
        tells |= file_at(i, k)->refused > 0;
    for (int64_t k = 0; tells && k < i->n_files; k++)
        print_file(file_at(i, k));
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

static gr_status print_all(show *s)
{
    int64_t step_rows = s->o->batch * s->o->accumulate, first = (s->o->first - 1) * step_rows;
    bool by_rows = gr_args_given(s->args, "rows"), json = s->args->common.json;
    int64_t n = by_rows ? s->o->rows : s->o->steps * step_rows;
    gr_status status = GR_OK;
    for (int64_t k = first; k < first + n && status == GR_OK && !gr_interrupted(NULL); k++) {
        int64_t step = k / step_rows + 1, row = k % step_rows;
        if (k < s->end)
            gr_rows_fill(s->rows, k, s->tokens, s->targets, s->segments);
        else
            empty_row(s);
        status = json ? print_json(s, step, row, k) : print_row(s, step, row, k);
    }
    if (status == GR_OK && gr_interrupted(NULL))
        return gr_fail(GR_ERR_INTERRUPTED, "data show: stopped\n--rows N shows fewer rows");
    gr_rows_info info = *gr_rows_describe(s->rows);
    if (status == GR_OK && json)
        return n == 0 ? print_summary_json(s, &info) : GR_OK;
    if (status == GR_OK)
        print_summary(s, &info);
    return status;
}

static gr_status run(gr_args *args)
{
    show s = {.args = args, .o = args->options};
    gr_status status = open_model(&s);
    if (status == GR_OK)
        status = open_data(&s);
    if (status == GR_OK)
        status = open_rows(&s);
    if (status == GR_OK) {
        gr_interrupt_watch();
        status = print_all(&s);
    }
    gr_rows_free(s.rows);
    gr_data_free(s.eval);
    gr_data_free(s.data);
    gr_chat_close(&s.chat);
    gr_text_stream_free(s.stream);
    gr_free(s.tokens);
    gr_free(s.segments);
    gr_bytes_free(&s.out);
    gr_close_opened(&s.on);
    return status;
}

const gr_verb gr_verb_data_show = {
    .name = "data show",
    .summary = "shows the tokens that training would see, row by row",
    .positional = "MODEL DATA...",
    .about =
        "MODEL is a model directory, a .gguf file, a run, or a directory with a tokenizer alone. Each row lists its "
        "documents: where "
        "one comes from, what is given and what is learned. Text stands in quotes, as JSON writes it; control tokens "
        "stand outside of them. Behind the rows stands a summary of an epoch.\n"
        "\n"
        "With --json a row is an object: ids, targets (-100: not learned), segments (the documents of the row, counted "
        "from 0), text (what each id adds), documents (file and line of each segment; line 0 is a whole file, and of "
        "an array lines are records). The "
        "summary is an object too, with --rows 0.",
    .flags = flags,
    .common = GR_WITH_THREADS | GR_WITH_SEED | GR_WITH_JSON,
    .examples = {{"what a model would learn in the first step", "gradus data show gpt2 chats.jsonl"},
                 {"how many tokens there are, and how many are learned",
                  "gradus data show gpt2 chats.jsonl --context 1024 --rows 0"}},
    .options_size = sizeof(options),
    .run = run,
};
