using Hypervisor.Benchmarks.Processor;
using Hypervisor.Shell;

// Named workloads in a stock Debian guest on our software processor and on QEMU's TCG, and natively, alternately. See docs/performance.md.
if (args is [OursChild.Option, .. var childArguments])
{
    return OursChild.Run(childArguments);
}

string? initrd = null;
try
{
    Options options = Options.Parse(args);
    if (options.List)
    {
        foreach (Workload workload in Workload.All)
        {
            Console.WriteLine($"{workload.Name,-10} {workload.Title}");
        }

        return 0;
    }

    if (options.StressMinutes is not null)
    {
        return StressRun.Run(options) is null ? 0 : 1;
    }

    GuestTools tools = GuestTools.Prepare(workloads: options.UserBits == 64, options.KernelBits, options.UserBits);
    initrd = Path.Combine(Path.GetTempPath(), $"hv-processor-{Environment.ProcessId}.cpio");
    var platform = new Platform(tools, initrd, options);
    File.WriteAllBytes(initrd, tools.BuildInitrd());
    return new Runner(options, platform).Run() ? 0 : 1;
}
catch (Exception exception) when (exception is BenchmarkException or QuickstartException)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}
finally
{
    if (initrd is not null)
    {
        File.Delete(initrd);
    }
}
