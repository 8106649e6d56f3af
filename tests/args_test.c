/* The command line's parser, with a verb that has one flag of every kind. It belongs to the command, not the library, so
 * its sources are compiled in here. */
#include "cli/args.c"
#include "cli/suggest.c"
#include "cli/value.c"
#include "test.h"

typedef struct options {
    bool full;
    int64_t steps;
    double lr;
    const char *out;
    int schedule;
    unsigned what;
    gr_texts stop;
    gr_id_rows ids;
    double epochs;
} options;

static const gr_flag flags[] = {
    {GR_HEADING("All kinds")},
    {"full", GR_SWITCH(options, full), .help = "all"},
    {"steps", GR_INT(options, steps), .letter = 'n', .value = "N", .initial = "100", .min = 1, .group = 'l',
     .help = "steps"},
    {"lr", GR_FLOAT(options, lr), .value = "X", .initial = "1e-3", .max = 10, .help = "rate"},
    {"out", GR_TEXT(options, out), .value = "RUN", .help = "where"},
    {"schedule", GR_CHOICE(options, schedule), .value = "cosine|linear|wsd", .initial = "linear", .help = "schedule"},
    {"what", GR_SET(options, what), .value = "logits|loss|grads", .initial = "logits", .help = "what"},
    {"stop", GR_LIST(options, stop), .value = "TEXT", .help = "stop"},
    {"ids", GR_IDS(options, ids), .value = "IDS", .help = "ids"},
    {"epochs", GR_FLOAT(options, epochs), .value = "X", .group = 'l', .positive = true, .help = "epochs"},
    {0},
};
static const gr_default defaults[] = {{"lr", "2e-4"}, {0}};
static const gr_verb verb = {.name = "try",
                             .positional = "MODEL [TEXT]",
                             .flags = flags,
                             .defaults = defaults,
                             .common = GR_WITH_DEVICE | GR_WITH_SEED,
                             .options_size = sizeof(options)};

static gr_args args;
static const options *opts;

/* Parses up to 24 words; the status is returned. */
static gr_status parse(const char *a, ...)
{
    static char *words[24];
    int n = 0;
    va_list list;
    gr_args_free(&args);
    va_start(list, a);
    for (const char *w = a; w != NULL; w = va_arg(list, const char *))
        words[n++] = (char *)w;
    va_end(list);
    gr_status status = gr_args_parse(&args, &verb, n, words);
    opts = args.options;
    return status;
}

/* A wrong command line, whose message has this text. */
#define REFUSED(text, ...)                                                                                             \
    do {                                                                                                               \
        CHECK_STATUS(parse("m", __VA_ARGS__, NULL), GR_ERR_ARGUMENT);                                                  \
        CHECK_ERROR(GR_ERR_ARGUMENT, text);                                                                            \
        CHECK(args.is_usage);                                                                                          \
        gr_args_free(&args);                                                                                           \
    } while (0)
#define TAKEN(...) CHECK_OK(parse("m", __VA_ARGS__, NULL))

TEST(defaults)
{
    CHECK_OK(parse("m", NULL));
    CHECK(!opts->full && opts->steps == 100 && opts->lr == 2e-4 && opts->out == NULL && opts->schedule == 1);
    CHECK(opts->what == 1 && opts->stop.count == 0 && opts->ids.count == 0);
    CHECK_EQ_STR(args.common.device, "auto");
    CHECK_EQ_INT(args.count, 1);
    for (size_t i = 0; i < args.slot_count; i++)
        CHECK(!args.slots[i].given);
    gr_args_free(&args);
}

TEST(forms)
{
    TAKEN("--steps", "5", "--full", "--lr=0.5", "--", "--out");
    CHECK(opts->steps == 5 && opts->full && opts->lr == 0.5 && args.count == 2);
    CHECK_EQ_STR(args.positional[1], "--out");
    CHECK(gr_args_given(&args, "steps") && !gr_args_given(&args, "out"));
    TAKEN("-n", "6", "-");
    CHECK(opts->steps == 6);
    CHECK_EQ_STR(args.positional[1], "-");
    TAKEN("-n7", "--out", "-x", "--stop", "- a", "--stop=");
    CHECK(opts->steps == 7 && opts->stop.count == 2 && opts->stop.items[1][0] == 0);
    CHECK_EQ_STR(opts->out, "-x");
    TAKEN("--no-such", "-h");
    CHECK(args.common.help);
    REFUSED("no such flag of try\nDid you mean --steps?", "--stesp", "1");
    REFUSED("Did you mean --schedule?", "--sched=wsd");
    REFUSED("no such flag", "-z");
    REFUSED("no such flag", "-qh");
    REFUSED("given twice", "-n1", "--steps", "2");
    REFUSED("--out: needs a value (RUN)", "--out");
    REFUSED("found --lr=1", "--out", "--lr=1");
    REFUSED("takes no value", "--full=true");
    REFUSED("is too much", "a", "b");
    TAKEN("--device", "ref");
    TAKEN("--device", "cpu:1"); /* is there a second? opening it will tell */
    CHECK_EQ_STR(args.common.device, "cpu:1");
    REFUSED("no such device", "--device", ":1");
    REFUSED("no such device\nDid you mean cpu?", "--device", "cpuu");
    REFUSED("There are auto, ", "--device", "quantum");
    REFUSED("excludes --epochs", "--steps", "1", "--epochs", "1");
    CHECK_STATUS(parse(NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "needs MODEL");
    gr_args_free(&args);
}

TEST(numbers)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"1", 1},
                {"10k", 10000},
                {"2Ki", 2048},
                {"3M", 3000000},
                {"1.5k", 1500},
                {"1e3", 1000},
                {"2Gi", 2147483648},
                {"4G", 4000000000},
                {"0.5Mi", 524288},
                {"007", 7},
                {"9007199254740993", 9007199254740993},
                {"9223372036854775807", INT64_MAX}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        NOTE("%s", good[i].text);
        TAKEN("--steps", good[i].text);
        CHECK_EQ_INT(opts->steps, good[i].value);
    }
    static const char *const bad[] = {"",
                                      "x",
                                      "-1",
                                      "1.5",
                                      "1x",
                                      "0x10",
                                      "nan",
                                      "inf",
                                      "1e",
                                      ".",
                                      "1 ",
                                      " 1",
                                      "9223372036854775808",
                                      "10000000000G",
                                      "1e300",
                                      "0",
                                      "1.0001k"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        NOTE("%s", bad[i]);
        REFUSED("--steps '", "--steps", bad[i]);
    }
    NOTE("%s", "");
    REFUSED("nearest is k", "--steps", "10K");
    REFUSED("nearest is Ki", "--steps", "10KI");
    TAKEN("--lr", "3e-4");
    CHECK(opts->lr == 3e-4);
    TAKEN("--lr", ".5");
    CHECK(opts->lr == 0.5);
    REFUSED("at most 10", "--lr", "11");
    REFUSED("too large", "--lr", "1e999");
    gr_args_free(&args);
}

TEST(numbers_that_must_be_more_than_0)
{
    for (size_t i = 0; i < 3; i++)
        REFUSED("--epochs '0", "--epochs", ((const char *[]){"0", "0.0", "0e5"})[i]);
    REFUSED("must be more than 0", "--epochs=0");
    TAKEN("--epochs", "1e-9");
    CHECK(opts->epochs == 1e-9);
    REFUSED("the number is too large\nGive a smaller", "--steps", "1e30");
    REFUSED("the number is too large", "--steps", "9007199254740993Gi");
    REFUSED("expected a whole number", "--steps", "2.5");
    /* What a run wrote for "not given" comes back. */
    CHECK_OK(parse("m", NULL));
    CHECK_OK(gr_args_restore(&args, "epochs", "0"));
    CHECK_OK(gr_args_restore(&args, "steps", "0"));
    CHECK(opts->epochs == 0 && opts->steps == 0);
    CHECK_STATUS(gr_args_restore(&args, "lr", "much"), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "--lr 'much'");
    gr_args_free(&args);
}

TEST(words_and_lists)
{
    TAKEN("--schedule", "wsd", "--what", "loss,grads", "--ids", "1,2;3, 4");
    CHECK(opts->schedule == 2 && opts->what == 6 && opts->ids.rows == 2 && opts->ids.count == 4 &&
          opts->ids.ids[3] == 4);
    REFUSED("expected one of cosine|linear|wsd\nDid you mean cosine?", "--schedule", "cosin");
    REFUSED("Did you mean grads?", "--what", "loss,grad");
    REFUSED("expected one of", "--what", "");
    static const char *const bad[] = {"", ",", "1,", "1;", "a", "-1", "1,2;3", "1 2", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        NOTE("%s", bad[i]);
        REFUSED("--ids '", "--ids", bad[i]);
    }
    gr_args_free(&args);
}

/* What a run wrote down parses back to itself; a flag given again must agree. */
TEST(restore)
{
    TAKEN("--steps", "12k", "--lr", "0.1", "--schedule", "wsd", "--what", "loss,grads", "--out", "a b", "--ids",
          "1,2;3,4");
    static const char *const names[] = {"steps", "lr", "schedule", "what", "out", "ids", "full"};
    static const char *const values[] = {"12000", "0.1", "wsd", "loss,grads", "a b", "1,2;3,4", "false"};
    for (size_t i = 0; i < 7; i++) {
        char *text = gr_args_value(find_slot(&args, names[i], strlen(names[i])));
        CHECK_EQ_STR(text, values[i]);
        gr_free(text);
    }
    CHECK_OK(parse("m", "--steps", "12k", NULL));
    for (size_t i = 0; i < 7; i++)
        CHECK_OK(gr_args_restore(&args, names[i], values[i]));
    CHECK(opts->lr == 0.1 && opts->schedule == 2 && opts->what == 6 && opts->ids.count == 4 && !args.is_usage);
    CHECK_STATUS(gr_args_restore(&args, "steps", "13000"), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "--steps 12000: contradicts the run, which has 13000");
    CHECK(args.is_usage);
    CHECK_STATUS(gr_args_restore(&args, "gone", "1"), GR_ERR_ARGUMENT);
    gr_args_free(&args);
}

static gr_status parse_all(void *ctx)
{
    (void)ctx;
    gr_status status = parse("m", "--stop", "a", "--stop", "b", "--ids", "1,2", "--out", "x", NULL);
    gr_args_free(&args);
    return status;
}

TEST(no_memory)
{
    CHECK(SWEEP_ALLOCATIONS(parse_all, NULL) >= 5);
}
