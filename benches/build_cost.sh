#!/usr/bin/env bash
# The cost of the library for a program that only derives, saves and loads: CPU seconds to build it,
# and to build it again after an edit; packages, the size of the stripped program, and the time of the
# first save of a process beside that of later ones. Beside each figure is that of the same program by hand: serde, bincode, and a
# temporary file that is synced and renamed.
#
#     benches/build_cost.sh [--timings]
#
# `--timings` keeps cargo's report on each package's time, and prints its path. The files are in a
# temporary directory.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
timings=
[ "${1-}" = --timings ] && timings=--timings

program() { # NAME, DEPENDENCIES: reads the source
    mkdir -p "$work/$1/src"
    cat > "$work/$1/src/main.rs"
    cat > "$work/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
$2

[workspace]
TOML
    # The versions of the repository.
    cp "$repository/Cargo.lock" "$work/$1/"
}

program ours "checkpointed = { path = \"$repository\" }" <<'RUST'
use std::time::Instant;

use checkpointed::{Checkpointer, Error, checkpointed};

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

fn main() -> Result<(), Error> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "counter.ckpt".to_owned());
    let mut checkpoints = Checkpointer::<Counter>::open(directory)?;
    let mut counter = checkpoints.load_or_default()?;
    for _ in 0..40 {
        counter.count += 1;
        let start = Instant::now();
        checkpoints.save(&counter)?;
        println!("{}", start.elapsed().as_micros());
    }
    Ok(())
}
RUST

program by_hand 'bincode = "1.3.3"
serde = { version = "1", features = ["derive"] }
tempfile = "3"' <<'RUST'
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "counter".to_owned()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("counter");
    let mut counter: Counter =
        if path.exists() { bincode::deserialize(&std::fs::read(&path)?)? } else { Counter::default() };
    for _ in 0..40 {
        counter.count += 1;
        let start = Instant::now();
        let mut file = NamedTempFile::new_in(&directory)?;
        file.write_all(&bincode::serialize(&counter)?)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(&directory)?.sync_all()?;
        println!("{}", start.elapsed().as_micros());
    }
    Ok(())
}
RUST

cpu_seconds() { # COMMAND...: user and system time, of all its processes
    local TIMEFORMAT='%U %S'
    { time "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; } 2>&1 | awk '{ printf "%.1f", $1 + $2 }'
}

built() { # PROGRAM, PROFILE, FLAGS...
    (cd "$work/$1" && cpu_seconds cargo build --quiet $timings --target-dir "$work/$1/$2" "${@:3}")
}

again() { # PROGRAM, PROFILE, FLAGS...: after a change of the program alone, the least of three
    for edit in 1 2 3; do
        echo "const _: u32 = $edit;" >> "$work/$1/src/main.rs"
        timings='' built "$@"
        echo
    done | sort -n | head -n 1
}

packages() { # PROGRAM: without itself
    (cd "$work/$1" && cargo tree -e normal,build --prefix none --no-dedupe 2> /dev/null | awk '{ print $1, $2 }' |
        sort -u | grep -vc "^$1 ")
}

stripped() { # PROGRAM: in megabytes
    strip -o "$work/stripped" "$work/$1/release/release/$1"
    wc -c < "$work/stripped" | awk '{ printf "%.2f", $1 / 1e6 }'
}

saves() { # PROGRAM: the median of the first save of nine processes, and that of their later ones, in microseconds
    for run in 1 2 3 4 5 6 7 8 9; do
        "$work/$1/release/release/$1" "$work/state-$1" > "$work/times"
        sed -n 1p "$work/times" >> "$work/first-$1"
        sed 1,10d "$work/times" >> "$work/later-$1"
    done
    for which in first later; do
        sort -n "$work/$which-$1" | awk '{ all[NR] = $1 } END { printf "%s ", all[int((NR + 1) / 2)] }'
    done
}

for name in by_hand ours; do
    (cd "$work/$name" && cargo fetch --quiet)
    debug=$(built "$name" debug)
    debug_again=$(again "$name" debug)
    release=$(built "$name" release --release)
    release_again=$(again "$name" release --release)
    read -r first later <<< "$(saves "$name")"
    printf '%-8s debug %6s s, again %s s  release %6s s, again %s s  %3s packages  %s MB  first save %s us, later ones %s us\n' \
        "$name" "$debug" "$debug_again" "$release" "$release_again" "$(packages "$name")" "$(stripped "$name")" "$first" "$later"
    if [ -n "$timings" ]; then
        mkdir -p "$repository/target/build_cost"
        for profile in debug release; do
            cp "$work/$name/$profile/cargo-timings/cargo-timing.html" \
                "$repository/target/build_cost/$name-$profile.html"
        done
    fi
done
[ -z "$timings" ] || echo "timings: target/build_cost/*.html"
