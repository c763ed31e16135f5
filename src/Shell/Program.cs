using Hypervisor.Shell;

return new ShellProgram(args).Run();
