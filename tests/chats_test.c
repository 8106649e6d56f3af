/* Conversations as training data: which tokens are learned, in every form in which they may be written, what is refused, and
 * what does not fit a row. With one token a byte, tokens can be read. */
#include "test.h"

#include "text/tokenizer.h"
#include "train/chats.h"
#include "train/data.h"

/* A turn is "<role>content;". */
static const char plain[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}"
                            "{% if add_generation_prompt %}<assistant>{% endif %}";
static const char marked[] =
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }};"
    "{% endgeneration %}{% else %}{{ m.content }};{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";
/* What was said before the last turn is written differently. */
static const char rewriting[] =
    "{% for m in messages %}<{{ m.role }}>{% if loop.last %}!{% endif %}{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";
static const char refusing[] =
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

static const char two_turns[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": "
    "\"bc\"}, {\"role\": \"user\", \"content\": \"d\"}, {\"role\": \"assistant\", \"content\": \"e\"}]}";

static gr_template *template_of(const char *text)
{
    gr_template_source source = GR_INIT(gr_template_source);
    source.text = text;
    source.text_size = strlen(text);
    gr_template *t = gr_template_open(&source);
    CHECK_MADE(t);
    return t;
}

/* The text, what is learned in brackets; "refused: WHY", "error: MESSAGE". */
static const char *learned(const gr_chats *c, const char *json)
{
    static char out[2000];
    gr_chat_row row = {0};
    size_t n = 0;
    gr_status s = gr_chat_row_make(c, json, strlen(json), &row);
    bool inside = false;
    for (size_t i = 0; s == GR_OK && i <= row.ids.size; i++) {
        bool is = i < row.ids.size && row.learned.data[i];
        if (is != inside)
            out[n++] = is ? '[' : ']';
        inside = is;
        if (i < row.ids.size)
            out[n++] = (char)row.ids.data[i];
    }
    out[n] = '\0';
    if (s != GR_OK)
        snprintf(out, sizeof out, "error: %s", gr_error());
    else if (*row.refused)
        snprintf(out, sizeof out, "refused: %s", row.refused);
    gr_chat_row_free(&row);
    return out;
}

static void check_learned(const char *text, gr_chat_loss loss, bool ambiguous_last, const char *json,
                          const char *expected)
{
    gr_chats c = {.template = template_of(text),
                  .tokenizer = gr_tokenizer_byte(),
                  .loss = loss,
                  .ambiguous_last = ambiguous_last};
    NOTE("%s", json);
    const char *is = learned(&c, json);
    if (strncmp(expected, "refused", 7) == 0 || strncmp(expected, "error", 5) == 0)
        CHECK(strstr(is, expected + strcspn(expected, " ") + 1) && strncmp(is, expected, 5) == 0);
    else
        CHECK_EQ_STR(is, expected);
    gr_template_free((gr_template *)c.template);
    gr_tokenizer_free(c.tokenizer);
}

TEST(what_is_learned)
{
    static const char *const both[] = {plain, marked};
    for (int i = 0; i < 2; i++) {
        check_learned(both[i], GR_LOSS_ASSISTANT, false, two_turns, "<user>a;<assistant>[bc;]<user>d;<assistant>[e;]");
        check_learned(both[i], GR_LOSS_LAST, false, two_turns, "<user>a;<assistant>bc;<user>d;<assistant>[e;]");
        check_learned(both[i], GR_LOSS_ALL, false, two_turns, "[<user>a;<assistant>bc;<user>d;<assistant>e;]");
        check_learned(
            both[i], GR_LOSS_ASSISTANT, false,
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}, "
            "{\"role\": \"user\", \"content\": \"c\"}], \"completion\": [{\"role\": \"assistant\", \"content\": "
            "\"d\"}]}",
            "<user>a;<assistant>b;<user>c;<assistant>[d;]");
        check_learned(
            both[i], GR_LOSS_ASSISTANT, false,
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}, {\"role\": \"tool\", \"content\": \"b\"}]}",
            "<assistant>[a;]<tool>b;"); /* of a tool nothing */
    }
}

/* "weight": 0 leaves a message of the assistant's out of what is learned; of others it says nothing. */
TEST(weights)
{
    static const char first[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"weight\": 0}, {\"role\": \"assistant\", "
        "\"content\": "
        "\"bc\", \"weight\": 0}, {\"role\": \"user\", \"content\": \"d\", \"weight\": 7}, {\"role\": \"assistant\", "
        "\"content\": \"e\", \"weight\": 1.0}]}";
    static const char last[] =
        "{\"conversations\": [{\"from\": \"gpt\", \"value\": \"b\", \"weight\": null}, {\"from\": \"gpt\", \"value\": "
        "\"c\", \"weight\": 0}]}";
    static const char *const both[] = {plain, marked};
    for (int i = 0; i < 2; i++) {
        check_learned(both[i], GR_LOSS_ASSISTANT, false, first, "<user>a;<assistant>bc;<user>d;<assistant>[e;]");
        check_learned(both[i], GR_LOSS_LAST, false, first, "<user>a;<assistant>bc;<user>d;<assistant>[e;]");
        check_learned(both[i], GR_LOSS_ASSISTANT, false, last, "<assistant>[b;]<assistant>c;");
        check_learned(both[i], GR_LOSS_LAST, false, last, "<assistant>b;<assistant>c;");
    }
    check_learned(plain, GR_LOSS_ALL, false, first, "[<user>a;<assistant>]bc;[<user>d;<assistant>e;]");
    check_learned(marked, GR_LOSS_ALL, false, first, "[<user>a;<assistant>]bc;[<user>d;<assistant>e;]");
    /* What is left out need not be told from what is before it, and marks are counted where bounds cannot be told. */
    check_learned(rewriting, GR_LOSS_ASSISTANT, false, last, "refused: before message 1 differently");
    static const char shouting[] =
        "{% for m in messages %}{% if loop.last %}!{% endif %}{% if m.role == 'assistant' %}{% generation %}"
        "{{ m.content }};{% endgeneration %}{% else %}{{ m.content }};{% endif %}{% endfor %}";
    check_learned(shouting, GR_LOSS_ASSISTANT, false, first, "a;bc;d;![e;]");
    static const char twice[] = "{% for m in messages %}{% if loop.last %}!{% endif %}{% generation %}{{ m.content }};"
                                "{% endgeneration %}{% endfor %}";
    check_learned(twice, GR_LOSS_ASSISTANT, false, first, "refused: before message 2 differently");
    static const char *const wrong[] = {"2", "0.5", "-1", "\"0\"", "true"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"weight\": %s}]}",
                 wrong[i]);
        check_learned(plain, GR_LOSS_ASSISTANT, false, json, "error: key \"messages[0].weight\": expected");
    }
}

TEST(other_forms)
{
    check_learned(plain, GR_LOSS_ASSISTANT, false,
                  "{\"conversations\": [{\"from\": \"system\", \"value\": \"s\"}, {\"from\": \"human\", \"value\": "
                  "\"a\"}, {\"from\": "
                  "\"gpt\", \"value\": \"b\"}, {\"from\": \"observation\", \"value\": \"c\"}]}",
                  "<system>s;<user>a;<assistant>[b;]<tool>c;");
    check_learned(
        plain, GR_LOSS_ASSISTANT, false,
        "{\"messages\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"text\": "
        "\"b\"}]}]}",
        "<assistant>[ab;]");
    check_learned(
        "{{ tools[0].name }}{{ documents[0].d }}{% for m in messages %}{{ m.name }}{{ m.content }}{% endfor %}",
        GR_LOSS_ALL, false,
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"name\": \"n\"}], \"tools\": [{\"name\": \"t\"}], "
        "\"documents\": [{\"d\": \"d\"}], \"id\": 7}",
        "[tdna]");
    check_learned("{% for m in messages %}{{ m.tool_calls[0].name }}{% endfor %}", GR_LOSS_ALL, false,
                  "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"t\"}]}]}", "[t]");
}

TEST(what_cannot_be_told)
{
    static const char unanswered[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"bot\", \"content\": \"b\"}]}";
    check_learned(plain, GR_LOSS_ASSISTANT, false, unanswered, "refused: no message of the role assistant");
    check_learned(marked, GR_LOSS_LAST, true, unanswered, "refused: no message of the role assistant");
    check_learned(plain, GR_LOSS_ALL, false, unanswered, "[<user>a;<bot>b;]");
    check_learned(rewriting, GR_LOSS_ASSISTANT, false, two_turns,
                  "refused: the template writes what is before message 4 differently when more follows");
    check_learned(rewriting, GR_LOSS_ASSISTANT, true, two_turns, "refused: message 4"); /* nor the last turn */
    static const char forgets[] =
        "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}<{{ m.role }}>{{ m.content }};"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    check_learned(forgets, GR_LOSS_ASSISTANT, false, two_turns, "refused: before message 2 differently");
    check_learned(forgets, GR_LOSS_ASSISTANT, true, two_turns, "<user>a;<user>d;<assistant>[e;]");
    check_learned(forgets, GR_LOSS_LAST, false, two_turns, "<user>a;<user>d;<assistant>[e;]");
    check_learned(forgets, GR_LOSS_ALL, false, two_turns, "[<user>a;<user>d;<assistant>e;]");
    check_learned(refusing, GR_LOSS_ASSISTANT, false, "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}]}",
                  "refused: no system here");
    check_learned(
        rewriting, GR_LOSS_ASSISTANT, false, "{\"messages\": [{\"role\": \"Assistant\", \"content\": \"a\"}]}",
        "refused: no message of the role assistant is there to be learned; that of the last one is \"Assistant\"");
}

TEST(what_is_no_conversation)
{
    static const struct {
        const char *json, *error;
    } bad[] = {
        {"{\"messages\": {}}", "error: key \"messages\": expected an array"},
        {"{\"messages\": [\"a\"]}", "error: expected an object"},
        {"{\"messages\": [{\"content\": \"a\"}]}", "error: role"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "error: content"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "error: expected a string, found an integer"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}",
         "error: only parts of type \"text\""},
        {"{\"messages\": [], \"conversations\": []}", "error: one or the other"},
        {"{\"conversations\": [{\"from\": \"cat\", \"value\": \"a\"}]}", "error: there is no such speaker"},
        {"{\"prompt\": [], \"completion\": \"a\"}", "error: expected an array"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"\\ud800\"}]}", "error: the record"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_learned(plain, GR_LOSS_ASSISTANT, false, bad[i].json, bad[i].error);
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

static gr_data *data_of(const char *lines, gr_chat_loss loss, gr_too_long too_long, gr_tokenizer *t,
                        const gr_template *chat)
{
    const char *path = test_file("chats.jsonl", lines, strlen(lines));
    return DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true, .chat = chat, .loss = loss,
                .too_long = too_long);
}

/* Conversations, a text and a pair share rows: every token that is learned is a target once. */
TEST(rows)
{
    char lines[4000] = "{\"text\": \"abc\"}\n{\"prompt\": \"ab\", \"completion\": \"c\"}\n";
    for (int i = 0; i < 5; i++)
        strcat(strcat(lines, two_turns), "\n");
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_template *chat = template_of(marked);
    gr_data *d = data_of(lines, GR_LOSS_ASSISTANT, GR_TOO_LONG_CUT, t, chat);
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->documents, 7);
    for (int64_t context = 50; context <= 200; context += 75) {
        gr_rows *r = gr_rows_new(d, context, true, 1);
        CHECK_MADE(r);
        gr_rows_info info = *gr_rows_describe(r);
        gr_token tokens[200], targets[200];
        int64_t segments[200], seen[300] = {0}, all = 0;
        for (int64_t k = 0; k < info.rows; k++) {
            gr_rows_fill(r, k, tokens, targets, segments);
            for (int64_t i = 0; i < context; i++)
                if (targets[i] >= 0)
                    seen[targets[i]]++, all++;
        }
        CHECK_EQ_INT(all, info.trained);
        CHECK_EQ_INT(info.trained, 3 + 2 + 5 * 5);
        CHECK_EQ_INT(seen['e'], 5);
        CHECK_EQ_INT(seen[';'], 10);
        CHECK_EQ_INT(seen['a'] + seen['d'] + seen['<'], 0);
        gr_rows_free(r);
    }
    gr_data_free(d);
    gr_template_free(chat);
    gr_tokenizer_free(t);
}

/* "<user>a;<assistant>bc;<user>d;<assistant>e;" has 43 tokens; the second turn is learned from the 41st on. */
TEST(too_long)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_template *chat = template_of(plain);
    gr_data *d = data_of(two_turns, GR_LOSS_ASSISTANT, GR_TOO_LONG_CUT, t, chat);
    CHECK_MADE(d);
    gr_rows *r = gr_rows_new(d, 30, false, 0);
    CHECK_MADE(r);
    CHECK_EQ_INT(gr_rows_describe(r)->cut_chats, 1);
    CHECK_EQ_INT(gr_rows_describe(r)->cut_tokens, 43 - 31);
    CHECK_EQ_INT(gr_rows_describe(r)->trained, 3);
    CHECK_EQ_INT(gr_rows_describe(r)->rows, 1);
    gr_rows_free(r);
    CHECK(!gr_rows_new(d, 10, false, 0)); /* nothing to learn is left */
    CHECK_ERROR(GR_ERR_ARGUMENT, "no document has anything to learn in its first 11 tokens");
    gr_data_free(d);
    char lines[1000];
    snprintf(lines, sizeof lines, "%s\n{\"text\": \"abc\"}\n", two_turns);
    d = data_of(lines, GR_LOSS_ASSISTANT, GR_TOO_LONG_DROP, t, chat);
    CHECK_MADE(d);
    r = gr_rows_new(d, 30, true, 0);
    CHECK_MADE(r);
    CHECK_EQ_INT(gr_rows_describe(r)->dropped, 1);
    CHECK_EQ_INT(gr_rows_describe(r)->trained, 3);
    gr_rows_free(r);
    gr_data_free(d);
    d = data_of(lines, GR_LOSS_ASSISTANT, GR_TOO_LONG_ERROR, t, chat);
    CHECK_MADE(d);
    CHECK(!gr_rows_new(d, 30, false, 0));
    CHECK_ERROR(GR_ERR_FILE, "chats.jsonl: line 1: has 43 tokens, a row of 30 takes 31");
    gr_data_free(d);
    gr_template_free(chat);
    gr_tokenizer_free(t);
}

TEST(refused_data)
{
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_template *chat = template_of(refusing);
    char lines[1000];
    CHECK(!data_of(two_turns, GR_LOSS_ASSISTANT, GR_TOO_LONG_CUT, t, NULL));
    CHECK_ERROR(GR_ERR_FILE, "chats.jsonl: line 1: is a conversation, and the model has no chat template");
    snprintf(lines, sizeof lines, "{\"text\": \"a\"}\n{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}]}\n");
    CHECK(!data_of(lines + 14, GR_LOSS_ASSISTANT, GR_TOO_LONG_CUT, t, chat));
    CHECK_ERROR(GR_ERR_FILE, "chats.jsonl: line 1: ");
    CHECK_ERROR(GR_ERR_FILE, "no system here");
    snprintf(lines, sizeof lines, "%s\n{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}]}\n", two_turns);
    gr_data *d = data_of(lines, GR_LOSS_ASSISTANT, GR_TOO_LONG_CUT, t, chat); /* the others are taken */
    CHECK_MADE(d);
    CHECK_EQ_INT(gr_data_describe(d)->documents, 1);
    gr_data_free(d);
    CHECK(!DATA(.paths = (const char *[]){test_join(test_dir(), "chats.jsonl")}, .n_paths = 1, .tokenizer = t,
                .chat = chat));
    CHECK_ERROR(GR_ERR_FILE, "is a conversation, but here all documents become one text");
    gr_template_free(chat);
    gr_tokenizer_free(t);
}

/* ---- our own templates -------------------------------------------------------------------------------------- */

TEST(named_templates)
{
    static const char *const names[] = {"chatml", "llama3", "mistral", "gemma"};
    static const char *const texts[] = {
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nbc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
        "<|im_start|>assistant\ne<|im_end|>\n",
        "<|start_header_id|>user<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nbc<|"
        "eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nd<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\ne<|"
        "eot_id|>",
        "[INST] a[/INST] bc</s>[INST] d[/INST] e</s>",
        "<start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nbc<end_of_turn>\n<start_of_turn>user\nd<end_of_"
        "turn>\n"
        "<start_of_turn>model\ne<end_of_turn>\n"};
    static const char misspelled[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, "
                                     "{\"role\": \"assitant\", \"content\": \"b\"}]}";
    static const char calls[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", "
                                "\"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\"}}]}]}";
    static const char unheard[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"a\"}, "
                                  "{\"role\": \"assistant\", \"content\": \"b\"}]}";
    static const char *const known[] = {
        "none of system, user, assistant, tool", "none of system, user, assistant, tool, ipython",
        "of user and assistant, behind one of system", "of user and assistant, behind one of system"};
    gr_tokenizer *t = gr_tokenizer_byte();
    for (int i = 0; i < 4; i++) {
        NOTE("%s", names[i]);
        gr_template_source source = GR_INIT(gr_template_source);
        source.name = names[i];
        gr_template *chat = gr_template_open(&source);
        CHECK_MADE(chat);
        CHECK_EQ_STR(gr_template_describe(chat)->name, names[i]);
        gr_conversation c = GR_INIT(gr_conversation);
        const gr_rendered *r;
        char json[600];
        snprintf(json, sizeof json, "%.*s, \"add_generation_prompt\": false}", (int)strlen(two_turns) - 1, two_turns);
        c.json = json;
        c.json_size = strlen(json);
        CHECK_OK(gr_template_render(chat, &c, &r));
        CHECK_EQ_STR(r->text, texts[i]);
        CHECK_EQ_INT(r->n_generated, 2);
        gr_free(r);
        c.json = misspelled;
        c.json_size = strlen(misspelled);
        CHECK_STATUS(gr_template_render(chat, &c, &r), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "\"assitant\"");
        CHECK_ERROR(GR_ERR_ARGUMENT, known[i]);
        c.json = calls;
        c.json_size = strlen(calls);
        CHECK_STATUS(gr_template_render(chat, &c, &r), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "this template writes no tool calls");
        c.json = unheard;
        c.json_size = strlen(unheard);
        CHECK_STATUS(gr_template_render(chat, &c, &r),
                     i < 2 ? GR_OK : GR_ERR_ARGUMENT); /* these two put it before a user's */
        if (i < 2)
            gr_free(r);
        else
            CHECK_ERROR(GR_ERR_ARGUMENT, "behind system comes user, not assistant");
        c.tokenizer = t; /* which has none of their marks */
        CHECK_STATUS(gr_template_render(chat, &c, &r), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, "needs the added token ");
        gr_template_free(chat);
    }
    gr_template_source source = GR_INIT(gr_template_source);
    source.name = "chatmm";
    CHECK(!gr_template_open(&source));
    CHECK_ERROR(GR_ERR_ARGUMENT, "the names are chatml, llama3, mistral and gemma");
    gr_tokenizer_free(t);
}

/* With them a template of ours has what it needs; what ends texts is as before, and a second time adds nothing. */
TEST(added_tokens)
{
    static const char *const tokens[] = {"<|im_start|>", "<|im_end|>", NULL};
    gr_tokenizer *t = gr_tokenizer_byte(), *more = gr_tokenizer_extend(t, tokens),
                 *again = gr_tokenizer_extend(more, tokens);
    CHECK_MADE(more);
    CHECK_MADE(again);
    int64_t n = gr_tokenizer_describe(t)->vocab_size;
    CHECK_EQ_INT(gr_tokenizer_describe(more)->vocab_size, n + 2);
    CHECK_EQ_STR(gr_tokenizer_describe(again)->json, gr_tokenizer_describe(more)->json);
    CHECK_EQ_INT(gr_tokenizer_describe(more)->eos, gr_tokenizer_describe(t)->eos);
    for (int i = 0; i < 2; i++) {
        gr_token_kind kind;
        CHECK_EQ_INT(gr_tokenizer_id(more, tokens[i]), n + i);
        CHECK(gr_tokenizer_token(more, (gr_token)(n + i), NULL, &kind) && kind == GR_TOKEN_CONTROL);
    }
    gr_template_source source = GR_INIT(gr_template_source);
    source.name = "chatml";
    gr_chats c = {.template = gr_template_open(&source), .tokenizer = more};
    gr_chat_row row = {0};
    CHECK_OK(gr_chat_row_make(&c, two_turns, sizeof two_turns - 1, &row));
    CHECK_EQ_INT(row.ids.data[0], n);
    int64_t ends = 0;
    for (size_t i = 0; i < row.ids.size; i++)
        ends += row.learned.data[i] && row.ids.data[i] == n + 1;
    CHECK_EQ_INT(ends, 2); /* of the assistant's turns */
    gr_chat_row_free(&row);
    gr_template_free((gr_template *)c.template);
    gr_tokenizer_free(again);
    gr_tokenizer_free(more);
    bool made = false;
    for (int64_t k = 1; !made; k++) {
        gr_mem_fail_at(k);
        more = gr_tokenizer_extend(t, tokens);
        made = gr_mem_fail_at(0) > 0;
        CHECK((more != NULL) == made);
        gr_tokenizer_free(more);
    }
    gr_tokenizer_free(t);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The n-th allocation fails, for every n: an error, and nothing is left. */
TEST(without_memory)
{
    gr_chats c = {.template = template_of(plain), .tokenizer = gr_tokenizer_byte()};
    gr_chat_row row = {0};
    bool made = false;
    for (int64_t n = 1; !made; n++) {
        gr_mem_fail_at(n);
        gr_status s = gr_chat_row_make(&c, two_turns, sizeof two_turns - 1, &row);
        made = gr_mem_fail_at(0) > 0;
        CHECK(s == (made ? GR_OK : GR_ERR_MEMORY));
        gr_chat_row_free(&row);
        row = (gr_chat_row){0};
    }
    gr_template_free((gr_template *)c.template);
    gr_tokenizer_free(c.tokenizer);
}
