# SPDX-License-Identifier: MIT
# Building, testing and installing iwpmd. Needs the .NET SDK; `make deps` installs the rest on Debian. See `make help`.
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
# Debian's zsh looks in vendor-completions for packages, and in site-functions below /usr/local.
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
DOCDIR ?= $(PREFIX)/share/doc/iwpmd
DATADIR ?= $(PREFIX)/share/iwpmd
HELPERDIR ?= $(PREFIX)/libexec/iwpmd
# What reads these looks in /usr and /etc only, whatever the prefix. The daemon reads /etc/iwpmd.conf.
SYSCONFDIR = /etc
INITDIR ?= $(SYSCONFDIR)/init.d
OUTSIDE_USR = $(filter-out /usr,$(PREFIX))
FIREWALLDDIR ?= $(if $(OUTSIDE_USR),$(SYSCONFDIR),/usr/lib)/firewalld/services
DRACUTDIR ?= /usr/lib/dracut/modules.d
# Debian's; elsewhere it is in the folder of a version of Python.
SOSDIR ?= /usr/lib/python3/dist-packages/sos/report/plugins
MONITORING = dist/prometheus/iwpmd.rules.yml dist/prometheus/iwpmd.dashboard.json
SELINUX = $(addprefix dist/selinux/,iwpmd.fc iwpmd.if iwpmd.te)
WIRESHARKDIR ?= $(or $(wildcard /usr/lib/$(MULTIARCH)),/usr/lib64)/wireshark/plugins
INITRAMFSDIR ?= $(if $(OUTSIDE_USR),$(SYSCONFDIR),/usr/share)/initramfs-tools

# MSBuild properties of your own (-p:NAME=VALUE); what was built with others is built anew.
PROPERTIES ?=
# No banner, no certificate, no telemetry, and no server that stays when a command has ended.
export DOTNET_NOLOGO = 1
export DOTNET_GENERATE_ASPNET_CERTIFICATE = false
export DOTNET_CLI_TELEMETRY_OPTOUT = 1
export DOTNET_CLI_WORKLOAD_UPDATE_NOTIFY_DISABLE = true
export DOTNET_SKIP_WORKLOAD_INTEGRITY_CHECK = 1
export MSBUILDDISABLENODEREUSE = 1
export UseSharedCompilation = false

# The processor that all of this is for: amd64 or arm64. What is made for another one than this machine's has a folder
# of its own.
HERE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,amd64)
ARCH ?= $(HERE)
ifeq ($(filter amd64 arm64,$(ARCH)),)
$(error ARCH is amd64 or arm64, not $(ARCH))
endif
ifneq ($(filter-out /%,$(PREFIX)),)
$(error PREFIX is an absolute path, not $(PREFIX))
endif
RID = $(if $(filter arm64,$(ARCH)),linux-arm64,linux-x64)
OUT = out$(if $(filter $(HERE),$(ARCH)),,/$(ARCH))
MULTIARCH = $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-linux-gnu
CROSS = $(if $(filter $(HERE),$(ARCH)),,$(if $(filter arm64,$(ARCH)),aarch64-linux-gnu-,x86_64-linux-gnu-))
# The oldest glibc on which the dynamic executable starts.
GLIBC = 2.28

SOURCES := $(shell find Iwpmd -name '*.cs' -not -path '*/obj/*' -not -path '*/bin/*') \
	Iwpmd/Iwpmd.csproj $(wildcard Iwpmd/*.c Iwpmd/order.txt Iwpmd/*.lock.json) \
	Directory.Build.props Directory.Build.targets
# Beside the packages of `make source` no others are taken, and none is asked for over a network.
OFF_LINE = $(if $(wildcard nuget),--source $(CURDIR)/nuget -p:RestorePackagesPath=$(CURDIR)/$(OUT)/build/packages)
PUBLISH = dotnet publish Iwpmd/Iwpmd.csproj -c Release -r $(RID) --nologo -v quiet \
	$(OFF_LINE) $(if $(CROSS),-p:CrossPrefix=$(CROSS)) $(if $(FRAMEWORK),-p:IwpmdFramework=$(FRAMEWORK)) $(PROPERTIES)

.PHONY: all help static image install uninstall deps check demo lab lab-lasting fresh audit fuzz fuzz-managed bench
.PHONY: bench-lab deb rpm dist doc worlds sysext oci source offline reproduce simulate mutants clean FORCE

all: $(OUT)/iwpmd ## builds out/iwpmd; needs no rights

help: ## prints this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r target text; do \
		printf '%-14s%s\n' "$$target" "$$text"; done
	@printf '\n%s\n' 'with variables, as in make install PREFIX=/usr/local:'
	@printf '%-14s%s\n' \
		ARCH 'the processor, amd64 or arm64; for the other one than this: make deps FOR=cross' \
		PREFIX 'where install puts it: /usr, or /usr/local; uninstall wants the same' \
		DESTDIR 'a folder that takes the place of the root for install and uninstall' \
		FOR 'what deps is for: check (the default), build, cross, install, demo, lab, lasting, deb, rpm, bench' \
		PROPERTIES 'properties of MSBuild: -p:NAME=VALUE'

STRIP = $(CROSS)strip --remove-section=.comment

# What it was built with. With other properties the linker would not run again by itself.
BUILT_WITH = $(OUT)/build/properties
ifneq ($(file < $(BUILT_WITH)),$(PUBLISH))
$(BUILT_WITH): FORCE
endif
$(BUILT_WITH):
	@rm -rf $(OUT)/build/dynamic $(OUT)/build/static
	@mkdir -p $(@D)
	@echo '$(PUBLISH)' > $@

# What a target asked for must have installed comes first, with -j too.
NEEDED_FIRST = $(addsuffix -deps,$(filter \
	lab lab-lasting fuzz fuzz-managed bench bench-lab deb rpm sysext oci source offline reproduce,$(MAKECMDGOALS)))

$(OUT)/iwpmd: $(SOURCES) $(BUILT_WITH) | $(NEEDED_FIRST)
	@dist/need --check $(if $(CROSS),cross,build)
	@echo 'compiling $@, usually 1 to 2 minutes'
	$(PUBLISH) --artifacts-path $(OUT)/build/dynamic -o $(OUT)/build/dynamic/publish
	$(STRIP) -o $@.new $(OUT)/build/dynamic/publish/iwpmd
	@needed=$$(dist/glibc $@.new $(GLIBC)) && echo "$@ needs glibc $$needed"
	mv $@.new $@

# What is in it, for whoever must know that (SPDX).
$(OUT)/iwpmd.spdx.json: $(OUT)/iwpmd dist/sbom
	@dist/need --check install
	dist/sbom $(OUT)/iwpmd $(OUT)/build/dynamic/obj/Iwpmd/project.assets.json $(VERSION) $$SOURCE_DATE_EPOCH > $@.new
	mv $@.new $@

$(OUT)/THIRD-PARTY-NOTICES: $(OUT)/iwpmd.spdx.json dist/notices
	dist/notices $(OUT)/iwpmd.spdx.json $(OUT)/build/dynamic/obj/Iwpmd/project.assets.json > $@.new
	mv $@.new $@

# A changed link property alone does not relink: a folder of its own.
static: $(OUT)/iwpmd-static ## builds out/iwpmd-static, for hosts with nothing else

$(OUT)/iwpmd-static: $(SOURCES) $(BUILT_WITH) | $(NEEDED_FIRST)
	@dist/need --check $(if $(CROSS),cross,build)
	@echo 'compiling $@, usually 1 to 2 minutes'
	$(PUBLISH) -p:IwpmdStatic=true --artifacts-path $(OUT)/build/static -o $(OUT)/build/static/publish
	$(STRIP) -o $@ $(OUT)/build/static/publish/iwpmd

# What a container has; see dist/container/Containerfile.
image: $(OUT)/image/usr/sbin/iwpmd ## builds out/image, the tree of a container

IMAGE_DOC = $(OUT)/image/usr/share/doc/iwpmd
STATIC_ASSETS = $(OUT)/build/static/obj/Iwpmd/project.assets.json
$(OUT)/image/usr/sbin/iwpmd: $(OUT)/iwpmd-static iwpmd.conf LICENSE dist/sbom dist/notices
	@dist/need --check install
	rm -rf $(OUT)/image
	mkdir -p $(OUT)/image/dev $(OUT)/image/proc $(OUT)/image/run $(OUT)/image/sys
	install -D -m 644 -t $(OUT)/image/etc iwpmd.conf
	install -D -m 644 -t $(IMAGE_DOC) LICENSE
	dist/sbom $(OUT)/iwpmd-static $(STATIC_ASSETS) $(VERSION) $$SOURCE_DATE_EPOCH > $(IMAGE_DOC)/iwpmd.spdx.json
	dist/notices $(IMAGE_DOC)/iwpmd.spdx.json $(STATIC_ASSETS) > $(IMAGE_DOC)/THIRD-PARTY-NOTICES
	install -D -m 755 $(OUT)/iwpmd-static $@

# As an image that engines take, of one layer, made without an engine: podman pull oci:out/oci:VERSION
IMAGE = --image $(OUT)/oci:$(VERSION)
CREATED = $$(date --utc --date=@$$SOURCE_DATE_EPOCH +%FT%TZ)
oci: oci-deps image ## builds the image of a container, the OCI layout out/oci
	rm -rf $(OUT)/oci $(OUT)/oci-tree
	cp -r $(OUT)/image $(OUT)/oci-tree
	find $(OUT)/oci-tree -exec touch --no-dereference --date=@$$SOURCE_DATE_EPOCH {} +
	umoci init --layout $(OUT)/oci
	umoci new $(IMAGE)
	umoci insert --rootless $(IMAGE) --history.created "$(CREATED)" --history.created_by 'make oci' $(OUT)/oci-tree /
	umoci config --no-history $(IMAGE) --created "$(CREATED)" --os linux --architecture $(ARCH) \
		--config.env PATH=/usr/sbin --config.entrypoint /usr/sbin/iwpmd --config.entrypoint --foreground
	umoci gc --layout $(OUT)/oci
	rm -r $(OUT)/oci-tree

# The lists are in dist/packages.
FOR ?= check
deps: ## installs Debian's packages for FOR=check (all tests), or demo, build, deb, ...: see below; root
	@dist/need $(FOR)

.PHONY: lab-deps lab-lasting-deps fuzz-deps fuzz-managed-deps bench-deps bench-lab-deps deb-deps rpm-deps
.PHONY: sysext-deps source-deps oci-deps offline-deps reproduce-deps
lab-deps fuzz-deps fuzz-managed-deps bench-deps deb-deps rpm-deps sysext-deps oci-deps offline-deps: %-deps:
	@dist/need $*
lab-lasting-deps:
	@dist/need lasting
bench-lab-deps: lab-deps
reproduce-deps source-deps: deb-deps rpm-deps

# The main job on a real kernel: two emulated hosts, our daemon in each, RDMA connections between them.
demo: ## shows RDMA connections between two emulated hosts; root
	@dist/steps demo

# Every test, those of the packages and the lab's short matrix included.
check: ## runs all tests; root
	@dist/steps check

# The whole matrix of scenarios, builds of soft iWARP and pairs of daemons. lab-lasting: what outlives the daemon, under
# systemd.
lab: lab-deps all static oci ## runs the lab's whole matrix, about an hour; root
	lab/run --jobs 3

lab-lasting: lab-lasting-deps all deb rpm sysext ## runs restart, crash, upgrade and boot of hosts with systemd; root
	lab/run --lasting

# Other Debian releases: the package, the dissector, and a quarter of the matrix with their kernels, C libraries and
# rdma-core, on amd64 and arm64.
worlds: all static deb ## tries the deb, the dissector and the lab's hosts in other Debian releases, and arm64; root
	@dist/need worlds
	$(MAKE) ARCH=arm64 all static
	deb/test --all
	Iwpmd.Tests/Captures/releases
	lab/worlds

# As on a machine that has nothing but the SDK: a new Debian tree. FRESH=demo or FRESH=check for one of them.
FRESH ?= demo check
fresh: ## runs `make demo` and `make check` in a fresh Debian and shows what they left there; root
	dist/fresh $(FRESH)

# Not part of a build: an advisory of tomorrow breaks no old release.
audit: ## looks for known vulnerabilities of the packages that are used
	@dist/audit

# Noise at the daemon for as long as SECONDS says; see fuzz/README.md.
SECONDS ?= 60
fuzz: fuzz-deps all ## fuzzes the executable for SECONDS=60; root
	fuzz/run --seconds $(SECONDS)

fuzz-managed: fuzz-managed-deps ## fuzzes what reads the bytes of others, guided by its coverage, for SECONDS=60
	fuzz/managed/run --seconds $(SECONDS)

# Whole lives of hosts and daemons; see simulator/README.md. SEED=N prints the history of one seed.
SIMULATOR = $(OUT)/build/simulator/bin/Simulator/release/simulator.dll
simulate: ## plays histories of hosts and daemons for SECONDS=60; SEED=N prints one
	dotnet build simulator -c Release --nologo -v quiet --artifacts-path $(OUT)/build/simulator
	dotnet $(SIMULATOR) $(if $(SEED),--seed $(SEED),--seconds $(SECONDS)) $(SIMULATE)

# Not part of check: it takes hours. MUTATE: folders or files of Iwpmd, as in mutants/run.
mutants: ## changes Core, State and Wire, and lists changes that no test finds; MUTATE=Wire for a part
	mutants/run $(MUTATE)

# Our daemon beside rdma-core's, by numbers; see bench/README.md. BENCH=--quick for a glance. bench-lab: the same on a
# real kernel.
bench: bench-deps all static ## measures it beside rdma-core's daemon; root
	lab/lab deps
	bench/run $(BENCH)

bench-lab: bench-lab-deps all ## the same on a real kernel; root
	bench/lab

doc: ## renders the manual pages to HTML, in out/doc
	@dist/need --check doc
	dist/manual out/doc

clean: ## removes what was built, downloaded and unpacked
	rm -rf out Iwpmd/bin Iwpmd/obj Iwpmd.Tests/bin Iwpmd.Tests/obj mutants/*/bin mutants/*/obj

VERSION = $(shell sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
# Of the last change, so that the same sources make the same package; in what `make dist` makes, the files have that
# date.
export SOURCE_DATE_EPOCH ?= $(shell [ -e .git ] && git log -1 --format=%ct 2> /dev/null || \
	stat -c %Y Directory.Build.props)
SAME = --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX

# The sources as a release: what git knows of, or in an unpacked release all that was in it. All else can be made from
# that.
dist: ## makes the sources of a release, out/iwpmd-VERSION.tar.gz
	mkdir -p out
	{ [ -e .git ] && git ls-files || \
		find . \( -name .git -o -name out -o -name bin -o -name obj \) -prune -o -not -type d -print; } | LC_ALL=C sort | \
		tar --create $(SAME) --transform='s:^\(\./\)\?:iwpmd-$(VERSION)/:S' --files-from=- | \
		gzip -9n > out/iwpmd-$(VERSION).tar.gz

# Builds everything in two folders and compares.
reproduce: reproduce-deps dist ## builds a release in two folders and compares; root
	dist/reproduce out/iwpmd-$(VERSION).tar.gz

# RELEASES: bookworm, trixie, sid.
offline: offline-deps source all ## builds the source packages off line in trees of Debian; root
	$(MAKE) ARCH=arm64 all
	dist/offline $(RELEASES)

# What a package of any kind takes. What was built goes with it, so that it is not built twice.
BUILT = $(OUT)/iwpmd $(OUT)/iwpmd.spdx.json $(OUT)/THIRD-PARTY-NOTICES
PACKAGED = Makefile Directory.Build.props Directory.Build.targets nuget.config LICENSE \
	$(wildcard README.md NEWS UPGRADING.md doc) iwpmd.conf iwpmd.8 iwpmd.conf.5 dist Iwpmd $(BUILT) $(BUILT_WITH)
PACK = tar --create $(SAME) --exclude=bin --exclude=obj $(PACKAGED)
# Where the program and its files are, in what names them.
PLACES = sed -i -e 's:/usr/sbin/iwpmd\b:$(SBINDIR)/iwpmd:' -e 's:/usr/lib/udev/rules\.d:$(UDEVDIR):' \
	-e 's:/usr/share/iwpmd\b:$(DATADIR):' \
	-e 's:/usr/libexec/iwpmd\b:$(HELPERDIR):' \
	-e 's:/usr/lib/systemd/system:$(UNITDIR):' -e 's:/usr/share/doc/iwpmd:$(DOCDIR):' \
		-e 's:/usr/lib/firewalld/services:$(FIREWALLDDIR):'

# What an administrator may have changed is left alone. rdma-core reads the list of modules, see there.
install: $(BUILT) ## installs it, below DESTDIR, with PREFIX=/usr
	install -D -m 755 $(OUT)/iwpmd $(DESTDIR)$(SBINDIR)/iwpmd
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man8 iwpmd.8
	install -D -m 644 -t $(DESTDIR)$(MANDIR)/man5 iwpmd.conf.5
	install -D -m 644 dist/completions/iwpmd.bash $(DESTDIR)$(BASHDIR)/iwpmd
	install -D -m 644 -t $(DESTDIR)$(ZSHDIR) dist/completions/_iwpmd
	install -D -m 644 -t $(DESTDIR)$(UDEVDIR) dist/90-iwpmd.rules
	install -D -m 644 -t $(DESTDIR)$(UNITDIR) dist/iwpmd.service dist/iwpmd-metrics.service dist/iwpmd-metrics.timer \
		dist/iwpmd-again.service
	install -d $(DESTDIR)$(UNITDIR)/sysinit.target.wants
	ln -sf ../iwpmd-again.service $(DESTDIR)$(UNITDIR)/sysinit.target.wants/
	install -D -m 755 dist/iwpmd-ended $(DESTDIR)$(HELPERDIR)/ended
	install -D -m 644 dist/iwpmd.sysusers $(DESTDIR)$(SYSUSERSDIR)/iwpmd.conf
	install -D -m 644 -t $(DESTDIR)$(FIREWALLDDIR) dist/firewalld/iwpmd.xml
	install -D -m 644 -t $(DESTDIR)$(DOCDIR) $(OUT)/iwpmd.spdx.json $(OUT)/THIRD-PARTY-NOTICES NEWS UPGRADING.md \
		doc/deviations.md doc/operation.md
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/examples dist/dracut/dracut-iwpmd.conf dist/initramfs/initramfs-iwpmd.conf
	install -D -m 755 dist/iwpmd.init $(DESTDIR)$(INITDIR)/iwpmd
	install -D -m 755 -t $(DESTDIR)$(DRACUTDIR)/95iwpmd dist/dracut/module-setup.sh
	install -D -m 644 -t $(DESTDIR)$(DRACUTDIR)/95iwpmd dist/dracut/iwpmd-boot.service
	install -D -m 755 dist/initramfs/hook $(DESTDIR)$(INITRAMFSDIR)/hooks/iwpmd
	install -D -m 644 -t $(DESTDIR)$(DATADIR) dist/91-iwpmd-boot.rules
	install -D -m 644 -t $(DESTDIR)$(WIRESHARKDIR) dist/wireshark/iwpm.lua
	install -D -m 755 -t $(DESTDIR)$(DATADIR) dist/wireshark/strace-to-pcap
	install -D -m 644 -t $(DESTDIR)$(DATADIR) $(MONITORING)
	install -D -m 644 -t $(DESTDIR)$(DATADIR)/selinux $(SELINUX)
	install -D -m 644 -t $(DESTDIR)$(SOSDIR) dist/sos/iwpmd.py
	$(PLACES) $(addprefix $(DESTDIR),$(UNITDIR)/iwpmd.service $(UNITDIR)/iwpmd-metrics.service $(INITDIR)/iwpmd \
		$(DRACUTDIR)/95iwpmd/module-setup.sh $(INITRAMFSDIR)/hooks/iwpmd $(MANDIR)/man8/iwpmd.8)
	sed -i -e 's:/usr/lib/sysusers\.d:$(SYSUSERSDIR):' -e 's:/usr/share/initramfs-tools:$(INITRAMFSDIR):' \
		-e 's:/usr/share/bash-completion/completions:$(BASHDIR):' -e 's:/usr/share/zsh/site-functions:$(ZSHDIR):' \
		$(DESTDIR)$(MANDIR)/man8/iwpmd.8
	test -e $(DESTDIR)$(SYSCONFDIR)/iwpmd.conf || install -D -m 644 iwpmd.conf $(DESTDIR)$(SYSCONFDIR)/iwpmd.conf
	test -e $(DESTDIR)$(SYSCONFDIR)/rdma/modules/iwpmd.conf || \
		install -D -m 644 dist/iwpmd-modules.conf $(DESTDIR)$(SYSCONFDIR)/rdma/modules/iwpmd.conf
	@[ -n '$(DESTDIR)' ] || echo 'to be done: systemd-sysusers && systemctl daemon-reload && udevadm control --reload'

# The reverse, with the same variables. What an administrator may have changed goes with PURGE=1 only.
CONFIGURATION = $(DESTDIR)$(SYSCONFDIR)/iwpmd.conf $(DESTDIR)$(SYSCONFDIR)/rdma/modules/iwpmd.conf
uninstall: ## removes what `make install` installed; the configuration too with PURGE=1
	rm -f $(DESTDIR)$(SBINDIR)/iwpmd $(DESTDIR)$(MANDIR)/man8/iwpmd.8 $(DESTDIR)$(MANDIR)/man5/iwpmd.conf.5
	rm -f $(DESTDIR)$(BASHDIR)/iwpmd $(DESTDIR)$(ZSHDIR)/_iwpmd $(DESTDIR)$(UDEVDIR)/90-iwpmd.rules
	rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,iwpmd.service iwpmd-metrics.service iwpmd-metrics.timer iwpmd-again.service \
		sysinit.target.wants/iwpmd-again.service) $(DESTDIR)$(HELPERDIR)/ended
	rm -f $(DESTDIR)$(SYSUSERSDIR)/iwpmd.conf $(DESTDIR)$(FIREWALLDDIR)/iwpmd.xml $(DESTDIR)$(INITDIR)/iwpmd
	rm -f $(DESTDIR)$(INITRAMFSDIR)/hooks/iwpmd
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,iwpmd.spdx.json THIRD-PARTY-NOTICES NEWS UPGRADING.md deviations.md \
		operation.md)
	rm -f $(addprefix $(DESTDIR)$(DOCDIR)/examples/,dracut-iwpmd.conf initramfs-iwpmd.conf)
	rm -f $(addprefix $(DESTDIR)$(DRACUTDIR)/95iwpmd/,module-setup.sh iwpmd-boot.service)
	rm -f $(addprefix $(DESTDIR)$(DATADIR)/,91-iwpmd-boot.rules strace-to-pcap $(notdir $(MONITORING)) \
		$(addprefix selinux/,$(notdir $(SELINUX))))
	rm -f $(DESTDIR)$(WIRESHARKDIR)/iwpm.lua $(DESTDIR)$(SOSDIR)/iwpmd.py
	@for folder in $(DOCDIR)/examples $(DOCDIR) $(DRACUTDIR)/95iwpmd $(DATADIR)/selinux $(DATADIR) $(HELPERDIR) \
		$(UNITDIR)/sysinit.target.wants; do \
		[ ! -d $(DESTDIR)$$folder ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$folder; done
	@if [ '$(PURGE)' = 1 ]; then rm -f $(CONFIGURATION); \
	else for file in $(wildcard $(CONFIGURATION)); do echo "left: $$file (PURGE=1 removes it)"; done; fi

DEB = iwpmd_$(VERSION)-1_$(ARCH).deb
# What the sources have besides, in the folder $(1): debian.
DEBIAN = cp -r deb $(1)/debian && rm $(1)/debian/test* $(1)/debian/store && \
	printf 'iwpmd ($(VERSION)-1) unstable; urgency=medium\n\n%s\n\n -- %s  %s\n' \
	"$$(dist/changelog deb)" "$$(sed -n 's/^Maintainer: //p' deb/control)" \
	"$$(date --utc --rfc-email --date=@$$SOURCE_DATE_EPOCH)" > $(1)/debian/changelog

deb: deb-deps $(BUILT) ## builds the Debian package
	rm -rf $(OUT)/deb/tree
	mkdir -p $(OUT)/deb/tree
	$(PACK) | tar --extract --directory=$(OUT)/deb/tree
	$(call DEBIAN,$(OUT)/deb/tree)
	cd $(OUT)/deb/tree && dpkg-buildpackage --build=binary --no-sign --no-pre-clean --no-check-builddeps \
		$(if $(CROSS),--host-arch $(ARCH))
	mv $(OUT)/deb/$(DEB) out/
	lintian --allow-root --fail-on=error,warning out/$(DEB)

RPM_ARCH = $(if $(filter arm64,$(ARCH)),aarch64,x86_64)
RPMBUILD = HOME=$(CURDIR)/$(OUT)/rpm rpmbuild --quiet --define '_topdir $(CURDIR)/$(OUT)/rpm' \
	--define '_buildhost iwpmd' \
	--define 'use_source_date_epoch_as_buildtime 1' --define 'clamp_mtime_to_source_date_epoch 1'
RPMLINT = HOME=$(CURDIR)/$(OUT)/rpm rpmlint --config rpm/rpmlint.toml
# With the version, its date and the list of changes, which are elsewhere in the sources.
SPEC = { echo '%global iwpmd_version $(VERSION)'; cat rpm/iwpmd.spec; printf '* %s %s - 1:$(VERSION)-1\n' \
	"$$(LC_ALL=C date --utc --date=@$$SOURCE_DATE_EPOCH '+%a %b %d %Y')" \
	"$$(sed -n 's/^Maintainer: //p' deb/control)"; dist/changelog rpm; }

rpm: rpm-deps $(BUILT) ## builds the rpm
	rm -rf $(OUT)/rpm
	mkdir -p $(OUT)/rpm/SOURCES
	$(PACK) --transform='s:^:iwpmd-$(VERSION)/:S' --gzip --file=$(OUT)/rpm/SOURCES/iwpmd-$(VERSION).tar.gz
	$(SPEC) > $(OUT)/rpm/iwpmd.spec
	$(RPMBUILD) -bb --target $(RPM_ARCH) --define 'iwpmd_built 1' $(OUT)/rpm/iwpmd.spec
	mv $(OUT)/rpm/RPMS/*/iwpmd-*.rpm out/
	$(RPMLINT) out/iwpmd-$(VERSION)-*.$(RPM_ARCH).rpm

# For systems whose /usr is an image: see systemd-sysext(8). /etc is theirs; without a configuration the defaults hold.
SYSEXT = iwpmd-$(VERSION)-$(ARCH)
sysext: sysext-deps $(BUILT) ## builds a system extension, out/iwpmd-VERSION-ARCH.raw
	rm -rf $(OUT)/sysext
	$(MAKE) install PREFIX=/usr DESTDIR=$(CURDIR)/$(OUT)/sysext
	rm -r $(OUT)/sysext/etc
	mkdir -p $(OUT)/sysext/usr/lib/extension-release.d
	printf '%s\n' ID=_any ARCHITECTURE=$(if $(filter arm64,$(ARCH)),arm64,x86-64) EXTENSION_RELOAD_MANAGER=1 \
		> $(OUT)/sysext/usr/lib/extension-release.d/extension-release.$(SYSEXT)
	mksquashfs $(OUT)/sysext out/$(SYSEXT).raw -noappend -all-root -quiet -no-progress

# What a distribution builds from, without a network: the upstream archive, the NuGet packages that the build needs as
# an archive of their own, and source packages of both kinds. Nothing in the first was built.
source: source-deps dist ## makes source packages that are built off line, in out/source
	rm -rf out/source
	mkdir -p out/source/iwpmd-$(VERSION) $(OUT)/rpm
	dist/nuget out/source/iwpmd-$(VERSION)-nuget.tar.gz linux-x64 linux-arm64
	cp out/iwpmd-$(VERSION).tar.gz out/source/
	cd out/source && ln iwpmd-$(VERSION).tar.gz iwpmd_$(VERSION).orig.tar.gz && \
		ln iwpmd-$(VERSION)-nuget.tar.gz iwpmd_$(VERSION).orig-nuget.tar.gz && \
		tar --extract --file=iwpmd-$(VERSION).tar.gz && \
		tar --extract --directory=iwpmd-$(VERSION) --file=iwpmd-$(VERSION)-nuget.tar.gz
	$(call DEBIAN,out/source/iwpmd-$(VERSION))
	cd out/source && dpkg-source --build iwpmd-$(VERSION) && rm -r iwpmd-$(VERSION)
	$(SPEC) > out/source/iwpmd.spec
	$(RPMBUILD) -bs --define '_sourcedir $(CURDIR)/out/source' \
		--define '_srcrpmdir $(CURDIR)/out/source' out/source/iwpmd.spec
	rm out/source/iwpmd.spec
	lintian --allow-root --fail-on=error,warning out/source/iwpmd_$(VERSION)-1.dsc
	$(RPMLINT) out/source/iwpmd-$(VERSION)-1.src.rpm
