/* labels: slow
 *
 * A pull from the hub on loopback (tests/shell/hub.py) in which every allocation fails once, and every write. */
#include "test.h"

#include "hub/hub.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static struct {
    char root[1024], cache[1100], endpoint[64];
    pid_t server;
    gr_hub_options o;
} it;

static void stop_server(void)
{
    if (it.server > 0)
        kill(it.server, SIGKILL);
}

/* A model of three small files, and who serves it. */
static void start(void)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    char path[1200], script[1200];
    snprintf(it.root, sizeof it.root, "%s", test_dir());
    snprintf(path, sizeof path, "%s/models/org/name", it.root);
    CHECK_OK(gr_dir_make(path));
    snprintf(path, sizeof path, "%s/models/org/name/config.json", it.root);
    CHECK_OK(gr_file_write(path, "{}", 2));
    snprintf(path, sizeof path, "%s/models/org/name/model.safetensors", it.root);
    CHECK_OK(gr_file_write(path, "not really", 10));
    snprintf(path, sizeof path, "%s/models/org/name/additional_chat_templates", it.root);
    CHECK_OK(gr_dir_make(path));
    snprintf(path, sizeof path, "%s/models/org/name/additional_chat_templates/tools.jinja", it.root);
    CHECK_OK(gr_file_write(path, "{{ x }}", 7));
    snprintf(script, sizeof script, "%s", test_source("tests/shell/hub.py"));
    it.server = fork();
    if (it.server == 0) {
        execlp("python3", "python3", script, it.root, (char *)NULL);
        _exit(127);
    }
    atexit(stop_server);
    snprintf(path, sizeof path, "%s/port", it.root);
    for (int i = 0; i < 500 && access(path, F_OK) != 0; i++) {
        if (waitpid(it.server, NULL, WNOHANG) == it.server)
            SKIP("no python3, which plays the hub");
        nanosleep(&pause, NULL);
    }
    char *text = gr_file_read(path, 100, NULL);
    CHECK_MADE(text);
    snprintf(it.endpoint, sizeof it.endpoint, "http://127.0.0.1:%d", atoi(text));
    gr_free(text);
    snprintf(it.cache, sizeof it.cache, "%s/cache", it.root);
    it.o = GR_INIT(gr_hub_options);
    it.o.cache = it.cache;
    it.o.endpoint = it.endpoint;
    it.o.token = "secret";
    it.o.retries = -1;
}

/* A snapshot that has been given its name has all of its files, whatever failed. */
static void check_shown(void)
{
    static const char *const all[] = {"config.json", "model.safetensors", "additional_chat_templates/tools.jinja"};
    char path[1300], file[1700];
    snprintf(path, sizeof path, "%s/models--org--name/snapshots", it.cache);
    int64_t files = gr_file_fail_at(0), blocks = gr_mem_fail_at(0); /* looking is no step of it */
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        for (int i = 0; i < 3 && e->d_name[0] != '.'; i++) {
            snprintf(file, sizeof file, "%s/%s/%s", path, e->d_name, all[i]);
            CHECK(access(file, R_OK) == 0);
        }
    if (dir)
        closedir(dir);
    gr_file_fail_at(files);
    gr_mem_fail_at(blocks);
}

/* Each from nothing. */
static gr_status pull(void *ctx)
{
    gr_hub_options *o = ctx;
    gr_dir_remove(o->to ? o->to : it.cache);
    gr_error_clear();
    char *path = gr_hub_pull("org/name", o);
    gr_status s = path ? GR_OK : gr_error_status();
    gr_free(path);
    check_shown();
    return s;
}

TEST(every_step_fails_once)
{
    start();
    gr_hub_options o = it.o;
    char *path = gr_hub_pull("org/name", &o);
    if (!path && gr_error_status() == GR_ERR_UNSUPPORTED)
        SKIP("no libcurl");
    CHECK_MADE(path);
    gr_free(path);
    printf("%" PRId64 " allocations\n", SWEEP_ALLOCATIONS(pull, &o));
    printf("%" PRId64 " writes\n", SWEEP_WRITES(pull, &o));
    o.no_links = true;
    SWEEP_WRITES(pull, &o);
    char to[1100];
    snprintf(to, sizeof to, "%s/to", it.root);
    o.to = to;
    SWEEP_ALLOCATIONS(pull, &o);
    SWEEP_WRITES(pull, &o);
}
