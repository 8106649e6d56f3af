/* A file that comes in parts. Its bytes are hashed as they come, by a thread beside the one that receives them; the one that
 * would wait for the other writes. They are noted in a side file piece by piece, each with the hash so far; what a killed
 * process or a lost current left is read again, and believed as far as the hashes go. */
#include "hub/hub.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SMALL = 4 << 20, /* a file that is not worth a thread */
    SLOTS = 4,       /* pieces between the two threads */
};

/* What the two threads share. The receiver fills slot `filled`, the keeper hashes, notes and so empties slot `emptied`. Slot
 * `written` is the next for the file, by whichever thread has nothing else to do: one at a time, so in order. */
struct gr_hub_keeper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled, written, emptied; /* pieces so far; which slot: modulo SLOTS */
    size_t sizes[SLOTS];
    bool is_threaded, is_writing, is_over;
    gr_kept_error error; /* the first */
    uint8_t slots[SLOTS][GR_PIECE];
};

/* Git hashes "blob SIZE", a NUL and the bytes. */
static void begin_hash(gr_hub_part *p)
{
    char head[40];
    gr_sha_begin(&p->hash, p->is_sha1);
    if (p->is_sha1)
        gr_sha_add(&p->hash, head, (size_t)snprintf(head, sizeof head, "blob %" PRId64, p->size) + 1);
}

/* Its first 64 bits. */
static uint64_t hash_so_far(const gr_hub_part *p)
{
    char hex[GR_HASH_SIZE];
    gr_sha copy = p->hash;
    gr_sha_end(&copy, hex);
    hex[16] = '\0';
    return strtoull(hex, NULL, 16);
}

/* ---- what is there ------------------------------------------------------------------------------------------ */

static bool read_digits(const char **p, const char *end, int64_t *out)
{
    const char *from = *p;
    *out = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        if (*out > (INT64_MAX - 9) / 10)
            return false;
        *out = 10 * *out + (**p - '0');
    }
    return *p > from;
}

bool gr_hub_read_range(const char *line, size_t size, int64_t *from, int64_t *length, uint64_t *hash)
{
    const char *p = line, *end = line + size;
    if (!read_digits(&p, end, from) || p == end || *p++ != ' ' || !read_digits(&p, end, length) || p == end ||
        *p++ != ' ' || end - p != 17 || end[-1] != '\n' || !gr_hub_is_hex(p, 16, 16))
        return false;
    *hash = strtoull(p, NULL, 16);
    return true;
}

/* Is this piece on the disk what it was? Then it is hashed. */
static bool take_back(gr_hub_part *p, uint8_t *buffer, int64_t length, uint64_t hash)
{
    gr_sha before = p->hash;
    if (length < 1 || length > GR_PIECE || length > p->size - p->at ||
        gr_read_full(p->fd, buffer, (size_t)length) != length)
        return false;
    gr_sha_add(&p->hash, buffer, (size_t)length);
    if (hash_so_far(p) != hash) {
        p->hash = before;
        return false;
    }
    p->at += length;
    return true;
}

/* The pieces from the beginning on, up to the first that is not there or not right; *used: of the side file. */
static gr_status take_pieces(gr_hub_part *p, const char *lines, size_t size, size_t *used, gr_http_going *going,
                             void *user)
{
    *used = 0;
    while (*used < size) {
        const char *line = lines + *used, *newline = memchr(line, '\n', size - *used);
        size_t n = newline ? (size_t)(newline - line) + 1 : 0;
        int64_t from, length;
        uint64_t hash;
        if (n == 0 || !gr_hub_read_range(line, n, &from, &length, &hash) || from != p->at ||
            !take_back(p, p->beside->slots[0], length, hash))
            break;
        *used += n;
        if (!going(user))
            return GR_ERR_INTERRUPTED;
    }
    return GR_OK;
}

/* Both files end where what is believed ends. */
static gr_status cut(gr_hub_part *p, size_t noted)
{
    p->noted = p->at;
    p->fill = 0;
    if (ftruncate(p->fd, (off_t)p->at) != 0 || lseek(p->fd, (off_t)p->at, SEEK_SET) < 0)
        return gr_fail_errno("writing", p->path);
    if (ftruncate(p->ranges_fd, (off_t)noted) != 0 || lseek(p->ranges_fd, (off_t)noted, SEEK_SET) < 0)
        return gr_fail_errno("writing", p->ranges);
    return GR_OK;
}

/* ---- keeping and noting ------------------------------------------------------------------------------------- */

/* Notes a piece that is hashed; it and the piece are waited for on the disk when the file is whole. */
static gr_status note(gr_hub_part *p, size_t size)
{
    char line[80];
    int n = snprintf(line, sizeof line, "%" PRId64 " %zu %016" PRIx64 "\n", p->noted, size, hash_so_far(p));
    p->noted += (int64_t)size;
    return gr_fd_write(p->ranges_fd, p->ranges, line, (size_t)n);
}

/* Writes the next piece, or waits until something has changed. The lock is held before and after. */
static void write_or_wait(gr_hub_part *p, struct gr_hub_keeper *h)
{
    if (h->is_writing || h->written == h->filled) {
        pthread_cond_wait(&h->changed, &h->lock);
        return;
    }
    size_t slot = h->written % SLOTS;
    bool failed = h->error.status != GR_OK;
    h->is_writing = true;
    pthread_mutex_unlock(&h->lock);
    failed = !failed && gr_fd_write(p->fd, p->path, h->slots[slot], h->sizes[slot]) != GR_OK;
    pthread_mutex_lock(&h->lock);
    if (failed)
        gr_error_keep(&h->error);
    h->is_writing = false;
    h->written++;
    pthread_cond_broadcast(&h->changed);
}

static void *keep_beside(void *user)
{
    gr_hub_part *p = user;
    struct gr_hub_keeper *h = p->beside;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (h->emptied == h->filled && !h->is_over)
            pthread_cond_wait(&h->changed, &h->lock);
        if (h->emptied == h->filled)
            break;
        size_t slot = h->emptied % SLOTS;
        pthread_mutex_unlock(&h->lock);
        gr_sha_add(&p->hash, h->slots[slot], h->sizes[slot]);
        pthread_mutex_lock(&h->lock);
        while (h->written == h->emptied)
            write_or_wait(p, h);
        bool failed = h->error.status != GR_OK;
        pthread_mutex_unlock(&h->lock);
        failed = !failed && note(p, h->sizes[slot]) != GR_OK;
        pthread_mutex_lock(&h->lock);
        if (failed)
            gr_error_keep(&h->error);
        h->emptied++;
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* Until at most so many pieces are between the threads; a failure of the keeper's is the receiver's then. */
static gr_status wait_for(gr_hub_part *p, uint64_t most)
{
    struct gr_hub_keeper *h = p->beside;
    if (!h->is_threaded)
        return GR_OK;
    pthread_mutex_lock(&h->lock);
    while (h->filled - h->emptied > most)
        write_or_wait(p, h);
    gr_status s = h->error.status;
    pthread_mutex_unlock(&h->lock);
    if (s != GR_OK)
        gr_error_put_back(&h->error);
    return s;
}

/* The slot that is filled goes to the keeper, and there is room in the next. */
static gr_status hand_over(gr_hub_part *p)
{
    struct gr_hub_keeper *h = p->beside;
    size_t slot = h->filled % SLOTS, size = p->fill;
    p->fill = 0;
    if (!h->is_threaded) {
        if (gr_fd_write(p->fd, p->path, h->slots[slot], size) != GR_OK)
            return gr_error_status();
        gr_sha_add(&p->hash, h->slots[slot], size);
        return note(p, size);
    }
    pthread_mutex_lock(&h->lock);
    h->sizes[slot] = size;
    h->filled++;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return wait_for(p, SLOTS - 1);
}

static void start_keeper(gr_hub_part *p)
{
    struct gr_hub_keeper *h = p->beside;
    h->is_threaded = p->size - p->at > SMALL && pthread_create(&h->thread, NULL, keep_beside, p) == 0;
}

static void end_keeper(gr_hub_part *p)
{
    struct gr_hub_keeper *h = p->beside;
    if (h && h->is_threaded) {
        pthread_mutex_lock(&h->lock);
        h->is_over = true;
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->thread, NULL);
    }
    if (h) {
        pthread_cond_destroy(&h->changed);
        pthread_mutex_destroy(&h->lock);
    }
    gr_free(h);
    p->beside = NULL;
}

/* ---- what comes --------------------------------------------------------------------------------------------- */

gr_status gr_hub_part_keep(gr_hub_part *p)
{
    gr_status s = p->fill > 0 ? hand_over(p) : GR_OK;
    return s == GR_OK ? wait_for(p, 0) : s;
}

gr_status gr_hub_part_add(gr_hub_part *p, const void *data, size_t size)
{
    const uint8_t *from = data;
    gr_status s = GR_OK;
    while (s == GR_OK && size > 0) {
        struct gr_hub_keeper *h = p->beside;
        size_t n = size < GR_PIECE - p->fill ? size : GR_PIECE - p->fill;
        memcpy(h->slots[h->filled % SLOTS] + p->fill, from, n);
        p->fill += n;
        p->at += (int64_t)n;
        from += n;
        size -= n;
        if (p->fill == GR_PIECE)
            s = hand_over(p);
    }
    return s;
}

gr_status gr_hub_part_begin(gr_hub_part *p)
{
    gr_status s = wait_for(p, 0);
    p->at = 0;
    begin_hash(p);
    return s == GR_OK ? cut(p, 0) : s;
}

gr_status gr_hub_part_check(gr_hub_part *p, const char *hash, bool *is_right)
{
    char found[GR_HASH_SIZE] = "";
    gr_status s = gr_hub_part_keep(p);
    gr_sha copy = p->hash;
    if (s == GR_OK)
        gr_sha_end(&copy, found);
    *is_right = p->at == p->size && strcmp(found, hash) == 0;
    return *is_right ? gr_fd_sync(p->fd, p->path) : s;
}

/* ---- opening and closing ------------------------------------------------------------------------------------ */

static int open_own(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        gr_fail_errno("making", path);
    return fd;
}

static gr_status make_keeper(gr_hub_part *p)
{
    p->beside = gr_alloc(sizeof *p->beside);
    if (!p->beside)
        return GR_ERR_MEMORY;
    memset(p->beside, 0, offsetof(struct gr_hub_keeper, slots));
    pthread_mutex_init(&p->beside->lock, NULL);
    pthread_cond_init(&p->beside->changed, NULL);
    return GR_OK;
}

gr_status gr_hub_part_open(gr_hub_part *p, const char *path, int64_t size, const char *hash, gr_http_going *going,
                           void *user)
{
    enum { MOST = 64 << 20 }; /* lines of ten terabytes, nearly */
    *p = (gr_hub_part){.fd = -1, .ranges_fd = -1, .size = size, .is_sha1 = strlen(hash) == GR_SHA1_HEX};
    p->path = gr_strdup(path);
    p->ranges = p->path ? gr_strfmt("%s.ranges", path) : NULL;
    if (!p->ranges || make_keeper(p) != GR_OK)
        return GR_ERR_MEMORY;
    begin_hash(p);
    if ((p->fd = open_own(p->path)) < 0 || (p->ranges_fd = open_own(p->ranges)) < 0)
        return gr_error_status();
    struct stat info;
    size_t used = 0, n = fstat(p->ranges_fd, &info) == 0 && info.st_size < MOST ? (size_t)info.st_size : 0;
    char *lines = gr_alloc(n + 1);
    gr_status s = lines ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && gr_read_full(p->ranges_fd, lines, n) == (int64_t)n)
        s = take_pieces(p, lines, n, &used, going, user);
    gr_free(lines);
    if (s == GR_OK && (s = cut(p, used)) == GR_OK)
        start_keeper(p);
    return s;
}

gr_status gr_hub_part_name(gr_hub_part *p, const char *path)
{
    gr_status s = gr_path_move(p->path, path);
    if (s == GR_OK)
        unlink(p->ranges);
    return s;
}

void gr_hub_part_close(gr_hub_part *p)
{
    end_keeper(p);
    if (p->fd >= 0)
        close(p->fd);
    if (p->ranges_fd >= 0)
        close(p->ranges_fd);
    gr_free(p->path);
    gr_free(p->ranges);
    *p = (gr_hub_part){.fd = -1, .ranges_fd = -1};
}

void gr_hub_part_remove(gr_hub_part *p)
{
    unlink(p->path);
    unlink(p->ranges);
}
