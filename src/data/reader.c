/* From paths to documents. */
#include "data/reader.h"

#include "base/content.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "base/utf8.h"
#include "data/records.h"
#include "data/window.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { BLOCK = 16 << 20 }; /* bytes of a text in memory, if whoever takes it needs no more at a time */

static size_t block = BLOCK;

size_t gr_reader_block(size_t bytes)
{
    size_t was = block;
    block = bytes ? bytes : BLOCK;
    return was == BLOCK ? 0 : was;
}

/* What tells what a file is: a little more than what is looked at as JSON. */
static size_t beginning(void)
{
    return block + block / 256;
}

/* ---- remarks ------------------------------------------------------------------------------------------------ */

void gr_files_free(char **files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gr_free(files[i]);
    gr_free(files);
}

const char *gr_place(char *const *files, size_t file, int64_t line, char *buffer, size_t cap)
{
    if (line != 0)
        snprintf(buffer, cap, "%s: %s %lld", files[file], line > 0 ? "line" : "record",
                 (long long)(line > 0 ? line : -line));
    else
        snprintf(buffer, cap, "%s", files[file]);
    return buffer;
}

void gr_leave_out(gr_left_out *l, size_t file, int64_t line)
{
    if (l->count++ == 0) {
        l->file = file;
        l->line = line;
    }
}

static void remark_left_out(const gr_reader *r, const gr_left_out *l, const char *what)
{
    char place[GR_PLACE_SIZE];
    if (l->count > 0)
        gr_remark(GR_LOG_WARN, "%s: %lld empty %s%s left out%s",
                  gr_place(r->files, l->file, l->line, place, sizeof place), (long long)l->count, what,
                  gr_plural(l->count), l->count == 1 ? "" : ", this is the first");
}

static void remark_odd(const gr_reader *r, const gr_left_out *o, const char *what)
{
    char place[GR_PLACE_SIZE], more[60] = "";
    if (o->count > 1)
        snprintf(more, sizeof more, "; so it is in %lld more file%s", (long long)o->count - 1,
                 gr_plural((int64_t)o->count - 1));
    if (o->count > 0)
        gr_remark(GR_LOG_WARN, "%s: byte %lld %s%s", gr_place(r->files, o->file, 0, place, sizeof place),
                  (long long)o->at, what, more);
}

static void remark_keys(const gr_reader *r)
{
    char list[GR_MOST_KEYS * 36 + 8] = "";
    for (int i = 0; i < GR_MOST_KEYS && *r->keys[i]; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%s\"", i ? ", " : "", r->keys[i]);
    }
    if (*list)
        gr_remark(GR_LOG_INFO, "of .jsonl lines these keys are not read: %s", list);
}

static void remark_all(const gr_reader *r)
{
    remark_left_out(r, &r->empty_text, "text");
    remark_left_out(r, &r->empty_completion, "completion");
    remark_keys(r);
    remark_odd(r, &r->not_utf8, "is not UTF-8: bytes that are no characters are read as they are; iconv converts");
    remark_odd(r, &r->with_nul, "is NUL, which is read as a character");
    remark_odd(r, &r->with_mark, "is a byte order mark, which is read as a character");
    remark_odd(r, &r->like_json,
               "begins JSON, which is read as text, with its braces and keys; records have \"text\", or \"prompt\" and "
               "\"completion\"");
    remark_odd(r, &r->table,
               "begins a table, which is read as text, with its header and separators; write its rows as records of a "
               ".jsonl file");
}

/* ---- a text ------------------------------------------------------------------------------------------------- */

static void note_odd(gr_reader *r, gr_left_out *o, int64_t at)
{
    if (o->count++ == 0) {
        o->file = r->n_files - 1;
        o->at = at;
    }
}

/* What is odd about a text that is read as it is, by its beginning. */
static void look_at_beginning(gr_reader *r, const gr_window *w)
{
    if (gr_byte_order_mark(w->text.data, w->text.size))
        note_odd(r, &r->with_mark, 0);
    if (gr_looks_like_json(w->text.data, w->text.size, w->end))
        note_odd(r, &r->like_json, 0);
    if (gr_is_table_name(w->name))
        note_odd(r, &r->table, 0);
}

typedef struct looking {
    size_t checked;     /* bytes of the window that have been looked at: whole characters, while that is known */
    bool not_utf8, nul; /* have been found */
} looking;

/* The bytes not looked at yet; a character that is not whole yet waits for the rest of it. */
static void look_on(gr_reader *r, const gr_window *w, looking *l)
{
    enum { LONGEST = 4 };
    const char *text = w->text.data + l->checked;
    size_t size = w->text.size - l->checked, n = size;
    if (size == 0)
        return;
    if (!l->not_utf8) {
        n = gr_utf8_prefix(text, size);
        l->not_utf8 = n < size && (w->end || size - n >= LONGEST);
        if (l->not_utf8) {
            note_odd(r, &r->not_utf8, w->before + (int64_t)(l->checked + n));
            n = size;
        }
    }
    const char *nul = l->nul ? NULL : memchr(text, 0, n);
    if (nul) {
        note_odd(r, &r->with_nul, w->before + (int64_t)(nul - w->text.data));
        l->nul = true;
    }
    l->checked += n;
}

static gr_status read_text(gr_reader *r, gr_window *w)
{
    gr_document_text d = {.file = r->n_files - 1};
    looking l = {0};
    gr_status s = GR_OK;
    look_at_beginning(r, w);
    if (w->end && w->text.size == 0) {
        gr_leave_out(&r->empty_text, d.file, 0);
        return GR_OK;
    }
    for (size_t want = block; s == GR_OK; want = d.used ? block : 2 * w->text.size) {
        s = gr_window_fill(w, want);
        if (s != GR_OK)
            return s;
        look_on(r, w, &l);
        d.text = w->text.data;
        d.size = l.checked;
        d.more = !w->end;
        d.used = d.more ? 0 : d.size;
        s = r->take(r->user, &d);
        r->bytes += (int64_t)d.used;
        l.checked -= d.used;
        gr_window_drop(w, d.used);
        if (!d.more)
            break;
    }
    r->documents++;
    return s;
}

/* ---- a file, or a pipe -------------------------------------------------------------------------------------- */

static gr_status begin(gr_reader *r, const char *name)
{
    gr_status s = gr_grow(&r->files, &r->files_cap, r->n_files + 1, sizeof *r->files);
    char *copy = s == GR_OK ? gr_strdup(name) : NULL;
    if (!copy)
        return GR_ERR_MEMORY;
    r->files[r->n_files++] = copy;
    return GR_OK;
}

/* What its beginning tells: how its records lie, or that it is a text. A first record that does not end in it is waited
 * for, within reason. */
static gr_status look_at(gr_window *w, gr_records *form)
{
    gr_status s = gr_window_fill(w, beginning());
    if (s == GR_OK && gr_records_need_more(w->text.data, w->text.size))
        s = gr_window_fill(w, 5 * block);
    return s == GR_OK ? gr_records_of(w->text.data, w->text.size, form) : s;
}

/* A file that is not called .jsonl may hold records all the same; then it is read as what it is, and that is said. */
static gr_status read_window(gr_reader *r, gr_window *w, bool *is_jsonl)
{
    gr_records form = GR_RECORDS_LINES;
    gr_status s = *is_jsonl ? gr_window_fill(w, beginning()) : look_at(w, &form);
    if (s == GR_OK)
        s = gr_refuse_content(w->name, w->text.data, w->text.size);
    if (s != GR_OK)
        return s;
    if (form == GR_RECORDS_LINES && !*is_jsonl && !r->quiet)
        gr_remark(GR_LOG_INFO, "%.400s begins as a .jsonl file does, and is read as one", w->name);
    if (form == GR_RECORDS_ARRAY && !r->quiet)
        gr_remark(GR_LOG_INFO, "%.400s is an array of records, which are read as lines of a .jsonl file are", w->name);
    *is_jsonl = form != GR_RECORDS_NONE;
    return *is_jsonl ? gr_read_records(r, w, form == GR_RECORDS_ARRAY, block / 2 + 1) : read_text(r, w);
}

/* What failed may have failed because the file has changed: so it is read to its end, to know it by its bytes. */
static void read_the_rest(gr_window *w)
{
    char bytes[1 << 16];
    for (int64_t n; !w->end && (n = gr_read_full(w->fd, bytes, sizeof bytes)) > 0;) {
        gr_checksum_add(&w->sum, bytes, (size_t)n);
        w->before += n;
    }
}

static gr_status read_open(gr_reader *r, gr_window *w, bool is_jsonl)
{
    gr_status s = begin(r, w->name);
    if (s == GR_OK)
        s = read_window(r, w, &is_jsonl);
    if (s == GR_ERR_FILE || s == GR_ERR_ARGUMENT)
        read_the_rest(w);
    gr_input_file in = {(char *)w->name, w->before + (int64_t)w->text.size, gr_checksum_end(&w->sum), is_jsonl};
    gr_status added = gr_inputs_add(&r->inputs, &in);
    return s == GR_OK ? added : s;
}

/* ---- pipes, which are read once ----------------------------------------------------------------------------- */

void gr_kept_pipes_free(gr_kept_pipes *k)
{
    for (size_t i = 0; i < k->n; i++)
        fclose(k->file[i]);
    gr_free(k->file);
    *k = (gr_kept_pipes){0};
}

static gr_status keep_pipe(gr_reader *r, gr_window *w)
{
    gr_status s = gr_grow(&r->keep->file, &r->keep->cap, r->keep->n + 1, sizeof *r->keep->file);
    if (s != GR_OK)
        return s;
    w->copy = tmpfile();
    if (!w->copy)
        return gr_fail(GR_ERR_FILE, "%s: cannot be kept to be read again: %s\nwrite it to a file first, and give that",
                       w->name, strerror(errno));
    r->keep->file[r->keep->n++] = w->copy;
    return GR_OK;
}

/* path NULL: standard input. */
static gr_status read_pipe(gr_reader *r, const char *path)
{
    gr_window w = {.name = path ? path : "standard input", .fd = STDIN_FILENO};
    gr_status s = GR_OK;
    size_t index = r->pipes++;
    if (r->kept && index < r->kept->n) {
        rewind(r->kept->file[index]);
        w.fd = dup(fileno(r->kept->file[index]));
        s = w.fd < 0 ? gr_fail_errno("reading again", w.name) : GR_OK;
    } else if (path) {
        s = gr_window_open(&w, path);
    }
    if (s == GR_OK && r->keep)
        s = keep_pipe(r, &w);
    if (s == GR_OK)
        s = read_open(r, &w, path && gr_is_jsonl_name(path));
    if (s == GR_OK && w.copy && fflush(w.copy) != 0)
        s = gr_fail(GR_ERR_FILE, "%s: cannot be kept to be read again: %s\nwrite it to a file first, and give that",
                    w.name, strerror(errno));
    gr_window_close(&w);
    return s;
}

/* ---- files and folders -------------------------------------------------------------------------------------- */

gr_status gr_is_text_file(const char *path, bool *is)
{
    gr_window w;
    gr_records form = GR_RECORDS_LINES;
    *is = false;
    if (gr_is_jsonl_name(path) || !gr_path_is_file(path))
        return GR_OK;
    gr_status s = gr_window_open(&w, path);
    if (s == GR_OK)
        s = look_at(&w, &form);
    gr_window_close(&w);
    *is = s == GR_OK && form == GR_RECORDS_NONE;
    return s;
}

static gr_status read_file(gr_reader *r, const char *path)
{
    gr_window w;
    if (!gr_path_is_file(path))
        return read_pipe(r, path); /* or what is not there */
    gr_status s = gr_window_open(&w, path);
    if (s == GR_OK)
        s = read_open(r, &w, gr_is_jsonl_name(path));
    gr_window_close(&w);
    return s;
}

static bool is_text_name(const char *name)
{
    size_t n = strlen(name);
    return gr_is_jsonl_name(name) || (n >= 4 && strcasecmp(name + n - 4, ".txt") == 0);
}

static gr_status read_directory(gr_reader *r, const char *path)
{
    char **names;
    size_t n, before = r->n_files, others = 0;
    gr_status s = gr_dir_list(path, &names, &n);
    if (s != GR_OK)
        return s;
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        if (!is_text_name(names[i])) {
            others++;
            continue;
        }
        char *file = gr_path_join(path, names[i]);
        s = file ? read_file(r, file) : GR_ERR_MEMORY;
        gr_free(file);
    }
    gr_names_free(names, n);
    if (s == GR_OK && r->n_files == before)
        return gr_fail(GR_ERR_FILE, "%s: holds no text\nof a directory, .txt and .jsonl files are read", path);
    if (s == GR_OK && others > 0 && !r->quiet)
        gr_remark(GR_LOG_INFO, "%s: %zu entries are no .txt or .jsonl files and are not read", path, others);
    return s;
}

gr_status gr_read_documents(gr_reader *r, const char *const *paths, int n)
{
    gr_pool *given = r->pool;
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < n; i++) {
        if (gr_lacks(paths[i], "data: a path"))
            s = GR_ERR_ARGUMENT;
        else if (strcmp(paths[i], "-") == 0)
            s = read_pipe(r, NULL);
        else
            s = gr_path_is_dir(paths[i]) ? read_directory(r, paths[i]) : read_file(r, paths[i]);
    }
    if (!given)
        gr_pool_free(r->pool);
    r->pool = given;
    if (s == GR_OK && r->documents == 0)
        s = gr_fail(GR_ERR_FILE, "%s: there is no text in it\ngive files that hold some", n ? paths[0] : "data");
    if (s == GR_OK && !r->quiet)
        remark_all(r);
    return s;
}
