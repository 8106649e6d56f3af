/* The command line, declared. A verb is a record, its flags are a table, and everything that knows about flags derives
 * from these: parsing, --help, the man page, shell completions and run.json.
 *
 * A default is text parsed like the user's own value, so what the help shows is what the verb gets. A flag's field is
 * named together with its type, so a table that does not fit its struct does not compile. */
#ifndef GR_CLI_ARGS_H
#define GR_CLI_ARGS_H

#include <stddef.h>
#include "base/error.h"

typedef enum gr_flag_kind {
    GR_KIND_END,     /* closes a table */
    GR_KIND_HEADING, /* not a flag: a heading in the help */
    GR_KIND_SWITCH,  /* bool */
    GR_KIND_INT,     /* int64_t, with k M G Ki Mi Gi; never negative */
    GR_KIND_FLOAT,   /* double, likewise; negative where `min` is */
    GR_KIND_TEXT,    /* const char *; NULL when there is none */
    GR_KIND_CHOICE,  /* int or an enum: the position of the word in `value` ("cosine|linear|wsd") */
    GR_KIND_SET,     /* unsigned: one bit per word of `value`, given as "logits,loss" */
    GR_KIND_LIST,    /* gr_texts: a flag that may be repeated */
    GR_KIND_IDS,     /* gr_id_rows: "1,2,3", rows of equal length split by ';' */
} gr_flag_kind;

typedef struct gr_texts {
    const char **items;
    size_t count, cap;
} gr_texts;

typedef struct gr_id_rows {
    gr_token *ids; /* row after row */
    size_t count;  /* of all ids */
    size_t rows;
} gr_id_rows;

typedef struct gr_flag {
    const char *name; /* "batch" */
    gr_flag_kind kind;
    size_t offset;              /* of the field in the verb's options struct */
    char letter;                /* 'n' for -n; 0: none */
    char group;                 /* flags of a verb with the same letter here exclude each other; 0: none */
    const char *value;          /* what the help calls the value: "N", "FILE"; for choices and sets their words */
    const char *initial;        /* default; NULL: 0, NULL or none */
    const char *shown;          /* what the help says instead of `initial`: "one per core" */
    const char *unit;           /* "tokens" */
    const char *help;           /* one phrase, no full stop; a * in it is where `list` stands */
    double min, max;            /* of a number; max 0: no limit */
    bool positive;              /* 0 is none of its values */
    const char *(*list)(int i); /* values that the library knows, until NULL; NULL: none */
} gr_flag;

/* Kind and field in one: {"batch", GR_INT(options, batch), .value = "N", ...}. */
#define GR_FIELD(T, field, type) offsetof(T, field) + 0 * sizeof(_Generic(((T *)0)->field, type : 0))
#define GR_SWITCH(T, field) GR_KIND_SWITCH, GR_FIELD(T, field, bool)
#define GR_INT(T, field) GR_KIND_INT, GR_FIELD(T, field, int64_t)
#define GR_FLOAT(T, field) GR_KIND_FLOAT, GR_FIELD(T, field, double)
#define GR_TEXT(T, field) GR_KIND_TEXT, GR_FIELD(T, field, const char *)
#define GR_CHOICE(T, field)                                                                                            \
    GR_KIND_CHOICE, offsetof(T, field) + 0 * sizeof(_Generic(((T *)0)->field, int : 0, unsigned : 0))
#define GR_SET(T, field) GR_KIND_SET, GR_FIELD(T, field, unsigned)
#define GR_LIST(T, field) GR_KIND_LIST, GR_FIELD(T, field, gr_texts)
#define GR_IDS(T, field) GR_KIND_IDS, GR_FIELD(T, field, gr_id_rows)
#define GR_HEADING(text) text, .kind = GR_KIND_HEADING

/* Flags that mean the same everywhere are declared once (args.c); --quiet and --help are every verb's, and --pull
 * that of every verb that takes MODEL or DATA. */
typedef struct gr_common {
    const char *device, *adapter, *tokenizer, *profile;
    int64_t threads, seed;
    bool json, quiet, help, pull;
} gr_common;
enum {
    GR_WITH_DEVICE = 1, /* --device, --threads */
    GR_WITH_SEED = 2,
    GR_WITH_JSON = 4,
    GR_WITH_THREADS = 8, /* --threads alone */
    GR_WITH_ADAPTER = 16,
    GR_WITH_PROFILE = 32,
    GR_WITH_TOKENIZER = 64,
};

/* A verb's own default for a flag of a table that it shares with another verb. */
typedef struct gr_default {
    const char *name, *value;
} gr_default;

typedef struct gr_args gr_args;

typedef struct gr_verb {
    const char *name;           /* "train"; of two words: "tokenizer train" */
    const char *summary;        /* one phrase in the third person, no full stop */
    const char *positional;     /* "MODEL [TEXT]", "DATA..."; NULL: none */
    const char *about;          /* the long help; an empty line parts paragraphs; NULL: none */
    const gr_flag *flags;       /* ends with {0}; NULL: none of its own */
    const gr_flag *more_flags;  /* a second table, which another verb has too; NULL: none */
    const gr_default *defaults; /* ends with {0}; NULL: none */
    const char *needs[3];       /* names of flags that must be given */
    unsigned common;            /* GR_WITH_… */
    const char *examples[2][2]; /* {what it does, command line} */
    size_t options_size;        /* of the struct that the flags fill in */
    const void *own;            /* what a verb tells code that it shares with others; NULL: nothing */
    gr_status (*run)(gr_args *args);
} gr_verb;

/* A flag of a verb, where its value lies, and whether the command line gave it. */
typedef struct gr_slot {
    const gr_flag *flag;
    void *field;
    const char *initial;
    bool given;
} gr_slot;

struct gr_args {
    const gr_verb *verb;
    gr_common common;
    void *options;           /* the verb's struct, filled in */
    const char **positional; /* what is no flag, in order */
    size_t count;
    gr_slot *slots; /* every flag, headings left out */
    size_t slot_count;
    bool is_usage; /* the thread's error is about the command line: exit code 2 */
    char **kept;   /* [n_kept] texts that values point to */
    size_t n_kept, kept_cap;
};

/* Parses argv (what follows the verb). With --help among the flags nothing else is checked. Call gr_args_free always;
 * values and positionals point into argv. */
gr_status gr_args_parse(gr_args *args, const gr_verb *verb, int argc, char **argv);
void gr_args_free(gr_args *args);

/* The place of a flag, by its name; NULL: the verb has none of that name. */
const gr_slot *gr_args_slot(const gr_args *args, const char *name);
/* Was this flag on the command line? The name must be one of the verb's. */
bool gr_args_given(const gr_args *args, const char *name);

/* Fails because of the command line (exit code 2). */
gr_status gr_args_fail(gr_args *args, const char *fmt, ...) GR_PRINTF(2, 3);
/* Says so of an error the library found: `return gr_args_blame(args, status);`. Other statuses than
 * GR_ERR_ARGUMENT pass through. */
gr_status gr_args_blame(gr_args *args, gr_status status);

/* For run.json: the value of a slot as text that parses back to it (caller frees), "" when it has none; NULL without
 * memory. */
char *gr_args_value(const gr_slot *slot);
/* Gives a flag the value an earlier run had. One that the command line gave too must agree. A name that is no flag of
 * the verb is GR_ERR_ARGUMENT. `value` must live as long as args. */
gr_status gr_args_restore(gr_args *args, const char *name, const char *value);

/* Gives a flag a value as if the command line had. `value` must live as long as args. */
gr_status gr_args_set(gr_args *args, const char *name, const char *value);

/* What may be a name of the hub, by the words MODEL, ADAPTER and DATA in a verb's form and in a flag's value. */
typedef enum gr_names { GR_NAMES_NOTHING, GR_NAMES_MODEL, GR_NAMES_DATA } gr_names;
/* The i-th argument that is no flag; the last word of the form may be repeated. */
gr_names gr_argument_names(const gr_verb *verb, size_t i);
gr_names gr_flag_names(const gr_flag *flag);

/* Takes a text over that a value points to; freed here when that fails. */
gr_status gr_args_keep(gr_args *args, char *text);

/* The flags of a verb, its own first, then the shared ones, headings included: i = 0, 1, … until NULL. */
const gr_flag *gr_verb_flag(const gr_verb *verb, int i);
/* The default that the verb has for a flag; NULL: none. */
const char *gr_verb_initial(const gr_verb *verb, const gr_flag *flag);

/* What a flag's help says, with what is listed in it. Returns out. */
const char *gr_flag_text(const gr_flag *flag, char *out, size_t size);

#endif
