/* gradus quantize. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json.h"
#include "base/machine.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/measure.h"
#include "cli/open.h"
#include "cli/output.h"
#include "cli/quantize.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/term.h"
#include "cli/verbs.h"

typedef gr_quantize_flags options;

const gr_flag gr_quantize_flag_table[] = {
    {"to", GR_TEXT(options, to), .value = "TYPE", .list = gr_quantize_list, .help = "*"},
    {"out", GR_TEXT(options, out), .value = "FILE",
     .help = "the .gguf file to write, of int4 and int8 the directory; it must not exist"},
    {"group", GR_TEXT(options, group), .value = "32|64|128|row", .shown = "128",
     .help = "values that share a scale in int4"},
    {"zero-points", GR_SWITCH(options, zero_points), .help = "in int4 they share a zero point, too"},
    {"format", GR_CHOICE(options, format), .value = "compressed-tensors|gptq", .initial = "compressed-tensors",
     .help = "the layout of int4"},
    {"tensor", GR_LIST(options, tensors), .value = "PATTERN=TYPE",
     .help =
         "what matrices of this name get, of Hugging Face's or GGUF's names; * in it stands for any text; the first "
         "that fits decides"},
    {"pure", GR_SWITCH(options, pure), .help = "every matrix in TYPE's main dtype, also embedding and head"},
    {"requantize", GR_SWITCH(options, requantize),
     .help = "MODEL may be quantized already; what is lost is then measured against that"},
    {"pre", GR_TEXT(options, pre), .value = "NAME", .shown = "found by what it does",
     .help = "what the file calls the tokenizer's pre-tokenizer"},
    {"split-size", GR_INT(options, split_size), .value = "N", .initial = "0", .unit = "bytes",
     .help = "of a GGUF file: several, NAME-00001-of-00003.gguf and so on, of so many bytes of tensors each at most; 0 "
             "writes one"},
    {GR_HEADING("How it is rounded")},
    {"method", GR_CHOICE(options, method), .value = "round|gptq", .initial = "round",
     .help =
         "each value by itself; or column after column, where the others take up what one has lost, layer after layer"},
    {"calibrate", GR_TEXT(options, calibrate), .value = "DATA",
     .help = "a text that shows what matrices are multiplied by, so that errors count where they matter"},
    {"calibration-tokens", GR_INT(options, calibration_tokens), .value = "N", .initial = "16384", .positive = true,
     .unit = "tokens", .help = "of it at most, from all over it"},
    {"imatrix", GR_TEXT(options, imatrix), .value = "FILE",
     .help = "what such a text has shown, as llama.cpp's GGUF files or --save-imatrix have it; with --method round"},
    {"save-imatrix", GR_TEXT(options, save_imatrix), .value = "FILE", .help = "where to write it, besides"},
    {"resume", GR_SWITCH(options, resume),
     .help = "goes on with what an interrupted --method gptq to the same FILE has left"},
    {GR_HEADING("What is lost")},
    {"eval", GR_TEXT(options, eval), .value = "DATA", .shown = "the last tenth of --calibrate, which is held back",
     .help = "a text to measure by, that MODEL was not trained on"},
    {"context", GR_INT(options, context), .value = "N", .shown = "the model's", .min = 2, .max = 1 << 24,
     .unit = "tokens", .help = "of a window of it"},
    GR_CHAT_FLAGS(options, chat, "conversations in these texts are written by "),
    {"max-loss", GR_FLOAT(options, max_loss), .value = "X", .unit = "nats", .positive = true,
     .help = "mean KL divergence from MODEL that is allowed; more is an error, and nothing is written"},
    {0},
};

typedef struct work {
    gr_args *args;
    gr_opened on;
    gr_measured_text text, calibration; /* that the measure is by; that shows activations */
    gr_distance distance;
    gr_quantized made;
    gr_saved saved;
    double began, seconds; /* until it was written */
    gr_plan *need;         /* only what it needs is asked for */
    gr_plan measuring;
} work;

/* ---- at work ------------------------------------------------------------------------------------------------ */

/* The file is there, under a hidden name. */
static gr_status measure(void *user, gr_model *quantized)
{
    work *w = user;
    const options *f = w->args->options;
    gr_evaluate_options o = {.size = sizeof o,
                             .context = f->context,
                             .progress = gr_show_measuring,
                             .against = w->on.model,
                             .distance = &w->distance,
                             .plan = w->need ? &w->measuring : NULL};
    double loss;
    gr_status s = gr_evaluate(quantized, w->text.ids, w->text.n, &o, &loss);
    if (s == GR_OK && !w->need && gr_args_given(w->args, "max-loss") && !(w->distance.kl <= f->max_loss))
        return gr_fail(
            GR_ERR_NUMBER,
            "the mean KL divergence from MODEL is %.6g, --max-loss allows %.6g\nnothing was written: take a type "
            "with more bits, or allow more",
            w->distance.kl, f->max_loss);
    return s;
}

/* ---- the report --------------------------------------------------------------------------------------------- */

enum { WORST = 5 };

/* What is of a dtype. */
typedef struct of_type {
    int tensors;
    int64_t values;
    double before, after;
} of_type;

static of_type count(const gr_quantized *q, gr_dtype dtype)
{
    of_type c = {0};
    for (int i = 0; i < q->n; i++) {
        const gr_quantized_tensor *t = &q->tensors[i];
        if (dtype != GR_DTYPE_NONE && t->to != dtype)
            continue;
        c.tensors++;
        c.values += t->values;
        c.before += (double)t->before;
        c.after += (double)t->after;
    }
    return c;
}

static double bits(const of_type *c)
{
    return 8 * c->after / (double)c->values;
}

/* Tensors by falling error, as many as there are: the next one behind `last`, -1 for the first; -1 past the last. */
static int next_worst(const gr_quantized *q, int last)
{
    int best = -1;
    for (int i = 0; i < q->n; i++) {
        double e = q->tensors[i].error, before = last < 0 ? INFINITY : q->tensors[last].error;
        bool behind = e < before || (e <= before && i > last);
        if (e > 0 && behind && (best < 0 || e > q->tensors[best].error))
            best = i;
    }
    return best;
}

static gr_status print_text(const work *w)
{
    const options *f = w->args->options;
    const gr_quantized *q = &w->made;
    gr_table *t = gr_table_new("type|>tensors|>weights|>bits a weight|>before|>after");
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        of_type c = count(q, (gr_dtype)d);
        if (!c.tensors)
            continue;
        gr_table_cell(t, "%s", gr_dtype_name((gr_dtype)d));
        gr_table_cell(t, "%d", c.tensors);
        gr_table_cell(t, "%s", gr_human_integer(c.values).s);
        gr_table_cell(t, "%.3g", bits(&c));
        gr_table_cell(t, "%s", gr_human_bytes(c.before).s);
        gr_table_cell(t, "%s", gr_human_bytes(c.after).s);
    }
    if (gr_table_print(t) != GR_OK)
        return gr_error_status();
    of_type all = count(q, GR_DTYPE_NONE);
    gr_out("\nall            %s to %s, %.3f bits a weight\n", gr_human_bytes(all.before).s, gr_human_bytes(all.after).s,
           bits(&all));
    for (int i = next_worst(q, -1), k = 0; i >= 0 && k < WORST; i = next_worst(q, i), k++)
        gr_out("%s%.4f %% off, %s (%s)\n", k ? "               " : "worst          ", 100 * q->tensors[i].error,
               q->tensors[i].name, gr_dtype_name(q->tensors[i].to));
    if (w->text.n)
        gr_print_distance(&w->distance);
    else
        gr_out("quality        not measured: %s\n",
               f->calibrate ? "the text of --calibrate is too short to hold some back (--eval)"
                            : "no text was given (--eval, --calibrate)");
    gr_out("wrote          %s in %s: read again, all tensors equal, logits %.3g apart at most\n", f->out,
           gr_human_time(w->seconds).s, w->saved.difference);
    return GR_OK;
}

static void put_type(gr_json into, const of_type *c)
{
    gr_json_put_int(into, "tensors", c->tensors);
    gr_json_put_int(into, "weights", c->values);
    gr_json_put_real(into, "bits_per_weight", bits(c));
    gr_json_put_int(into, "bytes_before", (int64_t)c->before);
    gr_json_put_int(into, "bytes_after", (int64_t)c->after);
}

static void put_tensors(gr_json root, const gr_quantized *q)
{
    gr_json types = gr_json_put_object(root, "types");
    for (int d = 0; gr_dtype_name((gr_dtype)d); d++) {
        of_type c = count(q, (gr_dtype)d);
        if (c.tensors)
            put_type(gr_json_put_object(types, gr_dtype_name((gr_dtype)d)), &c);
    }
    gr_json worst = gr_json_put_array(root, "worst");
    for (int i = next_worst(q, -1), k = 0; i >= 0 && k < WORST; i = next_worst(q, i), k++) {
        gr_json one = gr_json_put_object(worst, NULL);
        gr_json_put_text(one, "tensor", q->tensors[i].name);
        gr_json_put_text(one, "type", gr_dtype_name(q->tensors[i].to));
        gr_json_put_real(one, "relative_error", q->tensors[i].error);
    }
}

static gr_json_doc *report_of(const work *w)
{
    const options *f = w->args->options;
    gr_json_doc *doc = gr_json_new("the report");
    if (!doc)
        return NULL;
    gr_json root = gr_json_root(doc);
    of_type all = count(&w->made, GR_DTYPE_NONE);
    gr_json_put_path(root, "path", f->out);
    gr_json_put_path(root, "model", w->args->positional[0]);
    if (w->on.adapter)
        gr_json_put_path(root, "adapter", w->on.adapter);
    gr_json_put_bool(root, "model_was_quantized", w->made.was_quantized);
    gr_json_put_text(root, "to", f->to);
    gr_json_put_text(root, "method", f->method == GR_QUANTIZE_GPTQ ? "gptq" : "round");
    gr_json_put_int(root, "calibration_tokens", w->calibration.n);
    put_type(root, &all);
    put_tensors(root, &w->made);
    gr_json_put_bool(root, "measured", w->text.n > 0);
    if (w->text.n) {
        gr_json_put_path(root, "eval", f->eval ? f->eval : f->calibrate);
        gr_json_put_int(root, "tokens", w->text.n - 1);
        gr_json_put_text(root, "activations", "f32");
        gr_json_put_real(root, "loss", w->distance.loss);
        gr_put_distance(root, w->args->positional[0], &w->distance);
    }
    gr_json_put_real(root, "logit_difference", w->saved.difference);
    gr_json_put_real(root, "seconds", w->seconds);
    return doc;
}

/* Beside the model, and to stdout. */
static gr_status tell(const work *w)
{
    const options *f = w->args->options;
    gr_json_doc *doc = report_of(w);
    char *text = doc ? gr_json_format(doc, true, NULL) : NULL;
    char *path = text ? gr_strfmt("%s.json", f->out) : NULL;
    gr_status s = path ? gr_file_write(path, text, strlen(text)) : gr_error_status();
    gr_free(path);
    gr_free(text);
    if (w->args->common.json && doc)
        return s == GR_OK ? gr_out_json(doc) : (gr_json_free(doc), s);
    gr_json_free(doc);
    return s == GR_OK ? print_text(w) : s;
}

/* ---- the verb ----------------------------------------------------------------------------------------------- */

/* "PATTERN=TYPE" in two, in memory that the caller frees. */
static gr_status split_tensors(gr_args *args, const gr_texts *given, char **text, const char *const (**pairs)[2])
{
    const char *(*out)[2] = gr_alloc_zero(given->count + 1, sizeof *out);
    size_t size = 1;
    for (size_t i = 0; i < given->count; i++)
        size += strlen(given->items[i]) + 1;
    *text = gr_alloc(size);
    *pairs = (const char *const(*)[2])out;
    if (!out || !*text)
        return GR_ERR_MEMORY;
    char *at = *text;
    for (size_t i = 0; i < given->count; i++) {
        char *equals = strrchr(strcpy(at, given->items[i]), '=');
        if (!equals || equals == at)
            return gr_args_fail(args, "--tensor: %s is no PATTERN=TYPE\nGive one such as 'blk.*.ffn_down=q6_k'.",
                                given->items[i]);
        out[i][0] = at;
        out[i][1] = equals + 1;
        at += strlen(at) + 1;
        *equals = '\0';
    }
    return GR_OK;
}

/* 0: none is given; -2: it is none. */
static int64_t group_of(const options *f)
{
    static const struct {
        const char *text;
        int64_t is;
    } groups[] = {{"32", 32}, {"64", 64}, {"128", 128}, {"row", GR_GROUP_ROW}};
    for (size_t i = 0; f->group && i < sizeof groups / sizeof *groups; i++)
        if (strcmp(f->group, groups[i].text) == 0)
            return groups[i].is;
    return f->group ? -2 : 0;
}

static gr_status quantize(work *w, const char *const (*pairs)[2])
{
    const options *f = w->args->options;
    gr_quantize_options o = {.size = sizeof o,
                             .type = f->to,
                             .group = group_of(f),
                             .zero_points = f->zero_points,
                             .layout = (gr_hub_layout)f->format,
                             .pure = f->pure,
                             .tensors = pairs,
                             .n_tensors = (int)f->tensors.count,
                             .requantize = f->requantize,
                             .method = (gr_quantize_method)f->method,
                             .calibration = w->calibration.ids,
                             .n_calibration = w->calibration.n,
                             .imatrix = f->imatrix,
                             .save_imatrix = f->save_imatrix,
                             .resume = f->resume,
                             .source = w->on.path,
                             .adapter = w->on.adapter,
                             .pre = f->pre,
                             .shard_bytes = (size_t)f->split_size,
                             .progress = gr_show_quantizing,
                             .check = w->text.n ? measure : NULL,
                             .user = w,
                             .saved = &w->saved,
                             .plan = w->need};
    if (w->need)
        return gr_args_blame(w->args, gr_quantize(w->on.model, f->out, &o, &w->made));
    gr_interrupt_watch();
    gr_broken_pipe_watch();
    w->began = gr_seconds();
    gr_progress_start("quantize", 0, 1);
    gr_status s = gr_quantize(w->on.model, f->out, &o, &w->made);
    gr_progress_end();
    w->seconds = gr_seconds() - w->began;
    return gr_args_blame(w->args, s);
}

static bool is_report(const char *head, size_t size)
{
    return size > 11 && memcmp(head, "{\n  \"path\"", 11) == 0;
}

/* The report goes beside the file. */
static gr_status check_report(gr_args *args, const char *out)
{
    char *path = gr_strfmt("%s.json", out);
    gr_status s = path ? gr_check_output_file(args, "out", path, NULL, 0, is_report) : GR_ERR_MEMORY;
    gr_free(path);
    return s;
}

static bool is_never(const char *head, size_t size)
{
    (void)head, (void)size;
    return false;
}

/* What is there is not written over, as with --out. */
static gr_status check_imatrix(gr_args *args)
{
    const options *f = args->options;
    const char *save = f->save_imatrix, *out = f->out;
    size_t n = out ? strlen(out) : 0;
    if (out && strncmp(save, out, n) == 0 && (save[n] == '\0' || strcmp(save + n, ".json") == 0))
        return gr_args_fail(args, "--save-imatrix: %s is what is written for --out\nName another file.", save);
    if (gr_path_is_file(save) || gr_path_is_dir(save))
        return gr_args_fail(args, "--save-imatrix: %s is there already\nName another file, or remove it.", save);
    return gr_check_output_file(args, "save-imatrix", save, NULL, 0, is_never);
}

static gr_status check_type(gr_args *args)
{
    const options *f = args->options;
    char lower[64], said[500];
    size_t n = 0;
    for (; f->to[n] && n + 1 < sizeof lower; n++)
        lower[n] = f->to[n] >= 'A' && f->to[n] <= 'Z' ? (char)(f->to[n] - 'A' + 'a') : f->to[n];
    lower[n] = '\0';
    gr_suggestion near = {.written = lower};
    for (int i = 0; gr_quantize_list(i); i++) {
        if (strcmp(gr_quantize_list(i), f->to) == 0)
            return GR_OK;
        gr_suggest(&near, gr_quantize_list(i), strlen(gr_quantize_list(i)));
    }
    if (near.best)
        return gr_args_fail(args, "--to: %.60s is no type\nDid you mean %s?", f->to, near.best);
    return gr_args_fail(args, "--to: %.60s is no type\nThere are %s.", f->to,
                        gr_flag_text(&gr_quantize_flag_table[0], said, sizeof said));
}

static gr_status check_out(gr_args *args, bool hub)
{
    const options *f = args->options;
    if (!hub && (strlen(f->out) <= 5 || !gr_ends_with(f->out, ".gguf")))
        return gr_args_fail(args, "--out: the name of a GGUF file must end in .gguf\nGive such a name.");
    if (hub && gr_ends_with(f->out, ".gguf"))
        return gr_args_fail(args,
                            "--out: int4 and int8 make a directory, no GGUF file\nGive a name that does not end so.");
    if (gr_path_is_file(f->out) || gr_path_is_dir(f->out))
        return gr_args_fail(args, "--out: %s is there already\nName another file, or remove it.", f->out);
    return check_report(args, f->out);
}

static gr_status check_flags(gr_args *args)
{
    const options *f = args->options;
    if (check_type(args) != GR_OK)
        return gr_error_status();
    bool int4 = strcmp(f->to, "int4") == 0, hub = int4 || strcmp(f->to, "int8") == 0;
    if (group_of(f) == -2)
        return gr_args_fail(args, "--group: %.40s is none of 32, 64, 128 and row\nGive one of them.", f->group);
    if (!int4 && (f->group || f->zero_points || gr_args_given(args, "format")))
        return gr_args_fail(args, "--%s: is of --to int4\nLeave it out.",
                            f->group         ? "group"
                            : f->zero_points ? "zero-points"
                                             : "format");
    if (hub && gr_args_given(args, "split-size"))
        return gr_args_fail(args, "--split-size: is of GGUF files\nLeave it out.");
    if (f->out && check_out(args, hub) != GR_OK)
        return gr_error_status();
    if (!f->eval && !f->calibrate && (gr_args_given(args, "max-loss") || gr_args_given(args, "context")))
        return gr_args_fail(args,
                            "--%s: is of what --eval measures, and that is not given\nGive a text, or leave it out.",
                            gr_args_given(args, "max-loss") ? "max-loss" : "context");
    if (f->method == GR_QUANTIZE_GPTQ && !f->calibrate)
        return gr_args_fail(args, "--method: gptq needs a text that shows activations\nGive one with --calibrate.");
    if (f->imatrix && (f->calibrate || f->method == GR_QUANTIZE_GPTQ))
        return gr_args_fail(
            args, "--imatrix: stands in place of --calibrate, and is of --method round\nLeave one of them out.");
    if (f->resume && f->method != GR_QUANTIZE_GPTQ)
        return gr_args_fail(args, "--resume: is of --method gptq; rounding begins anew\nLeave it out.");
    if (!f->calibrate && (f->save_imatrix || gr_args_given(args, "calibration-tokens")))
        return gr_args_fail(args, "--%s: is of --calibrate, which is not given\nGive a text, or leave it out.",
                            f->save_imatrix ? "save-imatrix" : "calibration-tokens");
    return f->save_imatrix ? check_imatrix(args) : GR_OK;
}

enum { HELD_BACK = 10 /* one part of so many */ };

/* The text for calibration; without one to measure by its last tenth is that. */
static gr_status read_calibration(work *w)
{
    const options *f = w->args->options;
    gr_measured_text *c = &w->calibration;
    gr_status s = gr_measured_read(w->args, f->calibrate, &w->on, &f->chat, c);
    if (s != GR_OK)
        return gr_fail_in("--calibrate");
    int64_t held = f->eval ? 0 : c->n / HELD_BACK;
    if (held > 1) {
        w->text = (gr_measured_text){.n = held, .ids = gr_alloc((size_t)held * sizeof *c->ids)};
        if (!w->text.ids)
            return GR_ERR_MEMORY;
        memcpy(w->text.ids, c->ids + c->n - held, (size_t)held * sizeof *c->ids);
        c->n -= held;
    }
    if (held <= 1 && !f->eval && gr_args_given(w->args, "max-loss"))
        return gr_args_fail(
            w->args,
            "--max-loss: the text of --calibrate has %lld tokens, too few to hold some back and measure "
            "by them\nGive a text with --eval, or a longer one.",
            (long long)c->n);
    gr_choose_windows(c, f->calibration_tokens);
    if (c->n < GR_CALIBRATION_WINDOW)
        gr_warn("--calibrate: %lld tokens show little of what matrices are multiplied by; give %d or more",
                (long long)c->n, GR_CALIBRATION_WINDOW);
    return GR_OK;
}

static gr_status read_texts(work *w)
{
    const options *f = w->args->options;
    if (!f->eval && !f->calibrate)
        return GR_OK;
    gr_status s = gr_open_tokenizer(w->args, &w->on);
    if (s == GR_OK)
        s = gr_need_tokenizer(&w->on);
    if (s == GR_OK && f->eval)
        s = gr_measured_read(w->args, f->eval, &w->on, &f->chat, &w->text);
    return s == GR_OK && f->calibrate ? read_calibration(w) : s;
}

static gr_status open_all(work *w)
{
    gr_args *args = w->args;
    gr_status s = gr_open_device(args, &w->on);
    if (s == GR_OK)
        s = gr_find_model(args, args->positional[0], &w->on);
    const gr_load_options described = {.size = sizeof described, .declare_only = true};
    w->on.model = s == GR_OK ? gr_model_load(w->on.path, w->need ? &described : NULL, w->on.device) : NULL;
    s = w->on.model ? GR_OK : gr_error_status();
    if (s == GR_OK &&
        w->on.adapter) { /* the model is then W + scale BA, in memory, and what is lost is measured against that */
        gr_tell_adapter(args, &w->on);
        if (w->need) /* they are not there, and the sum is memory that is not mapped */
            return gr_args_fail(args, "MODEL: an adapter is on it, and what the sum takes is not counted\n"
                                      "Merge it first (gradus merge), or leave it out (--adapter none).");
        s = gr_model_load_adapter(w->on.model, w->on.adapter);
        if (s == GR_OK)
            s = gr_model_merge_adapter(w->on.model);
    }
    return s == GR_OK ? read_texts(w) : s;
}

static gr_status do_all(work *w)
{
    const options *f = w->args->options;
    const char *const(*pairs)[2] = NULL;
    char *text = NULL;
    gr_status s = check_flags(w->args);
    if (s == GR_OK)
        s = split_tensors(w->args, &f->tensors, &text, &pairs);
    if (s == GR_OK)
        s = open_all(w);
    if (s == GR_OK)
        s = quantize(w, pairs);
    gr_free(pairs);
    gr_free(text);
    return s;
}

static void close_all(work *w)
{
    gr_free(w->made.tensors);
    gr_measured_free(&w->text);
    gr_measured_free(&w->calibration);
}

static gr_status run(gr_args *args)
{
    work w = {
        .args = args, .distance = GR_INIT(gr_distance), .made = GR_INIT(gr_quantized), .saved = GR_INIT(gr_saved)};
    gr_status s = do_all(&w);
    if (s == GR_OK)
        s = tell(&w);
    s = gr_end_profile(args, &w.on, s);
    close_all(&w);
    gr_close_opened(&w.on);
    return s;
}

/* ---- gradus plan -------------------------------------------------------------------------------------------- */

/* While what is written is measured both models are looked at, and the second one's parts. */
static void add_measuring(work *w)
{
    size_t weights = 0;
    for (int i = 0; i < w->made.n; i++) {
        const gr_quantized_tensor *t = &w->made.tensors[i];
        weights += t->before + t->after + (t->to != t->from ? t->after : 0);
    }
    gr_plan now = {.size = sizeof now,
                   .weights = weights,
                   .peak_activations = w->measuring.peak_activations,
                   .peak_scratch = w->measuring.peak_scratch};
    now.total = now.weights + now.peak_activations + now.peak_scratch;
    if (w->text.n && now.total > w->need->total)
        *w->need = now;
}

gr_status gr_quantize_need(gr_args *args, gr_opened *on, gr_plan *need, int64_t *file_bytes)
{
    *need = (gr_plan)GR_INIT(gr_plan);
    work w = {.args = args,
              .need = need,
              .measuring = GR_INIT(gr_plan),
              .distance = GR_INIT(gr_distance),
              .made = GR_INIT(gr_quantized),
              .saved = GR_INIT(gr_saved)};
    gr_status s = do_all(&w);
    if (s == GR_OK)
        add_measuring(&w);
    *file_bytes = w.made.file_bytes;
    close_all(&w);
    *on = w.on;
    return s;
}

const gr_verb gr_verb_quantize = {
    .name = "quantize",
    .summary = "writes a model in fewer bits, and tells what that has cost",
    .positional = "MODEL",
    .about = "FILE is a GGUF file with the matrices of MODEL in TYPE: one of its dtypes, or one of llama.cpp's "
             "mixtures (q4_k_m), "
             "which give some kinds of matrices more bits. The head is q6_k or q8_0, vectors are f32. Rows that are no "
             "whole blocks "
             "of a dtype get another one, which is told. FILE is read again and compared before it gets its name; what "
             "fails or is "
             "interrupted leaves nothing behind, except what --method gptq can go on with.\n\n"
             "The report, on stdout and in FILE.json, has bytes and bits a weight of each type, the matrices that "
             "rounding has "
             "changed most, and with --eval what is lost: perplexity of both models, the divergence of their "
             "probabilities, and how "
             "often they find the same token most likely, as gradus eval --against prints it, with f32 activations.\n\n"
             "int4 and int8 make a Hugging Face directory in the layouts of compressed-tensors, as transformers and "
             "vLLM load it: linear "
             "layers in 4 bits with a scale for a group of values, or in 8 bits with one for a row; all else stays as "
             "it is. --format gptq writes int4 as GPTQModel and vLLM load it.\n\n"
             "With --calibrate a text shows what matrices are multiplied by. Rounding then finds scales that make "
             "errors small where "
             "activations are large. GPTQ goes further: columns are rounded one after the other, the others take up "
             "what one has lost, "
             "and each layer is given what the layers before it give as they have become.",
    .flags = gr_quantize_flag_table,
    .needs = {"to", "out"},
    .common = GR_WITH_ADAPTER | GR_WITH_TOKENIZER | GR_WITH_DEVICE | GR_WITH_PROFILE | GR_WITH_JSON,
    .examples = {{"a quarter of the size, for llama.cpp or gradus",
                  "gradus quantize model --to q4_k_m --eval held-out.txt --out model-q4_k_m.gguf"},
                 {"refused when too much is lost",
                  "gradus quantize model --to q3_k_m --eval text.txt --max-loss 0.05 --out small.gguf"}},
    .options_size = sizeof(options),
    .run = run,
};
