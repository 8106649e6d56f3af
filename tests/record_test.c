/* run.json: what a run was begun with, read back and compared. */
#include "tiny.h"

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

typedef struct begun {
    gr_corpus *corpus;
    gr_data *data;
    gr_tokenizer *tokenizer;
    const char *paths[1];
    gr_run_setting settings[2];
    gr_run_start start;
} begun;

static void begin(begun *b, const char *path, const char *text)
{
    *b = (begun){.tokenizer = gr_tokenizer_byte(), .paths = {path}, .start = GR_INIT(gr_run_start)};
    CHECK_OK(gr_file_write(path, text, strlen(text)));
    b->corpus = gr_corpus_load(b->paths, 1);
    b->data = DATA(.corpus = b->corpus, .tokenizer = b->tokenizer, .threads = 1);
    CHECK_MADE(b->data);
    b->settings[0] = (gr_run_setting){"lr", "0.5"};
    b->settings[1] = (gr_run_setting){"tokenizer", "byte"};
    b->start.kind = "train";
    b->start.settings = b->settings;
    b->start.n_settings = 2;
    b->start.inputs[GR_RUN_DATA] = (gr_run_input){.paths = b->paths, .n_paths = 1, .data = b->data};
}

static void end(begun *b)
{
    gr_data_free(b->data);
    gr_corpus_free(b->corpus);
    gr_tokenizer_free(b->tokenizer);
}

static const char *in(const char *name, char buffer[600])
{
    snprintf(buffer, 600, "%s/%s", test_dir(), name);
    return buffer;
}

TEST(what_is_written_is_read)
{
    char run[600], text[600];
    begun b;
    const gr_run_record *r;
    CHECK_OK(gr_dir_make(in("run", run)));
    CHECK_OK(gr_run_record_read(run, &r));
    CHECK(!r);
    begin(&b, in("a.txt", text), "some text");
    CHECK_OK(gr_run_record_write(run, &b.start, true));
    CHECK_OK(gr_run_record_read(run, &r));
    CHECK(!r); /* nothing was written */
    CHECK_OK(gr_run_record_write(run, &b.start, false));
    CHECK_OK(gr_run_record_read(run, &r));
    CHECK(r);
    CHECK_EQ_STR(r->kind, "train");
    CHECK_EQ_INT(r->n_settings, 2);
    CHECK_EQ_STR(r->settings[0].name, "lr");
    CHECK_EQ_STR(r->settings[0].value, "0.5");
    CHECK(r->n_data == 1 && strcmp(r->data[0], text) == 0);
    CHECK(r->known == 1u << GR_RUN_DATA && !r->model && !r->has_changed);
    gr_run_record_free(r);
    end(&b);
}

TEST(bytes_that_changed_are_told)
{
    char run[600], text[600];
    begun b, other;
    const gr_run_record *r;
    CHECK_OK(gr_dir_make(in("run", run)));
    begin(&b, in("a.txt", text), "some text");
    CHECK_OK(gr_run_record_write(run, &b.start, false));
    CHECK_OK(gr_run_record_write(run, &b.start, true)); /* the same */
    begin(&other, text, "some TEXT");
    CHECK_STATUS(gr_run_record_write(run, &other.start, false), GR_ERR_FILE);
    CHECK(strstr(gr_error(), "a.txt: its 9 bytes are not those that the run was begun with"));
    other.start.inputs[GR_RUN_DATA].data = NULL;
    other.start.inputs[GR_RUN_DATA].corpus = other.corpus; /* as far as it was read */
    CHECK_STATUS(gr_run_record_write(run, &other.start, true), GR_ERR_FILE);
    other.start.accepts_changes = true;
    CHECK_OK(gr_run_record_write(run, &other.start, false));
    CHECK_OK(gr_run_record_read(run, &r));
    CHECK(r->has_changed);
    gr_run_record_free(r);
    CHECK_STATUS(gr_run_record_write(run, &b.start, true), GR_ERR_FILE); /* the new ones count */
    end(&b);
    end(&other);
}

TEST(a_run_that_was_moved_with_its_data)
{
    char run[600], text[600], moved[600], there[600], by[700];
    begun b;
    const gr_run_record *r;
    CHECK_OK(gr_dir_make(in("old", by)));
    CHECK_OK(gr_dir_make(in("old/run", run)));
    begin(&b, in("old/a.txt", text), "some text");
    CHECK_OK(gr_run_record_write(run, &b.start, false));
    CHECK_EQ_INT(rename(by, in("new", moved)), 0);
    CHECK_OK(gr_run_record_read(in("new/run", there), &r));
    const char *place = gr_run_record_place(r, GR_RUN_DATA, 0, text);
    CHECK(gr_path_is_file(place) && strstr(place, "new/run/"));
    CHECK(gr_run_record_place(r, GR_RUN_DATA, 1, "x") && gr_run_record_place(r, GR_RUN_CONFIG, 0, "x"));
    gr_run_record_free(r);
    end(&b);
}

/* A lock takes away what a run without a step has left, and nothing that was there before. */
TEST(a_start_without_a_step_is_forgotten)
{
    char run[600], text[600], json[700];
    begun b;
    in("run", run);
    snprintf(json, sizeof json, "%s/run.json", run);
    begin(&b, in("a.txt", text), "some text");
    gr_run_lock *lock = gr_run_lock_open(run);
    CHECK_OK(gr_run_record_write(run, &b.start, false));
    gr_run_lock_close(lock);
    CHECK(!gr_path_is_dir(run));
    CHECK_OK(gr_dir_make(run));
    CHECK_OK(gr_run_record_write(run, &b.start, false));
    gr_run_lock_close(gr_run_lock_open(run));
    CHECK(gr_path_is_file(json));
    end(&b);
}

TEST(broken_records)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "{\"data\": 1, \"flags\": {}}",
                                        "{\"data\": [], \"flags\": 3}",
                                        "{\"data\": [7], \"flags\": {}}",
                                        "{\"data\": [], \"flags\": {\"lr\": 1}}",
                                        "{\"data\": [], \"flags\": {}, \"verb\": []}"};
    char run[600], json[700];
    const gr_run_record *r;
    CHECK_OK(gr_dir_make(in("run", run)));
    snprintf(json, sizeof json, "%s/run.json", run);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        NOTE("%s", texts[i]);
        CHECK_OK(gr_file_write(json, texts[i], strlen(texts[i])));
        CHECK_STATUS(gr_run_record_read(run, &r), GR_ERR_FILE);
        CHECK(!r && strstr(gr_error(), "run.json"));
    }
}

static gr_status write_and_read(void *run)
{
    begun b;
    const gr_run_record *r = NULL;
    gr_status s;
    char text[600];
    b = (begun){.start = GR_INIT(gr_run_start)};
    b.paths[0] = in("a.txt", text);
    b.start.inputs[GR_RUN_CONFIG] = (gr_run_input){.paths = b.paths, .n_paths = 1, .file = b.paths[0]};
    s = gr_run_record_write(run, &b.start, false);
    if (s == GR_OK)
        s = gr_run_record_read(run, &r);
    gr_run_record_free(r);
    return s;
}

TEST(without_memory)
{
    char run[600], text[600];
    CHECK_OK(gr_dir_make(in("run", run)));
    CHECK_OK(gr_file_write(in("a.txt", text), "x", 1));
    CHECK(SWEEP_ALLOCATIONS(write_and_read, run) > 10);
}
