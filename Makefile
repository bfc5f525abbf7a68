# Building, testing and installing iwpmd. Needs the .NET SDK; `make deps` installs the rest on Debian.
AOT_FRAMEWORK ?= net9.0
PREFIX ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
UDEVDIR ?= $(PREFIX)/lib/udev/rules.d

SOURCES := $(shell find Iwpmd -name '*.cs' -not -path '*/obj/*' -not -path '*/bin/*') Iwpmd/Iwpmd.csproj Directory.Build.props
PUBLISH = dotnet publish Iwpmd/Iwpmd.csproj -c Release -f $(AOT_FRAMEWORK) -r linux-x64 -p:AotFramework=$(AOT_FRAMEWORK) --nologo -v quiet

.PHONY: all static install deps check demo bench deb rpm clean

all: out/iwpmd

out/iwpmd: $(SOURCES)
	$(PUBLISH) --artifacts-path out/build/dynamic -o out/build/dynamic/publish
	strip -o $@ out/build/dynamic/publish/iwpmd

# A changed link property alone does not relink: a folder of its own.
static: out/iwpmd-static

out/iwpmd-static: $(SOURCES)
	$(PUBLISH) -p:IwpmdStatic=true --artifacts-path out/build/static -o out/build/static/publish
	strip -o $@ out/build/static/publish/iwpmd
