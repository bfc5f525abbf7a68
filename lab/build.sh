# SPDX-License-Identifier: MIT
# What the lab is made of: packages from Debian, unpacked beside the host's own system, and what is built from them.

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

unpacked=(busybox-static iproute2 libmnl0 libbpf1 libelf1 libcap2 libbsd0 libmd0 zlib1g strace libunwind8 libnl-3-200 libnl-route-3-200
    libibverbs1 libibverbs-dev ibverbs-providers librdmacm1 librdmacm-dev rdmacm-utils rdma-core apparmor)
siw_builds=(stock map full)
build=$out/build

install_host_tools() { "$top/dist/need" lab; }

# Everything else is unpacked, not installed: the host gets no kernel, no service and no udev rule.
unpack_packages() {
    [[ -s $root/kernel && $(cat "$root/unpacked" 2> /dev/null) == "${unpacked[*]}" ]] && return
    local release version series package
    mkdir -p "$out/cache"
    apt-get update -qq
    release=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)
    [[ -n $release ]] || die "the registry offers no linux-image-amd64"
    series=$(cut -d. -f1,2 <<< "$release")
    # Kernel, headers and source must be one version.
    version=$(apt-cache policy "linux-image-$release" | sed -n 's/.*Candidate: //p')
    say "downloading kernel $release ($version) and its source, rdma-core and tools"
    rm -f "$out"/cache/*.deb
    rm -rf "$root"
    (
        cd "$out/cache"
        apt-get download -qq -o APT::Sandbox::User=root "linux-image-$release=$version" "linux-headers-$release=$version" "linux-headers-${release%-amd64}-common=$version" \
            "linux-kbuild-$series=$version" "linux-source-$series=$version" "${unpacked[@]}"
    ) || die "download failed"
    mkdir -p "$root"
    for package in "$out"/cache/*.deb; do dpkg -x "$package" "$root"; done
    # The headers name their other half by the path it would be installed at.
    sed -i "s#^include /usr/src#include $root/usr/src#" "$root/usr/src/linux-headers-$release/Makefile"
    tar -xJf "$root/usr/src/linux-source-$series.tar.xz" -C "$root" --strip-components=1 "linux-source-$series/drivers/infiniband/sw/siw"
    rm -f "$out"/cache/*.deb "$root/usr/src/linux-source-$series.tar.xz"
    echo "${unpacked[*]}" > "$root/unpacked"
    echo "$release" > "$root/kernel"
}

# A stamp keeps the digest of what a thing was made from.
fresh() { [[ -f $1 && $(cat "$1") == "$(digest "${@:2}")" ]]; }
digest() { sha256sum "$@" "$root/kernel" | sha256sum; }

# Each rule must hit, or a new kernel's siw would silently be the stock one.
patch_siw() { # FILE RULE...
    local file=$1 rule
    for rule in "${@:2}"; do
        cp "$file" "$file.before"
        sed -i "$rule" "$file"
        ! cmp -s "$file" "$file.before" || die "this kernel's siw has changed, the rule has no effect: $rule"
    done
    rm -f "$file.before"
}

# Once, and not by every emulated boot.
unpack_kernel() {
    local packed offset
    packed=$root/boot/vmlinuz-$(cat "$root/kernel")
    fresh "$build/vmlinux.stamp" "$packed" && return
    offset=$(LC_ALL=C grep -abo -P '\xfd7zXZ\x00' "$packed" | head -1 | cut -d: -f1) || true
    [[ -n $offset ]] || die "$packed is not packed by xz"
    xz -dc --single-stream < <(tail -c +$((offset + 1)) "$packed") > "$build/vmlinux" || die "$packed does not unpack"
    digest "$packed" > "$build/vmlinux.stamp"
}

build_siw() {
    fresh "$build/siw.stamp" "$lab/build.sh" && return
    local variant kernel
    kernel=$(cat "$root/kernel")
    for variant in "${siw_builds[@]}"; do
        say "building siw ($variant)"
        rm -rf "${build:?}/siw-$variant"
        cp -r "$root/drivers/infiniband/sw/siw" "$build/siw-$variant"
        (
            cd "$build/siw-$variant"
            # shellcheck disable=SC2016 # $( is make's here
            patch_siw Makefile 's/obj-$(CONFIG_RDMA_SIW)/obj-m/'
            # Without this flag the kernel asks for real ports.
            [[ $variant == stock ]] || patch_siw siw_main.c '/iw_driver_flags = IW_F_NO_PORT_MAP/d'
            case $variant in
            # It connects unmapped, but tells iw_cm the mapped local address as hardware would, or iw_cm never forgets the mapping.
            map) patch_siw siw_cm.c 's/raddr = (struct sockaddr \*)&id->m_remote_addr;/raddr = (struct sockaddr *)\&id->remote_addr;/' \
                's/getname_local(cep->sock, &event.local_addr);/if (reason == IW_CM_EVENT_CONNECT_REPLY) event.local_addr = id->m_local_addr; else &/' ;;
            # It uses what the daemons said: the mapped port of both ends, which the daemon itself holds.
            full) patch_siw siw_cm.c '/^int siw_connect(/,/^}/s/&id->local_addr/\&id->m_local_addr/' \
                '/^int siw_create_listen(/,/^}/s/&to_sockaddr_in\(6\?\)(id->local_addr)/\&to_sockaddr_in\1(id->m_local_addr)/' \
                's/sock_set_reuseaddr(s->sk)/s->sk->sk_reuse = SK_FORCE_REUSE/' ;;
            esac
            # objtool is linked with libelf, which the host may lack.
            LD_LIBRARY_PATH=$libraries make -s -j2 -C "$root/usr/src/linux-headers-$kernel" M="$PWD" modules > make.log 2>&1 || die "siw ($variant) does not build, see $PWD/make.log"
            strip -g siw.ko
        )
    done
    digest "$lab/build.sh" > "$build/siw.stamp"
}

# Puts the files and the libraries they need into a tree. Ours come before the host's.
add_binaries() { # TREE TARGET_DIR FILE...
    local tree=$1 target=$2 file line
    mkdir -p "$tree$target" "$tree/usr/lib/x86_64-linux-gnu" "$tree/lib64"
    for file in "${@:3}"; do
        cp -L "$file" "$tree$target/"
        LD_LIBRARY_PATH=$libraries ldd "$file" 2> /dev/null | while read -r line; do
            case $line in
            *'not found'*) die "$file needs ${line%% *}, which no package of the lab has" ;;
            *'=> /'*) line=${line#*=> } && cp -Lu "${line% (*}" "$tree/usr/lib/x86_64-linux-gnu/" ;;
            /lib*ld-*) cp -Lu "${line% (*}" "$tree/lib64/" ;;
            esac
        done || [[ ${PIPESTATUS[0]} -ne 0 ]] || exit 1
    done
}

archive() { # TREE FILE
    (cd "$1" && find . | "$root/bin/busybox" cpio -o -H newc) > "$2.new" 2> /dev/null
    mv "$2.new" "$2"
}

build_base() {
    local inputs=("$lab/build.sh" "$lab"/*.c "$lab"/guest/* "$build"/siw.stamp) tree=$build/tree kernel module variant program
    fresh "$build/base.stamp" "${inputs[@]}" && return
    say "building the hosts' system"
    kernel=$(cat "$root/kernel")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,sbin,dev,proc,sys,run,tmp,etc/libibverbs.d,usr/sbin,usr/bin,lib/modules} "$tree/usr/lib/x86_64-linux-gnu/libibverbs"
    for program in rdmatest tcpport portwatch usurp guest/agent; do
        gcc -O2 -Wall -Wextra -I "$root/usr/include" -L "$libraries" -Wl,-rpath-link,"$libraries" -Wl,--as-needed -o "$build/$(basename "$program")" "$lab/$program.c" -lrdmacm -libverbs -lpthread
    done
    add_binaries "$tree" /bin "$root/bin/busybox"
    add_binaries "$tree" /usr/bin "$build"/{rdmatest,tcpport,portwatch,usurp,agent} "$root"/usr/bin/{rping,strace} "$(first_of "$root"/{bin,sbin,usr/bin,usr/sbin}/rdma)" "$(first_of "$root"/{bin,sbin,usr/bin,usr/sbin}/ip)"
    add_binaries "$tree" /usr/lib/x86_64-linux-gnu/libibverbs "$libraries"/libibverbs/libsiw-rdmav*.so
    cp "$root/etc/libibverbs.d/siw.driver" "$tree/etc/libibverbs.d/"
    # rping ends its threads with pthread_exit, which loads this one by name.
    cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$tree/usr/lib/x86_64-linux-gnu/"
    # The programs are found by name; the shell that runs the scripts is busybox.
    ln -s busybox "$tree/bin/sh"
    cp "$lab/guest/init" "$tree/init"
    cp "$lab"/guest/{daemon,rows,load,early,network,device,cable,modules,settle} "$tree/usr/bin/"
    chmod 755 "$tree/init" "$tree"/usr/bin/*
    for module in kernel/drivers/{virtio,block/virtio_blk,net/net_failover,net/virtio_net,infiniband/core} kernel/net/{9p,core,802} kernel/fs/{9p,fscache,netfs,configfs,ext4,jbd2,mbcache} \
        kernel/lib/{libcrc32c,crc16} kernel/crypto/crc32c_generic modules.builtin modules.order modules.builtin.modinfo; do
        (cd "$root" && find "lib/modules/$kernel/$module"* -type f 2> /dev/null) | while read -r program; do
            mkdir -p "$tree/$(dirname "$program")" && cp "$root/$program" "$tree/$program"
        done
    done
    for variant in "${siw_builds[@]}"; do cp "$build/siw-$variant/siw.ko" "$tree/lib/modules/siw-$variant.ko"; done
    "$root/bin/busybox" depmod -b "$tree" "$kernel"
    archive "$tree" "$build/base.cpio"
    digest "${inputs[@]}" > "$build/base.stamp"
}

first_of() {
    local file
    for file; do [[ ! -e $file ]] || { echo "$file"; return; }; done
    die "none of $* exists"
}

build_all() { # [IMAGE...]
    local image
    mkdir -p "$build"
    (
        flock 8
        unpack_kernel
        build_siw
        build_base
        for image; do
            case $image in
            c | ours) build_image "$image" ;;
            *) build_boot_image "$image" ;;
            esac
        done
    ) 8> "$build/lock"
}
