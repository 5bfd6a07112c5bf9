/* The times of saves and of a restart: a block of --bytes on each rank.
 *
 * time-… --bytes 67108864 --saves 3 --dir PATH      saves, each beside one by hand of each rank alone
 * time-… --bytes 67108864 --saves 0 --dir PATH      a restart */
#include "peer.h"

#include <fcntl.h>
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WARM = 4 };

static int rank;
static int64_t step;
static double *block;
static size_t count;

static double content(size_t i) {
    return (double)i * 0.5 + rank * 0.25 + (double)step * 1e-3;
}

static void by_hand(const char *path, const char *temporary) {
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666), good = file >= 0;
    const char *rest = (const char *)block, *end = rest + count * sizeof *block;
    while (good && rest < end) {
        ssize_t part = write(file, rest, (size_t)(end - rest));
        good = part > 0;
        rest += part;
    }
    if (!good || fsync(file) != 0 || close(file) != 0 || rename(temporary, path) != 0)
        MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Nothing of other work waits for the disk. All ranks begin at the same time. */
static double begin(void) {
    if (rank == 0)
        sync();
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Wtime();
}

static void end(const char *what, double begun) {
    double own = MPI_Wtime() - begun, slowest;
    MPI_Reduce(&own, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s %.4f\n", what, slowest * 1e3), fflush(stdout);
}

int main(int argc, char **argv) {
    const char *dir = "time.peer";
    char path[PATH_MAX], temporary[PATH_MAX];
    int saves = 3;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--bytes")) count = (size_t)atoll(argv[i + 1]) / sizeof *block;
        if (!strcmp(argv[i], "--saves")) saves = atoi(argv[i + 1]);
        if (!strcmp(argv[i], "--dir")) dir = argv[i + 1];
    }
    block = calloc(count, sizeof *block);
    together(count > 0 && block, "memory");
    for (size_t i = 0; i < count; i++)
        block[i] = -1.0; /* the pages are there */

    double begun = begin();
    peer_open(dir, &step, block, count);
    int loaded = peer_load();
    if (saves == 0) {
        end("restart", begun);
        int good = loaded;
        for (size_t i = 0; i < count; i++)
            good &= block[i] == content(i);
        together(good, "what was loaded is not what was saved");
        peer_close();
        MPI_Finalize();
        return 0;
    }
    snprintf(path, sizeof path, "%s-by-hand", dir);
    if (rank == 0)
        mkdir(path, 0777);
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(path, sizeof path, "%s-by-hand/%d", dir, rank);
    snprintf(temporary, sizeof temporary, "%s-by-hand/%d.tmp", dir, rank);
    for (int save = 0; save < WARM + saves; save++) {
        step++;
        for (size_t i = 0; i < count; i++)
            block[i] = content(i);
        begun = begin();
        by_hand(path, temporary);
        end(save < WARM ? "warm-hand" : "hand", begun);
        begun = begin();
        peer_save();
        end(save < WARM ? "warm-save" : "save", begun);
        peer_settle();
    }
    peer_close();
    MPI_Finalize();
    return 0;
}
