/* An answer: the conversation becomes a text, the text ids, and the model goes on from these. */
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "cli/chat.h"
#include "cli/human.h"
#include "cli/reasoning.h"
#include "cli/term.h"

/* One that is being made. */
typedef struct answer {
    gr_talk *talk;
    gr_reasoning reasoning;
    gr_ids prompt;
    const gr_generated *made;
    uint64_t seed;
    bool is_dim; /* what stands on the terminal last */
} answer;

/* ---- what is shown ------------------------------------------------------------------------------------------ */

/* On a terminal as it is; else an answer is one line, and only it. */
static void show(void *user, bool is_reasoning, const char *text, size_t size)
{
    answer *a = user;
    if (a->talk->args->common.json || (is_reasoning && !a->talk->lines))
        return;
    if (a->talk->lines) {
        if (is_reasoning != a->is_dim)
            gr_out("%s%s", is_reasoning ? "" : "\n\n", gr_style_on(stdout, is_reasoning ? GR_DIM : GR_PLAIN));
        a->is_dim = is_reasoning;
        gr_out_safely(text, size);
    }
    for (size_t i = 0; !a->talk->lines && i < size; i++) {
        if (text[i] == '\n' || text[i] == '\\')
            gr_out_bytes("\\", 1);
        gr_out_bytes(text[i] == '\n' ? "n" : text + i, 1);
    }
    fflush(stdout);
}

static bool on_token(void *user, gr_token id, const char *text, size_t size)
{
    answer *a = user;
    (void)id;
    return gr_reasoning_feed(&a->reasoning, text, size) == GR_OK && !gr_interrupted(NULL);
}

/* Whether it ended where the template ends the assistant's turns. */
static bool is_ended(const answer *a)
{
    const char *end = a->talk->with.chat.end;
    return end && a->made->stop == GR_STOP_TEXT && a->made->n > 0 &&
           gr_tokenizer_id(a->talk->with.on.tokenizer, end) == a->made->ids[a->made->n - 1];
}

static gr_status print_json(const answer *a)
{
    static const char *const stops[] = {"length", "eos", "stop", "interrupted"};
    const gr_reasoning *r = &a->reasoning;
    gr_json_doc *doc = gr_json_new("the answer");
    if (!doc)
        return gr_error_status();
    gr_json o = gr_json_root(doc);
    gr_json_put_text(o, "role", "assistant");
    gr_json_put_bytes(o, "content", r->text.data ? r->text.data + r->content : "", r->text.size - r->content);
    if (r->to > r->from)
        gr_json_put_bytes(o, "reasoning_content", r->text.data + r->from, r->to - r->from);
    gr_json ids = gr_json_put_array(o, "ids");
    for (int64_t i = 0; i < a->made->n; i++)
        gr_json_put_int(ids, NULL, a->made->ids[i]);
    gr_json_put_int(o, "tokens", a->made->n);
    gr_json_put_int(o, "prompt_tokens", (int64_t)a->prompt.size);
    gr_json_put_int(o, "cached_tokens", (int64_t)a->prompt.size - a->made->prefilled);
    gr_json_put_text(o, "stop", is_ended(a) ? "eos" : stops[a->made->stop]);
    gr_json_put_int(o, "seed", (int64_t)a->seed);
    gr_json_put_real(o, "first_token_s", a->made->first_s);
    return gr_out_json(doc);
}

static void tell_end(const answer *a)
{
    const gr_talk *t = a->talk;
    long long all = (long long)a->prompt.size + a->made->n;
    if (a->made->stop == GR_STOP_ASKED)
        gr_note(t->lines ? "[stopped; what was said is kept: /retry answers anew, /undo takes it back]" : "[stopped]");
    else if (a->made->stop == GR_STOP_LENGTH && all >= t->with.capacity)
        gr_warn("the answer was cut: the context of %lld tokens is full; %s--context N gives more",
                (long long)t->with.capacity, t->lines ? "/drop takes out the oldest turn, " : "");
    else if (a->made->stop == GR_STOP_LENGTH)
        gr_warn("the answer was cut after --tokens %lld", (long long)a->made->n);
}

static gr_status finish(answer *a)
{
    gr_reasoning_end(&a->reasoning);
    if (a->talk->args->common.json)
        return print_json(a);
    if (a->is_dim)
        gr_out("%s", gr_style_on(stdout, GR_PLAIN));
    gr_out("\n");
    tell_end(a);
    return gr_out_finish();
}

/* ---- what is asked ------------------------------------------------------------------------------------------ */

/* Ids are copied: the tokenizer has them until its next call only. */
static gr_status read_prompt(answer *a)
{
    const gr_partner *with = &a->talk->with;
    const gr_rendered *rendered = NULL;
    const gr_token *ids;
    size_t n;
    gr_bytes json = {0};
    gr_status s = gr_messages_format(&a->talk->said, &json);
    if (s == GR_OK)
        s = gr_chat_render(&with->chat, with->on.tokenizer, "the conversation", json.data, json.size, &rendered);
    if (s == GR_OK)
        s = gr_template_encode(with->on.tokenizer, rendered, &ids, &n);
    if (s == GR_OK)
        s = gr_ids_reserve(&a->prompt, n);
    if (s == GR_OK && n > 0) {
        memcpy(a->prompt.data, ids, n * sizeof *ids);
        a->prompt.size = n;
    }
    if (s == GR_OK)
        s = gr_check_made_ids(&with->on, a->prompt.data, (int64_t)a->prompt.size);
    if (s == GR_OK)
        gr_reasoning_start(&a->reasoning, rendered->text, rendered->text_size);
    gr_free(rendered);
    gr_bytes_free(&json);
    return s;
}

gr_status gr_talk_count(gr_talk *t, int64_t *tokens)
{
    answer a = {.talk = t};
    gr_status s = t->said.n > 0 ? read_prompt(&a) : GR_OK;
    *tokens = (int64_t)a.prompt.size;
    gr_ids_free(&a.prompt);
    gr_reasoning_free(&a.reasoning);
    return s;
}

static gr_status check_room(const answer *a)
{
    long long n = (long long)a->prompt.size, room = a->talk->with.capacity;
    if (n == 0)
        return gr_fail(GR_ERR_ARGUMENT, "the chat template makes an empty text of the conversation\nGive another "
                                        "template.");
    if (n < room)
        return GR_OK;
    long long before = (long long)a->talk->last.conversation; /* of a pipe, which takes nothing back */
    char hint[160] = "Say less, or";
    if (a->talk->lines)
        snprintf(hint, sizeof hint, "/drop takes out the oldest turn, /undo the last,");
    else if (before > 0 && n - before < room)
        snprintf(hint, sizeof hint,
                 "The turns before it have %lld and stay: a gradus chat of its own begins a new conversation, and",
                 before);
    return gr_fail(GR_ERR_ARGUMENT,
                   "the conversation has %lld tokens with this message, and the context %lld\n"
                   "%s --context N gives more; the model was made for %lld.",
                   n, room, hint, (long long)gr_model_describe(a->talk->with.on.model)->context);
}

static gr_status generate(answer *a)
{
    gr_talk *t = a->talk;
    const gr_chat_options *o = t->o;
    gr_texts stop = {0};
    gr_status s = gr_chat_stops(&t->with.chat, &o->stop, &stop);
    if (s != GR_OK)
        return s;
    gr_sampling sampling = gr_sampling_of(&o->samplers);
    sampling.seed = a->seed = (uint64_t)(t->args->common.seed + t->retries);
    gr_generate_options g = {.size = sizeof g, .prompt = a->prompt.data, .n_prompt = (int64_t)a->prompt.size};
    g.max_tokens = o->tokens ? o->tokens : t->with.capacity;
    g.sampling = &sampling;
    g.stop = stop.items;
    g.n_stop = (int)stop.count;
    g.token = on_token;
    g.user = a;
    g.keep = t->keep;
    s = t->keep > 0 ? GR_OK : gr_generator_reset(t->with.generator);
    if (s == GR_OK)
        s = gr_generate(t->with.generator, t->with.on.tokenizer, &g, 1, &a->made);
    gr_free(stop.items);
    return s;
}

static gr_status keep_answer(answer *a)
{
    gr_talk *t = a->talk;
    const gr_reasoning *r = &a->reasoning;
    bool thinks = r->to > r->from;
    t->last = (struct gr_last){.is_there = true,
                               .conversation = (int64_t)a->prompt.size + a->made->n,
                               .kept = (int64_t)a->prompt.size - a->made->prefilled,
                               .made = a->made->n,
                               .prefill_s = a->made->prefill_s,
                               .first_s = a->made->first_s,
                               .decode_s = a->made->decode_s};
    t->keep = INT64_MAX;
    return gr_messages_add(&t->said, "assistant", r->text.data ? r->text.data + r->content : "",
                           r->text.size - r->content, thinks ? r->text.data + r->from : NULL, r->to - r->from);
}

gr_status gr_talk_answer(gr_talk *t)
{
    answer a = {.talk = t};
    int64_t last = gr_messages_last_user(&t->said), read = gr_generator_length(t->with.generator, 0);
    if (last >= 0 && t->said.items[last].read < 0)
        t->said.items[last].read = read < t->keep ? read : t->keep;
    a.reasoning.part = show;
    a.reasoning.user = &a;
    gr_status s = read_prompt(&a);
    if (s == GR_OK)
        s = check_room(&a);
    if (s == GR_OK)
        s = generate(&a);
    bool stopped = s == GR_ERR_INTERRUPTED && a.made && a.made->n > 0;
    if (s == GR_OK || stopped) {
        gr_status shown = finish(&a), kept = keep_answer(&a);
        s = shown != GR_OK ? shown : kept != GR_OK ? kept : s;
    }
    gr_free(a.made);
    gr_ids_free(&a.prompt);
    gr_reasoning_free(&a.reasoning);
    return s;
}

/* ---- turns -------------------------------------------------------------------------------------------------- */

gr_status gr_talk_say(gr_talk *t, const char *text, size_t size)
{
    size_t before = t->said.n;
    gr_status s = gr_messages_add(&t->said, "user", text, size, NULL, 0);
    if (s != GR_OK)
        return s;
    t->said.items[before].read = -1;
    t->retries = 0;
    s = gr_talk_answer(t);
    if (t->said.n == before + 1) { /* no answer came */
        gr_talk_undo(t);
        if (s == GR_ERR_INTERRUPTED && t->lines)
            gr_note("[stopped before the answer began; the message is taken back]");
    }
    return s;
}

/* A conversation from its beginning would have no more in the cache than this one had when the message came. */
static void forget_from(gr_talk *t, int64_t message)
{
    int64_t read = t->said.items[message].read;
    t->keep = read < t->keep ? read : t->keep;
}

bool gr_talk_undo(gr_talk *t)
{
    int64_t last = gr_messages_last_user(&t->said);
    if (last < 0)
        return false;
    forget_from(t, last);
    gr_messages_cut(&t->said, (size_t)last);
    t->last.is_there = false;
    return true;
}

gr_status gr_talk_again(gr_talk *t, bool retry)
{
    int64_t last = gr_messages_last_user(&t->said);
    if (last < 0)
        return gr_fail(GR_ERR_ARGUMENT, "nothing was said yet\nWrite a message.");
    forget_from(t, last);
    gr_messages_cut(&t->said, (size_t)last + 1);
    t->retries = retry ? t->retries + 1 : 0;
    return gr_talk_answer(t);
}
