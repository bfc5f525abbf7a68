# SPDX-License-Identifier: MIT
# What the lab is made of: packages from Debian, unpacked beside the host's own system, and what is built from them.

. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

unpacked=(busybox-static iproute2 libmnl0 libbpf1 libelf1 libcap2 libbsd0 libmd0 zlib1g strace libunwind8
    nftables libnftables1 libnftnl11 libxtables12 libjansson4 libgmp10 libedit2 libnl-3-200 libnl-route-3-200
    libibverbs1 libibverbs-dev ibverbs-providers librdmacm1 librdmacm-dev rdmacm-utils rdma-core apparmor)
siw_builds=(stock map full)
build=$out/build

# For a world these, with all they need.
programs=(busybox-static iproute2 strace nftables libibverbs-dev ibverbs-providers librdmacm-dev rdmacm-utils rdma-core)

install_host_tools() { if [[ -z $world ]]; then "$top/dist/need" lab; else "$top/dist/need" worlds; fi; }

# A Debian system of the world's release, which compiles for all worlds of that: with the folders of this machine that
# it needs.
tools=${LAB_OUT:-$top/out/lab}-$suite/tools
in_tools() {
    if [[ -z $world ]]; then "$@"; return; fi
    mkdir -p "$tools$top" "$tools$out"
    # shellcheck disable=SC2016 # they are the inner shell's
    unshare --mount sh -ec 'tools=$0 top=$1 out=$2; shift 2
        mount -t proc proc "$tools/proc"; mount --bind "$top" "$tools$top"; mount --bind "$out" "$tools$out"
        exec chroot "$tools" env -C "$PWD" "$@"' "$tools" "$top" "$out" "$@"
}

# For the kernel that is unpacked; its headers are there, or the name of those of our own.
has_compiler() { [[ -z $world ]] || compgen -G "$tools/usr/src/linux-headers-$(cat "$root/kernel")" > /dev/null; }

# Everything else is unpacked, not installed: the host gets no kernel, no service and no udev rule.
unpack_packages() {
    local wanted="${unpacked[*]}" release package
    [[ -z $world ]] || wanted="${programs[*]}"
    [[ -s $root/kernel && $(cat "$root/unpacked" 2> /dev/null) == "$wanted" ]] && has_compiler && return
    mkdir -p "$out/cache"
    rm -f "$out"/cache/*
    rm -rf "$root"
    if [[ -n $world ]]; then download_world; else download; fi
    mkdir -p "$root"
    for package in "$out"/cache/*.deb; do dpkg-deb --extract "$package" "$root"; done
    # Newer packages have the modules below /usr, without the links of an installed system.
    [[ -e $root/lib/modules ]] || { mkdir -p "$root/lib" && ln -s ../usr/lib/modules "$root/lib/modules"; }
    # The headers name their other half by the path it would be installed at.
    [[ -n $world ]] ||
        sed -i "s#^include /usr/src#include $root/usr/src#" "$root/usr/src/linux-headers-$release/Makefile"
    [[ -z $own_kernel ]] || compile_kernel
    for package in "$root"/usr/src/linux-source-*.tar.xz; do
        tar -xJf "$package" -C "$root" --strip-components=1 --wildcards 'linux-source-*/drivers/infiniband/sw/siw'
    done
    rm -f "$out"/cache/*.deb "$root"/usr/src/linux-source-*.tar.xz
    echo "$wanted" > "$root/unpacked"
    echo "$release" > "$root/kernel"
}

download() { # sets release
    local version series
    apt-get update -qq
    release=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p' | head -1)
    [[ -n $release ]] || die "the registry offers no linux-image-amd64"
    series=$(cut -d. -f1,2 <<< "$release")
    # Kernel, headers and source must be one version. linux-kbuild is the newest one: the archive has no other, while a
    # kernel of the same version waits for its signature. Its programs do for the whole series.
    version=$(apt-cache policy "linux-image-$release" | sed -n 's/.*Candidate: //p')
    say "downloading kernel $release ($version) and its source, rdma-core and tools"
    (
        cd "$out/cache"
        apt-get download -qq -o APT::Sandbox::User=root "linux-image-$release=$version" \
            "linux-headers-$release=$version" "linux-headers-${release%-amd64}-common=$version" \
            "linux-kbuild-$series" "linux-source-$series=$version" "${unpacked[@]}"
    ) || die "download failed"
}

# Names and versions of all that apt would install on a system that has nothing yet.
on_nothing() { # PACKAGE...
    in_tools apt-get install --simulate -qq --no-install-recommends -o Dir::State::status="$out/cache/nothing" \
        -o APT::Architecture=$arch "$@" |
        sed -nE 's/^Inst ([^ ]+) (\[[^ ]*\] )?\(([^ ]+) .*/\1=\3/p'
}

# The kernel's own programs must run here.
unpack_headers() {
    # shellcheck disable=SC2016
    on_nothing "linux-headers-$flavour" |
        sed -nE "s/^(linux-kbuild-[^=]*)=/\\1:amd64=/p; s/^(linux-headers-[^=]*-common[^=]*)=/\\1=/p; t
            s/^(linux-headers-[0-9][^=]*)=/\\1:$arch=/p" |
        in_tools sh -ec 'cd /tmp; xargs apt-get download -qq -o APT::Sandbox::User=root
            for package in linux-*.deb; do dpkg-deb -x "$package" /; rm "$package"; done' >> "$out/log" 2>&1 ||
        die "$suite has no headers for $flavour, see $out/log"
}

download_world() { # sets release
    local compiler=(gcc libc6-dev "linux-headers-$flavour") packages
    # The headers of arm64 would bring a compiler that itself runs on arm64: they are unpacked.
    [[ $arch == amd64 ]] || compiler=("gcc-${triplet//_/-}" "libc6-dev-$arch-cross")
    [[ -z $own_kernel ]] || compiler+=(gcc libc6-dev bc bison flex)
    : > "$out/cache/nothing"
    : > "$out/log"
    mkdir -p "$(dirname "$tools")"
    exec 7> "$tools.lock"
    flock 7
    if [[ ! -e $tools/complete ]]; then
        say "making a tree of $suite (some minutes)"
        rm -rf "$tools"
        unshare --mount debootstrap --variant=minbase "$suite" "$tools" >> "$out/log" 2>&1 ||
            die "debootstrap failed, see $out/log"
        # A mirror may be behind.
        echo 'Acquire::Check-Valid-Until "false";' > "$tools/etc/apt/apt.conf.d/lab"
        touch "$tools/complete"
    fi
    say "bringing a compiler for $flavour into it (some minutes the first time)"
    # shellcheck disable=SC2016
    in_tools sh -ec 'dpkg --add-architecture "$0" && apt-get update -qq
        export DEBIAN_FRONTEND=noninteractive INITRD=No
        apt-get install -y -qq --no-install-recommends "$@" && apt-get clean' \
        $arch make xz-utils zstd busybox-static "${compiler[@]}" >> "$out/log" 2>&1 ||
        die "$suite has no compiler or no headers, see $out/log"
    [[ $arch == amd64 || -n $own_kernel ]] || unpack_headers
    exec 7>&-
    if [[ -n $own_kernel ]]; then
        packages=$(on_nothing linux-source | grep '^linux-') || die "$suite has no linux-source"
        release=$(sed -nE 's/^linux-source-[^=]*=([0-9.]+).*/\1-64k/p' <<< "$packages")
    else
        packages=$(on_nothing "linux-image-$flavour" linux-source | grep '^linux-') ||
            die "$suite has no linux-image-$flavour"
        release=$(sed -nE 's/^linux-image-([0-9][^=]*)=.*/\1/p' <<< "$packages")
    fi
    packages+=$'\n'$(on_nothing "${programs[@]}") || die "$suite has not all programs"
    say "downloading kernel $release and the programs of $suite"
    mkdir -p "$root"
    echo "$packages" > "$root/versions"
    # shellcheck disable=SC2016
    in_tools sh -ec 'cd "$0"; apt-get download -qq -o APT::Sandbox::User=root "$@"' \
        "$out/cache" -o APT::Architecture=$arch $packages || die "download failed"
}

# Debian has no kernel with pages of 64 KiB: its source, with what the hosts need.
compile_kernel() {
    local source=$out/linux
    say "compiling a kernel with pages of 64 KiB (25 minutes on two idle cores)"
    rm -rf "$source"
    mkdir -p "$source" "$root"/{boot,usr/lib/modules}
    tar -xJf "$root"/usr/src/linux-source-*.tar.xz -C "$source" --strip-components=1
    # shellcheck disable=SC2016
    in_tools env KCONFIG_ALLCONFIG="$lab/kernel-64k.config" ARCH=$arch CROSS_COMPILE=$cross \
        sh -ec 'cd "$0"; make -s allnoconfig; make -s -j2 LOCALVERSION= Image modules
            make -s LOCALVERSION= INSTALL_MOD_PATH="$1" modules_install
            [ "$(make -s LOCALVERSION= kernelrelease)" = "$2" ]' "$source" "$root" "$release" >> "$out/log" 2>&1 ||
        die "the kernel does not compile, see $out/log"
    cp "$source/arch/$arch/boot/Image" "$root/boot/vmlinuz-$release"
    ln -sfn "$source" "$tools/usr/src/linux-headers-$release"
}

# A stamp keeps the digest of what a thing was made from.
fresh() { [[ -f $1 && $(cat "$1") == "$(digest "${@:2}")" ]]; }
digest() { sha256sum < <(cat "$@" "$root/kernel"); }

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

number_at() { od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '; } # FILE OFFSET BYTES

# Once, and not by every emulated boot. The header says where the packed kernel is. On amd64 its last four bytes are the
# size unpacked; on arm64 it may be an EFI program that unpacks itself ("zimg"), which qemu cannot start by itself.
unpack_kernel() {
    local packed offset length
    packed=$(first_of "$root/boot/vmlinuz-$(cat "$root/kernel")" "$root/lib/modules/$(cat "$root/kernel")/vmlinuz")
    fresh "$build/vmlinux.stamp" "$packed" && return
    offset=0 length=$(stat -c %s "$packed")
    if [[ $arch == amd64 ]]; then
        offset=$((($(number_at "$packed" $((0x1f1)) 1) + 1) * 512 + $(number_at "$packed" $((0x248)) 4)))
        length=$(($(number_at "$packed" $((0x24c)) 4) - 4))
    elif [[ $(number_at "$packed" 4 4) -eq $((0x676d697a)) ]]; then
        offset=$(number_at "$packed" 8 4) length=$(number_at "$packed" 12 4)
    fi
    head -c $((offset + length)) "$packed" | tail -c +$((offset + 1)) > "$build/payload"
    case $(number_at "$build/payload" 0 4) in
    $((0x587a37fd))) xz -dc "$build/payload" ;;
    $((0xfd2fb528))) in_tools zstd -dcq "$build/payload" ;;
    $((0x00088b1f)) | $((0x08088b1f))) gzip -dc "$build/payload" ;;
    *)
        [[ $arch == arm64 && $(number_at "$packed" 56 4) -eq $((0x644d5241)) ]] ||
            die "$packed is packed in an unknown way"
        cat "$build/payload"
        ;;
    esac > "$build/vmlinux" || die "$packed does not unpack"
    rm "$build/payload"
    digest "$packed" > "$build/vmlinux.stamp"
}

# In one folder, where only what differs is compiled anew.
build_siw() {
    fresh "$build/siw.stamp" "$lab/build.sh" && return
    local variant kernel headers source=$root/drivers/infiniband/sw/siw
    kernel=$(cat "$root/kernel")
    headers=/usr/src/linux-headers-$kernel
    [[ -n $world ]] || headers=$root$headers
    rm -rf "${build:?}/siw"
    cp -r "$source" "$build/siw"
    (
        cd "$build/siw"
        # shellcheck disable=SC2016 # $( is make's here
        patch_siw Makefile 's/obj-$(CONFIG_RDMA_SIW)/obj-m/'
        for variant in "${siw_builds[@]}"; do
            say "building siw ($variant)"
            cp "$source"/siw_{main,cm}.c .
            # Without this flag the kernel asks for real ports.
            [[ $variant == stock ]] || patch_siw siw_main.c '/iw_driver_flags = IW_F_NO_PORT_MAP/d'
            case $variant in
            # It connects unmapped, but tells iw_cm the mapped local address as hardware would, or iw_cm never forgets
            # the mapping.
            map) patch_siw siw_cm.c \
                's/raddr = (struct sockaddr \*)&id->m_remote_addr;/raddr = (struct sockaddr *)\&id->remote_addr;/' \
                's/getname_local(cep->sock, &event.local_addr);/if (reason == IW_CM_EVENT_CONNECT_REPLY) \
                    event.local_addr = id->m_local_addr; else &/' ;;
            # It uses what the daemons said: the mapped port of both ends, which the daemon itself holds.
            full) patch_siw siw_cm.c '/^int siw_connect(/,/^}/s/&id->local_addr/\&id->m_local_addr/' \
                '/^int siw_create_listen(/,/^}/ {
                    s/&to_sockaddr_in\(6\?\)(id->local_addr)/\&to_sockaddr_in\1(id->m_local_addr)/
                }' \
                's/sock_set_reuseaddr(s->sk)/s->sk->sk_reuse = SK_FORCE_REUSE/' ;;
            esac
            # objtool is linked with libelf, which the host may lack. BTF would be made from the kernel itself.
            in_tools env LD_LIBRARY_PATH="$libraries" make -s -j2 -C "$headers" M="$PWD" modules \
                CONFIG_DEBUG_INFO_BTF_MODULES= ${cross:+ARCH=$arch CROSS_COMPILE=$cross} > make.log 2>&1 ||
                die "siw ($variant) does not build, see $PWD/make.log"
            in_tools "${cross}strip" -g -o "$build/siw-$variant.ko" siw.ko
        done
    )
    digest "$lab/build.sh" > "$build/siw.stamp"
}

# Puts the files and the libraries they need into a tree. Ours come before the host's.
add_binaries() { # TREE TARGET_DIR FILE...
    local tree=$1 target=$2 file queue name found
    mkdir -p "$tree$target" "$tree/usr/lib/$triplet" "$tree/$loader"
    for file in "${@:3}"; do cp -L "$file" "$tree$target/"; done
    queue=("${@:3}")
    while [[ ${#queue[@]} -gt 0 ]]; do
        file=${queue[0]} queue=("${queue[@]:1}")
        for name in $(readelf -dW "$file" 2> /dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
            found=$tree/usr/lib/$triplet/$name
            [[ $name != ld-linux* ]] || found=$tree/$loader/$name
            [[ ! -e $found ]] || continue
            cp -L "$(library "$name")" "$found" || die "$file needs $name, which no package of the lab has"
            queue+=("$found")
        done
    done
}
library() { # NAME
    local folders=("$libraries" "$root"/{,usr/}{"lib/$triplet","$loader"})
    [[ -n $world ]] || folders+=("/lib/$triplet")
    first_of "${folders[@]/%//$1}"
}
program() { first_of "$root"/{bin,sbin,usr/bin,usr/sbin}/"$1"; }
first_of() {
    local file
    for file; do [[ ! -e $file ]] || { echo "$file"; return; }; done
    die "none of $* exists"
}

# The hosts' own would not run here when they have another processor.
busybox() { if [[ -z $world ]]; then "$root/bin/busybox" "$@"; else "$tools/bin/busybox" "$@"; fi; }

archive() { # TREE FILE
    (cd "$1" && find . | busybox cpio -o -H newc) > "$2.new" 2> /dev/null
    mv "$2.new" "$2"
}

# With whatever these need, as they say themselves. What a kernel has built in, or does not have any more, is no file.
modules=(virtio_pci virtio_blk virtio_net 9pnet_virtio 9p ext4 crc32c_generic libcrc32c crc32c_cryptoapi
    iw_cm ib_uverbs rdma_ucm nf_tables nft_reject_inet overlay squashfs loop)
needs() { LC_ALL=C grep -aoPm1 '\0depends=\K[^\0]+' "$1" | tr ',\0' '\n\n' || true; } # MODULE
add_modules() { # TREE KERNEL
    local folder=lib/modules/$2 queue=("${modules[@]}" $(needs "$build/siw-stock.ko")) name file target needed
    mkdir -p "$1/$folder"
    cp "$root/$folder"/modules.{builtin,order,builtin.modinfo} "$1/$folder/"
    (cd "$root" && find "$folder/" -name '*.ko*') > "$build/modules"
    while [[ ${#queue[@]} -gt 0 ]]; do
        name=${queue[0]//_/[_-]} queue=("${queue[@]:1}")
        file=$(grep -m1 "/$name\.ko" "$build/modules") || continue
        target=$1/${file%.ko*}.ko
        [[ ! -e $target ]] || continue
        mkdir -p "${target%/*}"
        case $file in
        *.xz) xz -dc "$root/$file" > "$target" ;;
        *) cp "$root/$file" "$target" ;;
        esac
        mapfile -t needed < <(needs "$target")
        queue+=("${needed[@]}")
    done
}

build_base() {
    local inputs=("$lab/build.sh" "$lab"/*.c "$lab"/guest/* "$build"/siw.stamp) tree=$build/tree kernel module variant \
        program
    fresh "$build/base.stamp" "${inputs[@]}" && return
    say "building the hosts' system"
    kernel=$(cat "$root/kernel")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,sbin,dev,proc,sys,run,tmp,etc/libibverbs.d,usr/sbin,usr/bin,lib/modules} \
        "$tree/usr/lib/$triplet/libibverbs"
    for program in rdmatest tcpport portwatch usurp guest/agent; do
        in_tools "${cross}gcc" -O2 -Wall -Wextra -I "$root/usr/include" -L "$libraries" \
            -Wl,-rpath-link,"$libraries:$root/lib/$triplet" -Wl,--as-needed \
            -o "$build/$(basename "$program")" "$lab/$program.c" -lrdmacm -libverbs -lpthread
    done
    add_binaries "$tree" /bin "$(program busybox)"
    add_binaries "$tree" /usr/bin "$build"/{rdmatest,tcpport,portwatch,usurp,agent} "$root"/usr/bin/{rping,strace} \
        "$(program rdma)" "$(program ip)" "$(program nft)"
    add_binaries "$tree" /usr/lib/$triplet/libibverbs "$libraries"/libibverbs/libsiw-rdmav*.so
    cp "$root/etc/libibverbs.d/siw.driver" "$tree/etc/libibverbs.d/"
    # rping ends its threads with pthread_exit, which loads this one by name.
    cp -L "$(library libgcc_s.so.1)" "$tree/usr/lib/$triplet/"
    # The programs are found by name; the shell that runs the scripts is busybox.
    ln -s busybox "$tree/bin/sh"
    cp "$lab/guest/init" "$tree/init"
    cp "$lab"/guest/{daemon,rows,load,early,network,device,cable,modules,settle} "$tree/usr/bin/"
    chmod 755 "$tree/init" "$tree"/usr/bin/*
    add_modules "$tree" "$kernel"
    cp "$build"/siw-*.ko "$tree/lib/modules/"
    busybox depmod -b "$tree" "$kernel"
    archive "$tree" "$build/base.cpio"
    digest "${inputs[@]}" > "$build/base.stamp"
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
            c | ours | selinux*) build_image "$image" ;;
            *) build_boot_image "$image" ;;
            esac
        done
    ) 8> "$build/lock"
}
