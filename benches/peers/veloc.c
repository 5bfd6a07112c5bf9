/* VELOC: memory that it was told of.
 *
 * PEER_MODE is `sync` (the default) or `async`. With PEER_SYNC=1 each rank also syncs its file in
 * the persistent directory and rank 0 the directory, which VELOC does not. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <veloc.h>

static char persistent[PATH_MAX - 64];
static int64_t *step;
static int rank, ranks, syncs;

void peer_open(const char *dir, int64_t *its_step, double *block, size_t count) {
    char config[PATH_MAX];
    const char *mode = getenv("PEER_MODE"), *sync = getenv("PEER_SYNC");
    int good = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    step = its_step, syncs = sync && *sync == '1';
    snprintf(persistent, sizeof persistent, "%s/persistent", dir);
    snprintf(config, sizeof config, "%s/veloc.cfg", dir);
    if (rank == 0) {
        good = mkdir(dir, 0777) == 0 || errno == EEXIST;
        FILE *file = fopen(config, "w");
        if (file) {
            fprintf(file, "scratch = %s/scratch\npersistent = %s\nmode = %s\n", dir, persistent, mode ? mode : "sync");
            fprintf(file, "max_versions = 2\nscratch_versions = 2\nmax_parallelism = %d\n", ranks);
            fprintf(file, "log_prefix = %s\n", dir);
        }
        good &= file && fclose(file) == 0;
    }
    together(good, "the configuration");
    together(VELOC_Init(MPI_COMM_WORLD, config) == VELOC_SUCCESS, "VELOC_Init");
    good = VELOC_Mem_protect(0, step, 1, sizeof *step) == VELOC_SUCCESS;
    good &= VELOC_Mem_protect(1, block, count, sizeof *block) == VELOC_SUCCESS;
    together(good, "VELOC_Mem_protect");
}

/* VELOC_Restart_test returns the newest version that any rank has. So a rank may lack it: the
 * result of all is compared, and then the version before is asked for. */
int peer_load(void) {
    int version = VELOC_Restart_test("heat", 0);
    while (version > 0) {
        int good, all;
        long long bounds[2], outer[2];
        *step = -1;
        good = VELOC_Restart("heat", version) == VELOC_SUCCESS;
        MPI_Allreduce(&good, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
        bounds[0] = *step, bounds[1] = -*step;
        MPI_Allreduce(bounds, outer, 2, MPI_LONG_LONG, MPI_MIN, MPI_COMM_WORLD);
        if (all && outer[0] == -outer[1] && *step == version)
            return 1;
        refused(version, all ? "the ranks have different steps" : "not on all ranks");
        version = version > 1 ? VELOC_Restart_test("heat", version - 1) : 0;
    }
    return 0;
}

void peer_save(void) {
    int good = VELOC_Checkpoint("heat", (int)*step) == VELOC_SUCCESS;
    if (good && syncs) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/heat-%d-%lld.dat", persistent, rank, (long long)*step);
        int file = open(path, O_RDONLY), directory;
        good = file >= 0 && fsync(file) == 0;
        close(file);
        together(good, "fsync");
        if (rank == 0) {
            directory = open(persistent, O_RDONLY | O_DIRECTORY);
            good = directory >= 0 && fsync(directory) == 0;
            close(directory);
        }
    }
    together(good, "VELOC_Checkpoint");
}

void peer_settle(void) {
    together(VELOC_Checkpoint_wait() == VELOC_SUCCESS, "VELOC_Checkpoint_wait");
}

void peer_close(void) {
    VELOC_Finalize(1);
}
