#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The image of a container, started by crun as the Containerfile says, serves; its mappings outlive the container.
. "${BASH_SOURCE%/*}/../steps.sh"
builds="stock map"
wants=b:ours
# The options of podman run, for the runtime.
settings='.root.readonly = true |
    .process.terminal = false |
    .process.capabilities |= map_values(["CAP_NET_ADMIN"]) |
    .process.rlimits = [{type: "RLIMIT_NOFILE", hard: 131072, soft: 131072}] |
    .linux.namespaces |= map(select(.type != "network")) |
    .mounts += [{destination: "/run/iwpmd", type: "bind", source: "/run/iwpmd", options: ["bind", "rw"]}]'
# The first file system of a host cannot be exchanged, hence --no-pivot.
crun='LD_LIBRARY_PATH=/share/crun /share/crun/crun --cgroup-manager=disabled'
start() {
    b "$crun run --no-pivot --bundle /tmp/bundle iwpmd < /dev/null > /dev/null 2>> /var/log/iwpmd.stderr &
        for i in \$(seq 150); do
            ! $crun exec iwpmd /usr/sbin/iwpmd status > /dev/null 2>&1 || exit 0
            sleep 0.1
        done
        exit 1" ||
        fail "$1: status in the container ends with 0" "$(b "$crun exec iwpmd /usr/sbin/iwpmd status;
            tail -n 5 /var/log/iwpmd.stderr" | tail -n 7)"
}
scenario() {
    local name folder before
    [[ -e $top/out/oci/index.json ]] || fail "an image in out/oci (make oci)" "none"
    name=$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$top/out/oci/index.json")
    umoci unpack --image "$top/out/oci:$name" "$work/bundle" > /dev/null
    jq "$settings" "$work/bundle/config.json" > "$work/config.json"
    mv "$work/config.json" "$work/bundle/"
    folder=$("$top/Iwpmd.Tests/unpack" dpkg crun libyajl2)
    mkdir "$work/crun"
    cp "$folder/usr/bin/crun" "$work/crun/"
    LD_LIBRARY_PATH=$folder/usr/lib/$triplet ldd "$work/crun/crun" | sed -nE 's/.* => ([^ ]+) .*/\1/p' |
        grep -v '/libc\.so' | xargs cp -L -t "$work/crun"
    tar -c -C "$work" bundle > "$dir/b/share/bundle.tar"
    rm -rf "$dir/b/share/crun"
    cp -r "$work/crun" "$dir/b/share/"

    b "daemon stop" > /dev/null
    # A runtime looks there, whether it manages groups or not.
    b "rm -rf /run/iwpmd /tmp/bundle; mkdir -p /run/iwpmd; tar -x -C /tmp -f /share/bundle.tar
        mount -t cgroup2 none /sys/fs/cgroup"
    undo b "$crun delete --force iwpmd; umount /sys/fs/cgroup; rm -rf /run/iwpmd /tmp/bundle; daemon start"
    start "started"
    [[ $(b 'readlink /proc/$(daemon pid)/ns/mnt') != "$(b 'readlink /proc/1/ns/mnt')" ]] ||
        fail "a daemon in a mount namespace of its own" "another"
    [[ $(b 'ls /proc/$(daemon pid)/root/bin' 2>&1) == *"No such file"* ]] || fail "a root without /bin" "another"
    connects 0.0.0.0 10.0.0.2
    listen b 10.0.0.2 7001-7010
    before=$(mappings b)
    b "$crun kill iwpmd TERM; for i in \$(seq 100); do [ -n \"\$(daemon pid)\" ] || exit 0; sleep 0.1; done; exit 1" ||
        fail "it ends" "not"
    b "$crun delete --force iwpmd"
    start "started again"
    [[ $(mappings b) == "$before" && $(wc -l <<< "$before") -eq 10 ]] || fail "the 10 mappings: $before" "$(mappings b)"
    connect a 10.0.0.2 7010
    all_established 1
    stop_listening b
    expect_mappings b 0
    saw "another container has the 10 mappings of the first"
}
play "$@"
