// SPDX-License-Identifier: MIT
return Iwpmd.Cli.CommandLine.Invoke(args);
