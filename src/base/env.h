/* What the environment says: the only place that reads it, besides the command's terminal. */
#ifndef GR_BASE_ENV_H
#define GR_BASE_ENV_H

/* The folder for what can be made again: $XDG_CACHE_HOME/gradus, else ~/.cache/gradus (which need not be there); NULL:
 * there is none. Caller frees with gr_free. */
char *gr_user_cache(void);

#endif
