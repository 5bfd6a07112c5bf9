#!/usr/bin/env bash
# A Grid Engine of one node, for tests: cluster.sh MASTER_PORT NODE_PORT
#
# It prints "ready DIR" when jobs can be submitted with the settings in DIR/settings.sh; all that it
# writes is in DIR. When its standard input is closed, as also by the death of a test, it ends every
# job and its daemons, and removes DIR.
set -eu
host=$(hostname)
binaries=/usr/lib/gridengine

directory=$(mktemp -d)
chmod 755 "$directory"
mkdir -p "$directory"/{cell/common,master/job_scripts,database,node}
# The programs look for each other under this root.
ln -s /var/lib/gridengine/{bin,lib,util,utilbin} "$directory"
cat >"$directory/settings.sh" <<SETTINGS
export SGE_ROOT=$directory SGE_CELL=cell SGE_QMASTER_PORT=$1 SGE_EXECD_PORT=$2
SETTINGS
# shellcheck source=/dev/null
. "$directory/settings.sh"
cat >"$directory/cell/common/bootstrap" <<BOOTSTRAP
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         $directory/database
binary_path             /usr/sbin
qmaster_spool_dir       $directory/master
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
BOOTSTRAP
echo "$host" >"$directory/cell/common/act_qmaster"
# The name of a machine may belong to another address than that of its loopback.
echo "$host localhost localhost.localdomain" >"$directory/cell/common/host_aliases"

daemons=()
ready=no
# shellcheck disable=SC2317 # it is called by the trap
end() {
    trap '' EXIT TERM INT
    if [ "$ready" = no ]; then
        timeout 5 qstat -f >&2 || true
        tail -n 50 "$directory"/*.log "$directory"/{master,node/*}/messages >&2 || true
    fi
    # The jobs before the daemons: a job that cannot tell its end would go on trying.
    for _ in $(seq 60); do
        [ -n "$(timeout 5 qstat 2>/dev/null)" ] || break
        timeout 5 qdel -f -u '*' >/dev/null 2>&1 || true
        sleep 0.3
    done
    kill "${daemons[@]}" 2>/dev/null || true
    # Whatever is left has a file here.
    for process in /proc/[0-9]*; do
        if find "$process/fd" -lname "$directory/*" 2>/dev/null | grep -q .; then
            kill -s KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
    wait 2>/dev/null
    rm -rf "$directory"
}
trap end EXIT
trap 'exit 1' TERM INT

{
    resources=/usr/share/gridengine/util/resources
    sed -e "s,^execd_spool_dir.*,execd_spool_dir $directory/node," \
        -e "s,^load_report_time.*,load_report_time 00:00:01," -e "s,^min_uid.*,min_uid 0," \
        -e "s,^min_gid.*,min_gid 0," \
        /usr/share/gridengine/default-configuration >"$directory/configuration"
    "$binaries/spoolinit" berkeleydb libspoolb "$directory/database" init
    "$binaries/spooldefaults" configuration "$directory/configuration"
    "$binaries/spooldefaults" complexes "$resources/centry"
    "$binaries/spooldefaults" usersets "$resources/usersets"
    "$binaries/spooldefaults" managers "$(id -un)"
} >"$directory/prepare.log" 2>&1

export SGE_ND=true # the daemons stay in the foreground
sge_qmaster >"$directory/master.log" 2>&1 &
daemons+=($!)
for _ in $(seq 100); do timeout 5 qconf -sh >/dev/null 2>&1 && break; sleep 0.1; done
{
    qconf -as "$host"
    printf 'group_name @allhosts\nhostlist %s\n' "$host" >"$directory/group"
    qconf -Ahgrp "$directory/group"
    qconf -sq >"$directory/queue"
    sed -i -e 's/^qname .*/qname all.q/' -e 's/^hostlist .*/hostlist @allhosts/' -e 's/^slots .*/slots 8/' \
        -e 's/^notify .*/notify 00:00:10/' -e 's/^rerun .*/rerun TRUE/' \
        -e 's/^load_thresholds .*/load_thresholds NONE/' -e 's/^pe_list .*/pe_list NONE/' "$directory/queue"
    qconf -Aq "$directory/queue"
    qconf -ssconf >"$directory/schedule"
    sed -i -e 's/^schedule_interval .*/schedule_interval 0:0:1/' -e 's/^flush_submit_sec .*/flush_submit_sec 1/' \
        -e 's/^flush_finish_sec .*/flush_finish_sec 1/' "$directory/schedule"
    qconf -Msconf "$directory/schedule"
} >"$directory/set-up.log" 2>&1
sge_execd >"$directory/node.log" 2>&1 &
daemons+=($!)
for _ in $(seq 300); do
    # Without a state, the queue takes jobs.
    if timeout 5 qstat -f -q all.q 2>/dev/null | grep -Eq '^all\.q@[^ ]+ +[BIP]+ +[0-9/]+ +[0-9.]+ +[a-z0-9-]+ *$'; then
        ready=yes
        break
    fi
    kill -0 "${daemons[@]}" 2>/dev/null || break
    sleep 0.1
done
[ "$ready" = yes ] || exit 1
echo "ready $directory"
# Until nobody holds the other end any more.
read -r _ || true
