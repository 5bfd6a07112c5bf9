/* One way to save the state of four ranks, and to load it again. */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

/* Opens the library with a directory of its own. `step` and `block` are the state of this rank;
 * they stay where they are until `peer_close`. */
void peer_open(const char *dir, int64_t *step, double *block, size_t count);

/* Loads the newest state that all ranks can have. Returns 0 if there is none. */
int peer_load(void);

/* Saves the state. When it returns, all ranks have theirs. */
void peer_save(void);

/* Waits for work in the background, if there is any. */
void peer_settle(void);

void peer_close(void);

/* Ends the job if `good` is 0 on any rank. */
void together(int good, const char *what);

/* Says that the newest state that a library offered was of no use. */
void refused(long long step, const char *reason);

#endif
