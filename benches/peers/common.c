#include "peer.h"

#include <mpi.h>
#include <stdio.h>

void together(int good, const char *what) {
    int all = 0, rank;
    MPI_Allreduce(&good, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (!all) {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        if (rank == 0) {
            printf("FAILED: %s\n", what);
            fflush(stdout);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

void refused(long long step, const char *reason) {
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0) {
        printf("offered step %lld: %s\n", step, reason);
        fflush(stdout);
    }
}
