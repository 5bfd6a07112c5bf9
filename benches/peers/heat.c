/* The heat equation of `checkpoint-mpi/examples/heat_mpi.rs`, with the same bits, saved another way.
 *
 * heat-… --size 64 --steps 1000 --every 3 --dir PATH */
#include "peer.h"

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int rank, ranks;
static int64_t size = 128, step;

static int is_in_disc(int64_t y, int64_t x, double cy, double cx, double radius) {
    double width = (double)(size - 1);
    return hypot((double)y / width - cy, (double)x / width - cx) <= radius;
}

/* The temperature that a point is kept at, if it is in a pipe. */
static int is_source(int64_t y, int64_t x, double *temperature) {
    if (is_in_disc(y, x, 0.27, 0.25, 0.07))
        return *temperature = 100.0, 1;
    if (is_in_disc(y, x, 0.75, 0.72, 0.09))
        return *temperature = -40.0, 1;
    return 0;
}

static double initial(int64_t y, int64_t x) {
    double temperature;
    if (x == 0 || y == 0 || x == size - 1 || y == size - 1)
        return 0.0;
    if (is_source(y, x, &temperature))
        return temperature;
    return is_in_disc(y, x, 0.42, 0.60, 0.20) ? 80.0 : 20.0;
}

static void advance(const double *rows, double *next, int64_t first, int64_t count) {
    for (int64_t y = 0; y < count; y++) {
        const double *row = rows + (y + 1) * size;
        double *new = next + (y + 1) * size;
        memcpy(new, row, (size_t)size * sizeof *row);
        if (first + y == 0 || first + y == size - 1)
            continue;
        for (int64_t x = 1; x < size - 1; x++) {
            double around = row[x - size] + row[x + size] + row[x - 1] + row[x + 1];
            if (!is_source(first + y, x, &new[x]))
                new[x] = row[x] + 0.2 * (around - 4.0 * row[x]);
        }
    }
}

/* The sum in the order of the rows, so that every bit is the same for any number of ranks. */
static double sum(const double *block, int64_t length) {
    double sum = 0.0;
    if (rank > 0)
        MPI_Recv(&sum, 1, MPI_DOUBLE, rank - 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int64_t i = 0; i < length; i++)
        sum += block[i];
    if (rank < ranks - 1)
        MPI_Send(&sum, 1, MPI_DOUBLE, rank + 1, 1, MPI_COMM_WORLD);
    MPI_Bcast(&sum, 1, MPI_DOUBLE, ranks - 1, MPI_COMM_WORLD);
    return sum;
}

static void say(const char *what, double sum) {
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (rank == 0)
        printf("%s%lld sum=%016llx\n", what, (long long)step, (unsigned long long)bits), fflush(stdout);
}

int main(int argc, char **argv) {
    int64_t steps = 2000, every = 100;
    const char *dir = "heat.peer";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--size")) size = atoll(argv[i + 1]);
        if (!strcmp(argv[i], "--steps")) steps = atoll(argv[i + 1]);
        if (!strcmp(argv[i], "--every")) every = atoll(argv[i + 1]);
        if (!strcmp(argv[i], "--dir")) dir = argv[i + 1];
    }
    int64_t first = size * rank / ranks, count = size * (rank + 1) / ranks - first;
    together(count > 0, "more ranks than rows");
    /* With the rows of both neighbours. */
    size_t cells = (size_t)((count + 2) * size), length = (size_t)(count * size);
    double *rows = calloc(cells, sizeof *rows), *next = calloc(cells, sizeof *next);
    double *block = rows + size;
    together(rows && next, "memory");

    peer_open(dir, &step, block, length);
    int loaded = peer_load();
    if (!loaded) {
        step = 0;
        for (int64_t y = 0; y < count; y++)
            for (int64_t x = 0; x < size; x++)
                block[y * size + x] = initial(first + y, x);
    }
    /* The bits of each restart, to be compared with those of a run without kills. */
    say(loaded ? "going on from step " : "beginning at step ", sum(block, (int64_t)length));

    int before = rank == 0 ? MPI_PROC_NULL : rank - 1;
    int behind = rank == ranks - 1 ? MPI_PROC_NULL : rank + 1;
    int width = (int)size;
    while (step < steps) {
        MPI_Sendrecv(block, width, MPI_DOUBLE, before, 0, rows + (count + 1) * size, width, MPI_DOUBLE,
                     behind, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Sendrecv(rows + count * size, width, MPI_DOUBLE, behind, 0, rows, width, MPI_DOUBLE, before,
                     0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        advance(rows, next, first, count);
        /* The block stays where the library knows it. */
        memcpy(block, next + size, length * sizeof *block);
        step++;
        if (step % every == 0) {
            peer_save();
            if (rank == 0)
                printf("saved step %lld\n", (long long)step), fflush(stdout);
        }
        if (getenv("PEER_TRACE"))
            say("at step ", sum(block, (int64_t)length));
    }
    say("done at step ", sum(block, (int64_t)length));
    peer_close();
    MPI_Finalize();
    return 0;
}
