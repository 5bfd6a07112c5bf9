/* SCR: a file of each rank, which the program writes and syncs itself.
 *
 * PEER_MODE is `bypass` (SCR's default: the file is written where it stays) or `single` (a cache,
 * and each checkpoint is flushed from it). */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <scr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t *step;
static double *block;
static size_t bytes;
static char prefix[PATH_MAX - 512];
static int rank;

static void option(const char *name, const char *value) {
    char text[PATH_MAX + 64];
    snprintf(text, sizeof text, "%s=%s", name, value);
    SCR_Config(text);
}

void peer_open(const char *dir, int64_t *its_step, double *its_block, size_t count) {
    char text[PATH_MAX];
    const char *mode = getenv("PEER_MODE");
    int is_single = mode && strcmp(mode, "single") == 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    step = its_step, block = its_block, bytes = count * sizeof *block;
    together(rank != 0 || mkdir(dir, 0777) == 0 || errno == EEXIST, "the directory");
    snprintf(prefix, sizeof prefix, "%s/prefix", dir);
    together(rank != 0 || mkdir(prefix, 0777) == 0 || errno == EEXIST, "the directory");
    option("SCR_PREFIX", prefix);
    /* The control files are in /dev/shm/checkpointed-peers, their default but for the user's name. */
    option("SCR_USER_NAME", "checkpointed-peers");
    option("SCR_JOB_ID", "heat");
    option("SCR_PREFIX_SIZE", "2");
    option("SCR_FLUSH", "1");
    if (is_single) {
        snprintf(text, sizeof text, "%s/cache", dir);
        option("SCR_CACHE_BASE", text);
        option("SCR_CACHE_BYPASS", "0");
        option("SCR_CACHE_SIZE", "2");
        option("SCR_COPY_TYPE", "SINGLE");
    }
    together(SCR_Init() == SCR_SUCCESS, "SCR_Init");
}

static int transfer(int file, int writes, void *memory, size_t length) {
    for (size_t done = 0; done < length;) {
        char *rest = (char *)memory + done;
        ssize_t part = writes ? write(file, rest, length - done) : read(file, rest, length - done);
        if (part <= 0)
            return 0;
        done += (size_t)part;
    }
    return 1;
}

/* As in SCR's documents: it offers the newest, and goes on to the one before if any rank says no. */
int peer_load(void) {
    char name[SCR_MAX_FILENAME], wanted[PATH_MAX + SCR_MAX_FILENAME], path[SCR_MAX_FILENAME];
    int have = 0;
    while (SCR_Have_restart(&have, name) == SCR_SUCCESS && have) {
        int good = SCR_Start_restart(name) == SCR_SUCCESS, file = -1;
        long long bounds[2], outer[2];
        *step = -1;
        snprintf(wanted, sizeof wanted, "%s/%s/rank-%d", prefix, name, rank);
        good = good && SCR_Route_file(wanted, path) == SCR_SUCCESS;
        good = good && (file = open(path, O_RDONLY)) >= 0;
        good = good && transfer(file, 0, step, sizeof *step) && transfer(file, 0, block, bytes);
        if (file >= 0)
            close(file);
        bounds[0] = *step, bounds[1] = -*step;
        MPI_Allreduce(bounds, outer, 2, MPI_LONG_LONG, MPI_MIN, MPI_COMM_WORLD);
        int same = outer[0] == -outer[1];
        if (SCR_Complete_restart(good && same) == SCR_SUCCESS)
            return 1;
        refused(strtoll(name + 5, NULL, 10), same ? "not on all ranks" : "the ranks have different steps");
    }
    return 0;
}

void peer_save(void) {
    char name[64], wanted[PATH_MAX], path[SCR_MAX_FILENAME];
    int good, file = -1;
    snprintf(name, sizeof name, "step.%lld", (long long)*step);
    snprintf(wanted, sizeof wanted, "%s/%s/rank-%d", prefix, name, rank);
    good = SCR_Start_output(name, SCR_FLAG_CHECKPOINT) == SCR_SUCCESS;
    good = good && SCR_Route_file(wanted, path) == SCR_SUCCESS;
    good = good && (file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666)) >= 0;
    good = good && transfer(file, 1, step, sizeof *step) && transfer(file, 1, block, bytes);
    good = good && fsync(file) == 0;
    if (file >= 0)
        good &= close(file) == 0;
    good = SCR_Complete_output(good) == SCR_SUCCESS;
    together(good, "SCR_Complete_output");
}

void peer_settle(void) {}

void peer_close(void) {
    SCR_Finalize();
}
