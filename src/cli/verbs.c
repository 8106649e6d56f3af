/* Finding a verb by its name. */
#include <stdio.h>
#include <string.h>
#include "cli/suggest.h"
#include "cli/verbs.h"

#define VERB_POINTER(name) &gr_verb_##name,
static const gr_verb *const verbs[] = {GR_VERBS(VERB_POINTER) NULL};

const gr_verb *gr_verb_at(int i)
{
    return verbs[i];
}

const gr_verb *gr_verb_find(int count, char **words, int *used)
{
    char two[80] = "";
    if (count >= 2)
        snprintf(two, sizeof two, "%s %s", words[0], words[1]);
    for (int i = 0; verbs[i] != NULL; i++) {
        bool is_one = count >= 1 && strcmp(words[0], verbs[i]->name) == 0;
        if (is_one || strcmp(two, verbs[i]->name) == 0) {
            *used = is_one ? 1 : 2;
            return verbs[i];
        }
    }
    return NULL;
}

bool gr_verb_is_family(const char *word)
{
    size_t length = strlen(word);
    for (int i = 0; verbs[i] != NULL; i++)
        if (strncmp(verbs[i]->name, word, length) == 0 && verbs[i]->name[length] == ' ')
            return true;
    return false;
}

const gr_verb *gr_verb_nearest(int count, char **words)
{
    char two[80];
    const gr_verb *best = NULL;
    int distance = 0;
    bool is_family = gr_verb_is_family(words[0]); /* then what is near to its first word alone is not meant */
    snprintf(two, sizeof two, "%s %s", words[0], count >= 2 ? words[1] : "");
    for (int i = 0; verbs[i] != NULL; i++) {
        bool is_two = strchr(verbs[i]->name, ' ') != NULL;
        gr_suggestion near = {.written = is_two ? two : words[0]};
        if (is_family && !is_two)
            continue;
        gr_suggest(&near, verbs[i]->name, strlen(verbs[i]->name));
        if (near.best != NULL && (best == NULL || near.distance < distance)) {
            best = verbs[i];
            distance = near.distance;
        }
    }
    return best;
}
