/* The hub's parts alone: hashes, names, addresses, heads of answers, listings, files in parts; and what libcurl's numbers are. */
#include "test.h"

#include "base/sha.h"
#include "hub/curl_api.h"
#include "hub/hub.h"

#include <fcntl.h>
#include <sys/stat.h>

#if defined(__has_include)
#if __has_include(<curl/curl.h>)
#define CURL_DISABLE_DEPRECATION
#include <curl/curl.h>
#define SAME(name, number) _Static_assert(number == (int)CURLOPT_##name, #name);
GR_CURL_OPTIONS(SAME)
#define SAME_RESULT(name, number) _Static_assert(number == (int)CURLE_##name, #name);
GR_CURL_RESULTS(SAME_RESULT)
_Static_assert(GR_CURL_HTTP == CURLPROTO_HTTP && GR_CURL_HTTPS == CURLPROTO_HTTPS, "protocols");
_Static_assert(GR_CURL_GLOBAL_ALL == CURL_GLOBAL_ALL && GR_CURL_ERROR_SIZE == CURL_ERROR_SIZE, "sizes");
#define HAS_HEADER
#endif
#endif

TEST(numbers_of_libcurl)
{
#ifndef HAS_HEADER
    SKIP("no header of libcurl to compare with");
#endif
}

/* ---- hashes ------------------------------------------------------------------------------------------------- */

static void check_hash(bool is_sha1, const char *text, size_t times, const char *expected)
{
    char hex[GR_HASH_SIZE];
    gr_sha h;
    gr_sha_begin(&h, is_sha1);
    for (size_t i = 0; i < times; i++)
        gr_sha_add(&h, text, strlen(text));
    gr_sha_end(&h, hex);
    CHECK_EQ_STR(hex, expected);
}

/* The vectors of FIPS 180, and a million letters. */
TEST(sha)
{
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_hash(true, "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_hash(true, "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_hash(true, two, 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    check_hash(true, "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    check_hash(false, "abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_hash(false, "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_hash(false, two, 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_hash(false, "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* ---- names -------------------------------------------------------------------------------------------------- */

TEST(names_of_repositories)
{
    gr_hub_name n;
    CHECK_OK(gr_hub_name_parse("org/name", &n));
    CHECK_EQ_STR(n.repo, "org/name");
    CHECK_EQ_STR(n.revision, "main");
    CHECK_OK(gr_hub_name_parse("o-r.g_1/n@refs/pr/1:Q4_K_M", &n));
    CHECK_EQ_STR(n.repo, "o-r.g_1/n");
    CHECK_EQ_STR(n.revision, "refs/pr/1");
    CHECK_EQ_STR(n.quant, "Q4_K_M");
    static const char *const wrong[] = {"",      "name",    "/name",    "org/",     "a/b/c",  "../x",  "a/..",
                                        "a/b@",  "a/b:",    "a--b/c",   "a/b@../x", "a/b@/x", ".a/b",  "a/-b",
                                        "a b/c", "a/b:Q/4", "a/b@x\\y", "a/b@x//y", "a/b@.",  "a/b\n", "é/b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        NOTE("%s", wrong[i]);
        CHECK_STATUS(gr_hub_name_parse(wrong[i], &n), GR_ERR_ARGUMENT);
    }
}

TEST(paths_from_strangers)
{
    static const char *const right[] = {"config.json",    "a/b/c.txt", "..a", "a..b",
                                        ".gitattributes", "Größe.txt", "a b", "console.txt"};
    static const char *const wrong[] = {"",      "/a",
                                        "a/",    "a//b",
                                        ".",     "..",
                                        "../a",  "a/../b",
                                        "a/./b", "a\\b",
                                        "a\nb",  "a\x7f",
                                        "CON",   "a/nul.txt",
                                        "com1",  "LPT9.x",
                                        "x.",    "x ",
                                        ".git",  ".GIT/config",
                                        "\xff",  "\xc0\xae\xc0\xae/x"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        CHECK_OK(gr_hub_check_path("x", right[i], strlen(right[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        NOTE("%s", wrong[i]);
        CHECK_STATUS(gr_hub_check_path("x", wrong[i], strlen(wrong[i])), GR_ERR_FILE);
    }
    CHECK_STATUS(gr_hub_check_path("x", "a\0b", 3), GR_ERR_FILE);
    char name[2000];
    memset(name, 'a', sizeof name);
    CHECK_OK(gr_hub_check_path("x", name, 255));
    CHECK_STATUS(gr_hub_check_path("x", name, 256), GR_ERR_FILE);
    for (size_t i = 100; i < sizeof name; i += 100)
        name[i] = '/';
    CHECK_STATUS(gr_hub_check_path("x", name, 1025), GR_ERR_FILE);
}

TEST(kinds_of_gguf)
{
    int number, count;
    CHECK(gr_hub_is_quant("m-Q4_K_M.gguf", "q4_k_m") && gr_hub_is_quant("m.Q8_0.gguf", "Q8_0"));
    CHECK(gr_hub_is_quant("Q8_0/m-00001-of-00002.gguf", "Q8_0") &&
          gr_hub_is_quant("m-Q8_0-00001-of-00002.gguf", "Q8_0"));
    CHECK(!gr_hub_is_quant("m-Q4_K_M.gguf", "Q4_K") && !gr_hub_is_quant("m-IQ4_XS.gguf", "Q4_XS"));
    CHECK(!gr_hub_is_quant("m-Q4_K_M.bin", "Q4_K_M"));
    CHECK(gr_hub_shard("m-00002-of-00005.gguf", ".gguf", &number, &count) && number == 2 && count == 5);
    CHECK(gr_hub_shard("m-00006-of-00005.gguf", ".gguf", &number, &count) && number == 1 && count == 1);
    CHECK(gr_hub_fits("*.json", "a/b.json") && gr_hub_fits("a/*", "a/b/c") && !gr_hub_fits("*.json", "a.jsonl"));
}

/* ---- addresses ---------------------------------------------------------------------------------------------- */

static void check_resolves(const char *base, const char *location, const char *expected)
{
    char *url = gr_url_resolve(base, location, strlen(location));
    CHECK_MADE(url);
    char copy[300];
    snprintf(copy, sizeof copy, "%s", url);
    gr_free(url);
    CHECK_EQ_STR(copy, expected);
}

TEST(addresses)
{
    check_resolves("https://h/a/b?q", "/c", "https://h/c");
    check_resolves("https://h/a/b?q", "c", "https://h/a/c");
    check_resolves("https://h", "c", "https://h/c");
    check_resolves("https://h:8/a", "//g/x", "https://g/x");
    check_resolves("https://h/a?x/y", "?z", "https://h/a?z");
    check_resolves("http://h/a", "HTTPS://g/x", "HTTPS://g/x");
    static const char *const wrong[] = {
        "",    "file:///etc/passwd", "ftp://x/",        "http://",     "http:///x",    "https://a@b/c",
        "a b", "http://h:0/",        "http://h:99999/", "http://h:x/", "javascript:x", "http://x\n/"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        NOTE("%s", wrong[i]);
        CHECK(gr_url_resolve("https://h/", wrong[i], strlen(wrong[i])) == NULL);
        CHECK_EQ_INT(gr_error_status(), GR_ERR_NETWORK);
    }
    CHECK(gr_url_same_place("https://h/a", "HTTPS://H:443/b") &&
          gr_url_same_place("http://[::1]:8/a", "http://[::1]:8"));
    CHECK(!gr_url_same_place("https://h/a", "http://h/a") && !gr_url_same_place("https://h/a", "https://h.x/a"));
    CHECK(!gr_url_same_place("https://h:1/a", "https://h:2/a") && !gr_url_same_place("https://h/a", "https://h@x/a"));
    gr_bytes out = {0};
    CHECK_OK(gr_url_escape(&out, "a b/c%ü", true));
    CHECK(out.size == 16 && memcmp(out.data, "a%20b/c%25%C3%BC", 16) == 0);
    gr_bytes_free(&out);
}

/* ---- heads of answers --------------------------------------------------------------------------------------- */

static void read_head(gr_http_head *h, const char *text)
{
    gr_http_head_begin(h);
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n") + 1;
        gr_http_head_line(h, line, n);
        line += n;
    }
}

TEST(heads)
{
    gr_http_head h;
    read_head(&h,
              "HTTP/1.1 100 Continue\r\n\r\nHTTP/2 206 \r\ncontent-range: bytes 5-9/10\r\nContent-Length: 5\r\n"
              "X-Linked-Etag: W/\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\r\nETag: \"x\"\r\n"
              "X-Linked-Size: 10\r\nX-Error-Code: GatedRepo\r\nX-Error-Message: a\x1b[31mb\r\n"
              "Link: <https://h/p>; rel=\"prev\", <https://h/n?c=1,2>; rel=\"next\"\r\nLocation: /x\r\nRetry-After: "
              "7\r\n\r\n");
    CHECK(h.status == 206 && h.from == 5 && h.to == 9 && h.total == 10 && h.length == 5 && h.linked_size == 10 &&
          h.wait == 7);
    CHECK(strlen(h.etag) == 64 && h.has_linked_etag && !strchr(h.message, '\x1b'));
    CHECK(strcmp(h.location, "/x") == 0 && strcmp(h.next, "https://h/n?c=1,2") == 0);
    gr_http_head_free(&h);
    static const char *const ranges[] = {"bytes 9-5/10",
                                         "bytes 0-9/10x",
                                         "bytes -1-9/10",
                                         "bytes 0-9/*",
                                         "octets 0-9/10",
                                         "bytes 0-10/10",
                                         "bytes 99999999999999999999-5/10",
                                         "bytes 0",
                                         "bytes ",
                                         ""};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char line[100];
        NOTE("%s", ranges[i]);
        gr_http_head_begin(&h);
        snprintf(line, sizeof line, "Content-Range: %s\r\n", ranges[i]);
        gr_http_head_line(&h, line, strlen(line));
        CHECK(h.from == -1 && h.to == -1 && h.total == -1);
    }
    read_head(&h, "HTTP/1.1 429 X\r\nRateLimit: \"api\";r=0;t=55\r\n");
    CHECK_NEAR(h.wait, 55, 0);
    read_head(&h, "HTTP/1.1 429 X\r\nRateLimit: \"api\";r=3;t=55\r\nRetry-After: soon\r\nContent-Length: -5\r\n");
    CHECK(h.wait == -1 && h.length == -1);
    read_head(&h, "HTTP/1.1 429 X\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    CHECK_NEAR(h.wait, 0, 0);
    read_head(&h, "HTTP/1.1 429 X\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n");
    CHECK(h.wait > 1e9 && h.wait < 4e9);
}

/* ---- listings ----------------------------------------------------------------------------------------------- */

#define OID "\"oid\": \"a9993e364706816aba3e25717850c26c9cd0d89d\""

TEST(listings)
{
    gr_hub_tree t = {0};
    const char *good =
        "[{\"type\": \"directory\", \"path\": \"..\"}, {\"type\": \"file\", \"path\": \"a/b\", \"size\": 3, " OID "}]";
    CHECK_OK(gr_hub_tree_add(&t, "x", good, strlen(good)));
    CHECK(t.n == 1 && t.files[0].size == 3 && strcmp(t.files[0].path, "a/b") == 0);
    static const char *const wrong[] = {"",
                                        "{}",
                                        "[1]",
                                        "[{}]",
                                        "[{\"path\": \"a\", \"size\": -1, " OID "}]",
                                        "[{\"path\": \"a\", \"size\": 1e30, " OID "}]",
                                        "[{\"path\": \"a\", \"size\": 1, \"oid\": \"xyz\"}]",
                                        "[{\"path\": \"a\", \"size\": 1, \"lfs\": {" OID ", \"size\": 1}}]",
                                        "[{\"path\": \"../a\", \"size\": 1, " OID "}]",
                                        "[{\"path\": \"a\\u0000b\", \"size\": 1, " OID "}]",
                                        "[{\"path\": \"\\ud800\", \"size\": 1, " OID "}]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        NOTE("%s", wrong[i]);
        CHECK_STATUS(gr_hub_tree_add(&t, "x", wrong[i], strlen(wrong[i])), GR_ERR_FILE);
    }
    gr_hub_tree_free(&t);
    t.n = GR_MOST_FILES; /* as many as a listing may have */
    CHECK_STATUS(gr_hub_tree_add(&t, "x", good, strlen(good)), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "lists more than 1000000 files");
    char commit[GR_COMMIT + 1];
    const char *sha = "{\"sha\": \"a9993e364706816aba3e25717850c26c9cd0d89d\"}", *none = "{\"sha\": \"main\"}";
    CHECK_OK(gr_hub_read_commit("x", sha, strlen(sha), commit));
    CHECK_STATUS(gr_hub_read_commit("x", none, strlen(none), commit), GR_ERR_FILE);
}

TEST(files_that_collide)
{
    static const struct {
        const char *a, *b;
        bool collide;
    } pairs[] = {{"a", "b", false},     {"a", "A", true},     {"a", "a/b", true},    {"A", "a/b", true},
                 {"a.x", "a/b", false}, {"ab", "a/b", false}, {"a/b", "a/c", false}, {"a/B", "A/b", true}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        gr_hub_file files[3] = {{.path = (char *)(uintptr_t)pairs[i].a, .chosen = true},
                                {.path = "a!between", .chosen = true},
                                {.path = (char *)(uintptr_t)pairs[i].b, .chosen = true}};
        const gr_hub_tree t = {.files = files, .n = 3};
        NOTE("%s %s", pairs[i].a, pairs[i].b);
        CHECK_STATUS(gr_hub_tree_check(&t, "x"), pairs[i].collide ? GR_ERR_FILE : GR_OK);
        files[2].chosen = false;
        CHECK_OK(gr_hub_tree_check(&t, "x"));
    }
}

/* ---- a file in parts ---------------------------------------------------------------------------------------- */

static bool go_on(void *user)
{
    (void)user;
    return true;
}

enum { SIZE = 700000 };

static void fill(uint8_t *bytes, char hash[GR_HASH_SIZE])
{
    gr_sha h;
    gr_sha_begin(&h, false);
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    gr_sha_add(&h, bytes, SIZE);
    gr_sha_end(&h, hash);
}

/* What is believed of a part after something was done to its files. */
static int64_t believed(const char *path, const char *hash)
{
    gr_hub_part p;
    CHECK_OK(gr_hub_part_open(&p, path, SIZE, hash, go_on, NULL));
    int64_t at = p.at;
    struct stat info;
    CHECK(stat(path, &info) == 0 && info.st_size == at);
    gr_hub_part_close(&p);
    return at;
}

static void write_at(const char *path, off_t at, const char *text)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text));
    close(fd);
}

TEST(parts)
{
    static uint8_t bytes[SIZE];
    char hash[GR_HASH_SIZE], path[1024], ranges[1100], whole[1024];
    bool right;
    gr_hub_part p;
    fill(bytes, hash);
    snprintf(path, sizeof path, "%s", test_join(test_dir(), "x.part"));
    snprintf(ranges, sizeof ranges, "%s.ranges", path);
    snprintf(whole, sizeof whole, "%s", test_join(test_dir(), "x"));
    CHECK_OK(gr_hub_part_open(&p, path, SIZE, hash, go_on, NULL));
    for (int at = 0; at < 600000; at += 1000)
        CHECK_OK(gr_hub_part_add(&p, bytes + at, 1000));
    gr_hub_part_close(&p); /* as a kill would: the third piece is not noted */
    CHECK_EQ_INT(believed(path, hash), 2 * GR_PIECE);
    write_at(ranges, 0, "9"); /* the side file says something else */
    CHECK_EQ_INT(believed(path, hash), 0);
    CHECK_OK(gr_hub_part_open(&p, path, SIZE, hash, go_on, NULL));
    CHECK_OK(gr_hub_part_add(&p, bytes, 600000));
    CHECK_OK(gr_hub_part_keep(&p));
    gr_hub_part_close(&p);
    CHECK_EQ_INT(believed(path, hash), 600000);
    write_at(path, GR_PIECE + 5, "??");
    CHECK_EQ_INT(believed(path, hash), GR_PIECE);
    CHECK_OK(gr_hub_part_open(&p, path, SIZE, hash, go_on, NULL));
    CHECK_OK(gr_hub_part_check(&p, hash, &right));
    CHECK(!right);
    CHECK_OK(gr_hub_part_add(&p, bytes + GR_PIECE, SIZE - GR_PIECE));
    CHECK_OK(gr_hub_part_check(&p, hash, &right));
    CHECK(right);
    CHECK_OK(gr_hub_part_name(&p, whole));
    gr_hub_part_close(&p);
    char found[GR_HASH_SIZE];
    CHECK_OK(gr_hub_hash_file(whole, 64, go_on, NULL, found));
    CHECK_EQ_STR(found, hash);
    CHECK(access(ranges, F_OK) != 0);
}

/* ---- the cache ---------------------------------------------------------------------------------------------- */

/* A cache as another tool left it. */
static void make_cache(const char *dir)
{
    char path[1400];
    const char *commit = "a9993e364706816aba3e25717850c26c9cd0d89d";
    snprintf(path, sizeof path, "%s/models--org--name/refs", dir);
    CHECK_OK(gr_dir_make(path));
    snprintf(path, sizeof path, "%s/models--org--name/refs/main", dir);
    CHECK_OK(gr_file_write(path, commit, strlen(commit)));
    snprintf(path, sizeof path, "%s/models--org--name/snapshots/%s", dir, commit);
    CHECK_OK(gr_dir_make(path));
    snprintf(path, sizeof path, "%s/models--org--name/snapshots/%s/config.json", dir, commit);
    CHECK_OK(gr_file_write(path, "{}", 2));
}

static gr_status find_it(void *ctx)
{
    char *path = gr_hub_find("org/name", ctx);
    gr_status s = path ? gr_hub_walk(NULL, GR_HUB_VERIFY, ctx) : gr_error_status();
    gr_free(path);
    return s;
}

TEST(cache)
{
    char dir[1024];
    snprintf(dir, sizeof dir, "%s", test_dir());
    make_cache(dir);
    gr_hub_options o = GR_INIT(gr_hub_options);
    CHECK(gr_hub_find("org/name", NULL) == NULL);
    CHECK(gr_hub_find("org/name", &o) == NULL);
    o.cache = dir;
    CHECK(gr_hub_find(NULL, &o) == NULL);
    CHECK_STATUS(gr_hub_walk(NULL, GR_HUB_REMOVE, &o), GR_ERR_ARGUMENT);
    CHECK(gr_hub_find("org/other", &o) == NULL);
    CHECK_ERROR(GR_ERR_FILE, "gradus pull org/other fetches it");
    CHECK(gr_hub_find("org/other@v1:Q4_K_M", &o) == NULL);
    CHECK_ERROR(GR_ERR_FILE, "org/other@v1:Q4_K_M: ");
    CHECK_ERROR(GR_ERR_FILE, "gradus pull org/other@v1:Q4_K_M fetches it");
    CHECK(SWEEP_ALLOCATIONS(find_it, &o) > 5);
    gr_find_options how = GR_INIT(gr_find_options);
    how.path_only = true;
    const gr_found *found = gr_find("org/other", &how);
    CHECK_MADE(found); /* any path is itself */
    gr_free(found);
    how.hub = &o;
    found = gr_find("org/name", &how);
    CHECK_MADE(found);
    CHECK(strstr(found->path, "/snapshots/a9993e") != NULL);
    gr_free(found);
    CHECK(!gr_find("org/other", &how));
    CHECK_EQ_INT(gr_error_status(), GR_ERR_FILE);
    CHECK_OK(gr_hub_walk("org/name", GR_HUB_REMOVE, &o));
    CHECK(gr_hub_find("org/name", &o) == NULL);
}
