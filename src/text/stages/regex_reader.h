/* What the parts of the translation from Oniguruma's syntax to PCRE2's share. */
#ifndef GR_TEXT_REGEX_READER_H
#define GR_TEXT_REGEX_READER_H

#include "text/unicode/properties.h"

enum { GR_REGEX_DEEPEST = 64, GR_REGEX_MOST_BLOCKS = 64, GR_REGEX_MOST_CLASSES = 200 };

/* How sets of code points are written. */
typedef struct gr_regex_sets {
    gr_points block[GR_REGEX_MOST_BLOCKS], sure[GR_REGEX_MOST_BLOCKS], recent; /* read when first asked for */
    bool exact;  /* new characters are written one by one, none is shown as an older one */
    bool uneven; /* some set had a new character and not the older one that stands for it, or the other way round */
    int count;   /* large sets so far */
} gr_regex_sets;

typedef struct gr_regex_level { /* a group that is open */
    size_t start;               /* where in out it starts */
    bool fold, dotall, extended;
    bool look;         /* it is a look-around: nothing may repeat it */
    int more;          /* groups that end with it: (?i) makes one to the end of the one around it */
    uint32_t first[2]; /* its first letters where case is ignored */
    int letters;
} gr_regex_level;

typedef struct gr_regex_reader {
    const char *p, *end, *pattern;
    size_t size;
    gr_bytes *out;
    gr_regex_sets sets;
    gr_regex_level level[GR_REGEX_DEEPEST];
    int depth;                   /* level[0] is the pattern itself */
    int open;                    /* parentheses that are open in out */
    bool fold, dotall, extended; /* (?i), (?m), (?x) */
    size_t atom;                 /* where the last atom starts in out */
    enum { GR_REGEX_NO_ATOM, GR_REGEX_ATOM, GR_REGEX_REPEATED } have;
    bool atom_is_group;
    int repeats;                /* of the last atom */
    uint32_t tail[2];           /* the last letters, where case is ignored; 0: none */
    gr_bytes word;              /* \w as it was written for \b */
    bool negates;               /* a class inside of the class is negated */
    bool from_zero;             /* a class has a range from NUL to other than ASCII */
    bool refers;                /* something refers to a group, so groups are numbered */
    int groups, named, highest; /* groups so far, how many of them have a name, the highest number referred to */
    struct {
        const char *name;
        size_t size;
        int group;
    } name[GR_REGEX_DEEPEST];
} gr_regex_reader;

/* An error that names the pattern, the place and what is there. */
gr_status gr_regex_refuse(const gr_regex_reader *r, const char *at, const char *what);

/* Behind a backslash, c being eaten. True: it is a class, whose set and sign are given (status may be an error). */
bool gr_regex_class_escape(gr_regex_reader *r, char c, bool inside, int *set, bool *negated, gr_status *status);
/* Behind a backslash, nothing being eaten: one character. */
gr_status gr_regex_code_escape(gr_regex_reader *r, bool inside, uint32_t *code);
/* Behind [ : the set, brackets within, && and ^ worked out. Case is not looked at; negated: the set is what does not match. */
gr_status gr_regex_read_class(gr_regex_reader *r, gr_points *out, bool *negated);

/* Appends what matches one character of a set. */
gr_status gr_regex_put_set(gr_regex_reader *r, gr_points *set);
void gr_regex_sets_free(gr_regex_sets *s);

#endif
