#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Finding: packages.lock.json does not name the runtime that Native AOT links into the executable.
#
# A lock file records packages that a project references. The native runtime pack and the platform's half of the
# compiler are "download dependencies": the SDK picks their version, no hash of them is locked, and locked mode accepts
# whatever comes. A bill of materials made from the lock file, or from "libraries" of project.assets.json, lacks the one
# package that makes up most of the executable; "downloadDependencies" of project.assets.json has it.
# With PublishAot in .NET 9 and earlier the platform's compiler package held that runtime, and was a library there.
#
# Seen:      SDK 10.0.401, RestorePackagesWithLockFile=true, net10.0, linux-x64: the lock file has
#            Microsoft.DotNet.ILCompiler, its linux-x64 half and Microsoft.NET.ILLink.Tasks (all 10.0.12), and not
#            Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64, which is downloaded and linked.
# Needs:     the .NET 10 SDK, a package source for it. Exits 1 when the lock file names the runtime.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
cat > app.csproj << 'END'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <RuntimeIdentifier>linux-x64</RuntimeIdentifier>
    <PublishAot>true</PublishAot>
    <RestorePackagesWithLockFile>true</RestorePackagesWithLockFile>
  </PropertyGroup>
</Project>
END
echo "return 0;" > app.cs
dotnet restore --nologo -v quiet
echo "SDK $(dotnet --version)"
echo "the lock file names:"
sed -n 's/^ *"\(.*ILCompiler\|.*NativeAOT.*\|.*ILLink.*\)": {/  \1/p' packages.lock.json | sort -u
echo "downloaded beside it:"
sed -n '/"downloadDependencies": \[/,/^ *\],\?$/s/^ *"name": "\(.*\)",/  \1/p' obj/project.assets.json
changed() { echo "changed: $1" >&2; exit 1; }
grep -q 'Runtime.NativeAOT.linux-x64' obj/project.assets.json || changed "no native runtime is downloaded"
! grep -q 'Runtime.NativeAOT' packages.lock.json || changed "the lock file names the native runtime"
