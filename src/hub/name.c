/* Names: of repositories, as people write them, and of files, as strangers wrote them into a listing. */
#include "hub/hub.h"

#include "base/utf8.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- of repositories ---------------------------------------------------------------------------------------- */

/* "org" or "name": letters, digits and - _ . inside, as the hub has them. */
static bool is_word(const char *p, size_t size)
{
    if (size == 0 || size > 96 || p[0] == '.' || p[0] == '-' || p[size - 1] == '.')
        return false;
    for (size_t i = 0; i < size; i++) {
        bool inside = p[i] == '-' || p[i] == '_' || p[i] == '.';
        /* The cache writes org--name. */
        if ((!inside && !isalnum((unsigned char)p[i])) || (i > 0 && p[i] == '.' && p[i - 1] == '.') ||
            (i > 0 && p[i] == '-' && p[i - 1] == '-'))
            return false;
    }
    return true;
}

static bool parse_name(const char *text, gr_hub_name *name)
{
    *name = (gr_hub_name){.revision = "main"};
    const char *slash = strchr(text, '/'), *end = text + strcspn(text, "@:");
    if (!slash || slash > end || !is_word(text, (size_t)(slash - text)) ||
        !is_word(slash + 1, (size_t)(end - slash - 1)))
        return false;
    snprintf(name->repo, sizeof name->repo, "%.*s", (int)(end - text), text);
    const char *revision = *end == '@' ? end + 1 : NULL, *quant = strchr(end, ':');
    if (revision) {
        size_t n = quant ? (size_t)(quant - revision) : strlen(revision);
        if (n == 0 || n >= sizeof name->revision)
            return false;
        snprintf(name->revision, sizeof name->revision, "%.*s", (int)n, revision);
    }
    if (quant && (!quant[1] || strlen(quant + 1) >= sizeof name->quant ||
                  strspn(quant + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789_-.") != strlen(quant + 1)))
        return false;
    if (quant)
        snprintf(name->quant, sizeof name->quant, "%s", quant + 1);
    return true;
}

bool gr_hub_is_name(const char *text)
{
    gr_hub_name name;
    return parse_name(text, &name);
}

gr_status gr_hub_name_parse(const char *text, gr_hub_name *name)
{
    char shown[GR_NAME_SIZE];
    if (!parse_name(text, name))
        return gr_fail(GR_ERR_ARGUMENT,
                       "%s: is no name of a repository\nIt is org/name, org/name@revision, or org/name:Q4_K_M.",
                       gr_printable(text, strlen(text), shown, sizeof shown));
    if (gr_hub_check_path(name->repo, name->revision, strlen(name->revision)) != GR_OK)
        return gr_fail(GR_ERR_ARGUMENT,
                       "%s: is no revision that a repository could have\nIt is a branch, a tag or a "
                       "commit.",
                       gr_printable(name->revision, strlen(name->revision), shown, sizeof shown));
    return GR_OK;
}

/* ---- of files ----------------------------------------------------------------------------------------------- */

/* Names that some systems keep for devices, with whatever ending. */
static bool is_device(const char *p, size_t size)
{
    static const char *const names[] = {"con", "prn", "aux", "nul"};
    const char *dot = memchr(p, '.', size);
    size_t n = dot ? (size_t)(dot - p) : size;
    for (size_t i = 0; n == 3 && i < sizeof names / sizeof *names; i++)
        if (strncasecmp(p, names[i], 3) == 0)
            return true;
    return n == 4 && (strncasecmp(p, "com", 3) == 0 || strncasecmp(p, "lpt", 3) == 0) && p[3] >= '1' && p[3] <= '9';
}

/* Why a part of a path between two slashes cannot be; NULL: it can. */
static const char *fault_of(const char *p, size_t size)
{
    if (size == 0)
        return "an empty name in it";
    if ((size == 1 && p[0] == '.') || (size == 2 && p[0] == '.' && p[1] == '.'))
        return "it leads elsewhere";
    if (size > 255)
        return "a name of more than 255 bytes";
    if (p[size - 1] == ' ' || p[size - 1] == '.')
        return "a name that ends with a space or a dot";
    if ((size == 4 && strncasecmp(p, ".git", 4) == 0) || is_device(p, size))
        return "a reserved name";
    return NULL;
}

gr_status gr_hub_check_path(const char *where, const char *path, size_t size)
{
    char shown[200];
    const char *fault = size == 0 ? "it is empty" : size > 1024 ? "more than 1024 bytes" : NULL;
    for (size_t i = 0; !fault && i < size; i++)
        if ((unsigned char)path[i] < 0x20 || path[i] == 0x7F || path[i] == '\\')
            fault = "a control character or a backslash in it";
    if (!fault && !gr_utf8_valid(path, size))
        fault = "it is no UTF-8";
    for (size_t from = 0, i = 0; !fault && i <= size; i++)
        if (i == size || path[i] == '/') {
            fault = i == 0 ? "it begins at the root" : fault_of(path + from, i - from);
            from = i + 1;
        }
    if (!fault)
        return GR_OK;
    return gr_fail(GR_ERR_FILE,
                   "%s: lists a file that cannot be written here, \"%s\": %s\nNothing was fetched. Tell whoever owns "
                   "the repository.",
                   where, gr_printable(path, size, shown, sizeof shown), fault);
}

bool gr_hub_is_hex(const char *text, size_t size, size_t digits)
{
    if (size != digits)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
            return false;
    return true;
}

bool gr_hub_fits(const char *pattern, const char *path)
{
    const char *slash = strrchr(path, '/');
    return fnmatch(pattern, path, 0) == 0 || (!strchr(pattern, '/') && slash && fnmatch(pattern, slash + 1, 0) == 0);
}

bool gr_hub_is_data(const char *path)
{
    return gr_ends_with(path, ".jsonl") || gr_ends_with(path, ".ndjson") || gr_ends_with(path, ".txt");
}

/* ---- kinds of GGUF ------------------------------------------------------------------------------------------ */

bool gr_hub_shard(const char *path, const char *end, int *number, int *count)
{
    size_t n = strlen(path), m = strlen(end), tail = sizeof "-00001-of-00002" - 1;
    *number = *count = 1;
    if (n < m || strcmp(path + n - m, end) != 0)
        return false;
    if (n < m + tail || sscanf(path + n - m - tail, "-%5d-of-%5d", number, count) != 2 || *number < 1 ||
        *number > *count)
        *number = *count = 1;
    return true;
}

/* The kind stands between separators: model-Q4_K_M.gguf, model.q4_k_m-00001-of-00003.gguf, Q4_K_M/model.gguf; and Q4_K is no
 * Q4_K_M. */
bool gr_hub_is_quant(const char *path, const char *quant)
{
    size_t n = strlen(quant);
    int number, count;
    if (!gr_hub_shard(path, ".gguf", &number, &count))
        return false;
    for (const char *p = path; *p; p++)
        if (strncasecmp(p, quant, n) == 0 && (p == path || strchr("-./", p[-1])) && strchr("-./", p[n]))
            return true;
    return false;
}
