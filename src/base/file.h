/* Files: read whole or mapped, and written so that a name never points at half a file. */
#ifndef GR_BASE_FILE_H
#define GR_BASE_FILE_H

#include "gradus.h"

/* Fails for errno: "doing path: strerror", with a hint that fits. GR_ERR_FILE, or GR_ERR_MEMORY. */
gr_status gr_fail_errno(const char *doing, const char *path);

/* A read-only mapping. Whoever cuts the file short meanwhile kills the reader: the system sends SIGBUS. */
typedef struct gr_map {
    const uint8_t *data;
    size_t size;
} gr_map;

/* An empty file maps to size 0; data is not NULL. A pointer of Git LFS is refused, here and by gr_file_read. */
gr_status gr_map_open(const char *path, gr_map *out);
void gr_map_close(gr_map *m);
/* Of a mapping: bytes that are not needed soon. Their memory is free for others; read again, they come from the file. */
void gr_map_release(const void *data, size_t size);
/* For what is read in pieces: GR_ERR_FILE when the `size` bytes are all of a file, and are a pointer of Git LFS. */
gr_status gr_refuse_pointer(const char *path, const void *data, size_t size);

/* The whole file plus a NUL behind it, at most `limit` bytes; caller frees with gr_free. NULL: gr_error().
 * Pipes can be read too; size may be NULL. */
char *gr_file_read(const char *path, size_t limit, size_t *size);

/* Reading from front to back, of pipes too: a descriptor, or -1 with the error set. It is closed with close. */
int gr_read_open(const char *path);
/* Reads until `size` bytes are there or the end; how many. -1: errno. */
int64_t gr_read_full(int fd, void *to, size_t size);

bool gr_path_is_dir(const char *path);
bool gr_path_is_file(const char *path);
gr_status gr_dir_make(const char *path);   /* like mkdir -p */
gr_status gr_dir_remove(const char *path); /* like rm -rf; a path that is not there is fine */
/* Names in a directory, sorted, without "." and ".."; free with gr_names_free. */
gr_status gr_dir_list(const char *path, char ***names, size_t *count);
void gr_names_free(char **names, size_t count);
char *gr_path_join(const char *dir, const char *name); /* caller frees */

/* Atomic durable write: bytes go to a temporary file beside `path`; commit makes them durable (fsync of file and
 * directory) and gives them the name in one step; cancel leaves nothing behind. When a write has failed, commit fails
 * too, so the writes in between need no checks. When commit fails, `path` is what it was; only if the very last step,
 * the fsync of the directory, fails, is it the whole new file that may be lost with the power. A link stays one: what it
 * leads to is written. So does a pipe or a device, which the bytes go to as they come; a block device is refused. */
typedef struct gr_writer gr_writer;
gr_writer *gr_writer_open(const char *path);
gr_status gr_writer_write(gr_writer *w, const void *data, size_t size);
gr_status gr_writer_commit(gr_writer *w); /* frees w on success and on failure */
void gr_writer_cancel(gr_writer *w);      /* NULL is fine */

gr_status gr_file_write(const char *path, const void *data, size_t size); /* the three steps above in one */
/* All of it or nothing (as long as one process appends); durable when the system gets around to it. */
gr_status gr_file_append(const char *path, const void *data, size_t size);

/* For files that are written over days, under names of their own: all bytes to a descriptor, and what is there to the disk.
 * `path` is for messages. */
gr_status gr_fd_write(int fd, const char *path, const void *data, size_t size);
gr_status gr_fd_sync(int fd, const char *path);

/* Atomic durable directory: fill `gr_stage_path`, then commit makes all in it durable and renames it to its final name
 * (which must not exist). Directories above it are made; what killed processes left of the same one is removed. */
typedef struct gr_stage gr_stage;
gr_stage *gr_stage_open(const char *final_path);
const char *gr_stage_path(const gr_stage *s);
gr_status gr_stage_commit(gr_stage *s); /* frees s; on failure the staged directory is removed */
void gr_stage_cancel(gr_stage *s);      /* NULL is fine */

/* A directory's name without what its end may have and does not need, "/" and "/.". Caller frees. */
char *gr_path_trimmed(const char *path);
/* Renames, durably; an existing file at `to` is replaced, a directory that is not empty is not. */
gr_status gr_path_move(const char *from, const char *to);
/* A symbolic link, made or replaced atomically and durably; and what one says. */
gr_status gr_link_write(const char *path, const char *target);
gr_status gr_link_read(const char *path, char *target, size_t cap);

/* Removes the temporary files and directories that killed processes left in a directory; never those of a process that
 * lives. */
gr_status gr_dir_sweep(const char *path);

/* For tests: the n-th write, fsync or rename from now fails as a full disk would (0 = none). Returns how many were still
 * to go before the last one asked for, 0 when it has happened. */
int64_t gr_file_fail_at(int64_t n);

#endif
