/* Tokenizers against the ids and texts that the `tokenizers` package has, and what holds for all of them. */
#include "base/utf8.h"
#include "base/file.h"
#include "text_cases.h"
#include "text/tokenizer.h"
#include "text/train/trainer.h"

/* ---- all of the reference cases ----------------------------------------------------------------------------- */

static void check_shared(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "data/tokenizers/%s", name);
    const char *dir = test_shared(path);
    gr_tokenizer *t = gr_tokenizer_load(dir);
    CHECK_MADE(t);
    CHECK(check_cases(t, test_join(dir, "cases.jsonl")) > 400);
    gr_tokenizer_free(t);
}

TEST(shared_gpt2)
{
    check_shared("gpt2");
}

TEST(shared_llama2)
{
    check_shared("llama2");
}

TEST(shared_llama3)
{
    check_shared("llama3");
}

/* ---- small tokenizers of every kind: tools/oracle/make_tokenizers.py ---------------------------------------- */

TEST(every_kind)
{
    char **names, path[1024];
    size_t count;
    int kinds = 0;
    snprintf(path, sizeof path, "%s", test_source("tests/data/tokenizers"));
    CHECK_OK(gr_dir_list(path, &names, &count));
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]);
        if (n < 5 || strcmp(names[i] + n - 5, ".json") != 0)
            continue;
        char file[2048];
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        gr_tokenizer *t = gr_tokenizer_load(file);
        if (!t && strstr(gr_error(), "this build has no"))
            continue;
        CHECK_MADE(t);
        strcat(file, "l");
        CHECK(check_cases(t, file) > 60);
        gr_tokenizer_free(t);
        kinds++;
    }
    gr_names_free(names, count);
    CHECK(kinds >= 5);
}

/* A mark newer than Hugging Face's normal forms: nothing composes across it. */
TEST(normal_forms_do_not_compose_across_the_unknown)
{
    static const char json[] =
        "{\"normalizer\": {\"type\": \"NFC\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {\"o\": 0, "
        "\"\\u0307\": 1, \"\\u022f\": 2, \"\\u0316\": 3}, \"merges\": []}}";
    gr_tokenizer *t = gr_tokenizer_from_json(json, sizeof json - 1);
    const int32_t *ids;
    size_t n;
    if (!t && strstr(gr_error(), "this build has no"))
        SKIP("built without utf8proc");
    CHECK_MADE(t);
    CHECK_OK(gr_tokenizer_encode(t, "o\xE1\xAB\x80\xCC\x87", 6, 0, &ids, &n)); /* o U+1AC0 U+0307 */
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_INT(ids[1], 1);
    CHECK_OK(gr_tokenizer_encode(t, "o\xCC\x96\xCC\x87", 5, 0, &ids, &n)); /* o U+0316 U+0307 */
    CHECK_EQ_INT(n, 2);
    CHECK_EQ_INT(ids[0], 2);
    gr_tokenizer_free(t);
}

/* ---- older files -------------------------------------------------------------------------------------------- */

static void check_ids(gr_tokenizer *t, const char *text, unsigned flags, const int32_t *want, size_t n_want)
{
    const int32_t *ids;
    size_t n;
    CHECK_OK(gr_tokenizer_encode(t, text, strlen(text), flags, &ids, &n));
    CHECK_EQ_INT(n, n_want);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_INT(ids[i], want[i]);
}

TEST(vocab_and_merges)
{
    static const char vocab[] =
        "{\"a\": 0, \"b\": 1, \"\\u0120\": 2, \"ab\": 3, \"\\u0120ab\": 4, \"<|endoftext|>\": 5}";
    static const char merges[] = "#version: 0.2\na b\r\n\xC4\xA0 ab\n";
    CHECK_OK(gr_file_write(test_join(test_dir(), "vocab.json"), vocab, sizeof vocab - 1));
    CHECK_OK(gr_file_write(test_join(test_dir(), "merges.txt"), merges, sizeof merges - 1));
    gr_tokenizer *t = gr_tokenizer_load(test_dir());
    CHECK_MADE(t);
    check_ids(t, "ab ab a<|endoftext|>", GR_PARSE_SPECIAL, (const int32_t[]){3, 4, 2, 0, 5}, 5);
    gr_tokenizer_free(t);
}

/* Pieces: <unk> <s> </s> <0x61> <0x62> <0x63> a b U+2581 ab U+2581ab. */
TEST(sentencepiece)
{
    size_t size;
    const char *seed = test_source("fuzz/corpus/fuzz_sentencepiece/bpe");
    char *data = gr_file_read(seed, 1 << 20, &size);
    CHECK_MADE(data);
    const char *path = test_join(test_dir(), "tokenizer.model");
    CHECK_OK(gr_file_write(path, data, size));
    gr_free(data);
    gr_tokenizer *t = gr_tokenizer_load(path);
    CHECK_MADE(t);
    check_ids(t, "ab cab", GR_ADD_SPECIAL, (const int32_t[]){1, 10, 8, 5, 9}, 5);
    CHECK_EQ_INT(gr_tokenizer_eos(t), 2);
    gr_tokenizer_free(t);
    CHECK_OK(gr_file_write(path, "\x0A\xFF\xFF", 3));
    CHECK(!gr_tokenizer_load(path));
    CHECK_ERROR(GR_ERR_FILE, "tokenizer.model");
}

/* ---- byte and char ------------------------------------------------------------------------------------------ */

static void check_round_trip(gr_tokenizer *t, const char *text, size_t size, size_t n_wanted)
{
    const int32_t *ids;
    const char *back;
    size_t n, back_size;
    CHECK_OK(gr_tokenizer_encode(t, text, size, 0, &ids, &n));
    CHECK_EQ_INT(n, n_wanted);
    CHECK_OK(gr_tokenizer_decode(t, ids, n, 0, &back, &back_size));
    CHECK_EQ_INT(back_size, size);
    CHECK(memcmp(text, back, size) == 0);
}

TEST(byte)
{
    const char text[] = "a\0b \xC3\xA9\n\xF0\x9F\x99\x82 <|endoftext|>";
    gr_tokenizer *t = gr_tokenizer_byte();
    const int32_t *ids;
    size_t n;
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 257);
    CHECK_EQ_INT(gr_tokenizer_eos(t), 256);
    check_round_trip(t, text, sizeof text - 1, sizeof text - 1);
    CHECK_OK(gr_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &n));
    for (size_t i = 0; i < n; i++)
        CHECK_EQ_INT(ids[i], (unsigned char)text[i]);
    CHECK_OK(gr_tokenizer_encode(t, text, sizeof text - 1, GR_PARSE_SPECIAL, &ids, &n));
    CHECK_EQ_INT(ids[n - 1], 256);
    gr_tokenizer_free(t);
}

TEST(char_sorts_and_refuses)
{
    const char text[] = "banana \xC3\xA9!";
    gr_tokenizer *t = gr_tokenizer_char(text, sizeof text - 1, false);
    const int32_t *ids;
    size_t n;
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 6);
    CHECK_EQ_INT(gr_tokenizer_id(t, " "), 0);
    CHECK_EQ_INT(gr_tokenizer_id(t, "\xC3\xA9"), 5);
    CHECK_EQ_INT(gr_tokenizer_eos(t), -1);
    check_round_trip(t, text, sizeof text - 1, 9);
    CHECK_STATUS(gr_tokenizer_encode(t, "ban\xC3\xB1", 5, 0, &ids, &n), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "U+00F1");
    gr_tokenizer_free(t);
    t = gr_tokenizer_char(text, sizeof text - 1, true);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_eos(t), 6);
    gr_tokenizer_free(t);
    CHECK(!gr_tokenizer_char("a\xFF", 2, false));
    CHECK_ERROR(GR_ERR_ARGUMENT, "offset 1");
}

TEST(json_round_trip)
{
    gr_tokenizer *a = gr_tokenizer_char("hello \"world\"\\\n\t\x01", 17, true), *b;
    size_t size;
    CHECK_MADE(a);
    const char *json = gr_tokenizer_json(a, &size), *path = test_join(test_dir(), "tokenizer.json");
    CHECK_OK(gr_file_write(path, json, size));
    b = gr_tokenizer_load(test_dir());
    CHECK_MADE(b);
    CHECK_EQ_STR(gr_tokenizer_json(a, NULL), gr_tokenizer_json(b, NULL));
    CHECK_EQ_INT(gr_tokenizer_vocab_size(b), 14);
    CHECK_EQ_INT(gr_tokenizer_id(b, "\t"), gr_tokenizer_id(a, "\t"));
    gr_tokenizer_free(a);
    gr_tokenizer_free(b);
}

TEST(char_shakespeare)
{
    size_t size;
    char *text = gr_file_read(test_shared("data/tinyshakespeare.txt"), 100 << 20, &size);
    CHECK_MADE(text);
    gr_tokenizer *t = gr_tokenizer_char(text, size, false);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 65);
    check_round_trip(t, text, size, size);
    gr_tokenizer_free(t);
    gr_free(text);
}

/* ---- training ----------------------------------------------------------------------------------------------- */

static gr_tokenizer *train(const char *text, size_t size, int64_t least, bool whole)
{
    gr_tokenizer_training options = {
        .size = sizeof options, .vocab_size = 700, .min_frequency = least, .whole_texts = whole};
    gr_tokenizer_trainer *trainer = gr_tokenizer_trainer_new(&options);
    gr_tokenizer *t = trainer && gr_tokenizer_trainer_feed(trainer, text, size) == GR_OK
                          ? gr_tokenizer_trainer_finish(trainer)
                          : NULL;
    gr_tokenizer_trainer_free(trainer);
    return t;
}

/* The same tokens under the same ids, and the same merges in the same order. */
static void check_trained(const char *golden, int64_t least, bool whole)
{
    size_t size, want_size, got_size;
    char *text = gr_file_read(test_source("tests/data/tokenizers/trained/text.txt"), 1 << 20, &size);
    CHECK_MADE(text);
    gr_tokenizer *t = train(text, size, least, whole);
    CHECK_MADE(t);
    gr_json_doc *want = gr_json_read(test_source(golden), GR_JSON_LIMIT);
    CHECK_MADE(want);
    const char *json = gr_tokenizer_json(t, &size);
    gr_json_doc *got = gr_json_parse("ours", json, size);
    CHECK_MADE(got);
    gr_json model = gr_json_get(gr_json_root(want), "model"), ours = gr_json_get(gr_json_root(got), "model");
    gr_json merges = gr_json_get(model, "merges"), our_merges = gr_json_get(ours, "merges");
    CHECK(gr_json_size(merges) > 100);
    CHECK_EQ_INT(gr_json_size(merges), gr_json_size(our_merges));
    for (size_t i = 0; i < 2 * gr_json_size(merges); i++) {
        const char *a = gr_json_as_text(gr_json_item(gr_json_item(merges, i / 2), i % 2), &want_size);
        CHECK_EQ_STR(gr_json_as_text(gr_json_item(gr_json_item(our_merges, i / 2), i % 2), &got_size), a);
    }
    CHECK_EQ_INT(gr_json_size(gr_json_get(model, "vocab")), gr_json_size(gr_json_get(ours, "vocab")));
    for (gr_json_iter it = gr_json_first(gr_json_get(model, "vocab")); it.key; gr_json_next(&it))
        CHECK_EQ_INT(gr_tokenizer_id(t, it.key), gr_json_as_int(it.value, 0, INT32_MAX));
    gr_json_free(want);
    gr_json_free(got);
    gr_tokenizer_free(t);
    gr_free(text);
}

TEST(trains_by_line)
{
    check_trained("tests/data/tokenizers/trained/lines.json", 2, false);
}

TEST(trains_on_whole_texts)
{
    check_trained("tests/data/tokenizers/trained/whole.json", 0, true);
}

/* Words of many kinds, 1.5 MB: several parts for several threads. */
static char *make_text(size_t *size)
{
    char *text = malloc(2 << 20), *p = text;
    uint32_t state = 7;
    while (p - text < 3 << 19) {
        state = state * 1664525 + 1013904223;
        uint32_t r = state >> 8;
        p += sprintf(p, r % 17 ? "%sw%x" : "%s\xE3\x80\x80\xC3\xA9%x", r % 5 ? " " : r % 3 ? "\n\n" : "  \t", r % 1999);
    }
    *size = (size_t)(p - text);
    return text;
}

static char *trained_json(const char *path, const char *text, size_t size, int threads, bool whole)
{
    static const char *const special[] = {"<|im_start|>", "\xC2\xABx y\xC2\xBB"};
    gr_tokenizer_training o = {.size = sizeof o,
                               .vocab_size = 900,
                               .whole_texts = whole,
                               .threads = threads,
                               .special = special,
                               .n_special = 2};
    gr_tokenizer_trainer *trainer = gr_tokenizer_trainer_new(&o);
    CHECK_MADE(trainer);
    CHECK_OK(path ? gr_tokenizer_trainer_feed_files(trainer, &path, 1)
                  : gr_tokenizer_trainer_feed(trainer, text, size));
    gr_tokenizer *t = gr_tokenizer_trainer_finish(trainer);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_id(t, special[1]), 2);
    CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 900);
    gr_tokenizer_trainer_free(trainer);
    char *json = gr_strdup(gr_tokenizer_json(t, NULL));
    gr_tokenizer_free(t);
    return json;
}

/* Files are read in parts and parts are counted by threads: all of it the same as one text on one thread. */
TEST(training_does_not_depend_on_threads_and_parts)
{
    size_t size;
    char *text = make_text(&size);
    const char *plain = test_join(test_dir(), "text.txt");
    CHECK_OK(gr_file_write(plain, text, size));
    for (int whole = 0; whole < 2; whole++) {
        char *one = trained_json(NULL, text, size, 1, whole), *four = trained_json(NULL, text, size, 4, whole);
        char *file = trained_json(plain, NULL, 0, 3, whole);
        CHECK_EQ_STR(four, one);
        CHECK_EQ_STR(file, one);
        gr_free(one);
        gr_free(four);
        gr_free(file);
    }
    free(text);
}

TEST(training_reads_jsonl)
{
    static const char lines[] = "{\"text\": \"ab\\nab \"}\n\n{\"prompt\": \"abba\", \"completion\": \" baba\"}";
    const char *path = test_join(test_dir(), "t.jsonl");
    CHECK_OK(gr_file_write(path, lines, sizeof lines - 1));
    gr_tokenizer_training o = {.size = sizeof o, .vocab_size = 300, .whole_texts = true};
    gr_tokenizer_trainer *from_file = gr_tokenizer_trainer_new(&o), *from_texts = gr_tokenizer_trainer_new(&o);
    CHECK_MADE(from_file);
    CHECK_MADE(from_texts);
    CHECK_OK(gr_tokenizer_trainer_feed_files(from_file, &path, 1));
    for (int i = 0; i < 3; i++) {
        const char *text = ((const char *[]){"ab\nab ", "abba", " baba"})[i];
        CHECK_OK(gr_tokenizer_trainer_feed(from_texts, text, strlen(text)));
    }
    gr_tokenizer *a = gr_tokenizer_trainer_finish(from_file), *b = gr_tokenizer_trainer_finish(from_texts);
    CHECK_EQ_STR(gr_tokenizer_json(a, NULL), gr_tokenizer_json(b, NULL));
    CHECK(gr_tokenizer_id(a, "abba") > 0);
    gr_tokenizer_free(a);
    gr_tokenizer_free(b);
    gr_tokenizer_trainer_free(from_texts);
    CHECK_OK(gr_file_write(path, "{\"text\": \"a\"}\n{\"text\": 1}\n", 26));
    CHECK_STATUS(gr_tokenizer_trainer_feed_files(from_file, &path, 1), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "t.jsonl: line 2");
    gr_tokenizer_trainer_free(from_file);
}

static bool stop_at_300(void *user, const gr_tokenizer_progress *p)
{
    return ++*(int *)user < 3 && p->tokens < 300;
}

TEST(training_refuses_and_stops)
{
    int asked = 0;
    const char *twice[] = {"<s>", "<s>"};
    gr_tokenizer_training o = {.size = sizeof o, .vocab_size = 256};
    CHECK(!gr_tokenizer_trainer_new(&o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "257");
    o = (gr_tokenizer_training){.size = sizeof o, .vocab_size = 300, .special = twice, .n_special = 2};
    CHECK(!gr_tokenizer_trainer_new(&o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "'<s>' is there twice");
    size_t size;
    char *text = make_text(&size);
    o = (gr_tokenizer_training){.size = sizeof o, .vocab_size = 900, .progress = stop_at_300, .user = &asked};
    gr_tokenizer_trainer *trainer = gr_tokenizer_trainer_new(&o);
    CHECK_MADE(trainer);
    CHECK_OK(gr_tokenizer_trainer_feed(trainer, text, size));
    CHECK(!gr_tokenizer_trainer_finish(trainer));
    CHECK_ERROR(GR_ERR_INTERRUPTED, "stopped after");
    gr_tokenizer_trainer_free(trainer);
    free(text);
}

static gr_status train_a_little(void *ctx)
{
    (void)ctx;
    gr_tokenizer *t = train("ab abab ba baba\nabba", 21, 0, false);
    gr_status status = t ? GR_OK : gr_error_status();
    gr_tokenizer_free(t);
    return status;
}

TEST(training_survives_failing_allocations)
{
    CHECK(SWEEP_ALLOCATIONS(train_a_little, NULL) > 50);
}

/* ---- many texts --------------------------------------------------------------------------------------------- */

static void check_all(gr_tokenizer *t, const gr_span *texts, size_t n, unsigned flags)
{
    for (int threads = 1; threads <= 5; threads += 2) {
        const gr_encoded *all;
        const int32_t *ids;
        size_t count, at = 0;
        CHECK_OK(gr_tokenizer_encode_all(t, texts, n, flags, threads, &all));
        CHECK_EQ_INT(all->n, n);
        for (size_t i = 0; i < n; i++) {
            NOTE("text %zu, %d threads", i, threads);
            CHECK_OK(gr_tokenizer_encode(t, texts[i].text, texts[i].size, flags, &ids, &count));
            CHECK_EQ_INT(all->ends[i] - at, count);
            CHECK(!count || memcmp(all->ids + at, ids, count * sizeof *ids) == 0);
            at = all->ends[i];
        }
        gr_free(all);
    }
}

/* Long texts are cut into parts: the ids must not show it. */
TEST(all_texts_at_once)
{
    static const char *const kinds[] = {"gpt2", "gpt2-prefix", "llama3", "qwen2", "o200k", "llama2", "unigram"};
    size_t size;
    char *text = make_text(&size);
    gr_span texts[64] = {{text, size}, {"", 0}, {NULL, 0}, {text + 7, size / 3}};
    for (size_t i = 4; i < 64; i++)
        texts[i] = (gr_span){text + i * 999, (i * i * 77) % 9000};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char path[256];
        snprintf(path, sizeof path, "tests/data/tokenizers/%s.json", kinds[k]);
        gr_tokenizer *t = gr_tokenizer_load(test_source(path));
        if (!t && strstr(gr_error(), "this build has no"))
            continue;
        CHECK_MADE(t);
        check_all(t, texts, 64, 0);
        check_all(t, texts, 64, GR_ADD_SPECIAL | GR_PARSE_SPECIAL);
        check_all(t, texts, 0, 0);
        gr_tokenizer_free(t);
    }
    free(text);
}

TEST(all_texts_name_the_one_that_fails)
{
    gr_tokenizer *t = gr_tokenizer_char("ab", 2, false);
    gr_span texts[100];
    const gr_encoded *all;
    CHECK_MADE(t);
    for (int i = 0; i < 100; i++)
        texts[i] = (gr_span){i == 41 || i == 77 ? "abx" : "ab", i == 41 || i == 77 ? 3 : 2};
    CHECK_STATUS(gr_tokenizer_encode_all(t, texts, 100, 0, 4, &all), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "text 41: encode: character 'x'");
    CHECK(!all);
    gr_tokenizer_free(t);
}

static gr_status encode_a_few(void *ctx)
{
    const gr_encoded *all;
    gr_status status = gr_tokenizer_encode_all(ctx, (gr_span[]){{"ab", 2}, {"b", 1}}, 2, 0, 1, &all);
    gr_free(all);
    return status;
}

TEST(all_texts_survive_failing_allocations)
{
    gr_tokenizer *t = gr_tokenizer_char("ab", 2, false);
    CHECK(SWEEP_ALLOCATIONS(encode_a_few, t) > 5);
    gr_tokenizer_free(t);
}

/* ---- streams ------------------------------------------------------------------------------------------------ */

TEST(stream_keeps_characters_whole)
{
    const char text[] = "\xE4\xBD\xA0\xF0\x9F\x99\x82";
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_text_stream *s = gr_text_stream_new(t, 0);
    const char *out;
    size_t size;
    CHECK_MADE(s);
    for (size_t i = 0; i < 7; i++) {
        CHECK_OK(gr_text_stream_feed(s, (unsigned char)text[i], &out, &size));
        CHECK_EQ_INT(size, i == 2 ? 3 : i == 6 ? 4 : 0);
    }
    CHECK_OK(gr_text_stream_feed(s, 0xE4, &out, &size));
    CHECK_EQ_INT(size, 0);
    CHECK_OK(gr_text_stream_feed(s, -1, &out, &size));
    CHECK_EQ_STR(out, "\xEF\xBF\xBD");
    CHECK_STATUS(gr_text_stream_feed(s, -2, &out, &size), GR_ERR_ARGUMENT);
    gr_text_stream_free(s);
    gr_tokenizer_free(t);
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static gr_status make_and_use(void *ctx)
{
    (void)ctx;
    gr_tokenizer *t = gr_tokenizer_char("abc", 3, true);
    const int32_t *ids;
    const char *text;
    size_t n, size;
    if (!t)
        return gr_error_status();
    gr_status status = gr_tokenizer_encode(t, "abcabc<|endoftext|>", 19, GR_PARSE_SPECIAL, &ids, &n);
    if (status == GR_OK)
        status = gr_tokenizer_decode(t, (const int32_t[]){0, 1, 2, 3}, 4, GR_SKIP_SPECIAL, &text, &size);
    gr_tokenizer_free(t);
    return status;
}

TEST(every_allocation_may_fail)
{
    CHECK(SWEEP_ALLOCATIONS(make_and_use, NULL) > 30);
}
