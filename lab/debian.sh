# SPDX-License-Identifier: MIT
# The Debian system that a host boots with --systemd: a root file system in an image for each daemon, made of Debian's
# packages.

debian=$out/debian
ours_package() { first_of ${IWPMD_DEB:+"$IWPMD_DEB"} "$top"/out/iwpmd_*.deb; }

# Everything but the daemon under test and the lab's own files. rdma-core is in it, as on most hosts: our package takes
# its daemon's place.
build_debian_base() {
    [[ -e $debian/complete ]] && return
    "$top/dist/need" lasting
    say "building a Debian system with systemd"
    rm -rf "$debian"
    mkdir -p "$debian"
    # On a busy machine debootstrap can leave /proc mounted, and a copy of /proc/PID/pagemap fills a disk.
    timeout 1800 unshare --mount debootstrap --variant=minbase \
        --include=systemd-sysv,udev,kmod,iproute2,busybox-static,ibverbs-providers,rdmacm-utils,rdma-core,apparmor,rpm \
        "${suite:-bookworm}" "$debian/base" > "$debian/log" || die "debootstrap failed, see $debian/log"
    rm -rf "$debian"/base/var/{cache/apt,lib/apt/lists}/* "$debian"/base/usr/share/{doc,locale,man}/*
    touch "$debian/complete"
}

# What would only cost time, or fail for want of hardware; and what would clear /tmp at a soft reboot.
masked=(tmp.mount apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
    e2scrub_reap.service fstrim.timer getty.target systemd-logind.service systemd-machine-id-commit.service
    systemd-random-seed.service systemd-update-utmp.service systemd-tmpfiles-clean.timer systemd-pstore.service
    dev-hugepages.mount dev-mqueue.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
    proc-sys-fs-binfmt_misc.automount
    modprobe@{configfs,dm_mod,drm,efi_pstore,fuse,loop}.service)

# The same sources with a higher version, for the upgrade.
build_newer_package() {
    local tree=$debian/newer inputs
    inputs=("$top"/{Makefile,Directory.Build.props} \
        $(find "$top"/{Iwpmd,deb,dist} -type f -not -path '*/bin/*' -not -path '*/obj/*'))
    fresh "$debian/newer.stamp" "${inputs[@]}" && return
    say "building a newer package"
    rm -rf "$tree"
    mkdir -p "$tree/out"
    tar -c -C "$top" --exclude=./out --exclude=./.git --exclude=bin --exclude=obj . | tar -x -C "$tree"
    sed -i 's:</Version>:.1</Version>:' "$tree/Directory.Build.props"
    make -C "$tree" deb > "$debian/newer.log" 2>&1 || die "no newer package, see $debian/newer.log"
    mv "$tree"/out/iwpmd_*.deb "$debian/newer.deb"
    rm -rf "$tree"
    digest "${inputs[@]}" > "$debian/newer.stamp"
}

# With Debian's policy for SELinux beside the rest.
build_selinux_base() {
    local tree=$debian/selinux
    [[ -e $tree/complete ]] && return
    "$top/dist/need" selinux
    say "adding a policy for SELinux to a Debian system"
    rm -rf "$tree"
    cp -a "$debian/base" "$tree"
    # shellcheck disable=SC2016
    DEBIAN_FRONTEND=noninteractive chroot "$tree" sh -c 'apt-get update -qq &&
        apt-get install -y -qq --no-install-recommends selinux-policy-default && apt-get clean' > "$debian/log" 2>&1 ||
        die "selinux-policy-default does not install, see $debian/log"
    rm -rf "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,man}/*
    touch "$tree/complete"
}

# The module in which each permission has a boolean, and a list of them: NAME PERMISSION. An interface of the policy is
# one permission here.
each_permission() { # MODULE TARGET LIST
    awk -v list="$3" '
        function permission(text) {
            name = "iwpmd_" ++count
            printf "bool %s true;\nif (%s) {\n\t%s\n}\n", name, name, text
            print name, text > list
        }
        /^allow / {
            gsub(/[{};]/, "")
            for (i = 4; i <= NF; i++) permission($1 " " $2 " " $3 " " $i ";")
            next
        }
        /^[a-z_]+\(iwpmd_t[,)]/ && !/^init_daemon_domain/ { permission($0); next }
        { print }' "$1" > "$2"
}

# As an administrator does it, with the sources of the package and the policy's macros.
install_selinux_module() { # TREE FOLDER OPTION...
    make -C "$2" -f /usr/share/selinux/devel/Makefile NAME=default iwpmd.pp > "$debian/log" 2>&1 ||
        die "the module for SELinux does not compile, see $debian/log"
    cp "$2/iwpmd.pp" "$1/tmp/"
    chroot "$1" semodule --noreload --store default "${@:3}" --install /tmp/iwpmd.pp /tmp/lab.cil \
        > "$debian/log" 2>&1 ||
        die "the module for SELinux does not load, see $debian/log"
}
load_selinux_module() { # TREE
    local work=$debian/module rules=$1/usr/local/share/selinux
    rm -rf "$work"
    mkdir -p "$work" "$rules"
    cp -r "$1/usr/share/iwpmd/selinux" "$work/ours"
    cp -r "$work/ours" "$work/each"
    # /share has no labels: it was mounted before there was a policy.
    echo '(allow unlabeled_t unlabeled_t (filesystem (associate)))' > "$1/tmp/lab.cil"
    # A whole policy for the scenario selinux-rules, without two modules that give every domain its own Unix sockets;
    # then the one that the host boots with.
    each_permission "$work/ours/iwpmd.te" "$work/each/iwpmd.te" "$rules/list"
    install_selinux_module "$1" "$work/each" --disable setrans --disable nscd
    cp "$1"/etc/selinux/default/policy/policy.* "$rules/policy"
    install_selinux_module "$1" "$work/ours" --enable setrans --enable nscd
    # Nothing that is denied goes unsaid.
    echo kernel.printk_ratelimit=0 > "$1/etc/sysctl.d/lab.conf"
}

build_image() { # c|ours|selinux-deb|selinux-rpm
    local package='' base=$debian/base tree=$debian/tree kernel file inputs
    case $1 in
    ours | *-deb) package=$(ours_package) ;;
    *-rpm) package=$(first_of "$top"/out/iwpmd-*.rpm) ;;
    esac
    inputs=("$lab/debian.sh" "$lab/guest/daemon-systemd" "$build/base.stamp" $(find "$lab/debian" -type f) $package)
    build_debian_base
    [[ $1 != selinux-* ]] || { build_selinux_base; base=$debian/selinux; }
    fresh "$debian/$1.stamp" "${inputs[@]}" && return
    say "building the root file system ($1)"
    kernel=$(cat "$root/kernel")
    rm -rf "$tree"
    cp -a "$base" "$tree"
    if [[ -n $package ]]; then
        cp "$package" "$tree/tmp/"
        chroot "$tree" sh -ec 'case $1 in
            *.deb) dpkg -i "/tmp/$1" ;;
            *.rpm) rpm --install --nodeps --force-debian "/tmp/$1" ;;
            esac' sh "$(basename "$package")" > "$debian/log" 2>&1 ||
            die "the package does not install, see $debian/log"
    fi
    # Compiled here, so that the host need not: emulated, that takes long.
    [[ $1 != ours ]] ||
        chroot "$tree" apparmor_parser --skip-kernel-load --skip-cache --ofile /etc/apparmor.policy \
            /etc/apparmor.d/iwpmd 2>> "$debian/log" || die "the AppArmor profile does not compile, see $debian/log"
    cp -r "$lab/debian/." "$tree/"
    for file in "${masked[@]}"; do ln -sf /dev/null "$tree/etc/systemd/system/$file"; done
    # The device keeps its name. No module but those of the lab is there.
    ln -s /dev/null "$tree/etc/udev/rules.d/60-rdma-persistent-naming.rules"
    for file in "$tree"/etc/rdma/modules/*.conf; do [[ $file == */iwpmd.conf ]] || : > "$file"; done
    mkdir -p "$tree/share"
    cp "$build"/{rdmatest,tcpport,portwatch,agent} "$lab"/guest/{rows,load,device,cable,modules,settle} \
        "$tree/usr/local/bin/"
    cp "$lab/guest/daemon-systemd" "$tree/usr/local/bin/daemon"
    for file in killall pidof sysctl dmesg; do ln -s /bin/busybox "$tree/usr/local/bin/$file"; done
    cp -r "$build/tree/lib/modules" "$tree/usr/lib/"
    chroot "$tree" depmod "$kernel"
    rm -f "$tree/etc/hostname" "$debian/$1.img"
    if [[ $1 == selinux-* ]]; then
        load_selinux_module "$tree"
        # It sets a label by way of /proc/self/fd.
        # shellcheck disable=SC2016
        unshare --mount sh -ec 'mount -t proc proc "$0/proc"
            exec chroot "$0" setfiles -F /etc/selinux/default/contexts/files/file_contexts /' "$tree" \
            2> "$debian/log" || die "setfiles: see $debian/log"
    fi
    mke2fs -q -t ext4 -O ^has_journal -d "$tree" "$debian/$1.img" 700M > /dev/null
    rm -rf "$tree"
    digest "${inputs[@]}" > "$debian/$1.stamp"
}

# The packages that make boot images, beside the rest.
build_boot_base() {
    local tree=$debian/boot
    [[ -e $tree/complete ]] && return
    say "adding dracut and initramfs-tools to a Debian system"
    rm -rf "$tree"
    cp -a "$debian/base" "$tree"
    DEBIAN_FRONTEND=noninteractive chroot "$tree" sh -c 'apt-get update -qq &&
        apt-get install -y -qq --no-install-recommends dracut-core initramfs-tools' > "$debian/log" 2>&1 ||
        die "dracut and initramfs-tools do not install, see $debian/log"
    touch "$tree/complete"
}

# As an administrator makes it on a host with our package; the lab adds its device and its listeners.
build_boot_image() { # dracut|initramfs-tools
    local package tree=$debian/boot-tree kernel inputs program drivers='' hooks
    package=$(ours_package)
    inputs=("$lab/debian.sh" "$build/base.stamp" "$lab/guest/image" $(find "$lab/boot" -type f) "$package")
    build_boot_base
    fresh "$debian/$1.stamp" "${inputs[@]}" && return
    say "building a boot image ($1)"
    kernel=$(cat "$root/kernel")
    rm -rf "$tree"
    cp -a "$debian/boot" "$tree"
    cp "$package" "$tree/tmp/iwpmd.deb"
    chroot "$tree" dpkg -i /tmp/iwpmd.deb > "$debian/log" 2>&1 || die "the package does not install, see $debian/log"
    cp -r "$build/tree/lib/modules" "$tree/usr/lib/"
    chroot "$tree" depmod "$kernel"
    cp "$(first_of "$root/boot/config-$kernel" "$root/lib/modules/$kernel/config")" "$tree/boot/config-$kernel"
    # Only /usr and /etc: in a boot image the other folders are links.
    mkdir -p "$tree/lab/usr/lib/lab"
    cp -r "$build/tree"/{usr,etc} "$tree/lab/"
    cp "$lab/guest/image" "$tree/lab/usr/bin/lab-image"
    mkdir -p "$tree/lab/usr/lib/modules"
    cp "$build"/tree/lib/modules/siw-*.ko "$tree/lab/usr/lib/modules/"
    cp "$(program busybox)" "$tree/lab/usr/lib/lab/"
    for program in awk grep sed sort tr sleep pidof; do ln -s busybox "$tree/lab/usr/lib/lab/$program"; done
    cp -r "$lab/boot/." "$tree/"
    # Newer kernels have some of these built in.
    for program in virtio_net virtio_blk ext4 crc32c_generic libcrc32c ib_uverbs rdma_ucm; do
        [[ -z $(find "$tree/usr/lib/modules" -name "$program.ko") ]] || drivers+=" $program"
    done
    # dracut has moved them.
    hooks=/usr/lib/dracut/hooks
    ! grep -qs /var/lib/dracut/hooks "$tree"/usr/lib/dracut/dracut-{functions,init}.sh || hooks=/var/lib/dracut/hooks
    # In a namespace of their own, the file systems that these programs look at go by themselves.
    unshare --mount sh -e > "$debian/$1.log" 2>&1 << END || die "$1 makes no boot image, see $debian/$1.log"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
case $1 in
dracut) chroot "$tree" dracut --no-hostonly --add iwpmd --add-drivers "$drivers" --include /lab / \
    --include /lab-hook.sh $hooks/pre-mount/50-lab.sh --force /boot/initrd.img-$kernel $kernel ;;
initramfs-tools) chroot "$tree" update-initramfs -c -k $kernel ;;
esac
END
    mv "$tree/boot/initrd.img-$kernel" "$debian/$1.initrd"
    rm -rf "$tree"
    digest "${inputs[@]}" > "$debian/$1.stamp"
}
