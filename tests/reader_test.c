/* Reading documents in parts, and more than once. */
#include "test.h"

#include "train/data.h"
#include "text/tokenizer.h"

/* ---- in parts ----------------------------------------------------------------------------------------------- */

static char said[2000];

static void note_remark(void *user, gr_log_level level, const char *message)
{
    (void)user, (void)level;
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", message);
}

/* Data of a file, read so many bytes at a time: as a stream, or documents apart. */
static gr_data *read_by(size_t block, const char *path, gr_tokenizer *t, bool apart)
{
    gr_reader_block(block);
    *said = '\0';
    int threads = block && block < 64 ? 1 : 2; /* they are started for each part */
    gr_data *d = apart ? DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .apart = true, .threads = threads)
                       : DATA(.paths = &path, .n_paths = 1, .tokenizer = t, .threads = threads);
    gr_reader_block(0);
    return d;
}

static void check_same(const gr_data *a, const gr_data *b)
{
    CHECK_EQ_INT(a->n, b->n);
    CHECK_EQ_INT(a->bytes, b->bytes);
    CHECK(memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) == 0);
    CHECK_EQ_INT(a->n_documents, b->n_documents);
    CHECK(a->n_documents == 0 ||
          memcmp(a->documents, b->documents, (size_t)a->n_documents * sizeof *a->documents) == 0);
    int64_t bytes, more;
    CHECK(gr_inputs_digest(&a->inputs, &bytes) == gr_inputs_digest(&b->inputs, &more));
    CHECK_EQ_INT(bytes, more);
}

/* A file read in parts of any size is what it is as a whole: ids, documents, digest, and what is said of it. */
static void check_parts(const char *path, gr_tokenizer *t)
{
    static const size_t blocks[] = {13, 64, 255, 257, 1000};
    for (int apart = 0; apart < 2; apart++) {
        char wanted[sizeof said];
        gr_data *whole = read_by(0, path, t, apart);
        CHECK_MADE(whole);
        snprintf(wanted, sizeof wanted, "%s", said);
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
            NOTE("%s by %zu", path, blocks[i]);
            gr_data *d = read_by(blocks[i], path, t, apart);
            CHECK_MADE(d);
            check_same(d, whole);
            CHECK_EQ_STR(said, wanted);
            gr_data_free(d);
        }
        gr_data_free(whole);
    }
}

static char *mixed_text(size_t *size)
{
    static const char *const words[] = {"the ", "quick ", "br\xC3\xB6wn ", "\xE7\x8B\x90 ",    "12345 ", "\n",
                                        "  ",   "a\tb ",  "<|endoftext|>", "\xF0\x9F\x90\xB6", "don't "};
    enum { WORDS = sizeof words / sizeof *words, TIMES = 500 };
    char *text = calloc(TIMES, 16);
    uint32_t state = 7;
    for (int i = 0; i < TIMES; i++) {
        state = state * 1664525 + 1013904223;
        strcat(text, words[(state >> 8) % WORDS]);
    }
    *size = strlen(text);
    return text;
}

TEST(a_text_in_parts)
{
    static const char *const names[] = {"gpt2", "llama2", "qwen2", "bert"};
    size_t size;
    char *text = mixed_text(&size);
    const char *path = test_file("book.txt", text, size);
    gr_set_log(note_remark, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[100];
        snprintf(name, sizeof name, "tests/data/tokenizers/%s.json", names[i]);
        gr_tokenizer *t = gr_tokenizer_load(test_source(name));
        CHECK_MADE(t);
        check_parts(path, t);
        gr_tokenizer_free(t);
    }
    gr_tokenizer *byte = gr_tokenizer_byte(), *own = gr_tokenizer_char(text, size, true);
    check_parts(path, own);
    /* Odd bytes: the first is named wherever parts end, half a character at the end is odd, too. */
    memcpy(text + 1111, "\xE7\x8B \xFF\0", 5);
    memcpy(text + size - 2, "\xF0\x9F", 2);
    check_parts(test_file("odd.txt", text, size), byte);
    CHECK(strstr(said, "odd.txt: byte 1111 is not UTF-8") != NULL);
    CHECK(strstr(said, "odd.txt: byte 1115 is NUL") != NULL);
    memcpy(text + 1111, "abcde", 5);
    check_parts(test_file("odd.txt", text, size), byte);
    CHECK(strstr(said, "is not UTF-8") != NULL);
    gr_set_log(NULL, NULL);
    gr_tokenizer_free(own);
    gr_tokenizer_free(byte);
    free(text);
}

TEST(records_in_parts)
{
    static char lines[40000], array[40000];
    char *l = lines, *a = array;
    for (int i = 0; i < 400; i++) {
        const char *sep = i ? ",\n " : "[";
        if (i % 3)
            l += sprintf(l, "{\"text\": \"line %d \xC3\xA9\", \"k%d\": 1}\n%s", i, i % 2, i % 5 ? "" : "\r\n"),
                a += sprintf(a, "%s{\"text\": \"line %d \xC3\xA9\", \"k%d\": 1}", sep, i, i % 2);
        else
            l += sprintf(l, "{\"prompt\": \"p%d\", \"completion\": \"%s\"}\n", i, i % 2 ? "c" : ""),
                a += sprintf(a, "%s{\"prompt\": \"p%d\",\n\"completion\": \"%s\"}", sep, i, i % 2 ? "c" : "");
    }
    sprintf(a, "\n]\n");
    gr_tokenizer *t = gr_tokenizer_byte();
    gr_set_log(note_remark, NULL);
    for (size_t block = 0; block < 300; block += block < 60 ? 12 : 97) {
        gr_data *d[2] = {read_by(block, test_file("a.jsonl", lines, strlen(lines)), t, true)};
        CHECK_MADE(d[0]);
        CHECK(strstr(said, "line 1: 67 empty completions left out, this is the first") != NULL);
        CHECK(strstr(said, "these keys are not read: \"k1\", \"k0\"") != NULL);
        /* (Of an array the first record must be seen to know it.) */
        d[1] = read_by(block + (block ? 64 : 0), test_file("a.json", array, strlen(array)), t, true);
        CHECK_MADE(d[1]);
        CHECK(strstr(said, "record 1: 67 empty completions left out") != NULL);
        CHECK_EQ_INT(d[0]->n_documents, 333);
        CHECK_EQ_INT(d[1]->n_documents, 333);
        CHECK_EQ_INT(d[0]->n, d[1]->n);
        CHECK(memcmp(d[0]->ids, d[1]->ids, (size_t)d[0]->n * sizeof *d[0]->ids) == 0);
        CHECK_EQ_INT(d[1]->documents[332].line, -400);
        gr_data_free(d[0]);
        gr_data_free(d[1]);
        /* The first error of the file, whichever part and thread it is in. */
        strcpy(l, "{\"text\": 5}\n{\"texts\": \"a\"}\n");
        CHECK(!read_by(block, test_file("b.jsonl", lines, strlen(lines)), t, true));
        CHECK_ERROR(GR_ERR_FILE, "b.jsonl: line 454");
        CHECK_ERROR(GR_ERR_FILE, "key \"text\": expected a string");
        CHECK(!read_by(block, test_file("b.jsonl", lines, strlen(lines)), t, false));
        CHECK_ERROR(GR_ERR_FILE, "b.jsonl: line 4: has a prompt and a completion");
        *l = '\0';
    }
    gr_set_log(NULL, NULL);
    gr_tokenizer_free(t);
}

/* ---- more than once ----------------------------------------------------------------------------------------- */

/* Standard input can be read once; a corpus keeps it for the second time. */
TEST(a_corpus_of_standard_input)
{
    const char *text = "abc abd", *paths[] = {"-", test_file("more.txt", "xyz", 3)};
    int was = dup(0), ends[2];
    CHECK(was >= 0 && pipe(ends) == 0);
    CHECK(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
    close(ends[1]);
    dup2(ends[0], 0);
    close(ends[0]);
    gr_corpus *c = gr_corpus_load(paths, 2);
    dup2(was, 0);
    close(was);
    CHECK_MADE(c);
    CHECK_EQ_INT(gr_corpus_describe(c)->documents, 2);
    CHECK_EQ_INT(gr_corpus_describe(c)->bytes, 10);
    for (int again = 0; again < 2; again++) {
        const gr_tokenizer_training how = {
            .size = sizeof how, .recipe = GR_TOKENIZER_CHARACTERS, .corpus = c, .end_of_text = true};
        gr_tokenizer *t = gr_tokenizer_train(&how);
        CHECK_MADE(t);
        CHECK_EQ_INT(gr_tokenizer_vocab_size(t), 9); /* abcd, space, xyz, the end */
        gr_data *d = DATA(.corpus = c, .tokenizer = t, .threads = 1);
        CHECK_MADE(d);
        CHECK_EQ_INT(d->n, 11);
        gr_data_free(d);
        gr_tokenizer_free(t);
    }
    gr_corpus_free(c);
}

/* What one text has no place for is counted; whether there is anything is a status where it cannot be known. */
TEST(what_is_kept_apart)
{
    static const char lines[] =
        "{\"text\": \"a\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n{\"prompt\": \"\", \"completion\": \"b\"}\n";
    const char *path = test_file("apart.jsonl", lines, strlen(lines));
    gr_corpus *c = gr_corpus_load(&path, 1);
    CHECK_MADE(c);
    CHECK_EQ_INT(gr_corpus_describe(c)->documents, 4);
    CHECK_EQ_INT(gr_corpus_describe(c)->apart, 2);
    gr_corpus_free(c);
    bool is = true;
    CHECK_OK(gr_corpus_is_one_text(&path, 1, &is));
    CHECK(!is);
    path = test_file("book.txt", "some text", 9);
    CHECK_OK(gr_corpus_is_one_text(&path, 1, &is));
    CHECK(is);
    gr_mem_fail_at(1);
    CHECK_STATUS(gr_corpus_is_one_text(&path, 1, &is), GR_ERR_MEMORY);
    gr_mem_fail_at(0);
    CHECK(!is);
    path = test_join(test_dir(), "nothing.txt");
    CHECK_OK(gr_corpus_is_one_text(&path, 1, &is));
    CHECK(!is);
}

TEST(a_corpus_that_changes)
{
    const char *path = test_file("book.txt", "some text", 9);
    gr_corpus *c = gr_corpus_load(&path, 1);
    gr_tokenizer *t = gr_tokenizer_byte();
    CHECK_MADE(c);
    CHECK_MADE(t);
    test_file("book.txt", "some next", 9);
    CHECK(!DATA(.corpus = c, .tokenizer = t, .threads = 1));
    CHECK_ERROR(GR_ERR_FILE, "book.txt: has changed while it was read");
    gr_tokenizer_free(t);
    gr_corpus_free(c);
}

static bool stop_at_second(void *user, const char *text, size_t size)
{
    int *n = user;
    return size == 1 && *text == 'a' && ++*n < 2;
}

TEST(texts_one_by_one)
{
    static const char text[] = "{\"text\": \"a\"}\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    const char *path = test_file("a.jsonl", text, strlen(text));
    int n = 0;
    CHECK_STATUS(gr_read_texts(&path, 1, stop_at_second, &n), GR_ERR_INTERRUPTED);
    CHECK_EQ_INT(n, 2);
}

/* How much memory is there while a file is read. */
typedef struct most {
    int64_t before, now;
} most;

static gr_status watch(void *user, gr_document_text *d)
{
    most *m = user;
    int64_t bytes = gr_mem_read_stats().live_bytes - m->before;
    m->now = bytes > m->now ? bytes : m->now;
    d->used = d->size;
    return GR_OK;
}

/* Of a file that is much larger than a block there is never more than a few blocks in memory. */
TEST(memory_while_reading)
{
    enum { SIZE = 8 << 20, BLOCK = 64 << 10 };
    static const char line[] = "{\"text\": \"forty bytes of text in every line\"}\n";
    char *text = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = line[i % (sizeof line - 1)];
    for (int records = 0; records < 2; records++) {
        const char *path = test_file(records ? "a.jsonl" : "a.txt", text + !records, SIZE / 46 * 46 - !records);
        most m = {.before = gr_mem_read_stats().live_bytes};
        gr_reader r = {.take = watch, .user = &m, .threads = 1};
        gr_reader_block(BLOCK);
        gr_status s = gr_read_documents(&r, &path, 1);
        gr_reader_block(0);
        CHECK_OK(s);
        gr_files_free(r.files, r.n_files);
        gr_inputs_free(&r.inputs);
        CHECK(m.now > 0 && m.now < 8 * BLOCK);
    }
    free(text);
}
