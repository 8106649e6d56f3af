/* Weights in torch's zip files: what torch wrote reads as torch reads it (tests/data/torch, made by
 * tools/oracle/make_torch.py), and one named case for every way in which such a file can lie. */
#include "test.h"

#include "base/checksum.h"
#include "format/torch.h"
#include "format/weights.h"
#include "program/run.h"

static const char *data_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", test_source("tests/data/torch"), name);
    return path;
}

/* ---- what torch wrote --------------------------------------------------------------------------------------- */

/* Every tensor of the safetensors file, bit for bit, and no other. */
static void check_same(const gr_weights *have, const char *expected)
{
    gr_weights *want = gr_weights_open(data_path(expected));
    CHECK_MADE(want);
    for (int i = 0; i < gr_weights_count(want); i++) {
        const gr_weight *a = gr_weights_entry(want, i), *b = gr_weights_find(have, a->name);
        NOTE("%s: %s", expected, a->name);
        CHECK(b != NULL);
        CHECK_EQ_INT(b->dtype, a->dtype);
        CHECK(b->stored == a->stored);
        CHECK_EQ_INT(b->ndim, a->ndim);
        for (int d = 0; d < a->ndim; d++)
            CHECK_EQ_INT(b->shape[d], a->shape[d]);
        CHECK_EQ_INT(b->bytes, a->bytes);
        CHECK(memcmp(b->data, a->data, a->bytes) == 0);
    }
    CHECK_EQ_INT(gr_weights_count(have), gr_weights_count(want));
    gr_weights_close(want);
}

TEST(what_torch_wrote)
{
    static const char *const names[] = {"dtypes",      "views",       "shared",     "module",
                                        "parameters",  "protocol3",   "protocol4",  "protocol5",
                                        "without-crc", "cut-storage", "big-endian", "packed"};
    char file[64], expected[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        NOTE("%s", names[i]);
        snprintf(file, sizeof file, "%s.bin", names[i]);
        snprintf(expected, sizeof expected, "%s.safetensors", names[i]);
        gr_weights *w = gr_weights_open(data_path(file));
        CHECK_MADE(w);
        check_same(w, expected);
        const gr_source *source = gr_weights_file(w, 0);
        CHECK_EQ_STR(source->format, "torch");
        CHECK_OK(source->check(source->self));
        gr_weights_close(w);
    }
}

/* What lies in the file as C has it is not copied: tensors of one storage share their bytes. */
TEST(tensors_lie_in_the_file)
{
    gr_weights *w = gr_weights_open(data_path("shared.bin"));
    CHECK_MADE(w);
    const gr_weight *a = gr_weights_find(w, "embed"), *b = gr_weights_find(w, "head"), *c = gr_weights_find(w, "row2");
    CHECK(a && b && c);
    CHECK(a->data == b->data);
    CHECK((const char *)c->data == (const char *)a->data + (size_t)(2 * a->shape[1]) * 4);
    CHECK((uintptr_t)a->data % 64 == 0);
    gr_weights_close(w);
}

/* Numbers, strings and other things beside tensors, and tensors of what no file of weights has. */
TEST(what_stands_beside_tensors)
{
    static const struct {
        const char *name, *what;
    } others[] = {{"bytes", "an object"},  {"complex", "a tensor of complex128"},
                  {"device", "an object"}, {"dict", "a dict"},
                  {"dtype", "a name"},     {"flag", "True or False"},
                  {"huge", "a number"},    {"list", "a list"},
                  {"none", "None"},        {"real", "a number"},
                  {"set", "an object"},    {"seven", "a tensor of too many dims"},
                  {"size", "an object"},   {"step", "a number"},
                  {"text", "a string"},    {"tuple", "a tuple"}};
    gr_weights *w = gr_weights_open(data_path("others.bin"));
    CHECK_MADE(w);
    check_same(w, "others.safetensors");
    size_t n = sizeof others / sizeof *others;
    CHECK_EQ_INT(gr_weights_others(w), n);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ_STR(gr_weights_other(w, (int)i)->name, others[i].name);
        CHECK_EQ_STR(gr_weights_other(w, (int)i)->what, others[i].what);
    }
    gr_weights_close(w);
}

/* What torch writes and we do not read, each told by what it is. */
TEST(what_is_told_and_not_read)
{
    static const struct {
        const char *file, *expected;
    } cases[] = {
        {"runs.bin", "names \"posix.system\""},
        {"object.bin", "names \"torch.nn.modules.linear.Linear\""},
        {"sparse.bin", "names \"torch._utils._rebuild_sparse_tensor\""},
        {"legacy.bin", "a bare pickle, as torch.save wrote before PyTorch 1.6"},
        {"script.bin", "a TorchScript archive"},
        {"nested.bin", "\"model\" holds 2 tensors"},
        {"tensor.bin", "holds a tensor where a dict"},
        {"list.bin", "holds a list where a dict"},
        {"numbers.bin", "holds no tensors, but \"epoch\" (a number), \"lr\" (a number)"},
        {"empty.bin", "holds no tensors, but an empty dict"},
        {"expanded.bin", "tensor \"mask\": it is an expanded view"},
        {"deflated.bin", "is compressed (method 8, deflate)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NOTE("%s", cases[i].file);
        CHECK(!gr_weights_open(data_path(cases[i].file)));
        CHECK(strstr(gr_error(), cases[i].file) && strstr(gr_error(), cases[i].expected) && strchr(gr_error(), '\n'));
    }
}

/* ---- models ------------------------------------------------------------------------------------------------- */

/* The logits of the model are those that transformers computed from the same directory. */
static void check_model(const char *name, const char *device)
{
    char path[1200];
    snprintf(path, sizeof path, "%s", data_path(name));
    gr_safetensors *expected = gr_safetensors_open(test_join(path, "logits.safetensors"));
    CHECK_MADE(expected);
    const gr_weight *ids = gr_safetensors_find(expected, "ids"), *want = gr_safetensors_find(expected, "logits");
    gr_device *d = gr_device_open(device, 1);
    gr_model *m = gr_model_load(path, NULL, d);
    CHECK_MADE(m);
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I64, 2, ids->shape)};
    gr_tensor *logits = gr_model_forward(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, d, NULL);
    CHECK_MADE(p);
    float *have = malloc(want->bytes), *exact = malloc(want->bytes);
    int64_t *tokens = malloc(ids->bytes);
    memcpy(tokens, ids->data, ids->bytes);
    memcpy(exact, want->data, want->bytes);
    CHECK_OK(gr_program_run(p, (const void *[]){tokens}, (void *[]){have}));
    for (size_t i = 0; i < want->bytes / sizeof(float); i++)
        CHECK_NEAR(have[i], exact[i], 2e-5);
    free(tokens);
    free(exact);
    free(have);
    gr_program_free(p);
    gr_graph_free(g);
    gr_model_free(m);
    gr_device_close(d);
    gr_safetensors_close(expected);
}

TEST(models)
{
    static const char *const names[] = {"gpt2", "llama-shards", "gpt2-tied-f16", "llama-transposed", "both"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        NOTE("%s", names[i]);
        check_model(names[i], "ref");
        check_model(names[i], "cpu");
        check_model(names[i], "far");
    }
}

/* ---- archives of our own ------------------------------------------------------------------------------------ */

enum { MOST_ENTRIES = 8, ROOM = 1 << 20 };

typedef struct member {
    const char *name;
    const void *data;
    size_t size;
} member;

/* A zip archive, and where its parts came to stand. */
typedef struct archive {
    uint8_t *bytes;
    size_t size, local[MOST_ENTRIES], central[MOST_ENTRIES], directory, end;
} archive;

static void put(archive *a, const void *data, size_t size)
{
    CHECK(a->size + size <= ROOM);
    memcpy(a->bytes + a->size, data, size);
    a->size += size;
}

static void put_number(archive *a, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        put(a, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void set_number(archive *a, size_t at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        a->bytes[at + (size_t)i] = (uint8_t)(value >> 8 * i);
}

static archive archive_of(const member *members, size_t n)
{
    archive a = {.bytes = malloc(ROOM)};
    for (size_t i = 0; i < n; i++) {
        a.local[i] = a.size;
        put(&a, "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 26);
        put_number(&a, 2, strlen(members[i].name));
        put_number(&a, 2, 0);
        put(&a, members[i].name, strlen(members[i].name));
        put(&a, members[i].data, members[i].size);
    }
    a.directory = a.size;
    for (size_t i = 0; i < n; i++) {
        a.central[i] = a.size;
        put(&a, "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0", 16);
        put_number(&a, 4, gr_crc32(members[i].data, members[i].size));
        put_number(&a, 4, members[i].size);
        put_number(&a, 4, members[i].size);
        put_number(&a, 2, strlen(members[i].name));
        put(&a, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
        put_number(&a, 4, a.local[i]);
        put(&a, members[i].name, strlen(members[i].name));
    }
    a.end = a.size;
    put(&a, "PK\5\6\0\0\0\0", 8);
    put_number(&a, 2, n);
    put_number(&a, 2, n);
    put_number(&a, 4, a.end - a.directory);
    put_number(&a, 4, a.directory);
    put_number(&a, 2, 0);
    return a;
}

/* Opens exactly these bytes: a sanitizer sees a read beyond. Closes what opens. */
static bool opens(const void *bytes, size_t size)
{
    void *exact = malloc(size + !size);
    memcpy(exact, bytes, size);
    gr_source source;
    gr_error_clear();
    bool opened = gr_torch_parse("t.bin", exact, size, &source) == GR_OK;
    volatile unsigned sum = 0;
    for (int i = 0; opened && i < source.count; i++)
        for (size_t b = 0; b < source.tensors[i].bytes; b++)
            sum += ((const uint8_t *)source.tensors[i].data)[b];
    (void)sum;
    if (opened)
        source.close(source.self);
    else
        CHECK(gr_error_status() != GR_OK && strstr(gr_error(), "t.bin: "));
    free(exact);
    return opened;
}

/* NULL: it opens; else the error says this. */
static void check_opens(const archive *a, const char *expected)
{
    if (opens(a->bytes, a->size)) {
        CHECK(expected == NULL);
        return;
    }
    if (!expected || !strstr(gr_error(), expected))
        FAIL("expected %s: %s", expected ? expected : "no error", gr_error());
}

/* ---- pickles ------------------------------------------------------------------------------------------------ */

#define TEXT(length, text) "X" length "\0\0\0" text
#define PARTS(type, key, count) "((" TEXT("\7", "storage") type key TEXT("\3", "cpu") count "tQ"
#define KEY TEXT("\1", "0")
#define FLOATS PARTS("ctorch\nFloatStorage\n", KEY, "K\6")
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define REST "\x89}tR"
/* A tensor of f32 [2, 3] over all of the storage, under the name "a" in a dict. */
#define TENSOR REBUILD FLOATS "K\0K\2K\3\x86K\3K\1\x86" REST
#define DICT(value) "\x80\2}" TEXT("\1", "a") value "s."
#define GOOD DICT(TENSOR)
#define BIG "\x8a\x8\0\0\0\0\0\0\0\x40" /* 2^62 */
#define MINUS "J\xff\xff\xff\xff"

typedef struct hostile {
    const char *name, *pickle;
    size_t size;
    const char *expected;
} hostile;
#define CASE(name, pickle, expected)                                                                                   \
    {                                                                                                                  \
        name, pickle, sizeof(pickle) - 1, expected                                                                     \
    }

static const float floats[6] = {0, 1, 2, 3, 4, 5};

static archive with_pickle(const void *pickle, size_t size)
{
    const member members[] = {{"m/data.pkl", pickle, size}, {"m/data/0", floats, sizeof floats}};
    return archive_of(members, 2);
}

static void check_pickles(const hostile *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        NOTE("%s", cases[i].name);
        archive a = with_pickle(cases[i].pickle, cases[i].size);
        check_opens(&a, cases[i].expected);
        free(a.bytes);
    }
}

TEST(calls_are_refused_by_name_and_byte)
{
    static const hostile cases[] = {
        CASE("good", GOOD, NULL),
        CASE("os.system", DICT("cos\nsystem\n" TEXT("\2", "id") "\x85R"),
             "t.bin: m/data.pkl: byte 9: names \"os.system\", which no"),
        CASE("eval, by the stack",
             "\x80\4\x8c\x08"
             "builtins\x8c\4"
             "eval\x93.",
             "byte 18: names \"builtins.eval\""),
        CASE("a name of a name", DICT("ctorch._utils\n_rebuild_tensor_v2.__globals__\n"), "v2.__globals__\""),
        CASE("a module of a module", DICT("ctorch._utils.os\nsystem\n"), "\"torch._utils.os.system\""),
        CASE("a storage that is none", DICT("ctorch\nNoStorage\n"), "names \"torch.NoStorage\""),
        CASE("an empty name", DICT("ctorch\n\n"), "names \"torch.\""),
        CASE("getattr", DICT("c__builtin__\ngetattr\n"), "names \"__builtin__.getattr\""),
        CASE("INST", DICT("(ios\nsystem\n"), "byte 10: instruction INST (0x69) is no part"),
        CASE("OBJ", DICT("(o"), "instruction OBJ"),
        CASE("NEWOBJ", DICT("ctorch\nTensor\n)\x81"), "instruction NEWOBJ (0x81)"),
        CASE("NEWOBJ_EX", DICT("\x92"), "instruction NEWOBJ_EX"),
        CASE("EXT1", DICT("\x82\1"), "instruction EXT1"),
        CASE("PERSID", DICT("P0\n"), "instruction PERSID"),
        CASE("DUP", DICT("2"), "instruction DUP"),
        CASE("NEXT_BUFFER", DICT("\x97"), "instruction NEXT_BUFFER"),
        CASE("no instruction", DICT("\xff"), "instruction unknown (0xff)"),
        CASE("a storage is called", DICT("ctorch\nFloatStorage\n)R"), "calls what is no function"),
        CASE("a number is called", DICT("K\1)R"), "calls what is no function"),
        CASE("arguments are a list", DICT("ccollections\nOrderedDict\n]R"), "arguments are no tuple"),
        CASE("state of a list", DICT("]}b"), "sets the state of what is no OrderedDict"),
        CASE("state of a tensor", DICT(TENSOR ")b"), "sets the state of what is no OrderedDict"),
    };
    check_pickles(cases, sizeof cases / sizeof *cases);
}

TEST(pickles_that_lie)
{
    static const hostile cases[] = {
        CASE("empty", "", "the pickle ends without STOP"),
        CASE("no STOP", "\x80\2}", "byte 3: the pickle ends without STOP"),
        CASE("STOP alone", "\x80\2.", "does not hold one value"),
        CASE("two values", "\x80\2}}.", "does not hold one value"),
        CASE("a mark left", "\x80\2}(.", "does not hold one value"),
        CASE("bytes behind STOP", "\x80\2}.}", "bytes follow it"),
        CASE("protocol 9", "\x80\x9}.", "a protocol that is not known"),
        CASE("protocol 0", "(dp0\n.", "instruction DICT"),
        CASE("memo of 2^31", "\x80\2}r\xff\xff\xff\x7f.", "an index that is larger than the pickle"),
        CASE("memo of nothing", "\x80\2q\0.", "too few values"),
        CASE("nothing in the memo", "\x80\2h\5.", "nothing was kept under that index"),
        CASE("a hole in the memo", "\x80\2}q\4h\2.", "nothing was kept under that index"),
        CASE("far in the memo", "\x80\2j\xff\xff\xff\xff.", "nothing was kept"),
        CASE("text of 4 GB",
             "\x80\2X\xff\xff\xff\xff"
             "a.",
             "ends inside of it"),
        CASE("text of 2^63",
             "\x80\4\x8d\0\0\0\0\0\0\0\x80"
             "a.",
             "ends inside of it"),
        CASE("number of 4 GB", "\x80\2\x8b\xff\xff\xff\xff.", "ends inside of it"),
        CASE("line without end", "\x80\2ctorch", "ends inside of it"),
        CASE("tuple without mark", "\x80\2t.", "no mark on the stack"),
        CASE("tuple of too few", "\x80\2K\1\x87.", "too few values"),
        CASE("below the mark", "\x80\2}(s.", "too few values"),
        CASE("fills what is below the mark", "\x80\2}((u.", "too few values"),
        CASE("odd items", "\x80\2}(K\1u.", "a key without a value"),
        CASE("appends to a dict", "\x80\2}K\1a.", "no list or set"),
        CASE("sets in a list", "\x80\2]K\1K\2s.", "no dict"),
        CASE("appends to nothing", "\x80\2(e.", "too few values"),
        CASE("names by numbers", "\x80\4K\1K\2\x93.", "module and name are no strings"),
        CASE("a dict in itself", "\x80\2}q\0" TEXT("\1", "a") "h\0s.", "holds no tensors, but \"a\" (a dict)"),
        CASE("a list in itself", "\x80\2]q\0h\0a.", "holds a list"),
        CASE("NUL in a name", "\x80\2}" TEXT("\3", "a\0b") TENSOR "s.", "has a NUL in it or is no UTF-8"),
        CASE("a name that is no UTF-8", "\x80\2}" TEXT("\2", "\xc3\x28") TENSOR "s.", "is no UTF-8"),
        CASE("a number for a name", "\x80\2}K\1" TENSOR "s.", "holds no tensors, but \"a number\" (an object)"),
        CASE("the last of a name counts", "\x80\2}(" TEXT("\1", "a") "K\1" TEXT("\1", "a") TENSOR "u.", NULL),
        CASE("the last of a name is a number", "\x80\2}(" TEXT("\1", "a") TENSOR TEXT("\1", "a") "K\1u.",
             "holds no tensors, but \"a\" (a number)"),
    };
    check_pickles(cases, sizeof cases / sizeof *cases);
}

TEST(storages_that_lie)
{
#define WITH(storage) DICT(REBUILD storage "K\0K\2K\3\x86K\3K\1\x86" REST)
#define FLOAT_TYPE "ctorch\nFloatStorage\n"
    static const hostile cases[] = {
        CASE("an id that is a number", WITH("(K\1Q"), "not told as ('storage', type, key, device, size)"),
        CASE("an id that is itself", WITH("(K\1q\0\x85QQ"), "not told as ('storage'"),
        CASE("an id of too few", WITH("(" TEXT("\7", "storage") "\x85Q"), "not told as ('storage'"),
        CASE("an id of another kind", WITH("((" TEXT("\7", "program") FLOAT_TYPE KEY KEY "K\6tQ"), "not told as"),
        CASE("no id", WITH("(K\1"), "not told as ('storage'"),
        CASE("a type that is none", WITH(PARTS("ctorch\nfloat32\n", KEY, "K\6")), "the type of its storage is none"),
        CASE("a type that is text", WITH(PARTS(TEXT("\1", "f"), KEY, "K\6")), "not told as"),
        CASE("a key that leads out", WITH(PARTS(FLOAT_TYPE, TEXT("\x8", "../m/0.0"), "K\6")), "is no plain name"),
        CASE("a key that is long",
             WITH(PARTS(FLOAT_TYPE,
                        "X\x46\0\0\0"
                        "0000000000000000000000000000000000000000000000"
                        "000000000000000000000000",
                        "K\6")),
             "is no plain name"),
        CASE("a key that is a number", WITH(PARTS(FLOAT_TYPE, "K\0", "K\6")), "is no plain name"),
        CASE("a key that is not there", WITH(PARTS(FLOAT_TYPE, TEXT("\1", "7"), "K\6")), "is not in the archive"),
        CASE("longer than its bytes", WITH(PARTS(FLOAT_TYPE, KEY, "K\7")), "shorter than it should be"),
        CASE("of -1 elements", WITH(PARTS(FLOAT_TYPE, KEY, MINUS)), "no number, negative or too large"),
        CASE("of 2^62 elements", WITH(PARTS(FLOAT_TYPE, KEY, BIG)), "no number, negative or too large"),
        CASE("of None elements", WITH(PARTS(FLOAT_TYPE, KEY, "N")), "no number, negative or too large"),
        CASE("shorter than the tensor", WITH(PARTS(FLOAT_TYPE, KEY, "K\5")), "shorter than its sizes and strides need"),
        CASE("wider than its bytes", WITH(PARTS("ctorch\nDoubleStorage\n", KEY, "K\6")), "shorter than it should be"),
        CASE("without a type", WITH(PARTS("ctorch.storage\nUntypedStorage\n", KEY, "K\x18")), "it has no dtype"),
        CASE("two types",
             "\x80\2}(" TEXT("\1", "a") TENSOR TEXT("\1", "b")
                 REBUILD PARTS("ctorch\nIntStorage\n", KEY, "K\6") "K\0K\2K\3\x86K\3K\1\x86" REST "u.",
             "tensor \"b\": another tensor reads its storage as another type"),
        CASE("of a GPU", WITH(PARTS("ctorch.cuda\nFloatStorage\n", KEY, "K\6")), NULL),
    };
    check_pickles(cases, sizeof cases / sizeof *cases);
}

TEST(views_that_lie)
{
#define VIEW(offset, size, stride) DICT(REBUILD FLOATS offset size stride REST)
#define SHAPE "K\2K\3\x86"
#define STEPS "K\3K\1\x86"
    static const hostile cases[] = {
        CASE("all of it", VIEW("K\0", SHAPE, STEPS), NULL),
        CASE("backwards in its dims", VIEW("K\0", "K\3K\2\x86", "K\1K\3\x86"), NULL),
        CASE("one number six times", VIEW("K\5", SHAPE, "K\0K\0\x86"), NULL),
        CASE("a scalar", VIEW("K\5", ")", ")"), NULL),
        CASE("nothing", VIEW("K\0", "K\0K\3\x86", STEPS), NULL),
        CASE("nothing, of 2^62 rows", VIEW("K\0", BIG "K\0\x86", "K\0K\0\x86"), "overflows"),
        CASE("offset 1", VIEW("K\1", SHAPE, STEPS), "shorter than its sizes and strides need"),
        CASE("offset -1", VIEW(MINUS, SHAPE, STEPS), "its offset is no number, negative"),
        CASE("offset of 2^62", VIEW(BIG, SHAPE, STEPS), "shorter than its sizes and strides need"),
        CASE("offset of 2^100", VIEW("\x8a\xd\0\0\0\0\0\0\0\0\0\0\0\0\x10", SHAPE, STEPS), "its offset is no number"),
        CASE("offset True", VIEW("\x88", SHAPE, STEPS), "its offset is no number"),
        CASE("size -1", VIEW("K\0", MINUS "K\3\x86", STEPS), "a size or stride is no number, negative"),
        CASE("size of 2^62", VIEW("K\0", BIG "K\3\x86", STEPS), "overflows"),
        CASE("size as text", VIEW("K\0", KEY "K\3\x86", STEPS), "a size or stride is no number"),
        CASE("stride -1", VIEW("K\0", SHAPE, "K\3" MINUS "\x86"), "a size or stride is no number, negative"),
        CASE("stride of 2^62", VIEW("K\0", SHAPE, BIG "K\1\x86"), "shorter than its sizes and strides need"),
        CASE("strides that overflow", VIEW("K\0", "K\7K\3\x86", BIG "K\1\x86"), "overflows"),
        CASE("strides too few", VIEW("K\0", SHAPE, "K\1\x85"), "no tuples of one length"),
        CASE("strides too many", VIEW("K\0", SHAPE, "K\1K\1K\1\x87"), "no tuples of one length"),
        CASE("sizes in a list", VIEW("K\0", "](K\2K\3e", STEPS), "no tuples of one length"),
        CASE("expanded to a terabyte", VIEW("K\0", "M\xff\xffM\xff\xff\x86", "K\0K\0\x86"), "larger than the file"),
        CASE("seven dims", VIEW("K\0", "(K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1t"), "too many dims"),
        CASE("without arguments", DICT(REBUILD ")R"), "is not told as (storage, offset"),
        CASE("a storage for a tensor", DICT(FLOATS "t"), "holds no tensors"),
        CASE("a parameter of nothing", DICT("ctorch._utils\n_rebuild_parameter\n)R"), "holds no tensors"),
        CASE("a negated view", DICT(REBUILD FLOATS "K\0" SHAPE STEPS "\x89}}" TEXT("\3", "neg") "\x88stR"),
             "\"a\" (a conjugated or negated view)"),
    };
    check_pickles(cases, sizeof cases / sizeof *cases);
}

/* Few bytes that stand for many: marks, lists in lists, and a list that holds twice what the one before holds twice. */
TEST(bombs)
{
    enum { DEEP = 200000 };
    char *pickle = malloc(DEEP * 3 + 100);
    memset(pickle, '(', DEEP);
    archive a = with_pickle(pickle, DEEP);
    check_opens(&a, "ends without STOP");
    free(a.bytes);

    memset(pickle, ']', DEEP);
    memset(pickle + DEEP, 'a', DEEP - 1);
    pickle[2 * DEEP - 1] = '.';
    a = with_pickle(pickle, 2 * DEEP);
    check_opens(&a, "holds a list");
    free(a.bytes);

    size_t n = 0;
    memcpy(pickle, "](]q\0", 5);
    for (n = 5; n < 5 + 9 * 200; n += 9)
        memcpy(pickle + n, "](h\0h\0eq", 9); /* with the NUL at its end */
    memcpy(pickle + n, "e.", 2);
    n += 2;
    a = with_pickle(pickle, n);
    check_opens(&a, "holds a list");
    free(a.bytes);
    free(pickle);
}

/* ---- archives that lie -------------------------------------------------------------------------------------- */

static archive good(void)
{
    return with_pickle(GOOD, sizeof GOOD - 1);
}

TEST(archives_that_lie)
{
    /* Which byte is changed: from the first entry's local header or directory entry, or from the end record. */
    enum { LOCAL, CENTRAL, SECOND, END };
    static const struct {
        const char *name;
        int base;
        size_t at;
        int bytes;
        uint64_t value;
        const char *expected;
    } cases[] = {
        {"directory past the end", END, 16, 4, 1 << 20, "is beyond the end record"},
        {"directory of 2 GB", END, 12, 4, 0x7fffffff, "is beyond the end record"},
        {"too many entries", END, 10, 2, 60000, "60000 entries do not fit"},
        {"one entry more", END, 10, 2, 3, "3 entries do not fit"},
        {"no entries", END, 10, 2, 0, "has no ARCHIVE/data.pkl"},
        {"no directory entry", CENTRAL, 0, 4, 0, "no directory entry at byte"},
        {"a name longer than the directory", SECOND, 28, 2, 60000, "is cut"},
        {"encrypted", CENTRAL, 8, 2, 1, "is encrypted"},
        {"deflated", CENTRAL, 10, 2, 8, "is compressed (method 8, deflate)"},
        {"other compression", CENTRAL, 10, 2, 93, "is compressed (method 93)"},
        {"two sizes", CENTRAL, 20, 4, 5, "in another number of bytes"},
        {"zip64 without a field", CENTRAL, 42, 4, 0xffffffff, "has no zip64 field"},
        {"no local header", CENTRAL, 42, 4, 3, "has no local header there"},
        {"local header past the end", CENTRAL, 42, 4, 1 << 20, "has no local header there"},
        {"another entry's local header", SECOND, 42, 4, 0, "has another name in its local header"},
        {"a local name past the end", LOCAL, 26, 2, 60000, "reaches into the archive's directory"},
        {"local magic", LOCAL, 0, 4, 0x04034b51, "does not begin as a zip archive"},
        {"absolute name", CENTRAL, 46, 1, '/', "leads out of the archive"},
        {"parent", CENTRAL, 46, 3, '.' | '.' << 8 | '/' << 16, "leads out of the archive"},
        {"backslash", CENTRAL, 47, 1, '\\', "leads out of the archive"},
        {"NUL in a name", CENTRAL, 46, 1, 0, "leads out of the archive"},
        {"a name twice", SECOND, 46, 1, 'n', "has another name"},
        {"a comment that is not there", END, 20, 2, 9, "directory, which stands at the end, is not there"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NOTE("%s", cases[i].name);
        archive a = good();
        const size_t bases[] = {a.local[0], a.central[0], a.central[1], a.end};
        set_number(&a, bases[cases[i].base] + cases[i].at, cases[i].bytes, cases[i].value);
        check_opens(&a, cases[i].expected);
        free(a.bytes);
    }
}

TEST(entries_that_lie)
{
    archive a = good();
    for (int i = 20; i <= 24; i += 4) /* as long as up to its neighbour's header, and one byte into it */
        set_number(&a, a.central[0] + (size_t)i, 4, sizeof GOOD - 1 + 1);
    check_opens(&a, "overlaps the one before");
    free(a.bytes);

    const member twice[] = {{"m/data.pkl", GOOD, sizeof GOOD - 1}, {"m/data/0", floats, 24}, {"m/data/0", floats, 24}};
    a = archive_of(twice, 3);
    check_opens(&a, "entry \"m/data/0\" (byte ");
    check_opens(&a, "is there twice");
    free(a.bytes);

    const member script[] = {{"m/data.pkl", GOOD, sizeof GOOD - 1}, {"m/constants.pkl", "x", 1}};
    a = archive_of(script, 2);
    check_opens(&a, "a TorchScript archive");
    free(a.bytes);

    const member order[] = {
        {"m/data.pkl", GOOD, sizeof GOOD - 1}, {"m/data/0", floats, 24}, {"m/byteorder", "middle", 6}};
    a = archive_of(order, 3);
    check_opens(&a, "neither \"little\" nor \"big\"");
    free(a.bytes);

    const member deep[] = {{"m/n/data.pkl", GOOD, sizeof GOOD - 1}, {"data.pkl", GOOD, sizeof GOOD - 1}};
    a = archive_of(deep, 2);
    check_opens(&a, "has no ARCHIVE/data.pkl");
    free(a.bytes);
}

/* 64-bit fields where 32 would do, as writers of streams use them; and a comment. */
static archive zip64(size_t *record)
{
    archive a = good();
    size_t from = a.directory, n = a.end - from;
    uint8_t *entries = malloc(n);
    memcpy(entries, a.bytes + from, n);
    a.size = from;
    put(&a, entries, 20);
    put_number(&a, 8, UINT64_MAX); /* both sizes */
    put(&a, entries + 28, 2);
    put_number(&a, 2, 32);
    put(&a, entries + 32, 10);
    put_number(&a, 4, UINT32_MAX);
    put(&a, entries + 46, 10);
    put(&a, "\x99\x99\0\0\1\0\x18\0", 8); /* a field of others before */
    put_number(&a, 8, sizeof GOOD - 1);
    put_number(&a, 8, sizeof GOOD - 1);
    put_number(&a, 8, 0);
    put(&a, entries + 56, n - 56);
    free(entries);
    *record = a.size;
    put(&a, "PK\6\6\x2c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    put_number(&a, 8, 2);
    put_number(&a, 8, 2);
    put_number(&a, 8, *record - from);
    put_number(&a, 8, from);
    put(&a, "PK\6\7\0\0\0\0", 8);
    put_number(&a, 8, *record);
    put_number(&a, 4, 1);
    put(&a, "PK\5\6\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\4\0ends", 26);
    return a;
}

TEST(archives_of_64_bits)
{
    size_t record;
    archive a = zip64(&record);
    check_opens(&a, NULL);
    set_number(&a, record + 20 + 36, 4, 7); /* the locator's magic */
    check_opens(&a, "is beyond the end record");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, record, 4, 7);
    check_opens(&a, "the zip64 end record should be at byte");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, record + 56 + 8, 8, UINT64_MAX - 8);
    check_opens(&a, "the zip64 end record should be at byte");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, record + 32, 8, UINT64_MAX);
    check_opens(&a, "entries do not fit");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, record + 48, 8, UINT64_MAX - 4);
    check_opens(&a, "is beyond the end record");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, a.directory + 56 + 6, 2, 16); /* the field is too short for what it should hold */
    check_opens(&a, "has no zip64 field, or a cut one");
    free(a.bytes);
    a = zip64(&record);
    set_number(&a, a.directory + 56 + 8, 8, UINT64_MAX - 100);
    check_opens(&a, "in another number of bytes than it has");
    set_number(&a, a.directory + 56 + 16, 8, UINT64_MAX - 100);
    check_opens(&a, "reaches into the archive's directory or past the end");
    free(a.bytes);
}

/* Cut anywhere it is refused; with any byte changed it is refused or read, and nothing else happens. */
TEST(damaged_anywhere)
{
    archive a = good();
    for (size_t n = 0; n < a.size; n++)
        CHECK(!opens(a.bytes, n));
    for (size_t i = 0; i < a.size; i++)
        for (int change = 0; change < 3; change++) {
            uint8_t before = a.bytes[i];
            a.bytes[i] = change == 0 ? (uint8_t)~before : change == 1 ? 0xff : (uint8_t)(before + 1);
            opens(a.bytes, a.size);
            a.bytes[i] = before;
        }
    CHECK(opens(a.bytes, a.size));
    free(a.bytes);
}

TEST(what_is_no_archive)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "does not begin as a zip archive does (file of 0 bytes)"},
        {"\x80\2\x8a\n", "a bare pickle, as torch.save wrote before PyTorch 1.6"},
        {"PK\3\4", "directory, which stands at the end, is not there"},
        {"\x40\1\1\1\1\1\1\1{}", "does not begin as a zip archive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(!opens(cases[i].text, strlen(cases[i].text)));
        CHECK(strstr(gr_error(), cases[i].expected));
    }
}

TEST(a_crc_that_is_wrong)
{
    archive a = good();
    gr_source source;
    CHECK_OK(gr_torch_parse("t.bin", a.bytes, a.size, &source));
    CHECK_OK(source.check(source.self));
    a.bytes[a.directory - 1] ^= 1; /* the last byte of the last storage */
    CHECK_STATUS(source.check(source.self), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "entry \"m/data/0\": the CRC is ");
    set_number(&a, a.central[1] + 16, 4, 0);
    source.close(source.self);
    CHECK_OK(gr_torch_parse("t.bin", a.bytes, a.size, &source)); /* 0: torch was told to compute none */
    CHECK_OK(source.check(source.self));
    source.close(source.self);
    free(a.bytes);
    CHECK_EQ_INT(gr_crc32("123456789", 9), 0xCBF43926);
}

TEST(without_memory)
{
    int64_t live = gr_mem_read_stats().live_blocks, calls = gr_mem_read_stats().calls;
    const char *files[] = {"views.bin", "others.bin"};
    for (int f = 0; f < 2; f++) {
        char path[1024];
        snprintf(path, sizeof path, "%s", data_path(files[f]));
        gr_weights *w = gr_weights_open(path);
        CHECK_MADE(w);
        gr_weights_close(w);
        calls = gr_mem_read_stats().calls - calls;
        for (int64_t n = 1; n <= calls; n++) {
            gr_error_clear();
            gr_mem_fail_at(n);
            w = gr_weights_open(path);
            int64_t left = gr_mem_fail_at(0);
            if (left == 0) {
                CHECK(!w);
                CHECK_ERROR(GR_ERR_MEMORY, "");
            }
            gr_weights_close(w);
            CHECK_EQ_INT(gr_mem_read_stats().live_blocks, live);
        }
        calls = gr_mem_read_stats().calls;
    }
}

/* ---- directories -------------------------------------------------------------------------------------------- */

TEST(shards)
{
    gr_weights *w = gr_weights_open(data_path("llama-shards"));
    CHECK_MADE(w);
    CHECK_EQ_INT(gr_weights_files(w), 2);
    CHECK(strstr(gr_weights_file(w, 1)->path, "pytorch_model-00002-of-00002.bin"));
    gr_weights_close(w);
    static const struct {
        const char *index, *expected;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"../pytorch_model.bin\"}}", "a shard must be a .safetensors or .bin file"},
        {"{\"weight_map\":{\"a\":\"pytorch_model-00001-of-00002.bin\"}}", "No such file"},
        {"{\"weight_map\":{\"a\":\"x.bin\",\"b\":\"x.bin\"}}", "key \"weight_map.b\": shard x.bin does not hold"},
    };
    const char *dir = test_dir();
    archive a = good();
    CHECK_OK(gr_file_write(test_join(dir, "x.bin"), a.bytes, a.size));
    free(a.bytes);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *index = test_join(dir, "pytorch_model.bin.index.json");
        CHECK_OK(gr_file_write(index, cases[i].index, strlen(cases[i].index)));
        CHECK(!gr_weights_open(dir));
        CHECK_ERROR(GR_ERR_FILE, cases[i].expected);
    }
}

TEST(names_of_weights)
{
    static const char *const yes[] = {"model.safetensors", "pytorch_model.bin", "pytorch_model-00001-of-00002.bin",
                                      "pytorch_model.bin.index.json", "model.safetensors.index.json"};
    static const char *const no[] = {"training.safetensors", "tokenizer.model", "model.json", "adapter_model.bin",
                                     "model"};
    for (int i = 0; i < 5; i++) {
        CHECK(gr_weights_have_name(yes[i]));
        CHECK(!gr_weights_have_name(no[i]));
    }
}

TEST(adapters)
{
    const char *dir = test_dir();
    archive a = good();
    CHECK_OK(gr_file_write(test_join(dir, "adapter_model.bin"), a.bytes, a.size));
    free(a.bytes);
    gr_weights *w = gr_weights_open_adapter(dir);
    CHECK_MADE(w);
    CHECK_EQ_INT(gr_weights_count(w), 1);
    CHECK_EQ_STR(gr_weights_entry(w, 0)->name, "a");
    gr_weights_close(w);
    CHECK_OK(gr_file_write(test_join(dir, "adapter_model.safetensors"), "x", 1)); /* it wins */
    CHECK(!gr_weights_open_adapter(dir));
    CHECK_ERROR(GR_ERR_FILE, "adapter_model.safetensors");
}
