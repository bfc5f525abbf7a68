# Building, testing and installing iwpmd. Needs the .NET SDK; `make deps` installs the rest on Debian.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/vendor-completions
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
INITDIR ?= $(SYSCONFDIR)/init.d
FIREWALLDDIR ?= $(PREFIX)/lib/firewalld/services
DOCDIR ?= $(PREFIX)/share/doc/iwpmd
DRACUTDIR ?= $(PREFIX)/lib/dracut/modules.d
INITRAMFSDIR ?= $(PREFIX)/share/initramfs-tools

SOURCES := $(shell find Iwpmd -name '*.cs' -not -path '*/obj/*' -not -path '*/bin/*') Iwpmd/Iwpmd.csproj Iwpmd/packages.lock.json Directory.Build.props Directory.Build.targets
PUBLISH = dotnet publish Iwpmd/Iwpmd.csproj -c Release -r linux-x64 $(if $(FRAMEWORK),-p:IwpmdFramework=$(FRAMEWORK)) --nologo -v quiet

.PHONY: all static image install deps check demo lab lab-lasting fuzz bench bench-lab deb rpm dist reproduce clean

all: out/iwpmd

out/iwpmd: $(SOURCES)
	$(PUBLISH) --artifacts-path out/build/dynamic -o out/build/dynamic/publish
	strip -o $@ out/build/dynamic/publish/iwpmd

# What is in it, for whoever must know that (SPDX).
out/iwpmd.spdx.json: out/iwpmd dist/sbom
	dist/sbom out/iwpmd out/build/dynamic/obj/Iwpmd/project.assets.json $(VERSION) $$SOURCE_DATE_EPOCH > $@.new
	mv $@.new $@

# A changed link property alone does not relink: a folder of its own.
static: out/iwpmd-static

out/iwpmd-static: $(SOURCES)
	$(PUBLISH) -p:IwpmdStatic=true --artifacts-path out/build/static -o out/build/static/publish
	strip -o $@ out/build/static/publish/iwpmd

# What a container has; see dist/container/Containerfile.
image: out/image/usr/sbin/iwpmd

out/image/usr/sbin/iwpmd: out/iwpmd-static iwpmd.conf LICENSE
	rm -rf out/image
	mkdir -p out/image/dev out/image/proc out/image/run out/image/sys
	install -D -m 644 -t out/image/etc iwpmd.conf
	install -D -m 644 -t out/image/usr/share/doc/iwpmd LICENSE
	install -D -m 755 out/iwpmd-static $@

# What Debian must have beside the SDK: the linker's tools for the executable, the others for the tests. The lab gets its own.
BUILD_PACKAGES = gcc libc6-dev binutils jq
TEST_PACKAGES = rdma-core strace iproute2 mandoc util-linux nftables systemd apparmor selinux-policy-dev checkpolicy semodule-utils python3-yaml

deps: deb-deps rpm-deps
	$(call need,$(BUILD_PACKAGES) $(TEST_PACKAGES))
	lab/lab deps

# The main job on a real kernel: two emulated hosts, our daemon in each, RDMA connections between them. Root.
demo: deps all
	lab/demo

# Every test, those of the packages and the lab's short matrix included. Root.
check: deps all image deb rpm
	lab/lab build
# Whoever runs this may ignore signals (nohup, the background of a script); the tests, and the daemons in them, would too.
	env --default-signal=INT,HUP,TERM dotnet test Iwpmd.Tests --nologo

# The whole matrix of scenarios, builds of soft iWARP and pairs of daemons. lab-lasting: what outlives the daemon, under systemd.
lab: deps all static
	lab/run --jobs 3

lab-lasting: deps all deb rpm
	lab/run --lasting

# Noise at the daemon for as long as SECONDS says; see fuzz/README.md.
SECONDS ?= 60
fuzz: deps all
	fuzz/run --seconds $(SECONDS)

# Our daemon beside rdma-core's, by numbers; see bench/README.md. BENCH=--quick for a glance. bench-lab: the same on a real kernel.
bench: deps all static
	$(call need,valgrind)
	bench/run $(BENCH)

bench-lab: deps all
	bench/lab

clean:
	rm -rf out Iwpmd/bin Iwpmd/obj Iwpmd.Tests/bin Iwpmd.Tests/obj

VERSION = $(shell sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
# Of the last change, so that the same sources make the same package; in what `make dist` makes, the files have that date.
export SOURCE_DATE_EPOCH ?= $(shell [ -e .git ] && git log -1 --format=%ct 2> /dev/null || stat -c %Y Directory.Build.props)
SAME = --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX

# The sources as a release: what git knows of, or in an unpacked release all that was in it. All else can be made from that.
dist:
	mkdir -p out
	{ [ -e .git ] && git ls-files || find . \( -name .git -o -name out -o -name bin -o -name obj \) -prune -o -not -type d -print; } | LC_ALL=C sort | tar --create $(SAME) --transform='s:^\(\./\)\?:iwpmd-$(VERSION)/:S' --files-from=- | gzip -9n > out/iwpmd-$(VERSION).tar.gz

# Builds everything in two folders and compares.
reproduce: deb-deps rpm-deps dist
	dist/reproduce out/iwpmd-$(VERSION).tar.gz

# What a package of any kind takes. What was built goes with it, so that it is not built twice.
BUILT = out/iwpmd out/iwpmd.spdx.json
PACKAGED = Makefile Directory.Build.props Directory.Build.targets nuget.config LICENSE $(wildcard README.md NEWS UPGRADING.md) iwpmd.conf iwpmd.8 iwpmd.conf.5 dist Iwpmd $(BUILT)
PACK = tar --create $(SAME) --exclude=bin --exclude=obj $(PACKAGED)
# What deb, rpm and their tests need of Debian, and how it is installed if it is not there.
DEB_DEPS = debhelper dh-apparmor dpkg-dev lintian debootstrap
RPM_DEPS = rpm rpmlint
need = @missing=$$(for package in $(1); do dpkg-query -W -f '$${db:Status-Status}' $$package 2> /dev/null | grep -qx installed || echo $$package; done); \
	[ -z "$$missing" ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing > /dev/null; }

.PHONY: deb-deps rpm-deps
deb-deps:
	$(call need,$(BUILD_PACKAGES) $(DEB_DEPS))
rpm-deps:
	$(call need,$(BUILD_PACKAGES) $(RPM_DEPS))

# What an administrator may have changed is left alone. rdma-core reads the list of modules, see there.
install: $(BUILT)
	install -D -m 755 out/iwpmd $(DESTDIR)$(SBINDIR)/iwpmd
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 iwpmd.8
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 iwpmd.conf.5
	install -D -m 644 dist/completions/iwpmd.bash $(DESTDIR)$(BASHDIR)/iwpmd
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) dist/completions/_iwpmd
	install -D -m 644 -t $(DESTDIR)$(UDEVDIR) dist/90-iwpmd.rules
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) dist/iwpmd.service dist/iwpmd-metrics.service dist/iwpmd-metrics.timer
	sed -i 's:/usr/sbin/iwpmd:$(SBINDIR)/iwpmd:' $(DESTDIR)$(UNITDIR)/iwpmd.service $(DESTDIR)$(UNITDIR)/iwpmd-metrics.service
	install -D -m 644 dist/iwpmd.sysusers $(DESTDIR)$(SYSUSERSDIR)/iwpmd.conf
	install -D -m 644 -t $(DESTDIR)$(FIREWALLDDIR) dist/firewalld/iwpmd.xml
	install -D -m 644 -t $(DESTDIR)$(DOCDIR) out/iwpmd.spdx.json UPGRADING.md
	install -D -m 755 dist/iwpmd.init $(DESTDIR)$(INITDIR)/iwpmd
	sed -i 's:/usr/sbin/iwpmd:$(SBINDIR)/iwpmd:' $(DESTDIR)$(INITDIR)/iwpmd
	install -D -m 755 -t $(DESTDIR)$(DRACUTDIR)/95iwpmd dist/dracut/module-setup.sh
	install -D -m 644 -t $(DESTDIR)$(DRACUTDIR)/95iwpmd dist/dracut/iwpmd-boot.service
	install -D -m 755 dist/initramfs/hook $(DESTDIR)$(INITRAMFSDIR)/hooks/iwpmd
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/iwpmd dist/91-iwpmd-boot.rules
	sed -i 's:/usr/sbin/iwpmd:$(SBINDIR)/iwpmd:' $(DESTDIR)$(INITRAMFSDIR)/hooks/iwpmd
	test -e $(DESTDIR)$(SYSCONFDIR)/iwpmd.conf || install -D -m 644 iwpmd.conf $(DESTDIR)$(SYSCONFDIR)/iwpmd.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/rdma/modules/iwpmd.conf || install -D -m 644 dist/iwpmd-modules.conf $(DESTDIR)$(SYSCONFDIR)/rdma/modules/iwpmd.conf

deb: deb-deps $(BUILT)
	rm -rf out/deb/tree
	mkdir -p out/deb/tree
	$(PACK) | tar --extract --directory=out/deb/tree
	cp -r deb out/deb/tree/debian
	printf 'iwpmd ($(VERSION)) unstable; urgency=medium\n\n  * See NEWS.\n\n -- %s  %s\n' "$$(sed -n 's/^Maintainer: //p' deb/control)" \
		"$$(date --utc --rfc-email --date=@$$SOURCE_DATE_EPOCH)" > out/deb/tree/debian/changelog
	cd out/deb/tree && dpkg-buildpackage --build=binary --no-sign
	mv out/deb/iwpmd_$(VERSION)_*.deb out/
	lintian --allow-root --fail-on=error,warning out/iwpmd_$(VERSION)_*.deb

rpm: rpm-deps $(BUILT)
	rm -rf out/rpm
	mkdir -p out/rpm/SOURCES
	$(PACK) --transform='s:^:iwpmd-$(VERSION)/:S' --gzip --file=out/rpm/SOURCES/iwpmd-$(VERSION).tar.gz
	rpmbuild -bb --quiet --define '_topdir $(CURDIR)/out/rpm' --define 'iwpmd_version $(VERSION)' \
		--define '_buildhost iwpmd' --define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1' \
		--define "iwpmd_date $$(LC_ALL=C date --utc --date=@$$SOURCE_DATE_EPOCH '+%a %b %d %Y')" rpm/iwpmd.spec
	mv out/rpm/RPMS/*/iwpmd-*.rpm out/
	rpmlint --config rpm/rpmlint.toml out/iwpmd-$(VERSION)-*.rpm
