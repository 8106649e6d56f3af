/* Chat templates: what transformers renders of our own ones (tests/data/templates, made by tools/oracle/make_templates.py),
 * which bytes came from messages, and what hostile templates and conversations come to. */
#include "gguf_file.h"

#include "base/json.h"
#include "text/tokenizer.h"

/* ---- rendering ---------------------------------------------------------------------------------------------- */

static gr_template *open_text(const char *text)
{
    gr_template_source source = GR_INIT(gr_template_source);
    source.text = text;
    source.text_size = strlen(text);
    source.name = "t";
    return gr_template_open(&source);
}

static const gr_rendered *render(const gr_template *t, const char *json)
{
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *out = NULL;
    c.json = json;
    c.json_size = strlen(json);
    gr_error_clear();
    gr_template_render(t, &c, &out);
    return out;
}

static const char hello[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}";

/* The text that a template makes of a conversation. */
static void check_text(const char *text, const char *json, const char *wanted)
{
    NOTE("%s", text);
    gr_template *t = open_text(text);
    CHECK_MADE(t);
    const gr_rendered *r = render(t, json);
    CHECK_MADE(r);
    CHECK_EQ_STR(r->text, wanted);
    gr_free(r);
    gr_template_free(t);
    NOTE("%s", "");
}

/* It is refused, when it is opened or rendered, with these words. */
static void check_refused(const char *text, const char *json, gr_status status, const char *words)
{
    NOTE("%s", text);
    gr_error_clear();
    gr_template *t = open_text(text);
    CHECK(!t || !render(t, json));
    CHECK_ERROR(status, words);
    gr_template_free(t);
    NOTE("%s", "");
}

/* ---- goldens ------------------------------------------------------------------------------------------------ */

typedef struct goldens {
    gr_json_doc *head;
    char *variables;
    size_t variables_size;
    int64_t now, n;
} goldens;

static gr_template *open_golden(gr_json row)
{
    char name[160];
    gr_template_source source = GR_INIT(gr_template_source);
    snprintf(name, sizeof name, "tests/data/templates/%s.jinja", gr_json_text(row, "template", ""));
    source.path = test_source(name);
    return gr_template_open(&source);
}

static void check_spans(gr_json wanted, const gr_rendered *r)
{
    if (!gr_json_is(wanted))
        return;
    CHECK_EQ_INT(gr_json_size(wanted), r->n_generated);
    for (size_t i = 0; i < r->n_generated; i++) {
        CHECK_EQ_INT(gr_json_as_int(gr_json_item(gr_json_item(wanted, i), 0), 0, INT64_MAX), r->generated[i].from);
        CHECK_EQ_INT(gr_json_as_int(gr_json_item(gr_json_item(wanted, i), 1), 0, INT64_MAX), r->generated[i].to);
    }
}

static void check_golden(goldens *g, gr_json_doc *doc)
{
    gr_json row = gr_json_root(doc), wanted = gr_json_get(row, "text");
    gr_json_doc *chat = gr_json_new("chat");
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *r = NULL;
    size_t size;
    NOTE("golden %lld, %s", (long long)g->n, gr_json_text(row, "template", ""));
    for (gr_json_iter it = gr_json_first(gr_json_get(row, "chat")); it.key; gr_json_next(&it))
        gr_json_put_copy(gr_json_root(chat), it.key, it.value);
    char *json = gr_json_format(chat, false, &c.json_size);
    gr_template *t = open_golden(row);
    CHECK_MADE(t);
    c.json = json;
    c.variables = g->variables;
    c.variables_size = g->variables_size;
    c.has_now = true;
    c.now = g->now;
    gr_status s = gr_template_render(t, &c, &r);
    if (!gr_json_is(wanted)) {
        CHECK(s != GR_OK && !r && strstr(gr_error(), "line "));
    } else {
        const char *text = gr_json_as_text(wanted, &size);
        CHECK_OK(s);
        CHECK_EQ_STR(r->text, text);
        CHECK_EQ_INT(r->text_size, size);
        check_spans(gr_json_get(row, "generated"), r);
    }
    gr_free(r);
    gr_free(json);
    gr_template_free(t);
    gr_json_free(chat);
    g->n++;
}

TEST(goldens_of_transformers)
{
    size_t size;
    goldens g = {0};
    char *text = gr_file_read(test_source("tests/data/templates/goldens.jsonl"), GR_JSON_LIMIT, &size);
    CHECK_MADE(text);
    for (char *line = text, *next; line < text + size; line = next) {
        char *end = strchr(line, '\n');
        next = end + 1;
        gr_json_doc *doc = gr_json_parse("golden", line, (size_t)(end - line));
        CHECK_MADE(doc);
        if (!g.head) {
            g.head = doc;
            g.now = gr_json_int(gr_json_root(doc), "now", 0, INT64_MIN, INT64_MAX);
            g.variables = strstr(line, "{\"bos_token\"");
            g.variables_size = (size_t)(strchr(g.variables, '}') + 1 - g.variables);
            continue;
        }
        check_golden(&g, doc);
        gr_json_free(doc);
    }
    CHECK(g.n >= 200);
    gr_json_free(g.head);
    gr_free(text);
}

TEST(numbers_that_python_reads)
{
    check_text("{{ '1_0.5e1'|float }} {{ '-iNf'|float }} {{ 'infinity'|float }} {{ '+NaN'|float }} {{ ' 5 '|float }}",
               hello, "105.0 -inf inf nan 5.0");
    check_text("{{ '1_000'|int }} {{ '1e3'|int }} {{ '-0'|float }} {{ '9'|int }} {{ '1.7'|int }}", hello,
               "1000 1000 -0.0 9 1");
    check_text("{% for s in ['1__0', '_1', '1_', 'infx', '-', '.', '', '0x10', 'i', 'é5', '0user1', '1e', '5\\x00'] %}"
               "{{ s|float('x') }}{{ s|int(7) }}{% endfor %}{{ '-inf'|int(7) }}",
               hello, "x7x7x7x7x7x7x7x7x7x7x7x7x77");
    check_refused("{{ '\xd9\xa3'|int }}", hello, GR_ERR_UNSUPPORTED, "digits that are not ASCII");
}

TEST(kinds_of_characters)
{
    check_text(
        "{{ 'é'.isalpha() }} {{ 'é1'.isalpha() }} {{ 'é1'.isalnum() }} {{ '½'.isalnum() }} {{ '🙂'.isalnum() }}",
        hello, "True False True True False");
    check_text("{{ '٣'.isdigit() }} {{ '1é'.isdigit() }} {{ 'aÉ'.isupper() }} {{ 'Aé'.islower() }}", hello,
               "True False False False");
    check_refused("{{ '²'.isdigit() }}", hello, GR_ERR_UNSUPPORTED, "isdigit of numbers that are not ASCII");
    check_refused("{{ 'É'.isupper() }}", hello, GR_ERR_UNSUPPORTED, "isupper of characters that are not ASCII");
}

/* What is made of it is escaped with what it meets, as it is. */
TEST(methods_of_what_safe_made)
{
    check_text(
        "{{ (' <b> '|safe).strip() + '<' }} {{ ('<b>'|safe).split('b')[0] + '<' }} {{ ('<b>'|safe).upper() + '<' }}",
        hello, "<b>&lt; <&lt; <B>&lt;");
    check_text(
        "{{ ('a\nb'|safe).splitlines()[1] + '&' }} {{ (''|safe).splitlines() }} {{ ('<a'|safe).index('a') + 1 }}",
        hello, "b&amp; [] 2");
    check_refused("{{ ('a'|safe).replace('a', 'b') }}", hello, GR_ERR_UNSUPPORTED, "'replace' of str is not supported");
}

TEST(values_of_python)
{
    check_text("{{ 1e22 }} {{ 1e-4 }} {{ 0.00001 }} {{ 123456789012345680.0 }} {{ -0.0 }} {{ 5e-324 }} {{ 100.0 }}",
               hello, "1e+22 0.0001 1e-05 1.2345678901234568e+17 -0.0 5e-324 100.0");
    check_text("{{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** -1 }} {{ true + true }}", hello,
               "-4 2 3.0 0.5 0.5 2");
    check_text("{{ -2 ** 2 }} {{ 'a'.find('b') ** 2 }} {{ (-2) ** (1 + 1) ** 3 }}", hello, "4 1 64");
    check_refused("{{ -2 ** messages|length }}", hello, GR_ERR_UNSUPPORTED, "a negative constant to the power");
    check_text("{{ ['it\\'s', \"q\\\"\", 'both\\'\"', 'tab\\t', 'é', '\\u200b', '\\x00'] }}", hello,
               "[\"it's\", 'q\"', 'both\\'\"', 'tab\\t', 'é', '\\u200b', '\\x00']");
    check_text("{{ 'Größe'|upper if false else 'Größe'[::-1] }} {{ 'ÄÖ'|lower }} {{ '世界人'[1] }}", hello,
               "eßörG äö 界");
    check_text("{{ messages.__class__ }}{{ ''.__class__ is defined }}|{{ messages[0]['items'] is callable }}", hello,
               "False|True");
    check_text(
        "{% for x in [1,2,3] %}{% set y = x %}{% if loop.last %}{{ y }}{% endif %}{% endfor %}{{ y is defined }}",
        hello, "3False");
}

/* A name that is set in a scope of its own is gone behind it; what is set in front of a loop is seen in it. */
TEST(scopes_of_names)
{
    check_text("{% set x = 1 %}{% for i in range(2) %}{{ x }}{% set x = x + 1 %}{{ x }} {% endfor %}{{ x }}", hello,
               "12 12 1");
    check_text("{% if false %}{% set tools = 1 %}{% endif %}{{ tools }}", hello, "None");
    check_text("{% for i in [1] %}{{ tools }}{% endfor %}{% set tools = 3 %}{{ tools }}", hello, "3");
    check_text("{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% set x = 2 %}{{ f() }}", hello, "2");
    check_text(
        "{% macro f(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 2, 3, k=4) }}",
        hello, "11(){}12(3,){'k': 4}");
    check_text("{% macro f() %}{{ caller }}{% endmacro %}{{ f }}{% call f() %}{% endcall %}", hello,
               "<Macro 'f'><Macro anonymous>");
    check_text("{% set x %}{% set y = 5 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}", hello, "5False");
}

/* ---- provenance --------------------------------------------------------------------------------------------- */

/* The untrusted parts of the text, with | between. */
static void check_untrusted(const char *text, const char *json, const char *wanted)
{
    char parts[512] = "";
    NOTE("%s", text);
    gr_template *t = open_text(text);
    CHECK_MADE(t);
    const gr_rendered *r = render(t, json);
    CHECK_MADE(r);
    for (size_t i = 0; i < r->n_untrusted; i++) {
        size_t n = r->untrusted[i].to - r->untrusted[i].from;
        CHECK(r->untrusted[i].to <= r->text_size && n > 0);
        strcat(parts, i ? "|" : "");
        strncat(parts, r->text + r->untrusted[i].from, n);
    }
    CHECK_EQ_STR(parts, wanted);
    gr_free(r);
    gr_template_free(t);
    NOTE("%s", "");
}

TEST(masks_follow_every_operation)
{
    static const char chat[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \" Ab,cD \", \"n\": 42, \"l\": [1, \"x\"]}], "
        "\"tools\": [{\"k\": \"v\"}]}";
#define M "{% set c = messages[0].content %}"
    check_untrusted("<{{ messages[0].content }}>", chat, " Ab,cD ");
    check_untrusted(M "<{{ c | trim }}>{{ c.strip() }}.{{ c[::-1] }}.{{ c[1] }}", chat, "Ab,cD|Ab,cD| Dc,bA |A");
    check_untrusted(M "{{ c | upper }}-{{ c | replace('b', 'xy') }}-{{ 'q'.replace('q', c) }}", chat,
                    " AB,CD | A|,cD | Ab,cD ");
    check_untrusted(M "{{ c.split(',') | join('+') }}-{{ '%s!' % c }}-{{ '{}?'.format(c) }}", chat,
                    " Ab|cD | Ab,cD | Ab,cD ");
    check_untrusted(M "{{ 'a' ~ c ~ 'b' }}{{ 'a' + c }}{{ c * 2 }}", chat, " Ab,cD | Ab,cD  Ab,cD  Ab,cD ");
    check_untrusted("{{ messages[0].n }}.{{ messages[0].n + 1 }}.{{ messages[0].l }}.{{ [messages[0].l[1]] | tojson }}",
                    chat, "42|43|[1, 'x']|\"x\"");
    check_untrusted("{{ tools | tojson }}.{{ tools[0].keys() | list | first }}", chat, "[{\"k\": \"v\"}]|k");
    check_untrusted(M "{% filter upper %}a{{ c }}{% endfilter %}{% set t %}[{{ c }}]{% endset %}{{ t }}", chat,
                    " AB,CD | Ab,cD ");
    check_untrusted("{{ messages[0].role }}{{ messages[0].role | upper }}{{ messages | length }}", chat, "");
#undef M
}

TEST(roles_count_as_template_text)
{
    static const char form[] = "{\"messages\": [{\"role\": \"%s\", \"content\": \"\"}]}";
    static const struct {
        const char *template, *role, *untrusted;
    } cases[] = {
        {"{{ messages[0].role }}", "assistant", ""},
        {"{{ messages[0].role }}", "narrator", "narrator"},
        {"{% if messages[0].role == 'narrator' %}{% endif %}{{ messages[0].role }}", "narrator", ""},
        {"{% if messages[0].role in ['narrator'] %}{% endif %}{{ messages[0].role }}", "narrator", ""},
        {"{% if messages[0].role == '<|end|>' %}{% endif %}{{ messages[0].role }}", "<|end|>", "<|end|>"},
        {"{{ '<|end|>' }}{{ messages[0].role }}", "end", "end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char chat[128];
        snprintf(chat, sizeof chat, form, cases[i].role);
        check_untrusted(cases[i].template, chat, cases[i].untrusted);
    }
}

static const char *const tokenizers[] = {"gpt2",    "llama2",        "qwen2",         "bert-cased",
                                         "unigram", "unigram-bytes", "precompiled",   "normalize-nfkc",
                                         "scripts", "templates",     "normalize-nmt", "precompiled-first"};

/* Renders with each token of the tokenizer in each field; none of these bytes becomes its id. */
static void inject(gr_tokenizer *tokenizer, const gr_template *t, const char *token, gr_token id)
{
    gr_json_doc *doc = gr_json_new("chat");
    gr_json messages = gr_json_put_array(gr_json_root(doc), "messages"), m = gr_json_put_object(messages, NULL);
    const char *const keys[] = {"role", "content", "name", "reasoning_content"};
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *r;
    const gr_token *ids;
    size_t n;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        gr_json_put_text(m, keys[i], token);
    gr_json tool = gr_json_put_object(gr_json_put_array(gr_json_root(doc), "tools"), NULL);
    gr_json_put_text(tool, token, token);
    char *json = gr_json_format(doc, false, &c.json_size);
    CHECK_MADE(json);
    c.json = json;
    CHECK_OK(gr_template_render(t, &c, &r));
    CHECK_OK(gr_template_encode(tokenizer, r, &ids, &n));
    for (size_t i = 0; i < n; i++)
        CHECK(ids[i] != id);
    gr_free(r);
    gr_free(json);
    gr_json_free(doc);
}

TEST(control_tokens_in_every_field)
{
    gr_template *t =
        open_text("{% for m in messages %}[{{ m.role }}] {{ m.content }} {{ m.name | trim }}{{ m.thinking }}"
                  "{{ m | tojson }}{% endfor %}{{ tools | tojson(indent=1) }}{{ tools }}");
    CHECK_MADE(t);
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++) {
        char path[128];
        int tried = 0;
        snprintf(path, sizeof path, "tests/data/tokenizers/%s.json", tokenizers[i]);
        gr_tokenizer *tokenizer = gr_tokenizer_load(test_source(path));
        CHECK_MADE(tokenizer);
        gr_token unknown = gr_tokenizer_id(tokenizer, "<unk>"), other = gr_tokenizer_id(tokenizer, "[UNK]");
        for (gr_token id = 0; id < gr_tokenizer_describe(tokenizer)->vocab_size; id++) {
            char token[128];
            size_t size;
            gr_token_kind kind;
            const char *text = gr_tokenizer_token(tokenizer, id, &size, &kind);
            if (!text || kind != GR_TOKEN_CONTROL || id == unknown || id == other || size >= sizeof token)
                continue;
            snprintf(token, sizeof token, "%.*s", (int)size, text);
            NOTE("%s: %s", tokenizers[i], token);
            inject(tokenizer, t, token, id);
            tried++;
        }
        CHECK(tried > 0);
        gr_tokenizer_free(tokenizer);
    }
    gr_template_free(t);
}

/* What the template writes becomes control tokens, beside user text of any kind. */
TEST(control_tokens_of_the_template)
{
    gr_tokenizer *tokenizer = gr_tokenizer_load(test_source("tests/data/tokenizers/gpt2.json"));
    CHECK_MADE(tokenizer);
    const char *const contents[] = {"x", "<", "<|", "<|end|", "|>", "<|end|>", "<<|end|", ""};
    gr_template *t = open_text("{{ bos_token }}{{ messages[0].content }}<|end|>{{ messages[0].content }}<|end|>");
    gr_token end = gr_tokenizer_id(tokenizer, "<|end|>"), bos = gr_tokenizer_describe(tokenizer)->bos;
    CHECK(t && end >= 0 && bos >= 0);
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        char json[128];
        gr_conversation c = GR_INIT(gr_conversation);
        const gr_rendered *r;
        const gr_token *ids;
        size_t n, ends = 0;
        NOTE("%s", contents[i]);
        snprintf(json, sizeof json, "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}]}", contents[i]);
        c.json = json;
        c.json_size = strlen(json);
        c.tokenizer = tokenizer;
        CHECK_OK(gr_template_render(t, &c, &r));
        CHECK_OK(gr_template_encode(tokenizer, r, &ids, &n));
        for (size_t k = 0; k < n; k++)
            ends += ids[k] == end;
        CHECK_EQ_INT(ends, 2);
        CHECK(n > 2 && ids[0] == bos && ids[1] != bos && ids[n - 1] == end);
        gr_free(r);
    }
    gr_template_free(t);
    gr_tokenizer_free(tokenizer);
}

/* ---- where templates come from ------------------------------------------------------------------------------ */

static void check_from(const char *dir, const char *name, const char *chat, const char *wanted)
{
    gr_template_source source = GR_INIT(gr_template_source);
    source.path = dir;
    source.name = name;
    gr_template *t = gr_template_open(&source);
    CHECK_MADE(t);
    const gr_rendered *r = render(t, chat);
    CHECK_MADE(r);
    CHECK_EQ_STR(r->text, wanted);
    gr_free(r);
    gr_template_free(t);
}

TEST(templates_of_a_directory)
{
    static const char one[] = "{\"chat_template\": \"config {{ messages[0].content }}\"}",
                      many[] =
                          "{\"chat_template\": [{\"name\": \"default\", \"template\": \"d\"}, {\"name\": \"tool_use\", "
                          "\"template\": \"t\"}, {\"name\": \"rag\", \"template\": \"r\"}]}",
                      with_tools[] = "{\"messages\": [{\"role\": \"user\"}], \"tools\": []}";
    char dir[1024];
    gr_template_source source = GR_INIT(gr_template_source);
    snprintf(dir, sizeof dir, "%s", test_dir());
    source.path = dir;
    CHECK(!gr_template_open(&source));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "no chat template here");
    test_file("tokenizer_config.json", one, strlen(one));
    check_from(dir, NULL, hello, "config Hello");
    test_file("tokenizer_config.json", many, strlen(many));
    check_from(dir, NULL, hello, "d");
    check_from(dir, NULL, with_tools, "t");
    check_from(dir, "rag", with_tools, "r");
    source.name = "other";
    CHECK(!gr_template_open(&source));
    CHECK_ERROR(GR_ERR_ARGUMENT, "default, tool_use, rag");
    test_file("chat_template.jinja", "file\n", 5);
    check_from(dir, NULL, with_tools, "file");
    CHECK_OK(gr_dir_make(test_join(dir, "additional_chat_templates")));
    test_file("additional_chat_templates/tool_use.jinja", "more", 4);
    check_from(dir, NULL, with_tools, "more");
    check_from(dir, NULL, hello, "file");
    check_from(test_join(dir, "chat_template.jinja"), NULL, hello, "file");
}

TEST(templates_of_a_gguf_file)
{
    gguf_file f = gguf_new();
    gr_template_source source = GR_INIT(gr_template_source);
    source.path = gguf_write(&f, "none.gguf");
    CHECK(!gr_template_open(&source));
    CHECK_ERROR(GR_ERR_UNSUPPORTED, "it has no key tokenizer.chat_template");
    gguf_text(&f, "tokenizer.chat_template", "file {{ messages[0].content }}");
    gguf_text(&f, "tokenizer.chat_template.tool_use", "{{ tools }}");
    gguf_text(&f, "tokenizer.chat_templates", "no");
    const char *path = gguf_write(&f, "chat.gguf");
    check_from(path, NULL, hello, "file Hello");
    check_from(path, NULL, "{\"messages\": [{\"role\": \"user\"}], \"tools\": []}", "[]");
    check_from(path, "tool_use", hello, "None");
    gguf_free(&f);
}

/* bos_token and the others are those of the tokenizer's directory. */
TEST(variables_of_a_template)
{
    static const char config[] =
        "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}, \"pad_token\": null}";
    static const char text[] = "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ thinking }}|{{ date }}";
    static const char variables[] = "{\"thinking\": false, \"date\": \"no\"}";
    size_t size;
    char *json = gr_file_read(test_source("tests/data/tokenizers/llama2.json"), GR_JSON_LIMIT, &size);
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *r;
    CHECK_MADE(json);
    test_file("tokenizer.json", json, size);
    gr_free(json);
    test_file("tokenizer_config.json", config, strlen(config));
    gr_tokenizer *tokenizer = gr_tokenizer_load(test_dir());
    gr_template *t = open_text(text);
    CHECK(tokenizer && t);
    c.json = "{\"messages\": [{\"role\": \"user\"}], \"date\": \"today\"}";
    c.json_size = strlen(c.json);
    c.variables = variables;
    c.variables_size = strlen(variables);
    c.tokenizer = tokenizer;
    CHECK_OK(gr_template_render(t, &c, &r));
    CHECK_EQ_STR(r->text, "<s>|</s>|False|False|today");
    gr_free(r);
    gr_template_free(t);
    gr_tokenizer_free(tokenizer);
}

TEST(time_that_the_caller_sets)
{
    static const char text[] = "{{ strftime_now('%Y-%m-%d %e %H:%M:%S %I%p %A %a %B %b %j %y %%') }}";
    gr_template *t = open_text(text);
    gr_conversation c = GR_INIT(gr_conversation);
    const gr_rendered *r;
    CHECK_MADE(t);
    c.json = hello;
    c.json_size = strlen(hello);
    c.has_now = true;
    c.now = 951782399; /* 2000-02-28 23:59:59 */
    CHECK_OK(gr_template_render(t, &c, &r));
    CHECK_EQ_STR(r->text, "2000-02-28 28 23:59:59 11PM Monday Mon February Feb 059 00 %");
    gr_free(r);
    gr_template_free(t);
    check_refused("{{ strftime_now('%c') }}", hello, GR_ERR_UNSUPPORTED,
                  "line 1, column 4: strftime_now: the directive %c");
}

/* ---- hostile templates -------------------------------------------------------------------------------------- */

TEST(broken_templates_are_told_by_place)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{% if x %}", "t: line 1, column 11: the block that begins here has no end"},
        {"a\n  {{ x", "t: line 2, column 3: an expression that does not end"},
        {"{{ x ? }}", "line 1, column 6: an unexpected character"},
        {"{{ 'abc }}", "line 1, column 4: a string that does not end"},
        {"{{ (1 }}", "line 1, column 7: a bracket that closes none"},
        {"{{ 1 ] }}", "a bracket that closes none"},
        {"{% endif %}", "the statement 'endif' is not supported"},
        {"{% include 'x' %}", "line 1, column 4: the statement 'include' is not supported"},
        {"{% for x in y recursive %}{% endfor %}", "recursive loops are not supported"},
        {"{{ x | nothing }}", "line 1, column 8: there is no filter 'nothing'"},
        {"{{ x is nothing }}", "there is no test 'nothing'"},
        {"{% break %}", "outside of a loop"},
        {"{% for x in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", "outside of a loop"},
        {"{% set 1 = 2 %}", "expected a name to set, found '1'"},
        {"{% macro f(a=1, b) %}{% endmacro %}", "without a default"},
        {"{# x", "a comment that does not end"},
        {"{% raw %} x", "raw without endraw"},
        {"{{ 99999999999999999999 }}", "an integer past 64 bits"},
        {"{{ '\\ud800' }}", "an escape that is no character"},
        {"\xff", "a byte that is no UTF-8"},
        {"{{ f(a=1, 2) }}", "an argument that cannot stand there"},
        {"{% for loop in x %}{% endfor %}", "'loop' cannot be set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gr_error_clear();
        NOTE("%s", cases[i].text);
        CHECK(!open_text(cases[i].text));
        CHECK(strstr(gr_error(), "line ") && strstr(gr_error(), cases[i].words));
    }
    NOTE("%s", "");
    check_refused("{% if true %}{{ 1 | nothing }}{% endif %}", hello, GR_ERR_UNSUPPORTED,
                  "there is no filter 'nothing'");
    check_text("{% if false %}{{ 1 | nothing }}{% endif %}", hello, "");
}

/* Templates of n times a text, between a beginning and an end. */
static char *repeated(const char *before, const char *text, size_t n, const char *after)
{
    size_t size = strlen(text);
    char *out = malloc(strlen(before) + n * size + strlen(after) + 1), *to = out;
    CHECK(out != NULL);
    to += sprintf(to, "%s", before);
    for (size_t i = 0; i < n; i++, to += size)
        memcpy(to, text, size);
    sprintf(to, "%s", after);
    return out;
}

TEST(deep_nesting)
{
    static const char *const parts[][3] = {{"{{ ", "(", "1"},    {"{{ ", "[", "1"},      {"{{ ", "not ", "1 }}"},
                                           {"{{ ", "-", "1 }}"}, {"", "{% if x %}", ""}, {"", "{% for x in y %}", ""},
                                           {"{{ ", "{1:", "1"},  {"{{ 1", " if (1", ""}, {"{{ a", "[a", ""},
                                           {"{% set ", "(", "x"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *text = repeated(parts[i][0], parts[i][1], 60000, parts[i][2]);
        NOTE("%zu", i);
        CHECK(!open_text(text));
        CHECK(strstr(gr_error(), "line 1, column ") != NULL);
        free(text);
    }
    char *text = repeated("{{ 1", " + 1", 20000, " }}"); /* long is not deep to read, but it is to run */
    check_refused(text, hello, GR_ERR_ARGUMENT, "nested more deeply");
    free(text);
}

TEST(unbounded_loops)
{
#define MANY "range(100000)"
    check_refused("{% for a in " MANY " %}{% for b in " MANY " %}{% endfor %}{% endfor %}", hello, GR_ERR_ARGUMENT,
                  "more");
    check_refused("{% for a in " MANY " %}{% for b in " MANY " %}{% set x = b %}{% endfor %}{% endfor %}", hello,
                  GR_ERR_ARGUMENT, "steps");
    check_refused(
        "{% macro f(n) %}{% for i in range(50) %}{{ f(n + 1) if n < 40 }}{% endfor %}{% endmacro %}{{ f(0) }}", hello,
        GR_ERR_ARGUMENT, "more");
#undef MANY
}

TEST(deep_recursion)
{
    check_refused("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", hello, GR_ERR_ARGUMENT, "line 1, column ");
    CHECK(strstr(gr_error(), "nested more deeply than the 600 levels") != NULL);
    check_refused("{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}", hello,
                  GR_ERR_ARGUMENT, "nested more deeply");
    check_refused(
        "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}{% endmacro %}"
        "{{ g() }}",
        hello, GR_ERR_ARGUMENT, "nested more deeply");
    check_refused(
        "{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", hello,
        GR_ERR_ARGUMENT, "nested more deeply");
    check_refused("{% set ns = namespace(x=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% endfor %}"
                  "{{ ns.x | tojson }}",
                  hello, GR_ERR_ARGUMENT, "nested more deeply");
    check_refused(
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(2000) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}"
        "{% endfor %}{{ ns.x == ns.y }}",
        hello, GR_ERR_ARGUMENT, "nested more deeply");
}

TEST(huge_ranges)
{
    check_text("{{ range(100000) | length }}", hello, "100000");
    check_refused("{{ range(100001) }}", hello, GR_ERR_ARGUMENT, "range: of more than 100000 numbers");
    check_refused("{{ range(-9223372036854775807, 9223372036854775807) | list }}", hello, GR_ERR_ARGUMENT,
                  "range: of more");
    check_refused("{{ range(0, 1, 0) }}", hello, GR_ERR_ARGUMENT, "the step is not 0");
    check_text("{{ range(5, 0, -2) | list }}", hello, "[5, 3, 1]");
}

TEST(bombs_of_text)
{
    check_refused(
        "{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", hello,
        GR_ERR_ARGUMENT, "line 1, column ");
    check_refused("{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] | join "
                  "%}{% endfor %}",
                  hello, GR_ERR_ARGUMENT, "more");
    check_refused("{% set ns = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set ns.x = ''.join([ns.x, ns.x]) "
                  "%}{% endfor %}",
                  hello, GR_ERR_ARGUMENT, "more");
    check_refused(
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}",
        hello, GR_ERR_ARGUMENT, "more");
    check_refused("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
                  hello, GR_ERR_ARGUMENT, "more");
    check_refused("{{ 'x' * 9223372036854775807 }}", hello, GR_ERR_ARGUMENT, "more");
    check_refused("{{ [1] * 9223372036854775807 }}", hello, GR_ERR_ARGUMENT, "more memory");
    check_refused("{{ '' | indent(9223372036854775807, first=true) }}", hello, GR_ERR_ARGUMENT, "more");
    check_refused("{% set x = 'a' * 1000000 %}{{ x.replace('', x) }}", hello, GR_ERR_ARGUMENT, "more");
    check_refused("{{ 9223372036854775807 + 1 }}", hello, GR_ERR_UNSUPPORTED, "does not fit into 64 bits");
    check_refused("{{ 10 ** 100 }}", hello, GR_ERR_UNSUPPORTED, "does not fit into 64 bits");
}

/* Of a template itself: bytes, and variables in a scope. */
TEST(templates_that_are_too_large)
{
    char *text = repeated("", "12345678", 1 << 17, ""), *more = repeated("x", "12345678", 1 << 17, "");
    gr_template *t = open_text(text);
    CHECK_MADE(t);
    gr_template_free(t);
    CHECK(!open_text(more));
    CHECK_ERROR(GR_ERR_FILE, "1048577 bytes are too many for a chat template; 1048576 is the limit");
    free(text);
    free(more);
    for (int n = 2000; n <= 2001; n++) {
        char *names = malloc(32 * (size_t)n), *to = names;
        for (int i = 0; i < n; i++)
            to += sprintf(to, "{%% set x%d = 1 %%}", i);
        t = open_text(names);
        CHECK((t != NULL) == (n == 2000));
        if (!t)
            CHECK_ERROR(GR_ERR_FILE, "more than 2000 variables in one scope");
        gr_template_free(t);
        free(names);
    }
}

/* The depth is that of the caller's limit, whatever it is that is nested: values written, as JSON, and compared, too. */
TEST(values_that_are_nested)
{
    static const char *const uses[] = {"{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x == ns.y }}", "{{ ns.x < ns.y }}"};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        char text[300];
        snprintf(text, sizeof text,
                 "{%% set ns = namespace(x=[1], y=[1]) %%}{%% for i in range(40) %%}{%% set ns.x = [ns.x] %%}"
                 "{%% set ns.y = [ns.y] %%}{%% endfor %%}%s",
                 uses[i]);
        gr_template *t = open_text(text);
        gr_conversation c = GR_INIT(gr_conversation);
        const gr_rendered *r;
        CHECK_MADE(t);
        c.json = hello;
        c.json_size = strlen(hello);
        CHECK_OK(gr_template_render(t, &c, &r));
        gr_free(r);
        c.max_depth = 20;
        CHECK_STATUS(gr_template_render(t, &c, &r), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "nested more deeply than the 20 levels");
        gr_template_free(t);
    }
}

/* Each limit, set small, is reached and named with the line. */
TEST(limits_that_the_caller_sets)
{
    static const char text[] = "\n{% for i in range(100) %}{{ [messages[0].content ~ i] }}{% endfor %}";
    gr_template *t = open_text(text);
    gr_conversation base = GR_INIT(gr_conversation);
    const gr_rendered *r;
    CHECK_MADE(t);
    base.json = hello;
    base.json_size = strlen(hello);
    gr_conversation c[4] = {base, base, base, base};
    c[0].max_steps = 500;
    c[1].max_depth = 3;
    c[2].max_memory = 5000;
    c[3].max_text = 100;
    const char *const words[] = {"more than the 500 steps", "nested more deeply than the 3 levels",
                                 "more memory than the 5000 bytes", "a text of more than the 100 bytes"};
    CHECK_OK(gr_template_render(t, &base, &r));
    gr_free(r);
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(gr_template_render(t, &c[i], &r), GR_ERR_ARGUMENT);
        CHECK(!r);
        CHECK_ERROR(GR_ERR_ARGUMENT, "t: line 2, column ");
        CHECK_ERROR(GR_ERR_ARGUMENT, words[i]);
    }
    gr_template_free(t);
}

TEST(cycles_through_a_namespace)
{
    check_refused("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}", hello, GR_ERR_UNSUPPORTED,
                  "a namespace cannot be written");
    check_refused("{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns.self | tojson }}", hello, GR_ERR_ARGUMENT,
                  "a namespace cannot be written as JSON");
    check_text("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self == ns }}{{ ns is defined }}", hello,
               "TrueTrue");
    check_refused("{% set ns = namespace() %}{% set ns._x = 1 %}", hello, GR_ERR_ARGUMENT, "begin with '_'");
    check_refused("{% set x = {} %}{% set x.y = 1 %}", hello, GR_ERR_ARGUMENT, "only a namespace");
}

TEST(walks_along_attributes)
{
    check_refused("{{ ''.__class__.__mro__ }}", hello, GR_ERR_ARGUMENT,
                  "'__class__' is undefined, so it has no '__mro__'");
    check_refused("{{ messages.__init__.__globals__ }}", hello, GR_ERR_ARGUMENT, "is undefined");
    check_refused("{{ range.__self__.x }}", hello, GR_ERR_ARGUMENT, "is undefined");
    check_refused("{{ (messages[0]|attr('__class__')) }}", hello, GR_ERR_UNSUPPORTED, "there is no filter 'attr'");
    check_refused("{{ messages.append(1) }}", hello, GR_ERR_ARGUMENT, "'append' is undefined and cannot be called");
    check_refused("{{ messages[0].update(a=1) }}", hello, GR_ERR_ARGUMENT,
                  "'update' is undefined and cannot be called");
    check_refused("{{ 'a'.encode('utf-8') }}", hello, GR_ERR_UNSUPPORTED, "'encode' of str is not supported");
    check_refused("{{ '{0.__class__}'.format(1) }}", hello, GR_ERR_UNSUPPORTED,
                  "attributes and widths are not supported");
    check_refused("{{ cycler(1, 2) }}", hello, GR_ERR_UNSUPPORTED, "not supported");
}

/* ---- hostile conversations ---------------------------------------------------------------------------------- */

TEST(keys_that_are_missing)
{
    check_text("[{{ messages[0].nothing }}][{{ nothing }}]{{ nothing is defined }}", hello, "[][]False");
    check_refused("a\n{{ messages[0].nothing.more }}", hello, GR_ERR_ARGUMENT,
                  "t: line 2, column 23: 'nothing' is undefined, so it has no 'more'");
    check_refused("{{ 'a' + nothing }}", hello, GR_ERR_ARGUMENT, "'nothing' is undefined");
    check_refused("{{ nothing() }}", hello, GR_ERR_ARGUMENT, "'nothing' is undefined and cannot be called");
}

TEST(text_that_is_hard_to_write)
{
    check_refused("{{ messages }}", "{\"messages\": [{\"role\": \"user\", \"content\": \"\\ud800\"}]}", GR_ERR_FILE,
                  "conversation");
    check_refused("{{ messages }}", "{\"messages\": [{\"role\": \"user\", \"content\": \"\\udc80\"}]}", GR_ERR_FILE,
                  "conversation");
    gr_template *t =
        open_text("{{ messages[0].content }}{{ messages[0].content | tojson }}{{ messages[0].content | length }}");
    const gr_rendered *r = render(t, "{\"messages\": [{\"role\": \"user\", \"content\": \"a\\u0000b\"}]}");
    CHECK_MADE(r);
    CHECK_EQ_INT(r->text_size, 3 + 10 + 1);
    CHECK(memcmp(r->text, "a\0b\"a\\u0000b\"3", r->text_size) == 0);
    gr_free(r);
    gr_template_free(t);
    check_refused("x", "{\"messages\": [{\"role\": \"user\", \"content\": 1e30}]}", GR_ERR_FILE, "past 64 bits");
}

TEST(conversations_that_are_none)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"{}", "key \"messages\""},
        {"[]", "conversation"},
        {"{\"messages\": []}", "one message at least"},
        {"{\"messages\": 5}", "key \"messages\": expected an array"},
        {"{\"messages\": [\"Hello\"]}", "expected an object"},
        {"{\"messages\": [[]]}", "expected an object"},
        {"{\"messages\": [{}], \"tools\": 1}", "key \"tools\": expected an array"},
        {"{\"messages\": [{}], \"tools\": [\"f\"]}", "expected an object"},
        {"{\"messages\": [{}], \"tools\": {\"name\": \"f\"}}", "key \"tools\": expected an array"},
        {"{\"messages\": [{}], \"documents\": [1]}", "expected an object"},
        {"{\"messages\": [{}]", "conversation: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused("x", cases[i].json, GR_ERR_FILE, cases[i].words);
}

TEST(what_the_template_refuses)
{
    static const char text[] = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
                               "{{ raise_exception('roles take turns, not ' ~ m.role) }}{% endif %}{% endfor %}";
    check_refused(text, "{\"messages\": [{\"role\": \"assistant\"}]}", GR_ERR_ARGUMENT,
                  "t: line 1, column 80: the template refuses this conversation: roles take turns, not assistant");
    check_refused(text, "{\"messages\": [{\"role\": \"user\"}, {\"role\": \"user\"}]}", GR_ERR_ARGUMENT,
                  "roles take turns, not user");
    check_refused("{{ raise_exception('a\\nb\\x1b[31m') }}", hello, GR_ERR_ARGUMENT,
                  "refuses this conversation: a?b?[31m");
}

TEST(none_is_no_key_and_reasoning_has_two_names)
{
    check_text("{{ messages[0] }}", "{\"messages\": [{\"role\": \"user\", \"content\": null, \"a\": [null]}]}",
               "{'role': 'user', 'a': [None]}");
    check_text("{{ messages[0] }}", "{\"messages\": [{\"role\": \"assistant\", \"reasoning\": \"r\"}]}",
               "{'thinking': 'r', 'role': 'assistant', 'reasoning': 'r', 'reasoning_content': 'r'}");
    check_text("{{ tools }}{{ documents }}{{ add_generation_prompt }}", hello, "NoneNoneTrue");
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static gr_status open_and_render(void *ctx)
{
    (void)ctx;
    const gr_token *ids;
    size_t n;
    const gr_rendered *r = NULL;
    gr_conversation c = GR_INIT(gr_conversation);
    gr_template_source source = GR_INIT(gr_template_source);
    const gr_tokenizer_training bytes = {.size = sizeof bytes, .recipe = GR_TOKENIZER_BYTES};
    gr_tokenizer *tokenizer = gr_tokenizer_train(&bytes);
    source.path = test_source("tests/data/templates/schema.jinja");
    c.json = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"a\": 1.5}], \"thinking\": \"<|endoftext|>\"}]}";
    c.json_size = strlen(c.json);
    c.tokenizer = tokenizer;
    gr_template *t = tokenizer ? gr_template_open(&source) : NULL;
    gr_status s = t ? gr_template_render(t, &c, &r) : gr_error_status();
    if (s == GR_OK)
        s = gr_template_encode(tokenizer, r, &ids, &n);
    gr_free(r);
    gr_template_free(t);
    gr_tokenizer_free(tokenizer);
    return s;
}

TEST(allocations_that_fail)
{
    CHECK(SWEEP_ALLOCATIONS(open_and_render, NULL) > 50);
}

static gr_status open_directory(void *ctx)
{
    gr_template_source source = GR_INIT(gr_template_source);
    source.path = ctx;
    gr_template *t = gr_template_open(&source);
    gr_template_free(t);
    return t ? GR_OK : gr_error_status();
}

TEST(allocations_that_fail_in_a_directory)
{
    static const char many[] =
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"{% generation %}x{% endgeneration %}\"}, "
        "{\"name\": \"broken\", \"template\": \"{{\"}]}";
    char dir[1024];
    snprintf(dir, sizeof dir, "%s", test_dir());
    test_file("tokenizer_config.json", many, strlen(many));
    CHECK(SWEEP_ALLOCATIONS(open_directory, dir) > 10);
    test_file("chat_template.jinja", "x", 1);
    CHECK_OK(gr_dir_make(test_join(dir, "additional_chat_templates")));
    test_file("additional_chat_templates/a.jinja", "more", 4);
    CHECK(SWEEP_ALLOCATIONS(open_directory, dir) > 10);
}
