return Iwpmd.Cli.CommandLine.Invoke(args);
